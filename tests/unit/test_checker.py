# amaranth: UnusedElaboratable=no
"""The checker against the golden checks, over legal, borderline and corrupt instructions of every engine."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import CONFIGS, ChipConfig
from hw.common.isa import BY_OPCODE, DIMENSIONS, ENGINES, INSTRUCTIONS, Cause, pack, unpack
from hw.control.checker import Checker
from hw.control.decode import ADDRESS_WIDTH, channels, snake
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
    """Documented latency: 5 + D."""
    instruction = BY_OPCODE.get((engine, word & 0xFF))
    if instruction is None or instruction.name == "LoadChannel":
        # Without a pattern there is nothing to walk; with an unknown opcode or reserved bits set, the bits are walked all the same.
        return 5 if instruction and not word & instruction.reserved_mask else None
    values = unpack(instruction, word)
    sizes = [values[f"size{dim}"] for dim in range(DIMENSIONS)]
    return 5 + sum((max(size - 1, 0).bit_length() + 1) // 2 for size in sizes)


def check(config, engine, window, entries, *, seed=None, busy=0.0):
    """Runs (word, error) entries through a checker; [(cause, word or address, latency)].

    A failing instruction is the last one: after it the checker is reset and goes on with the next. With a seed both sides pause at random.
    """
    reset = Signal()
    dut = Checker(config=config, engine=engine)
    results, accepted = [], []
    rng = np.random.default_rng(seed)

    async def testbench(ctx):
        reach = 1 << config.axi_address_width
        ctx.set(dut.i_window.low, min(window[0], reach))
        ctx.set(dut.i_window.high, min(sum(window), reach))
        held, offered = None, None
        cycle, stopped = 0, None
        while len(results) < len(entries):
            if offered is None and len(accepted) < len(entries) and rng.random() >= busy:
                offered = entries[len(accepted)]
                ctx.set(dut.i.payload.word, offered[0])
                ctx.set(dut.i.payload.error, offered[1])
            ctx.set(dut.i.valid, offered is not None)
            # What is at the head waits for a while, where pauses are asked for, and so fills the queue.
            ready = busy == 0 or rng.random() < (0.05 if cycle // 100 % 2 else 0.6)
            ctx.set(dut.o.ready, ready)
            out = dut.o.payload
            _, _, valid, cause, word, address, taking, kind, waits = await ctx.tick().sample(
                dut.o.valid, out.cause, out.word, out.address, dut.i.ready, out.kind, out.waits
            )
            if valid and cause == Cause.NONE:
                item = BY_OPCODE[engine, word & 0xFF]
                values = unpack(item, word)
                assert kind == 1 << channels(engine).index(snake(item.name)), f"the kind of another word (seed {seed})"
                assert waits == sum((values[f"wait{slot}_count"] != 0) << slot for slot in range(2)), (
                    f"the waits of another word (seed {seed})"
                )
            shown = (Cause(cause), word if cause == Cause.NONE else address)
            assert held is None or (valid and shown == held), f"an offer was withdrawn or changed (seed {seed})"
            held = shown if valid and (not ready or cause != Cause.NONE) else None
            if offered and taking:
                accepted.append(cycle)
                offered = None
            if stopped is not None:
                assert valid and cause != Cause.NONE, "something came behind a failing instruction"
            if valid and cause != Cause.NONE and stopped is None:
                stopped = cycle
                results.append((*shown, cycle - accepted[len(results)]))
            elif valid and ready and cause == Cause.NONE:
                results.append((*shown, cycle - accepted[len(results)]))
            cycle += 1
            if stopped is not None and cycle > stopped + 9:
                assert not taking
                del accepted[len(results) :]
                offered = held = stopped = None
                ctx.set(dut.i.valid, 0)
                ctx.set(reset, 1)
                await ctx.tick()
                ctx.set(reset, 0)
                cycle += 1
            assert cycle < 80 * len(entries) + 100, f"the checker is stuck (seed {seed})"

    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    return results


def expected(config, engine, window, words):
    """The golden verdicts: cause and, where legal, the word, else ADDRESS."""
    dtype = None
    for word in words:
        cause, address = first_cause(word, engine, config, *window, dtype)
        if cause is Cause.NONE and (engine, word & 0xFF) == ("tensor", INSTRUCTIONS["LoadStationary"].opcode):
            dtype = unpack(INSTRUCTIONS["LoadStationary"], word)["dtype"]
        if cause is not Cause.NONE:
            dtype = None  # A failing instruction is the last of its queue.
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
    never["tensor"] |= {Cause.ALIGNMENT}  # Rows of int8 are one line.
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
    other = [load[0], use[0], load[1], use[1]]
    for words, last in (
        ([use[0]], Cause.NO_STATIONARY),
        ([*other, use[1], use[0]], Cause.NO_STATIONARY),
        ([*other, load[0], use[1]], Cause.NO_STATIONARY),
        ([*other, load[0], use[0]], Cause.NONE),
    ):
        got = [cause for cause, _, _ in check(config, "tensor", (0, 0), [(word, 0) for word in words])]
        assert got == [Cause.NONE] * (len(words) - 1) + [last]


def test_failed_fetch_comes_first_and_shows_its_address():
    config, window = CASES["small"]
    address = (1 << ADDRESS_WIDTH) - 64
    ((cause, shown, latency),) = check(config, "store", window, [(address, 1)])
    assert (cause, shown) == (Cause.FETCH_ERROR, address)
    assert latency <= 5 + 8 * DIMENSIONS


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
