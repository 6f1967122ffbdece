# amaranth: UnusedElaboratable=no
"""The reach of access patterns against exact arithmetic."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.isa import DIMENSIONS
from hw.control.extent import PatternExtent
from sim.golden.check import pattern_extent


@pytest.mark.parametrize("seed", range(2))
def test_extent_is_exact(seed):
    """All signs and the extremes of every width, against exact arithmetic."""
    rng = np.random.default_rng(seed)
    limit = 1000
    dut = PatternExtent(size_width=7, addresses={"a": (9, 6), "b": (20, 11)}, limit=limit)

    async def testbench(ctx):
        for _ in range(150):
            sizes = [int(rng.choice([1, 2, 127, rng.integers(1, 128)])) for _ in range(DIMENSIONS)]
            ctx.set(dut.i_sizes, sizes)
            bases, strides = {}, {}
            for name, base_width, stride_width in (("a", 9, 6), ("b", 20, 11)):
                high = 1 << (stride_width - 1)
                strides[name] = [int(rng.choice([-high, high - 1, 0, rng.integers(-high, high)])) for _ in range(DIMENSIONS)]
                bases[name] = int(rng.choice([0, (1 << base_width) - 1]))
                ctx.set(getattr(dut, f"i_{name}"), {"base": bases[name], "strides": strides[name]})
            ctx.set(dut.i_start, 1)
            await ctx.tick()
            ctx.set(dut.i_start, 0)
            for _ in range(sum(((size - 1).bit_length() + 1) // 2 for size in sizes)):
                assert not ctx.get(dut.o_done)
                await ctx.tick()
            assert ctx.get(dut.o_done)
            for name in ("a", "b"):
                reach = ctx.get(getattr(dut, f"o_{name}"))
                assert (reach.low, reach.high) == pattern_extent(bases[name], sizes, strides[name]), f"seed {seed}: {sizes} {strides}"
            assert ctx.get(dut.o_product) == min(int(np.prod(sizes)), limit + 1), f"seed {seed}: {sizes}"

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size_width": 0}, "size_width must be at least 1, not 0"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"addresses": {}}, "addresses must name at least one address, not {}"),
        ({"addresses": {"a": (0, 4)}}, "widths of a must be at least 1"),
    ],
)
def test_extent_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        PatternExtent(**({"size_width": 4, "addresses": {"a": (4, 4)}, "limit": 4} | arguments))
