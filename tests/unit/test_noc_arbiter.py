"""Arbiters of the router: one-hot, work-conserving, fair; weighted turns; order of ages."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.common.noc import QOS_WEIGHTS, NocConfig
from hw.noc.age import AgeOrder
from hw.noc.arbiter import LeastRecentlyServed, MatrixArbiter, pairs
from hw.noc.flit import Port
from hw.noc.weighted import WeightedOrder


class Fair(wiring.Component):
    """A matrix arbiter with the order that comes with it."""

    def __init__(self, order: Any, inputs: int) -> None:
        self.order, self.inputs = order, inputs
        super().__init__({"requests": In(inputs), "grant": Out(inputs)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.order = self.order
        m.submodules.arbiter = arbiter = MatrixArbiter(inputs=self.inputs)
        m.d.comb += [
            arbiter.requests.eq(self.requests),
            arbiter.senior.eq(self.order.senior),
            self.grant.eq(arbiter.grant),
            self.order.served.eq(arbiter.grant),
        ]
        m.d.sync += Signal().eq(1)  # an arbiter of one input has no register, and the simulator wants a clock
        return m


def simulate(dut: Any, testbench: Any) -> None:
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 5, 16])
def test_least_recently_served_against_a_list(inputs: int) -> None:
    """Every grant is the request that was served longest ago."""
    dut, seed = Fair(LeastRecentlyServed(inputs=inputs), inputs), 11

    async def testbench(ctx: Any) -> None:
        rng, order = np.random.default_rng(seed), list(range(inputs))
        for cycle in range(400):
            requests = int(rng.integers(1 << inputs))
            ctx.set(dut.requests, requests)
            grant = ctx.get(dut.grant)
            expected = next((i for i in order if requests >> i & 1), None)
            assert grant == (0 if expected is None else 1 << expected), f"seed {seed}, cycle {cycle}"
            if expected is not None:
                order.remove(expected)
                order.append(expected)
            await ctx.tick()

    simulate(dut, testbench)


def test_weights_are_shares() -> None:
    """With all asking, each class has its weight's share of every round; alone, a class has everything."""
    dut = Fair(WeightedOrder(inputs=8), 8)

    async def testbench(ctx: Any) -> None:
        round_length = 2 * sum(QOS_WEIGHTS)
        for _ in range(3):
            counts = [0] * 8
            ctx.set(dut.requests, 0xFF)
            for _ in range(round_length):
                counts[ctx.get(dut.grant).bit_length() - 1] += 1
                await ctx.tick()
            assert counts == list(QOS_WEIGHTS) * 2
        ctx.set(dut.requests, 1)
        for _ in range(50):
            assert ctx.get(dut.grant) == 1
            await ctx.tick()

    simulate(dut, testbench)


def test_high_class_goes_first_low_class_is_not_starved() -> None:
    dut, seed = Fair(WeightedOrder(inputs=4), 4), 12

    async def testbench(ctx: Any) -> None:
        rng, waited, first = np.random.default_rng(seed), [0] * 4, 0
        for cycle in range(2000):
            requests = 0b1001 | int(rng.integers(16))
            ctx.set(dut.requests, requests)
            grant = ctx.get(dut.grant)
            assert grant & requests and grant & (grant - 1) == 0, f"seed {seed}, cycle {cycle}"
            first += grant == 8
            for i in range(4):
                waited[i] = waited[i] + 1 if requests & ~grant & 1 << i else 0
                assert waited[i] < 2 * sum(QOS_WEIGHTS), f"seed {seed}, cycle {cycle}, class {i}"
            await ctx.tick()
        assert first > 2000 * 8 / 16

    simulate(dut, testbench)


@pytest.mark.parametrize("bits", [2, 6])
def test_ages_are_a_total_order(bits: int) -> None:
    """Any stamps give an order without a circle; stamps close to one another the right one, wrapped or not."""
    config, seed = NocConfig(age_bits=bits, vcs=1), 13
    queues = [(port, 0) for port in Port]
    comparisons = [(queues[i], queues[j]) for i, j in pairs(5)]
    dut = AgeOrder(config=config, comparisons=comparisons)

    async def testbench(ctx: Any) -> None:
        rng, size = np.random.default_rng(seed), 1 << bits
        for cycle in range(400):
            base, near = int(rng.integers(size)), bool(rng.integers(2))
            offsets = rng.integers(size // 2 if near else size, size=5)
            ctx.set(dut.recent, base + int(offsets[0]) & size - 1)
            ctx.set(dut.recent_valid, 1)
            for i, offset in enumerate(offsets):
                ctx.set(dut.stamps[i], base + int(offset) & size - 1)
            await ctx.tick()
            await ctx.tick()
            older = ctx.get(dut.older)
            before = {pair: bool(older >> bit & 1) for bit, pair in enumerate(pairs(5))}
            ranks = sorted(sum(before[i, j] if i < j else not before[j, i] for j in range(5) if j != i) for i in range(5))
            assert ranks == [0, 1, 2, 3, 4], f"seed {seed}, cycle {cycle}: a circle"
            if near:
                for i, j in pairs(5):
                    assert before[i, j] == (offsets[i] <= offsets[j]), f"seed {seed}, cycle {cycle}, {i} {j}"

    simulate(dut, testbench)


@pytest.mark.parametrize("inputs", [0, -1, 1.5, None])
def test_bad_sizes_are_refused(inputs: Any) -> None:
    for part in (MatrixArbiter, LeastRecentlyServed, WeightedOrder):
        with pytest.raises(ValueError, match=r"inputs must be .*, not"):
            part(inputs=inputs)
    with pytest.raises(ValueError, match="multiple of 4"):
        WeightedOrder(inputs=6)
