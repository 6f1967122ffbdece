# amaranth: UnusedElaboratable=no
"""The reach of access patterns against exact arithmetic."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.isa import DIMENSIONS
from hw.control.extent import PatternExtent
from sim.golden.check import pattern_extent

WIDTHS = {"a": (9, 6, 8), "b": (20, 11, 14)}
LIMIT = 1000


def draw(rng, size):
    """A pattern: sizes, and bases and strides by name. Extremes of every width are frequent, and so are patterns inside the range."""
    tame = rng.random() < 0.5
    sizes = [int(rng.choice([1, 2, 5] if tame else [0, 1, 2, size - 1, rng.integers(1, size)])) for _ in range(DIMENSIONS)]
    bases, strides = {}, {}
    for name, (base_width, stride_width, bits) in WIDTHS.items():
        high = 1 << (stride_width - 1)
        far = min(high, 1 << bits >> 4)
        strides[name] = [int(rng.choice([-high, high - 1, 0, rng.integers(-high, high)])) for _ in range(DIMENSIONS)]
        bases[name] = int(rng.choice([0, (1 << base_width) - 1, rng.integers(1 << base_width)]))
        if tame:
            strides[name] = [int(rng.integers(-far, far)) for _ in range(DIMENSIONS)]
            bases[name] = int(rng.integers(1 << bits))
    return sizes, bases, strides


@pytest.mark.parametrize("seed", range(2))
def test_extent_is_exact(seed):
    """All signs and the extremes of every width, against exact arithmetic, one pattern behind the other."""
    rng = np.random.default_rng(seed)
    dut = PatternExtent(size_width=7, addresses=WIDTHS, limit=LIMIT)
    seen = {"many": 0, "few": 0, "inside": 0, "below": 0, "above": 0}

    async def testbench(ctx):
        def check(sizes, bases, strides):
            counted = [max(size, 1) for size in sizes]
            where = f"seed {seed}: {sizes} {bases} {strides}"
            for name, (_, _, bits) in WIDTHS.items():
                reach = ctx.get(getattr(dut, f"o_{name}"))
                low, high = pattern_extent(bases[name], counted, strides[name])
                assert reach.beyond == (low < 0 or high >= 1 << bits), where
                if not reach.beyond:
                    assert (reach.low, reach.high) == (low, high), where
                seen["inside"] += not reach.beyond
                seen["below"] += low < 0 and high < 1 << bits
                seen["above"] += low >= 0 and high >= 1 << bits
            product = int(np.prod(counted))
            # Products above the limit may still fit.
            assert ctx.get(dut.o_product) == product if product <= LIMIT else ctx.get(dut.o_many) or ctx.get(dut.o_product) > LIMIT, where
            assert not (ctx.get(dut.o_many) and product <= LIMIT), where
            seen["many" if product > LIMIT else "few"] += 1

        assert ctx.get(dut.o_done)
        before, following = None, draw(rng, 128)
        ctx.set(dut.i_coming, following[0])
        await ctx.tick()
        for _ in range(200):
            pattern = sizes, bases, strides = following
            following = draw(rng, 128)
            ctx.set(dut.i_start, 1)
            # The sizes were there in the cycle before.
            ctx.set(dut.i_coming, [int(rng.integers(128)) for _ in range(DIMENSIONS)])
            await ctx.tick()
            ctx.set(dut.i_start, 0)
            ctx.set(dut.i_sizes, sizes)
            for name in WIDTHS:
                ctx.set(getattr(dut, f"i_{name}"), {"base": bases[name], "strides": strides[name]})
            if before:
                check(*before)
            ctx.set(dut.i_coming, following[0])
            for _ in range(1 + sum(((max(size, 1) - 1).bit_length() + 1) // 2 for size in sizes)):
                assert not ctx.get(dut.o_done)
                await ctx.tick()
            assert ctx.get(dut.o_done)
            before = pattern
            for _ in range(int(rng.integers(3))):
                # Nobody holds the pattern any more, and the results stay.
                await ctx.tick()
                ctx.set(dut.i_sizes, [int(rng.integers(128)) for _ in range(DIMENSIONS)])
                check(*before)
                assert ctx.get(dut.o_done)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert min(seen.values()) >= 10, f"seed {seed}: {seen}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size_width": 0}, "size_width must be at least 1, not 0"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"addresses": {}}, "addresses must name at least one address, not {}"),
        ({"addresses": {"a": (0, 4, 4)}}, "widths of a must be at least 1"),
    ],
)
def test_extent_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        PatternExtent(**({"size_width": 4, "addresses": {"a": (4, 4, 4)}, "limit": 4} | arguments))
