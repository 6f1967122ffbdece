"""The skid buffer: nothing lost or reordered, no cycle added, one word ahead."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.skid import SkidBuffer


@pytest.mark.parametrize(("offer", "take"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (0.6, 0.4)])
def test_against_a_queue(offer: float, take: float) -> None:
    """Every signal in every cycle against a queue of one word."""
    dut, seed = SkidBuffer(shape=8), 40
    rng = np.random.default_rng(seed)
    through = {"kept": 0, "straight": 0}

    async def testbench(ctx: Any) -> None:
        kept: list[int] = []
        offering, word = False, 0
        for cycle in range(300):
            if not offering:
                offering, word = bool(rng.random() < offer), int(rng.integers(256))
            ready = bool(rng.random() < take)
            ctx.set(dut.i.valid, offering)
            ctx.set(dut.i.payload, word)
            ctx.set(dut.o.ready, ready)
            _, _, accepted, valid, payload = await ctx.tick().sample(dut.i.ready, dut.o.valid, dut.o.payload)
            queue = kept or ([word] if offering else [])
            assert (accepted, valid) == (not kept, bool(queue)), f"seed {seed}, cycle {cycle}"
            if valid:
                assert payload == queue[0], f"seed {seed}, cycle {cycle}"
            through["kept" if kept else "straight"] += valid and ready
            if kept:
                kept = [] if ready else kept
            elif offering:
                kept = [] if ready else [word]
                offering = False

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert through["straight"] > 20 and (through["kept"] > 20) == (take < 1), through
