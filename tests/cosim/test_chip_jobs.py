"""Jobs in a row, register accesses while they run, interrupts, counters, resets and power-up values of the whole chip."""

import numpy as np
import pytest

from hw.common.isa import ENGINES
from hw.common.registers import engine_register
from sim.golden.chip import GoldenChip
from sim.verilated.chip import VerilatedChip
from sim.verilated.dram import DramModel
from tb.vip.programs import ProgramGenerator

from .error_jobs import DRAM_BYTES, GOOD_JOB, NAMES, Job, finish, good, prepare, read, word, write
from .test_programs import COMPACT, MIXED

# Registers while a job runs, interrupts, counters ---------------------------------------------------------


def program(seed, count=60, faults=0, *, config):
    return ProgramGenerator(config, seed, data_lines=2048).generate(count, faults=faults)


def start_program(chip, made, reset):
    """Starts a random program."""
    if reset:
        chip.reset()
    chip.write_memory(0, np.zeros(DRAM_BYTES, np.uint8))  # between the queues, too
    made.write_to(chip.write_memory)
    registers = {"DRAM_SIZE_LO": made.dram_bytes}
    for engine in ENGINES:
        registers[engine_register(engine, "QUEUE_BASE_LO")] = made.queue_base[engine]
        registers[engine_register(engine, "QUEUE_COUNT")] = len(made.queues[engine])
    prepare(chip, Job(queues={}, registers=registers))
    write(chip, "CONTROL", 1)


def run_program(chip, made, disturb=None, *, reset=True):
    """Registers after a random program; `disturb(step)` is called again and again while it runs."""
    start_program(chip, made, reset)
    step = 0
    while disturb is not None and not chip.interrupt:
        disturb(step)
        step += 1
    return finish(chip)


