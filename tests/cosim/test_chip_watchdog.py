"""The watchdog of the whole chip: it ends what hangs, says so, and leaves a chip that is stuck or one that works, nothing in between."""

import numpy as np
import pytest

from hw.common.isa import Cause
from hw.common.registers import engine_register
from sim.golden.chip import GoldenChip
from sim.verilated.chip import VerilatedChip
from sim.verilated.dram import DramModel

from .error_jobs import BIT, DRAM_BYTES, GOOD_JOB, NAMES, Job, both, fill, finish, good, prepare, read, write
from .test_programs import MIXED


@pytest.fixture
def slow():
    """A DRAM that answers long after a short watchdog has given up."""
    dram = DramModel(latency=2000)
    with GoldenChip(MIXED, dram_bytes=DRAM_BYTES, seed=3) as golden, VerilatedChip(MIXED, dram_bytes=DRAM_BYTES, dram=dram, seed=3) as rtl:
        fill(golden, rtl, seed=3)
        yield golden, rtl


def causes(found):
    return {engine: found[engine_register(engine, "CAUSE")] for engine in NAMES if found[engine_register(engine, "CAUSE")]}


def assert_stuck(rtl, found, engines):
    assert causes(found) == dict.fromkeys(engines, Cause.WATCHDOG)
    halted = sum(BIT[engine] for engine in engines)
    assert found["STATUS"] == 0b1110 | halted << 8 | (0xF ^ halted) << 12 and found["IRQ_STATUS"] == 3
    for _ in range(2):  # the second time, the answers have come
        bursts = rtl.statistics["read_bursts"]
        write(rtl, "CONTROL", 1)
        rtl.run(5000)
        assert read(rtl, "STATUS") == found["STATUS"] and read(rtl, "IRQ_STATUS") == 0 and rtl.statistics["read_bursts"] == bursts


@pytest.mark.parametrize("engines", [("load",), ("tensor", "output"), NAMES])
def test_watchdog_of_fetches_that_are_not_answered(slow, engines):
    golden, rtl = slow
    limit = 700
    for chip in slow:
        prepare(chip, Job(queues={engine: good(engine) for engine in engines}, registers={"WATCHDOG": limit}))
    before = rtl.sbuf
    write(rtl, "CONTROL", 1)
    found = finish(rtl)
    cycles = read(rtl, "CYCLES")
    assert limit < cycles < limit + 40, cycles
    assert all(found[engine_register(engine, name)] == 0 for engine in NAMES for name in ("INDEX", "ADDRESS_LO", "RETIRED"))
    assert_stuck(rtl, found, engines)
    assert np.array_equal(rtl.sbuf, before) and np.array_equal(rtl.memory, golden.memory), "nothing has run"
    rtl.reset()
    both(slow, Job(queues={engine: good(engine)[:1] for engine in NAMES}), "after the reset")


@pytest.mark.parametrize("engine", ["load", "store"])
def test_watchdog_of_a_transfer_that_is_not_answered(slow, engine):
    golden, rtl = slow
    queues = {engine: good(engine), "tensor": good("tensor", wait0_semaphore=2, wait0_count=1)}
    prepare(rtl, Job(queues=queues, registers={"WATCHDOG": 0}))
    write(rtl, "CONTROL", 1)
    rtl.run(3500)  # the fetches take 2000 cycles, the transfers as long again
    assert rtl.states[engine] == "memory" and rtl.states["tensor"] == "semaphore"
    write(rtl, "WATCHDOG", 300)
    found = finish(rtl)
    assert found["TENSOR_INDEX"] == found["TENSOR_RETIRED"] == 1 and found[engine_register(engine, "INDEX")] == 0
    assert_stuck(rtl, found, (engine, "tensor"))
    rtl.reset()
    golden.write_memory(0, rtl.read_memory(0, DRAM_BYTES))
    golden.sbuf[:] = rtl.sbuf  # what came too late may have been written
    both(slow, Job(queues={name: good(name)[:1] for name in NAMES}), "after the reset")


def test_watchdog_at_every_early_cycle(pair):
    """Whenever it strikes, either the chip is stuck, or the next job is right without a reset."""
    golden, rtl = pair
    stuck = set()
    for limit in range(1, 40):
        prepare(rtl, Job(queues={engine: good(engine)[:1] for engine in ("load", "tensor")}, registers={"WATCHDOG": limit}))
        write(rtl, "CONTROL", 1)
        found = finish(rtl)
        stuck.add(found["STATUS"] >> 3 & 1)
        assert set(causes(found).values()) <= {Cause.WATCHDOG}
        if found["STATUS"] >> 3 & 1:
            rtl.reset()
        golden.sbuf[:] = rtl.sbuf
        both(pair, GOOD_JOB, f"after a watchdog of {limit}")
    # The compact chip looks less often than its DRAM answers.
    assert stuck == ({0} if rtl.config.control == "compact" else {0, 1})
