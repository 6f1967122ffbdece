# amaranth: UnusedElaboratable=no
"""The window of a job against plain arithmetic."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.control.window import Window

CONFIG = ChipConfig(rows=4, cols=4, output_lanes=1, axi_address_width=24)
REACH = 1 << CONFIG.axi_address_width
TOP = (1 << 64) - 1
EDGES = [0, 1, REACH - 1, REACH, REACH + 1, 1 << 32, 1 << 63, TOP]


@pytest.mark.parametrize("seed", range(2))
def test_cut_to_the_reach_of_the_bus(seed):
    rng = np.random.default_rng(seed)
    dut = Window(config=CONFIG)
    pairs = [(base, size) for base in EDGES for size in EDGES]
    pairs += [(int(rng.integers(2 * REACH)), int(rng.integers(2 * REACH))) for _ in range(100)]

    async def testbench(ctx):
        for base, size in pairs:
            ctx.set(dut.i_base, base)
            ctx.set(dut.i_size, size)
            ctx.set(dut.i_hold, 0)
            await ctx.tick()
            # Of the last cycle without hold: what the registers say later does not matter.
            ctx.set(dut.i_base, int(rng.integers(1 << 62)))
            ctx.set(dut.i_size, int(rng.integers(1 << 62)))
            ctx.set(dut.i_hold, 1)
            assert ctx.get(dut.o.low) == min(base, REACH), f"{base:#x}, {size:#x}"
            for _ in range(int(rng.integers(1, 4))):
                await ctx.tick()
                assert (ctx.get(dut.o.low), ctx.get(dut.o.high)) == (min(base, REACH), min(base + size, REACH)), f"{base:#x}, {size:#x}"

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
