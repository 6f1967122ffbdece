# amaranth: UnusedElaboratable=no
"""The pattern walker against four nested loops: random patterns, wrap, marks, back-pressure, and no bubble anywhere."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.memory.pattern import PatternWalker

#: name -> (address width, stride width)
ONE = {"line": (7, 5)}
TWO = {"line": (6, 6), "dram": (12, 9)}
SIZE_WIDTH = 4

Pattern = dict[str, Any]
Step = tuple[Any, ...]


def random_pattern(rng: np.random.Generator, addresses: dict[str, tuple[int, int]], limit: int = 24) -> Pattern:
    """Sizes from 1 whose product is at most `limit`, any bases and strides: addresses wrap."""
    while True:
        sizes = [int(rng.choice([1, 1, 2, 3, int(rng.integers(1, 1 << SIZE_WIDTH))])) for _ in range(4)]
        if np.prod(sizes) <= limit:
            break
    pattern: Pattern = {"sizes": sizes}
    for name, (width, stride) in addresses.items():
        half = 1 << (stride - 1)
        strides = [int(rng.choice([0, 1, -1, half - 1, -half, int(rng.integers(-half, half))])) for _ in range(4)]
        pattern[name] = {"base": int(rng.integers(1 << width)), "strides": strides}
    return pattern


def expected(pattern: Pattern, addresses: dict[str, tuple[int, int]]) -> list[Step]:
    """(addresses..., first, last, edge) of each step, by loops."""
    sizes, steps = pattern["sizes"], []
    for i3, i2, i1, i0 in product(*(range(size) for size in reversed(sizes))):
        walked = []
        for name, (width, _) in addresses.items():
            base, strides = pattern[name]["base"], pattern[name]["strides"]
            walked.append((base + i0 * strides[0] + i1 * strides[1] + i2 * strides[2] + i3 * strides[3]) % (1 << width))
        ends = [index == size - 1 for index, size in zip((i0, i1, i2, i3), sizes, strict=True)]
        steps.append((*walked, int(not steps), int(all(ends)), int(ends[0])))
    return steps


def walk(addresses: dict[str, tuple[int, int]], patterns: list[Pattern], *, seed: int, offer: float, take: float) -> list[tuple[int, Step]]:
    """(cycle, step) of every step; patterns offered and steps taken with these probabilities; checks that a refused step stays."""
    dut, rng = PatternWalker(size_width=SIZE_WIDTH, addresses=addresses), np.random.default_rng(seed)
    taken: list[tuple[int, Step]] = []

    async def testbench(ctx: Any) -> None:
        total = sum(int(np.prod(pattern["sizes"])) for pattern in patterns)
        index, offering, held, cycle = 0, False, None, 0
        while len(taken) < total:
            offering = offering or (index < len(patterns) and rng.random() < offer)
            ctx.set(dut.i.valid, offering)
            if offering:
                ctx.set(dut.i.payload, patterns[index])
            ready = bool(rng.random() < take)
            ctx.set(dut.o.ready, ready)
            payload = dut.o.payload
            values = [payload[name] for name in addresses] + [payload.first, payload.last, payload.edge]
            _, _, accepted, valid, *step = await ctx.tick().sample(dut.i.ready, dut.o.valid, *values)
            if offering and accepted:
                index, offering = index + 1, False
            assert held is None or (valid and held == step), f"seed {seed}, cycle {cycle}: {held} became {step}"
            held = step if valid and not ready else None
            if valid and ready:
                taken.append((cycle, tuple(step)))
            cycle += 1
            assert cycle < 50 * total, f"seed {seed}: stuck after {len(taken)} of {total} steps"
        assert not ctx.get(dut.o.valid) or index < len(patterns)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    return taken


@pytest.mark.parametrize(("offer", "take"), [(1.0, 1.0), (0.3, 1.0), (1.0, 0.4), (0.5, 0.5)])
@pytest.mark.parametrize("addresses", [ONE, TWO], ids=["one", "two"])
def test_random_patterns(addresses: dict[str, tuple[int, int]], offer: float, take: float) -> None:
    seed = int(10 * offer + 100 * take)
    rng = np.random.default_rng(seed)
    patterns = [random_pattern(rng, addresses) for _ in range(40)]
    steps = walk(addresses, patterns, seed=seed, offer=offer, take=take)
    wanted = [step for pattern in patterns for step in expected(pattern, addresses)]
    assert [step for _, step in steps] == wanted, f"seed {seed}"
    if offer == take == 1:
        # One cycle from the first pattern to its first step, then a step every cycle, patterns of one step included.
        assert [cycle for cycle, _ in steps] == list(range(1, 1 + len(wanted)))


def test_patterns_of_one_step_follow_each_other() -> None:
    patterns = [{"sizes": [1] * 4, "line": {"base": base, "strides": [5, -5, 3, 1]}} for base in range(20)]
    assert walk(ONE, patterns, seed=1, offer=1, take=1) == [(1 + base, (base, 1, 1, 1)) for base in range(20)]


@pytest.mark.parametrize("dim", range(4))
def test_longest_size_and_wrap_in_each_dimension(dim: int) -> None:
    """The largest size there is, down through zero, in one dimension alone."""
    sizes, strides = [1] * 4, [1] * 4
    sizes[dim], strides[dim] = 15, -16
    pattern = {"sizes": sizes, "line": {"base": 9, "strides": strides}}
    steps = [step for _, step in walk(ONE, [pattern], seed=dim, offer=1, take=1)]
    assert [step[0] for step in steps] == [(9 - 16 * index) % 128 for index in range(15)]
    assert [step[3] for step in steps] == ([0] * 14 + [1] if dim == 0 else [1] * 15)


def test_reset_drops_the_pattern() -> None:
    dut, reset = PatternWalker(size_width=4, addresses=ONE), Signal()

    async def testbench(ctx: Any) -> None:
        async def begin(base: int) -> None:
            ctx.set(dut.i.payload, {"sizes": [3, 1, 1, 1], "line": {"base": base, "strides": [1, 0, 0, 0]}})
            ctx.set(dut.i.valid, 1)
            await ctx.tick()
            ctx.set(dut.i.valid, 0)

        await begin(5)
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert not ctx.get(dut.o.valid) and ctx.get(dut.i.ready)
        await begin(77)
        assert [ctx.get(dut.o.valid), ctx.get(dut.o.payload.line), ctx.get(dut.o.payload.first)] == [1, 77, 1]

    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize(
    ("size_width", "addresses", "message"),
    [
        (0, ONE, "size_width must be at least 1, not 0"),
        (4, {}, "addresses must name at least one address, not {}"),
        (4, {"line": (0, 3)}, r"widths of line must be at least 1, not \(0, 3\)"),
        (4, {"line": (3, 0)}, r"widths of line must be at least 1, not \(3, 0\)"),
    ],
)
def test_parameters_are_checked(size_width: int, addresses: dict[str, tuple[int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PatternWalker(size_width=size_width, addresses=addresses)
