"""`Ejector`: latency, full rate, credits; a VC nobody takes from holds up no other."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.noc import NocConfig
from hw.noc.ejector import Ejector


@pytest.mark.parametrize("vcs", [1, 4])
@pytest.mark.parametrize("depth", [2, 5])
@pytest.mark.parametrize("pace", [1.0, 0.4])
def test_ejector(vcs: int, depth: int, pace: float) -> None:
    """A flit a cycle; out in the next cycle; a credit when it is taken. The last VC is taken from after 150 cycles only: no other waits for it."""
    config, seed = NocConfig(vcs=vcs, depth=depth, mesh_x=1, mesh_y=1), depth
    dut = Ejector(config=config)

    async def testbench(ctx: Any) -> None:
        rng, queues, credits, taken = np.random.default_rng(seed), [[] for _ in range(vcs)], [depth] * vcs, [0] * vcs
        assert ctx.get(dut.i.up) == 1
        for cycle in range(300):
            where = f"seed {seed}, cycle {cycle}"
            vc, word = int(rng.integers(vcs)), int(rng.integers(1 << 62))
            arrives = credits[vc] > 0
            ctx.set(dut.i.hop, {"valid": arrives, "vc": vc, "flit": {"payload": word}})
            returned = 0
            for at in range(vcs):
                ready = rng.random() < pace and (at < vcs - 1 or cycle >= 150)
                ctx.set(dut.o[at].ready, ready)
                assert ctx.get(dut.o[at].valid) == bool(queues[at]), where
                if queues[at]:
                    assert ctx.get(dut.o[at].payload.payload) == queues[at][0], where
                    if ready:
                        queues[at].pop(0)
                        credits[at] += 1
                        taken[at] += 1
                        returned |= 1 << at
            assert ctx.get(dut.i.credit) == returned, where
            if arrives:
                queues[vc].append(word)
                credits[vc] -= 1
            await ctx.tick()
            if cycle == 149:
                assert taken[-1] == 0 and len(queues[-1]) == depth
                assert all(count > 20 for count in taken[:-1])
        assert taken[-1] > 25

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="config must be a NocConfig, not 5"):
        Ejector(config=5)
