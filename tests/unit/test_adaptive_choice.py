"""The choice by room: each cycle against a model, then in routers of a mesh that deliver every packet."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.noc import NocConfig
from hw.noc.adaptive_choice import AdaptiveChoice
from hw.noc.connections import Connections
from hw.noc.flit import Port
from hw.noc.mesh import Mesh
from hw.noc.router import Router
from hw.noc.routing import Hop
from hw.noc.routing.base import When
from sim.verilog import emit

N, E, S, W, L = Port
LINKS = (N, E, S, W)


def simulate(dut: Any, testbench: Any) -> None:
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def expected(config: NocConfig, port_in: Port, vc: int, ports: list[Port], tail: bool, credits: list[list[int]], locked: list[int]) -> Hop:
    """What the head of a packet asks for; `ports` are those of its route."""
    if ports == [L]:
        return Hop(L, vc)
    room = {}
    for port in ports:
        count = credits[port][vc]
        if not locked[port] >> vc & 1 and (count == config.depth or (tail and count)):
            room[port] = count
    if room:
        # At equal room straight on; a packet that enters, along x.
        along_x = port_in not in (N, S)
        return Hop(max(room, key=lambda port: (room[port], port.is_x == along_x)), vc)
    escape = next((port for port in ports if port.is_x), ports[0])
    return Hop(escape, 0, When.ESCAPE)


@pytest.mark.parametrize(("vcs", "vc", "depth", "port"), [(2, 1, 2, L), (4, 2, 4, W), (4, 3, 3, N)])
def test_choice_is_the_model(vcs: int, vc: int, depth: int, port: Port) -> None:
    """Packets of one and of more flits, any room, any lock, gaps between flits, resets inside packets."""
    config = NocConfig(mesh_x=3, mesh_y=3, routing="adaptive", vcs=vcs, depth=depth, arbitration="round_robin")
    hops, seed = Connections(config).hops[port, vc], 41
    choice, reset = AdaptiveChoice(config=config, port=port, hops=hops), Signal()
    dut = ResetInserter(reset)(choice)
    routes = [[L]] + [[out] for out in LINKS if out is not port] + [[y, x] for y in (N, S) for x in (E, W) if port not in (y, x)]

    async def testbench(ctx: Any) -> None:
        rng, left, kept, seen = np.random.default_rng(seed), 0, None, set()
        for cycle in range(800):
            where = f"seed {seed}, cycle {cycle}"
            inside = kept is not None
            if not left:
                left = int(rng.choice([1, 1, 2, 5]))
            # A flit behind its head has a route of its own, which does not matter.
            ports = routes[rng.integers(len(routes))]
            credits = [[int(rng.choice([0, 1, depth, rng.integers(depth + 1)])) for _ in range(vcs)] for _ in LINKS]
            locked = [int(rng.integers(1 << vcs)) & int(rng.integers(1 << vcs)) for _ in LINKS]
            valid, tail = bool(rng.random() < 0.9), left == 1
            ctx.set(choice.valid, valid)
            ctx.set(choice.head.route, sum(1 << out for out in ports) if valid else 0)
            ctx.set(choice.head.tail, tail)
            ctx.set(choice.room, {"credits": credits, "locked": locked})
            leave = valid and rng.random() < 0.6
            ctx.set(choice.leave, leave)
            wanted = kept or expected(config, port, vc, ports, tail, credits, locked)
            selected = ctx.get(choice.selected)
            assert selected == (1 << hops.index(wanted) if valid else 0), where
            clears = rng.random() < 0.02
            ctx.set(reset, clears)
            if valid:
                seen.add((wanted, inside))
            if leave:
                left -= 1
                kept = wanted if left else None
            if clears:
                left, kept = 0, None
            await ctx.tick()
        # Every way out has been taken by a head and by a flit behind one.
        assert seen == {(hop, inside) for hop in hops for inside in (False, True)}

    simulate(dut, testbench)


@pytest.mark.parametrize(("x", "y", "vcs", "depth", "repeat"), [(3, 3, 2, 2, 2), (2, 2, 3, 4, 5)])
def test_mesh_delivers(x: int, y: int, vcs: int, depth: int, repeat: int) -> None:
    """Every node sends to all; every packet arrives once, whole, on its VC or the escape channel; slow receivers fill the mesh."""
    config = NocConfig(mesh_x=x, mesh_y=y, routing="adaptive", vcs=vcs, depth=depth)
    dut: Any = Mesh(config=config)
    seed = 42

    async def testbench(ctx: Any) -> None:
        rng = np.random.default_rng(seed)
        function = dut.routers[0].inputs[0]._connections.routing
        place = [(node % x, node // x) for node in range(config.nodes)]
        waiting: list[list[tuple[int, int, int, int]]] = []
        packets: dict[int, int] = {}
        for _ in place:
            mine = []
            for other in rng.permutation(np.repeat(np.arange(config.nodes), repeat)):
                number, length = len(packets), int(rng.choice([1, 3]))
                packets[number] = length
                vc = 1 + int(rng.integers(vcs - 1)) if rng.random() < 0.8 else 0
                mine += [(number, index, int(other), vc) for index in range(length)]
            waiting.append(mine)
        total, arrived, escaped = sum(packets.values()), 0, 0
        owner = {(node, number): dst for node in range(config.nodes) for number, _, dst, _ in waiting[node]}
        destination = {number: (dst, node) for (node, number), dst in owner.items()}
        first_vc = {number: vc for mine in waiting for number, _, _, vc in mine}
        credits = [[depth] * vcs for _ in place]
        held: list[list[int]] = [[] for _ in place]
        under_way: dict[tuple[int, int], tuple[int, int]] = {}
        for node in range(config.nodes):
            ctx.set(dut.o[node].up, 1)
        for cycle in range(40 * total):
            where = f"seed {seed}, cycle {cycle}"
            for node, at in enumerate(place):
                hop = dut.i[node].hop
                go = bool(waiting[node]) and credits[node][waiting[node][0][3]] > 0
                ctx.set(hop.valid, go)
                if go:
                    number, index, dst, vc = waiting[node].pop(0)
                    credits[node][vc] -= 1
                    route = sum(1 << port for port in function.next_ports(at, place[dst], config.vc_class(vc)))
                    ctx.set(hop.vc, vc)
                    ctx.set(hop.flit.route, route)
                    ctx.set(hop.flit.dst_x, place[dst][0])
                    ctx.set(hop.flit.dst_y, place[dst][1])
                    ctx.set(hop.flit.payload, number << 8 | index)
                    ctx.set(hop.flit.tail, index == packets[number] - 1)
                # Back pressure by turns: nothing is taken in a third of the time.
                takes = held[node] and (cycle // 20 + node) % 3 and rng.random() < 0.7
                ctx.set(dut.o[node].credit, 1 << held[node].pop(0) if takes else 0)
            for node in range(config.nodes):
                back = ctx.get(dut.i[node].credit)
                credits[node] = [count + (back >> vc & 1) for vc, count in enumerate(credits[node])]
                out = dut.o[node].hop
                if not ctx.get(out.valid):
                    continue
                payload, vc = ctx.get(out.flit.payload), ctx.get(out.vc)
                number, index = payload >> 8, payload & 255
                assert destination[number][0] == node, where
                assert vc in {0, first_vc[number]}, where
                assert under_way.get((node, vc), (number, 0)) == (number, index), where
                assert ctx.get(out.flit.tail) == (index == packets[number] - 1), where
                under_way[node, vc] = (number, index + 1)
                if index == packets[number] - 1:
                    del under_way[node, vc]
                    escaped += vc == 0 != first_vc[number]
                held[node].append(vc)
                assert len(held[node]) <= depth * vcs, where
                arrived += 1
            await ctx.tick()
            if arrived == total:
                break
        assert arrived == total, f"seed {seed}: {total - arrived} of {total} flits are still in the mesh after {cycle + 1} cycles"
        assert not under_way and escaped

    simulate(dut, testbench)


@pytest.mark.parametrize("vcs", [2, 4])
def test_router_becomes_verilog(vcs: int) -> None:
    """A choice for each adaptive queue of each port."""
    text = emit(Router(config=NocConfig(mesh_x=3, mesh_y=3, routing="adaptive", vcs=vcs, arbitration="round_robin")), name="router")
    assert sum(line.lstrip().startswith("adaptive_choice") for line in text.splitlines()) == 5 * (vcs - 1)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="config must be a NocConfig, not 'fast'"):
        AdaptiveChoice(config="fast", port=W, hops=())
    with pytest.raises(ValueError, match=r"config.routing must be 'adaptive', not 'xy': the routes of other functions leave no choice"):
        AdaptiveChoice(config=NocConfig(), port=W, hops=())
