"""Errors, resets and ends of jobs of the whole chip, against the golden chip: what goes wrong must go wrong alike, and leave a chip that works."""

from itertools import combinations

import pytest

from hw.common.isa import ENGINES, Cause
from hw.common.registers import engine_register

from .error_jobs import BIT, DRAM_BYTES, GOOD_JOB, NAMES, QUEUE_BASE, Job, bad_words, both, good, read, word


def check_error(pair, found, engine, *, cause, index, address, retired, label):
    """The engine alone has halted, as stated; ERROR_ENGINE names it."""
    names = ("CAUSE", "INDEX", "ADDRESS_LO", "RETIRED")
    assert tuple(found[engine_register(engine, name)] for name in names) == (cause, index, address, retired), label
    assert found["STATUS"] >> 8 & 15 == BIT[engine] and found["STATUS"] & 15 == 0b0110, f"{label}: STATUS {found['STATUS']:#x}"
    assert found["IRQ_STATUS"] == 3, label
    assert [read(chip, "ERROR_ENGINE") for chip in pair] == [1 << 31 | ENGINES[engine].index] * 2, label


# Causes -----------------------------------------------------------------------------------------------------


def test_every_check_of_every_engine(pair):
    for number, (label, engine, made, cause, address) in enumerate(bad_words(pair[0].config)):
        follower = good(engine)[-1]
        found = both(pair, Job(queues={engine: [*good(engine), made, follower]}, registers={"DRAM_BASE_LO": 0}), label)
        check_error(pair, found, engine, cause=cause, index=2, address=address, retired=2, label=label)
        if number % 8 == 0:  # an error leaves nothing behind that a later job could see
            assert both(pair, GOOD_JOB, f"after {label}")["STATUS"] == 0b0010 | 0xF << 12
    assert number > 60


def test_no_stationary_at_the_start_of_every_job(pair):
    for _ in range(2):  # the block of the job before does not count
        both(pair, GOOD_JOB, "a LoadStationary before")
        found = both(pair, Job(queues={"tensor": [word("MultiplyMoving")]}), "no stationary")
        check_error(pair, found, "tensor", cause=Cause.NO_STATIONARY, index=0, address=0, retired=0, label="no stationary")


def test_the_window_of_the_registers(pair):
    low, size = 4096, 8192
    window = {"DRAM_BASE_LO": low, "DRAM_SIZE_LO": size}
    for engine, name in (("load", "Load"), ("store", "Store")):
        moved = {engine_register(engine, "QUEUE_BASE_LO"): low}
        for dram, cause in ((low + 64, 0), (low - 4, Cause.DRAM_RANGE), (low + size - 16, 0), (low + size - 12, Cause.DRAM_RANGE)):
            label = f"{name} at {dram}"
            for chip in pair:
                chip.write_memory(low, word(name, dram=dram).to_bytes(64, "little"))
            found = both(pair, Job(queues={}, registers={**window, **moved, engine_register(engine, "QUEUE_COUNT"): 1}), label)
            assert (found[engine_register(engine, "CAUSE")], found[engine_register(engine, "ADDRESS_LO")]) == (
                cause,
                dram if cause else 0,
            ), label


@pytest.mark.parametrize("slot", [0, 1])
def test_semaphore_overflow(pair, slot):
    for engine in NAMES:
        other = "store" if engine != "store" else "load"
        full = {"post0_semaphore": 5, "post0_count": 2047, "post1_semaphore": 5, "post1_count": 2047}
        last = {f"post{slot}_semaphore": 5, f"post{slot}_count": 2, f"post{1 - slot}_semaphore": 6, f"post{1 - slot}_count": 1}
        # The other post of the instruction that overflows is made; 4094 + 1 fits, so the counter is still 4094.
        waits = [*good(other, wait0_semaphore=6, wait0_count=1), *good(other, wait0_semaphore=6, wait0_count=1)]
        first = good(engine)[:1] if engine == "tensor" else []
        kind = good(engine)[-1]
        words = [*first, kind | good(engine, **full)[-1], good(engine, **last)[-1]]
        label = f"overflow on {engine}"
        found = both(pair, Job(queues={engine: words, other: waits}), label)
        index = len(words) - 1
        check_error(pair, found, engine, cause=Cause.SEMAPHORE_OVERFLOW, index=index, address=5, retired=index + 1, label=label)
        assert found["STATUS"] >> 16 & 15 == BIT[other] and found[engine_register(other, "RETIRED")] == 3, label


def test_nothing_counts_or_posts_behind_an_overflow(pair):
    """Younger instructions may be under way when a post overflows; that must not show, or the end would depend on timing."""
    for engine, other in (("load", "tensor"), ("output", "load"), ("store", "load")):
        full = {"post0_semaphore": 5, "post0_count": 2047, "post1_semaphore": 5, "post1_count": 2047}
        posting = good(engine, post0_semaphore=6, post0_count=1)[-1]
        words = [good(engine, **full)[-1], good(engine, post0_semaphore=5, post0_count=2)[-1], *[posting] * 6]
        label = f"overflow on {engine}"
        found = both(pair, Job(queues={engine: words, other: [good(other)[0], good(other, wait0_semaphore=6, wait0_count=1)[-1]]}), label)
        check_error(pair, found, engine, cause=Cause.SEMAPHORE_OVERFLOW, index=1, address=5, retired=2, label=label)
        assert found["STATUS"] >> 16 & 15 == BIT[other], label


