"""Queue of a VC, credit counter, links: nothing lost, full rate, exact latency."""

from collections import deque
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.noc import NocConfig
from hw.noc.credits import CreditCounter
from hw.noc.link import LinkRegisters
from hw.noc.vc_queue import VcQueue


def simulate(dut: Any, testbench: Any) -> None:
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("rates", [(1.0, 1.0), (0.5, 0.9), (0.9, 0.5)])
def test_queue_against_a_deque(depth: int, rates: tuple[float, float]) -> None:
    dut, seed = VcQueue(config=NocConfig(depth=depth, vcs=1)), 21

    async def testbench(ctx: Any) -> None:
        rng, model, seen, full = np.random.default_rng(seed), deque[int](), 0, 0
        for cycle in range(500):
            where = f"seed {seed}, cycle {cycle}"
            assert ctx.get(dut.valid) == bool(model), where
            if model:
                assert ctx.get(dut.head.payload) == model[0], where
            leave = bool(model) and rng.random() < rates[1]
            # A credit that comes back is spent a cycle later at the earliest, so a full queue takes nothing.
            arrive = len(model) < depth and rng.random() < rates[0]
            word = int(rng.integers(1 << 62))
            ctx.set(dut.leave, leave)
            ctx.set(dut.arrive, arrive)
            ctx.set(dut.flit.payload, word)
            ctx.set(dut.flit.tail, word & 1)
            full += len(model) == depth
            if leave:
                assert ctx.get(dut.head.tail) == model[0] & 1, where
                model.popleft()
                seen += 1
            if arrive:
                model.append(word)
            await ctx.tick()
        assert seen >= 490 if rates == (1.0, 1.0) else seen > 150
        assert full > 0 or rates[0] <= rates[1]

    simulate(dut, testbench)


@pytest.mark.parametrize("depth", [2, 3, 4, 63, 64])
def test_credits_to_both_ends(depth: int) -> None:
    """The counter runs from full to empty and back, and at once both ways it stays."""
    dut, seed = CreditCounter(config=NocConfig(depth=depth, vcs=1)), 22

    async def testbench(ctx: Any) -> None:
        rng, count = np.random.default_rng(seed), depth
        for phase in (0.9, 0.1) * 4:
            for cycle in range(3 * depth + 20):
                assert (ctx.get(dut.count), ctx.get(dut.available)) == (count, count > 0), f"seed {seed}, cycle {cycle}"
                spent = count > 0 and rng.random() < phase
                returned = count < depth and rng.random() < 1 - phase
                ctx.set(dut.spent, spent)
                ctx.set(dut.returned, returned)
                count += returned - spent
                await ctx.tick()
        ctx.set(dut.returned, 0)
        ctx.set(dut.spent, 1)
        while count:
            count -= 1
            await ctx.tick()
        assert ctx.get(dut.available) == 0

    simulate(dut, testbench)


@pytest.mark.parametrize("stages", [1, 2, 5])
def test_link_registers_delay_both_ways(stages: int) -> None:
    dut, seed = LinkRegisters(config=NocConfig(depth=12, vcs=4, link_stages=stages)), 23

    async def testbench(ctx: Any) -> None:
        rng, sent, returned = np.random.default_rng(seed), [(0, 0, 0)] * stages, [(0, 0)] * stages
        for cycle in range(100):
            hop = (int(rng.integers(2)), int(rng.integers(4)), int(rng.integers(1 << 62)))
            back = (int(rng.integers(16)), int(rng.integers(2)))
            ctx.set(dut.i.hop.valid, hop[0])
            ctx.set(dut.i.hop.vc, hop[1])
            ctx.set(dut.i.hop.flit.payload, hop[2])
            ctx.set(dut.o.credit, back[0])
            ctx.set(dut.o.up, back[1])
            sent.append(hop)
            returned.append(back)
            got = (ctx.get(dut.o.hop.valid), ctx.get(dut.o.hop.vc), ctx.get(dut.o.hop.flit.payload))
            expected = sent[cycle]
            assert got[0] == expected[0] and (not got[0] or got == expected), f"seed {seed}, cycle {cycle}"
            assert (ctx.get(dut.i.credit), ctx.get(dut.i.up)) == returned[cycle], f"seed {seed}, cycle {cycle}"
            await ctx.tick()

    simulate(dut, testbench)


def test_bad_configs_are_refused() -> None:
    for part in (VcQueue, CreditCounter, LinkRegisters):
        with pytest.raises(TypeError, match="config must be a NocConfig, not 4"):
            part(config=4)
