"""What only the compact chip has: registers that wait for the firmware, exact cycle counts, a watchdog made of instructions."""

import pytest

from hw.common.isa import Cause
from hw.common.registers import REGISTERS, engine_register
from hw.compact.program import BOOT_CYCLES, START_CYCLES
from sim.golden.chip import GoldenChip
from sim.verilated.chip import VerilatedChip
from sim.verilated.dram import DramModel

from .error_jobs import BIT, DRAM_BYTES, GOOD_JOB, NAMES, Job, both, fill, finish, good, prepare, read, write
from .test_programs import COMPACT


@pytest.fixture(scope="module")
def chip():
    """The RTL behind a quick DRAM."""
    with VerilatedChip(COMPACT, dram_bytes=DRAM_BYTES, dram=DramModel(latency=4)) as rtl:
        yield rtl


def test_registers_answer_after_the_boot_and_after_a_start(chip):
    chip.reset()
    begin = chip.cycle
    assert read(chip, "MAGIC") == REGISTERS["MAGIC"].reset
    assert BOOT_CYCLES // 2 < chip.cycle - begin <= BOOT_CYCLES + 10
    for queues in ({}, {engine: good(engine) for engine in NAMES}):
        prepare(chip, Job(queues=queues))
        write(chip, "CONTROL", 1)
        begin = chip.cycle
        status = read(chip, "STATUS")
        assert chip.cycle - begin <= START_CYCLES + 10, "the host may be held off for as long, and no longer"
        assert status & 3 in (1, 2)
        begin = chip.cycle
        read(chip, "STATUS")
        assert chip.cycle - begin <= 10, "nor later in the job"
        finish(chip)


def test_cycles_are_exact(chip):
    for queues in ({}, {"load": good("load")}, {engine: good(engine) for engine in NAMES}, {"load": [0]}):
        prepare(chip, Job(queues=queues))
        write(chip, "CONTROL", 1)
        begin = chip.cycle
        while not chip.interrupt:
            chip.run(1)
        elapsed, cycles = chip.cycle - begin, read(chip, "CYCLES")
        # The doorbell acts a cycle before the host sees its answer.
        assert cycles == elapsed + 1
        busy = [read(chip, engine_register(engine, "BUSY")) for engine in NAMES]
        assert sum(busy) < cycles and all(
            bool(value) == (queues.get(engine, [0]) != [0]) for engine, value in zip(NAMES, busy, strict=True)
        )
        assert read(chip, "TENSOR_SPAN") < cycles
        finish(chip)


@pytest.fixture
def slow():
    """A DRAM that takes longer for a word than a short watchdog waits."""
    dram = DramModel(latency=400)
    with (
        GoldenChip(COMPACT, dram_bytes=DRAM_BYTES, seed=3) as golden,
        VerilatedChip(COMPACT, dram_bytes=DRAM_BYTES, dram=dram, seed=3) as rtl,
    ):
        fill(golden, rtl, seed=3)
        yield golden, rtl


@pytest.mark.parametrize("engine", ["load", "store"])
def test_watchdog_of_a_transfer_that_is_not_answered(slow, engine):
    golden, rtl = slow
    queues = {engine: good(engine), "tensor": good("tensor", wait0_semaphore=2, wait0_count=1)}
    prepare(rtl, Job(queues=queues, registers={"WATCHDOG": 0}))
    write(rtl, "CONTROL", 1)
    for _ in range(400):
        rtl.run(50)
        if rtl.states[engine] == "busy":
            break
    assert rtl.states[engine] == "busy"
    write(rtl, "WATCHDOG", 100)
    found = finish(rtl)
    assert found[engine_register(engine, "CAUSE")] == found["TENSOR_CAUSE"] == Cause.WATCHDOG
    halted = BIT[engine] | BIT["tensor"]
    assert found["STATUS"] == 0b1110 | halted << 8 | (0xF ^ halted) << 12 and found["IRQ_STATUS"] == 3
    rtl.run(4000)  # the command whose answer was late runs to its end
    for _ in range(2):
        bursts = rtl.statistics["read_bursts"], rtl.statistics["write_bursts"]
        write(rtl, "CONTROL", 1)
        rtl.run(2000)
        assert read(rtl, "STATUS") == found["STATUS"] and read(rtl, "IRQ_STATUS") == 0
        assert bursts == (rtl.statistics["read_bursts"], rtl.statistics["write_bursts"])
    rtl.reset()
    golden.write_memory(0, rtl.read_memory(0, DRAM_BYTES))
    golden.sbuf[:] = rtl.sbuf
    both(slow, GOOD_JOB, "after the reset")


def test_watchdog_of_a_fetch_and_its_bounds(slow):
    rtl = slow[1]
    for limit in (100, 300):
        prepare(rtl, Job(queues={engine: good(engine) for engine in NAMES}, registers={"WATCHDOG": limit}))
        write(rtl, "CONTROL", 1)
        found = finish(rtl)
        assert all(found[engine_register(engine, "CAUSE")] == Cause.WATCHDOG for engine in NAMES)
        assert read(rtl, "ERROR_ENGINE") == 1 << 31 and found["STATUS"] == 0b1110 | 0xF << 8
        # The start, the limit, a look too late, four engines to halt.
        assert limit < read(rtl, "CYCLES") < limit + START_CYCLES + 500
        rtl.reset()
    prepare(rtl, Job(queues=GOOD_JOB.queues, registers={"WATCHDOG": 500}))  # longer than an answer takes
    write(rtl, "CONTROL", 1)
    assert finish(rtl)["STATUS"] == 0b0010 | 0xF << 12