def test_queues_that_cannot_be_fetched(pair):
    for engine, item in ENGINES.items():
        size, base = item.instruction_bytes, QUEUE_BASE[engine]
        count = engine_register(engine, "QUEUE_COUNT")
        places = {
            "unaligned": {"QUEUE_BASE_LO": base + size // 2},
            "line aligned": {"QUEUE_BASE_LO": base + 4},
            "last one over": {"QUEUE_BASE_LO": DRAM_BYTES - size},
            "outside": {"QUEUE_BASE_LO": DRAM_BYTES},
            "far": {"QUEUE_BASE_HI": 1},
            "very long": {"QUEUE_COUNT": 0xFFFFFFFF},
            "unaligned and high": {"QUEUE_BASE_HI": 1 << 31, "QUEUE_BASE_LO": 1},
        }
        for what, registers in places.items():
            named = {engine_register(engine, name): value for name, value in registers.items()}
            before = pair[1].statistics["read_bursts"]
            found = both(pair, Job(queues={engine: good(engine)}, registers=named), f"{engine} queue {what}")
            address = registers.get("QUEUE_BASE_LO", base)
            check_error(pair, found, engine, cause=Cause.FETCH_ERROR, index=0, address=address, retired=0, label=f"{engine} queue {what}")
            assert found[engine_register(engine, "ADDRESS_HI")] == registers.get("QUEUE_BASE_HI", 0)
            assert pair[1].statistics["read_bursts"] == before, f"{engine} queue {what}: no traffic"
        wild = {engine_register(engine, "QUEUE_BASE_LO"): 3, engine_register(engine, "QUEUE_BASE_HI"): 9, count: 0}
        found = both(pair, Job(queues={engine: good(engine)}, registers=wild), f"{engine} queue of none")
        assert found["STATUS"] == 0b0010 | 0xF << 12 and found["IRQ_STATUS"] == 1


def test_bus_errors(pair):
    for engine, item in ENGINES.items():
        words = good(engine) * 6
        bad = QUEUE_BASE[engine] + 7 * item.instruction_bytes + 1024 * item.index
        for chip in pair:
            chip.poison(bad + item.instruction_bytes - 1, 1)
        registers = {engine_register(engine, "QUEUE_BASE_LO"): QUEUE_BASE[engine] + 1024 * item.index}
        raw = b"".join(made.to_bytes(item.instruction_bytes, "little") for made in words)
        for chip in pair:
            chip.write_memory(registers[engine_register(engine, "QUEUE_BASE_LO")], raw)
        found = both(pair, Job(queues={}, registers=registers | {engine_register(engine, "QUEUE_COUNT"): len(words)}), f"fetch of {engine}")
        check_error(pair, found, engine, cause=Cause.FETCH_ERROR, index=7, address=bad, retired=7, label=f"fetch of {engine}")
    for engine, cause, dram in (("load", Cause.READ_ERROR, 16384), ("store", Cause.WRITE_ERROR, 20480)):
        name = engine.capitalize()
        for chip in pair:
            chip.poison(dram + 64 * 4, 1)
        # Bursts of 16 lines: the fifth of the second instruction is bad, and the third waits for it. Writes already on their way when the
        # answer comes are completed, so of a Store nothing may follow the bad burst if DRAM is to be the same whatever the timing.
        second = word(name, base=512, dram=dram, size0=100 if engine == "load" else 80, post0_semaphore=3, post0_count=1)
        words = [word(name, base=256, dram=dram - 256, size0=32), second, word(name, wait0_semaphore=3, wait0_count=1)]
        found = both(pair, Job(queues={engine: words}), cause.name)
        check_error(pair, found, engine, cause=cause, index=1, address=dram + 256, retired=1, label=cause.name)
        both(pair, GOOD_JOB, f"after {cause.name}")


# Deadlock ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", [0, 1])
def test_deadlock_of_every_subset(pair, slot):
    for size in range(1, 5):
        for waiting in combinations(NAMES, size):
            # With slot 1 the first wait is served by the engine itself, and only the second blocks.
            queues = {engine: good(engine) for engine in NAMES[:2] if engine not in waiting}
            for engine in waiting:
                number = 8 + 2 * ENGINES[engine].index
                stop = {"wait0_semaphore": number, "wait0_count": 3}
                if slot:
                    stop = {"wait0_semaphore": number + 1, "wait0_count": 1, "wait1_semaphore": number, "wait1_count": 3}
                first = {"load": "Load", "tensor": "LoadStationary", "output": "LoadChannel", "store": "Store"}[engine]
                served = word(first, post0_semaphore=number + 1, post0_count=slot)
                queues[engine] = [served, good(engine, **stop)[-1]]
            found = both(pair, Job(queues=queues), f"deadlock of {waiting}")
            for engine in waiting:
                names = ("CAUSE", "INDEX", "ADDRESS_LO", "RETIRED")
                expected = (Cause.DEADLOCK, 1, 8 + 2 * ENGINES[engine].index, 1)
                assert tuple(found[engine_register(engine, name)] for name in names) == expected, f"{engine} of {waiting}"
            assert found["STATUS"] == 0b0110 | sum(BIT[e] for e in waiting) << 8 | sum(BIT[e] for e in NAMES if e not in waiting) << 12
            assert read(pair[1], "ERROR_ENGINE") == read(pair[0], "ERROR_ENGINE") == 1 << 31 | ENGINES[waiting[0]].index


def test_waiting_beside_a_halted_engine_is_no_deadlock(pair):
    for halted in NAMES:
        queues = {engine: good(engine, wait0_semaphore=1, wait0_count=1) for engine in NAMES} | {halted: [0]}
        found = both(pair, Job(queues=queues), f"{halted} halted")
        check_error(pair, found, halted, cause=Cause.ILLEGAL_OPCODE, index=0, address=0, retired=0, label=halted)
        assert found["STATUS"] >> 16 & 15 == 0xF ^ BIT[halted]