def test_accesses_while_running_change_nothing(pair, request):
    golden, rtl = pair
    steady = request.node.callspec.params["pair"] == "quick"  # without stalls every run takes the same cycles
    rng = np.random.default_rng(11)
    held = [
        f"{engine}_{name}" for engine in ("LOAD", "TENSOR", "OUTPUT", "STORE") for name in ("QUEUE_BASE_LO", "QUEUE_BASE_HI", "QUEUE_COUNT")
    ]
    held += ["DRAM_BASE_LO", "DRAM_BASE_HI", "DRAM_SIZE_LO", "DRAM_SIZE_HI"]
    read_only = ["STATUS", "CYCLES", "MAGIC", "LOAD_RETIRED", "TENSOR_CAUSE", "ERROR_ENGINE"]
    running = []

    def disturb(step):
        kind = step % 4
        if kind == 0:
            if read(rtl, "CYCLES") < timing[0] // 2:  # nearer to its end it could start another job
                write(rtl, "CONTROL", 0xFFFFFFFF)  # the doorbell
        elif kind == 1:  # read at the start of a job only
            write(rtl, held[step // 4 % len(held)], int(rng.integers(1 << 32)))
        elif kind == 2:
            rtl.write_register(int(rng.integers(0x200, 0x400)) * 4, 0xFFFFFFFF)
            write(rtl, read_only[step // 4 % len(read_only)], int(rng.integers(1 << 32)))
        else:
            running.append(read(rtl, "STATUS") & 3)
            rtl.read_register(int(rng.integers(0x400)) * 4)

    for seed in range(4):
        made = program(seed, config=rtl.config)
        expected, quiet = (run_program(chip, made) for chip in pair)
        timing = [read(rtl, name) for name in ("CYCLES", "TENSOR_SPAN", "SBUF_CONFLICTS", "STORE_BUSY")]
        found = run_program(rtl, made, disturb)
        assert found == quiet == expected, seed
        assert np.array_equal(rtl.read_memory(0, made.dram_bytes), golden.read_memory(0, made.dram_bytes)), seed
        if steady:
            assert timing == [read(rtl, name) for name in ("CYCLES", "TENSOR_SPAN", "SBUF_CONFLICTS", "STORE_BUSY")], seed
    assert running.count(1) > 40


def test_jobs_one_after_another_without_a_reset(pair):
    golden, rtl = pair
    failed = 0
    for seed in range(50, 66):
        made = program(seed, faults=(0, 1, 0, 2)[seed % 4], config=rtl.config)
        expected, found = run_program(golden, made, reset=False), run_program(rtl, made, reset=False)
        assert found == expected, f"seed {seed}: faults {made.faults}"
        assert np.array_equal(rtl.read_memory(0, made.dram_bytes), golden.read_memory(0, made.dram_bytes)), seed
        failed += expected["STATUS"] >> 2 & 1
    assert failed == 8


def test_interrupts_from_end_to_end(pair):
    rtl = pair[1]
    bad_job = Job(queues={"load": [*good("load"), 0], "store": good("store")})
    for enable in range(4):
        for job, causes_raised in ((GOOD_JOB, 1), (bad_job, 3)):
            for chip in pair:
                prepare(chip, Job(queues=job.queues, registers={"IRQ_ENABLE": enable}))
                write(chip, "CONTROL", 1)
            for _ in range(2000):
                if read(rtl, "STATUS") & 2:
                    break
            label = f"IRQ_ENABLE {enable}, causes {causes_raised}"
            for chip in pair:
                assert read(chip, "IRQ_STATUS") == causes_raised and chip.interrupt == bool(enable & causes_raised), label
                write(chip, "IRQ_ENABLE", 3)
                assert chip.interrupt, f"{label}: enabled late"
                write(chip, "IRQ_STATUS", 0)
                assert read(chip, "IRQ_STATUS") == causes_raised, f"{label}: zeros clear nothing"
                write(chip, "IRQ_STATUS", 2)
                assert read(chip, "IRQ_STATUS") == 1 and chip.interrupt, f"{label}: each bit on its own"
                write(chip, "IRQ_STATUS", 1)
                assert read(chip, "IRQ_STATUS") == 0 and not chip.interrupt, label


def test_the_error_interrupt_does_not_wait_for_the_end_and_a_start_keeps_what_is_pending(pair):
    rtl = pair[1]
    # The load engine halts at once; the store engine has 1000 lines to go.
    queues = {"load": [0], "store": [word("Store", base=0, dram=4096, size0=1000)]}
    prepare(rtl, Job(queues=queues, registers={"IRQ_ENABLE": 2}))
    write(rtl, "CONTROL", 1)
    rtl.wait_interrupt(20_000)
    assert read(rtl, "STATUS") & 15 == 0b0101 and read(rtl, "IRQ_STATUS") == 2 and read(rtl, "ERROR_ENGINE") == 1 << 31
    write(rtl, "IRQ_STATUS", 2)
    write(rtl, "IRQ_ENABLE", 1)
    assert not rtl.interrupt
    rtl.wait_interrupt(20_000)
    assert read(rtl, "IRQ_STATUS") == 1 and read(rtl, "STATUS") & 15 == 0b0110
    prepare(rtl, Job(queues={"store": queues["store"]}))
    write(rtl, "CONTROL", 1)
    # A new job clears the errors of the last; the interrupt is the host's to clear.
    assert read(rtl, "STATUS") & 15 == 0b0001 and read(rtl, "ERROR_ENGINE") == 0 and read(rtl, "LOAD_CAUSE") == 0
    assert read(rtl, "IRQ_STATUS") == 1


def test_counters(pair, request):
    golden, rtl = pair
    steady = request.node.callspec.params["pair"] == "quick"
    for seed in range(10, 16):
        made = program(seed, faults=seed % 2, config=rtl.config)
        seen: list[int] = []

        def watch(step: int, seen: list[int] = seen) -> None:
            rtl.run(1)
            seen.append(rtl.cycle)

        expected, found = run_program(golden, made), run_program(rtl, made, watch)
        assert found == expected, seed
        cycles = read(rtl, "CYCLES")
        elapsed = seen[-1] - seen[0]
        # The doorbell acts two cycles before the host sees its answer and the first cycle is seen; a stalling host sees it later.
        assert 2 <= cycles - elapsed <= (2 if steady else 20), f"seed {seed}: CYCLES {cycles}, seen {elapsed}"
        for engine in NAMES:
            kinds = ("BUSY", "STALL_FETCH", "STALL_SEMAPHORE", "STALL_MEMORY", "STALL_HAZARD")
            parts = [read(rtl, engine_register(engine, kind)) for kind in kinds]
            assert sum(parts) <= cycles, f"seed {seed}: {engine} {parts} of {cycles}"
            assert not made.queues[engine] or (parts[1] > 0 and sum(parts) > 0), f"seed {seed}: {engine} {parts}"
        assert read(rtl, "TENSOR_SPAN") <= cycles
    assert found["TENSOR_MACS_LO"] > 0


# Resets and power-up ----------------------------------------------------------------------------------------


def test_reset_at_any_cycle(pair):
    golden, rtl = pair
    rng = np.random.default_rng(5)
    made = program(20, config=rtl.config)
    run_program(rtl, made)
    length, busy = read(rtl, "CYCLES"), 0
    expected = {}
    for number in range(30):
        victim, cut = program(21 + number % 3, config=rtl.config), int(rng.integers(1, length))
        start_program(rtl, victim, reset=True)
        rtl.run(cut)
        busy += bool({"memory", "busy"} & {rtl.states["load"], rtl.states["store"]})
        rtl.reset(cycles=int(rng.integers(2, 6)))
        after = program(30 + number % 2, config=rtl.config)
        if number % 2 not in expected:
            expected[number % 2] = run_program(golden, after), golden.read_memory(0, after.dram_bytes)
        registers, memory = expected[number % 2]
        assert read(rtl, "STATUS") == 0 and read(rtl, "IRQ_STATUS") == 0 and not rtl.interrupt, cut
        assert run_program(rtl, after) == registers, f"cut at {cut} of {length}"
        assert np.array_equal(rtl.read_memory(0, after.dram_bytes), memory), f"cut at {cut} of {length}"
    assert busy > 5, "transfers must be in flight when the reset comes"


@pytest.mark.parametrize("seed,config", [(1, MIXED), (2, MIXED), (3, COMPACT)], ids=["1", "2", "compact"])
def test_power_up_values_do_not_matter(seed, config):
    with (
        GoldenChip(config, dram_bytes=DRAM_BYTES) as golden,
        VerilatedChip(config, dram_bytes=DRAM_BYTES, dram=DramModel(latency=6), seed=seed, x_initial="unique") as rtl,
    ):
        assert len(np.unique(rtl.sbuf)) > 4, "memories must start at random"
        for number in range(6):
            made = program(40 + number, faults=number % 2, config=config)
            assert run_program(rtl, made) == run_program(golden, made), f"power-up {seed}, program {number}"
            assert np.array_equal(rtl.read_memory(0, made.dram_bytes), golden.read_memory(0, made.dram_bytes)), (
                f"power-up {seed}, program {number}"
            )
