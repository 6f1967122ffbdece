# amaranth: UnusedElaboratable=no
"""The checker against the golden checks, over legal, borderline and corrupt instructions of every engine."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import CONFIGS, ChipConfig
from hw.common.isa import BY_OPCODE, DIMENSIONS, ENGINES, INSTRUCTIONS, Cause, pack, unpack
from hw.control.checker import Checker
from hw.control.decode import ADDRESS_WIDTH, channels
from sim.golden.check import first_cause
from tests.unit.random_instructions import random_word

SMALL = ChipConfig(
    rows=4, cols=4, sbuf_banks=2, sbuf_bank_lines=32, psum_rows=16, psum_banks=4, output_lanes=1, semaphores=9, axi_address_width=24
)
#: Configurations that differ in every limit, with a DRAM window each: base and size.
CASES = {
    "small": (SMALL, (0x1000, 0x8000)),
    "bf16": (replace(SMALL, dtypes=("bf16",), adder_stages=2, accumulator_stages=2, cols=8, rows=7), (0, 1 << 24)),
    "base": (CONFIGS["base"], (1 << 32, 1 << 50)),
    "unaligned": (replace(CONFIGS["base"], semaphores=32), (0x1001, 0x12345)),
    "empty": (replace(SMALL, semaphores=4), (0x1000, 0)),
}
#: What the checker itself can find (the others belong to fetch, execution and job control).
FOUND = set(Cause) - {cause for cause in Cause if cause > Cause.NO_STATIONARY}


def cycles_of(word, engine):
    """Documented latency: 2 + D."""
    instruction = BY_OPCODE.get((engine, word & 0xFF))
    if instruction is None or instruction.name == "LoadChannel":
        # Without a pattern there is nothing to walk; with an unknown opcode the bits are walked all the same.
        return 2 if instruction else None
    values = unpack(instruction, word)
    sizes = [values[f"size{dim}"] for dim in range(DIMENSIONS)]
    return 2 + sum((max(size - 1, 0).bit_length() + 1) // 2 for size in sizes)


def check(config, engine, window, entries, *, seed=None, busy=0.0):
    """Runs (word, error) entries through a checker; [(cause, word, latency)]. With a seed both sides pause at random."""
    dut = Checker(config=config, engine=engine)
    results, accepted = [], []
    rng = np.random.default_rng(seed)

    async def feed(ctx):
        for word, error in entries:
            while busy and rng.random() < busy:
                await ctx.tick()
            ctx.set(dut.i.payload.word, word)
            ctx.set(dut.i.payload.error, error)
            ctx.set(dut.i.valid, 1)
            cycle, *_ = await ctx.tick().sample(now).until(dut.i.ready)
            accepted.append(int(cycle))
            ctx.set(dut.i.valid, 0)

    async def drain(ctx):
        reach = 1 << config.axi_address_width
        ctx.set(dut.i_window.low, min(window[0], reach))
        ctx.set(dut.i_window.high, min(sum(window), reach))
        held = None
        cycle = 0
        while len(results) < len(entries):
            ready = rng.random() >= busy
            ctx.set(dut.o.ready, ready)
            _, _, valid, cause, word = await ctx.tick().sample(dut.o.valid, dut.o.payload.cause, dut.o.payload.word)
            assert held is None or (valid, cause, word) == held, f"an offer was withdrawn or changed (seed {seed})"
            held = (valid, cause, word) if valid and not ready else None
            if valid and ready:
                results.append((Cause(cause), word, cycle))
            cycle += 1
            assert cycle < 40 * len(entries) + 100, f"the checker is stuck (seed {seed})"

    now = Signal(32)
    m = Module()
    m.submodules.dut = dut
    m.d.sync += now.eq(now + 1)
    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(feed)
    sim.add_testbench(drain)
    sim.run()
    return [(cause, word, end - start) for (cause, word, end), start in zip(results, accepted, strict=True)]


def expected(config, engine, window, words):
    """The golden verdicts: cause and, where legal, the word, else ADDRESS."""
    dtype = None
    for word in words:
        cause, address = first_cause(word, engine, config, *window, dtype)
        if cause is Cause.NONE and (engine, word & 0xFF) == ("tensor", INSTRUCTIONS["LoadStationary"].opcode):
            dtype = unpack(INSTRUCTIONS["LoadStationary"], word)["dtype"]
        yield cause, (word if cause is Cause.NONE else address)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("case", "busy"), [*((case, 0.0) for case in CASES), ("small", 0.4)])
def test_verdicts_equal_the_golden_checks(case, engine, busy):
    config, window = CASES[case]
    seed = hash_of(case, engine)
    rng = np.random.default_rng(seed)
    words = [random_word(rng, engine, config, window if case != "empty" else (window[0], 0x100)) for _ in range(80)]
    got = check(config, engine, window, [(word, 0) for word in words], seed=seed, busy=busy)
    wanted = list(expected(config, engine, window, words))
    for number, ((cause, word, latency), want) in enumerate(zip(got, wanted, strict=True)):
        assert (cause, word) == want, f"seed {seed}, instruction {number}: {words[number]:#x}"
        if not busy and cycles_of(words[number], engine):
            assert latency == cycles_of(words[number], engine), f"seed {seed}, instruction {number}: {words[number]:#x}"


def hash_of(*names):
    """A seed that differs per parameter and not per run."""
    return sum(ord(letter) * 31**place for place, letter in enumerate("/".join(names))) % (1 << 32)


@pytest.mark.parametrize("engine", ENGINES)
def test_random_words_reach_every_cause_of_the_engine(engine):
    config, window = CASES["small"]
    rng = np.random.default_rng(1)
    seen = Counter(cause for cause, _ in expected(config, engine, window, [random_word(rng, engine, config, window) for _ in range(2000)]))
    never = {
        "load": {Cause.MODE, Cause.PSUM_RANGE, Cause.NO_STATIONARY},
        "tensor": {Cause.DRAM_RANGE},
        "output": {Cause.DRAM_RANGE, Cause.NO_STATIONARY},
    }
    never["store"] = never["load"]
    # Rows of int8 are one line, so nothing is misaligned; with one operand type the first LoadStationary serves for ever.
    never["tensor"] |= {Cause.ALIGNMENT, Cause.NO_STATIONARY}
    assert {cause for cause, count in seen.items() if count >= 3} == FOUND - never[engine], seen


def pattern(*, sizes=(1, 1, 1, 1), **others):
    return {f"size{dim}": size for dim, size in enumerate(sizes)} | others


@pytest.mark.parametrize(
    ("name", "values", "cause"),
    [
        ("Load", pattern(sizes=(64, 1, 1, 1), stride0=1, dram=0x1000, dram_stride0=4), Cause.NONE),
        ("Load", pattern(sizes=(65, 1, 1, 1), stride0=1, dram=0x1000, dram_stride0=4), Cause.SBUF_RANGE),
        ("Load", pattern(base=63, sizes=(64, 1, 1, 1), stride0=-1, dram=0x1000), Cause.NONE),
        ("Load", pattern(base=62, sizes=(64, 1, 1, 1), stride0=-1, dram=0x1000), Cause.SBUF_RANGE),
        ("Load", pattern(sizes=(1 << 10, 1 << 10, 1, 1), dram=0x1000), Cause.NONE),
        ("Load", pattern(sizes=((1 << 10) + 1, 1 << 10, 1, 1), dram=0x1000), Cause.SIZE),
        ("Load", pattern(sizes=(0xFFFF,) * 4, dram=0x1000), Cause.SIZE),
        ("Load", pattern(sizes=(1 << 15, 1 << 15, 1 << 15, 0), dram=0x1000), Cause.SIZE),
        ("Store", pattern(dram=0x8FFC), Cause.NONE),
        ("Store", pattern(dram=0x9000), Cause.DRAM_RANGE),
        ("Store", pattern(dram=0xFFC), Cause.DRAM_RANGE),
        ("Store", pattern(dram=0x1000, dram_stride3=2), Cause.ALIGNMENT),
        ("Store", pattern(sizes=(0xFFFF, 1, 1, 1), dram=0x1000, dram_stride0=-(1 << 31)), Cause.DRAM_RANGE),
        ("LoadStationary", pattern(sizes=(4, 1, 1, 1)), Cause.NONE),
        ("LoadStationary", pattern(sizes=(5, 1, 1, 1)), Cause.SIZE),
        ("MultiplyMoving", pattern(sizes=(2, 2, 2, 2)), Cause.NO_STATIONARY),
        ("Evict", pattern(base=60, mode=3), Cause.NONE),
        ("Evict", pattern(base=61, mode=3), Cause.ALIGNMENT),
        ("Evict", pattern(mode=3, stride3=2), Cause.ALIGNMENT),
        ("Evict", pattern(mode=1, relu=1), Cause.MODE),
        ("Evict", pattern(mode=2), Cause.MODE),
        ("Evict", pattern(mode=7), Cause.MODE),
        ("Evict", pattern(psum_bank=3, psum_row=15), Cause.NONE),
        ("Evict", pattern(psum_bank=4), Cause.PSUM_RANGE),
        ("Evict", pattern(psum_row=15, sizes=(1, 1, 1, 2)), Cause.PSUM_RANGE),
        ("Evict", pattern(wait1_semaphore=9), Cause.NONE),
        ("Evict", pattern(wait1_semaphore=9, wait1_count=1, post0_semaphore=31, post0_count=5), Cause.SEMAPHORE),
        ("LoadChannel", {"base": 56}, Cause.NONE),
        ("LoadChannel", {"base": 60}, Cause.ALIGNMENT),
        ("LoadChannel", {"base": 64}, Cause.SBUF_RANGE),
    ],
)
def test_edges(name, values, cause):
    config, window = CASES["small"]
    instruction = INSTRUCTIONS[name]
    word = pack(instruction, values)
    ((got, address, _),) = check(config, instruction.engine, window, [(word, 0)])
    assert got is cause
    assert (got, address) == next(expected(config, instruction.engine, window, [word]))


def test_multiply_needs_a_stationary_block_of_its_type_that_passed():
    config = CASES["base"][0]
    load = [pack(INSTRUCTIONS["LoadStationary"], pattern(dtype=dtype)) for dtype in range(2)]
    use = [pack(INSTRUCTIONS["MultiplyMoving"], pattern(dtype=dtype)) for dtype in range(2)]
    bad = pack(INSTRUCTIONS["LoadStationary"], pattern(dtype=1, sizes=(0, 1, 1, 1)))
    words = [use[0], load[0], use[0], use[1], bad, use[0], load[1], use[1], use[0]]
    got = [cause for cause, _, _ in check(config, "tensor", (0, 0), [(word, 0) for word in words])]
    missing = Cause.NO_STATIONARY
    assert got == [missing, Cause.NONE, Cause.NONE, missing, Cause.SIZE, Cause.NONE, Cause.NONE, Cause.NONE, missing]


def test_failed_fetch_comes_first_and_shows_its_address():
    config, window = CASES["small"]
    address = (1 << ADDRESS_WIDTH) - 64
    ((cause, shown, latency),) = check(config, "store", window, [(address, 1)])
    assert (cause, shown) == (Cause.FETCH_ERROR, address)
    assert latency <= 2 + 8 * DIMENSIONS


@pytest.mark.parametrize(("rows", "period"), [(1, 2), (2, 3), (16, 4), (512, 7)])
def test_throughput(rows, period):
    """One instruction every 2 + D cycles when neither side pauses."""
    config = replace(CONFIGS["base"], rows=16)
    word = pack(INSTRUCTIONS["Evict"], pattern(sizes=(rows, 1, 1, 1)))
    dut = Checker(config=config, engine="output")
    ends = []

    async def testbench(ctx):
        ctx.set(dut.i.payload.word, word)
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        for cycle in range(20 * period):
            _, _, valid = await ctx.tick().sample(dut.o.valid)
            if valid:
                ends.append(cycle)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert set(np.diff(ends)) == {period}


def test_reset_forgets_instruction_and_stationary():
    config = CASES["small"][0]
    reset = Signal()
    dut = Checker(config=config, engine="tensor")
    load, use = (pack(INSTRUCTIONS[name], pattern(sizes=(4, 1, 1, 1))) for name in ("LoadStationary", "MultiplyMoving"))

    async def testbench(ctx):
        async def verdict(word):
            ctx.set(dut.i.payload.word, word)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            cause, *_ = await ctx.tick().sample(dut.o.payload.cause).until(dut.o.valid)
            return cause

        ctx.set(dut.o.ready, 1)
        assert await verdict(load) == Cause.NONE
        assert await verdict(use) == Cause.NONE
        ctx.set(dut.i.payload.word, load)
        ctx.set(dut.i.valid, 1)
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        for _ in range(10):
            assert not ctx.get(dut.o.valid)
            await ctx.tick()
        assert await verdict(use) == Cause.NO_STATIONARY

    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def test_refuses_an_unknown_engine():
    with pytest.raises(ValueError, match="engine must be one of load, tensor, output, store, not 'vector'"):
        Checker(config=SMALL, engine="vector")
    assert channels("tensor") == ["load_stationary", "multiply_moving"]
