"""One packet at a time on a VC; an output port sends what it may and nothing else."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.noc import NocConfig
from hw.noc.arbiter import pairs
from hw.noc.flit import Port
from hw.noc.output_port import OutputPort
from hw.noc.vc_arbiter import VcArbiter


def simulate(dut: Any, testbench: Any) -> None:
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("aged", [False, True])
@pytest.mark.parametrize("inputs", [1, 2, 4, 5])
def test_packets_do_not_mix(inputs: int, aged: bool) -> None:
    """From a head to its tail one queue has the VC; then the next in order, without a gap."""
    dut, seed = VcArbiter(inputs=inputs, aged=aged), 31

    async def testbench(ctx: Any) -> None:
        rng, order, left, owner, packets = np.random.default_rng(seed), list(range(inputs)), [0] * inputs, None, 0
        for cycle in range(600):
            where = f"seed {seed}, cycle {cycle}"
            if aged:
                order = list(rng.permutation(inputs))
                ctx.set(dut.senior, sum((order.index(i) < order.index(j)) << bit for bit, (i, j) in enumerate(pairs(inputs))))
            asking = [i for i in range(inputs) if rng.random() < 0.6]
            for i in asking:
                left[i] = left[i] or int(rng.integers(1, 4))
            ctx.set(dut.requests, sum(1 << i for i in asking))
            ctx.set(dut.tails, sum((left[i] == 1) << i for i in asking))
            expected = next((i for i in order if i in asking), None) if owner is None else owner if owner in asking else None
            win = ctx.get(dut.win)
            assert win == (0 if expected is None else 1 << expected), where
            assert ctx.get(dut.locked) == (owner is not None), where
            go = expected is not None and rng.random() < 0.8
            ctx.set(dut.go, go)
            if go:
                assert expected is not None
                if owner is None and not aged:
                    order.remove(expected)
                    order.append(expected)
                left[expected] -= 1
                packets += left[expected] == 0
                owner = expected if left[expected] else None
            await ctx.tick()
        assert packets > 100

    simulate(dut, testbench)


@pytest.mark.parametrize(("vcs", "qos"), [(1, False), (2, False), (4, False), (4, True)])
@pytest.mark.parametrize("credit_rate", [1.0, 0.3])
def test_output_port_sends_with_credits_only(vcs: int, qos: bool, credit_rate: float) -> None:
    """Grants are one-hot and what is granted is on the link; every VC that can go, goes; never a flit without a credit."""
    depth = 3
    config = NocConfig(vcs=vcs, depth=depth, qos=qos, arbitration="round_robin", mesh_x=4, mesh_y=4)
    dut, seed = OutputPort(config=config, port=Port.NORTH), 32

    async def testbench(ctx: Any) -> None:
        rng, credits, held, sent, up = np.random.default_rng(seed), [depth] * vcs, [0] * vcs, 0, 1
        stuck = 0
        for cycle in range(600):
            where = f"seed {seed}, cycle {cycle}"
            up = int(cycle % 100 < 90)
            ctx.set(dut.o.up, up)
            requests = int(rng.integers(1 << len(dut.inputs)))
            ctx.set(dut.requests, requests)
            for index in range(len(dut.inputs)):
                ctx.set(dut.flits[index].payload, index + 100 * cycle)
                ctx.set(dut.flits[index].tail, 1)
            back = sum((held[vc] > 0 and rng.random() < credit_rate) << vc for vc in range(vcs))
            ctx.set(dut.o.credit, back)
            assert [ctx.get(dut.credits[vc]) for vc in range(vcs)] == credits, where
            could = any(requests >> index & 1 and credits[vc] for index, (vc, _) in enumerate(dut.inputs)) and up
            grants = ctx.get(dut.grants)
            assert grants & ~requests == 0 and grants & (grants - 1) == 0, where
            assert bool(grants) == bool(could) == bool(ctx.get(dut.o.hop.valid)), where
            stuck += not could and requests != 0
            if grants:
                index = grants.bit_length() - 1
                vc = dut.inputs[index][0]
                assert (ctx.get(dut.o.hop.vc), ctx.get(dut.o.hop.flit.payload)) == (vc, index + 100 * cycle), where
                assert credits[vc] > 0, where
                credits[vc] -= 1
                held[vc] += 1
                sent += 1
            for vc in range(vcs):
                credits[vc] += back >> vc & 1
                held[vc] -= back >> vc & 1
            await ctx.tick()
        assert sent > (500 if credit_rate == 1 else 100) and stuck > 0

    simulate(dut, testbench)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="inputs must be a positive integer, not 0"):
        VcArbiter(inputs=0, aged=False)
    with pytest.raises(TypeError, match="config must be a NocConfig, not None"):
        OutputPort(config=None, port=Port.EAST)
