"""Routing functions: hardware equals model, every walk is shortest, and the crossbar has the connections the walks need."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.common.noc import ROUTING_CLASSES, NocConfig
from hw.noc.connections import Connections
from hw.noc.flit import Port
from hw.noc.routing import ROUTINGS, Hop, routing_function
from hw.noc.routing.base import When
from hw.noc.topology import crosses_dateline, neighbour

N, E, S, W, L = Port
MESHES = [(1, 1), (1, 5), (5, 1), (4, 4), (3, 5)]
TORI = [(2, 2), (3, 3), (4, 4), (5, 3), (1, 4)]
CASES = [("mesh", x, y, name) for (x, y), name in product(MESHES, ROUTING_CLASSES)]
CASES += [("torus", x, y, name) for (x, y), name in product(TORI, ROUTING_CLASSES) if ROUTING_CLASSES[name][1]]
cases = pytest.mark.parametrize(("topology", "x", "y", "name"), CASES)


def make(topology: str, x: int, y: int, name: str, *, vcs: int = 0) -> NocConfig:
    scheme = "dateline" if topology == "torus" else "none"
    vcs = vcs or ROUTING_CLASSES[name][topology == "torus"]
    return NocConfig(mesh_x=x, mesh_y=y, topology=topology, torus_scheme=scheme, routing=name, vcs=vcs)


def nodes(config: NocConfig) -> Iterator[tuple[int, int]]:
    return product(range(config.mesh_x), range(config.mesh_y))


def distance(config: NocConfig, at: tuple[int, int], to: tuple[int, int]) -> int:
    """Fewest hops, worked out without the routing functions."""
    total = 0
    for place, goal, size in zip(at, to, (config.mesh_x, config.mesh_y), strict=True):
        straight = abs(place - goal)
        total += min(straight, size - straight) if config.topology == "torus" else straight
    return total


class Both(wiring.Component):
    """`first` and the four `step`s of every class side by side: five bits each."""

    def __init__(self, *, config: NocConfig) -> None:
        self.config = config
        x, y = config.x_bits, config.y_bits
        super().__init__({"x": In(x), "y": In(y), "dst_x": In(x), "dst_y": In(y), "routes": Out(25 * config.classes)})

    def elaborate(self, platform: Any) -> Module:
        m, function = Module(), routing_function(self.config)
        place = {"x": self.x, "y": self.y, "dst_x": self.dst_x, "dst_y": self.dst_y}
        routes = []
        for vc_class in range(self.config.classes):
            values = [function.first(m, **place, vc_class=vc_class)]
            values += [function.step(m, out=out, **place, vc_class=vc_class) for out in (N, E, S, W)]
            for value in values:
                route = Signal(5)
                m.d.comb += route.eq(value)
                routes.append(route)
        m.d.comb += self.routes.eq(Cat(routes))
        return m


@cases
def test_hardware_is_the_model(topology: str, x: int, y: int, name: str) -> None:
    """For every place, destination and class; `step` for every port a flit can have come by."""
    config = make(topology, x, y, name)
    dut, function, steps = Both(config=config), routing_function(config), 0

    async def testbench(ctx: Any) -> None:
        nonlocal steps
        for at, dst in product(nodes(config), repeat=2):
            for signal, value in zip((dut.x, dut.y, dut.dst_x, dut.dst_y), (*at, *dst), strict=True):
                ctx.set(signal, value)
            routes = ctx.get(dut.routes)
            for vc_class in range(config.classes):
                found = [routes >> 25 * vc_class + 5 * index & 31 for index in range(5)]
                expected = sum(1 << port for port in function.next_ports(at, dst, vc_class))
                assert found[0] == expected, (at, dst, vc_class)
                for out in (N, E, S, W):
                    behind = neighbour(config, at, out.opposite)
                    if behind is not None and out in function.next_ports(behind, dst, vc_class):
                        assert found[1 + out] == expected, (at, dst, vc_class, out)
                        steps += 1

    sim = Simulator(dut)
    sim.add_testbench(testbench)
    sim.run()
    # Every pair has a last hop in every class.
    assert steps >= config.nodes * (config.nodes - 1) * config.classes


@cases
def test_walks_are_shortest(topology: str, x: int, y: int, name: str) -> None:
    """By every port the model allows: one hop nearer, no way back, by a connection of the crossbar, on VCs of the same network and lane."""
    config = make(topology, x, y, name, vcs=2 * ROUTING_CLASSES[name][topology == "torus"])
    function = routing_function(config)
    starts = {function.first_class(ordered=ordered, choice=choice) for ordered in (True, False) for choice in (0, 1)}
    for dst in nodes(config):
        todo = {
            (at, L, config.vc_number(network=0, vc_class=start, lane=lane)) for at in nodes(config) for start in starts for lane in (0, 1)
        }
        seen = set(todo)
        while todo:
            at, port, vc = todo.pop()
            vc_class = config.vc_class(vc)
            outs = function.next_ports(at, dst, vc_class)
            assert outs and len(set(outs)) == len(outs)
            assert (outs == (L,)) == (at == dst)
            assert len(outs) == 1 or function.chooses(vc)
            for out in outs:
                assert out in function.outputs(port, vc_class), (at, dst, port, vc)
                assert out is not port or out is L
                there = neighbour(config, at, out)
                if out is L:
                    assert function.hops(port, vc, out) == (Hop(L, vc),)
                    continue
                assert there is not None and distance(config, there, dst) == distance(config, at, dst) - 1
                crosses = crosses_dateline(config, at, out)
                escapes = function.chooses(vc) and out in function.next_ports(at, dst, 0)
                never = {When.NO_DATELINE if crosses else When.DATELINE} | (set() if escapes else {When.ESCAPE})
                hops = [hop for hop in function.hops(port, vc, out) if hop.when not in never]
                assert [hop.port for hop in hops] == [out] * (1 + escapes)
                assert [hop.vc for hop in hops] == ([vc] if config.topology == "mesh" else [hops[0].vc]) + [0] * escapes
                # A dateline changes the class, never the lane.
                assert hops[0].vc % config.lanes == vc % config.lanes
                following = {(there, out.opposite, hop.vc) for hop in hops}
                todo |= following - seen
                seen |= following


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("choice", [0, 1])
def test_classes_packets_start_in(ordered: bool, choice: int) -> None:
    """Packets that must stay in order take one class whatever `choice` is."""
    for topology in ("mesh", "torus"):
        for name in ("xy", "yx"):
            assert routing_function(make(topology, 3, 3, name)).first_class(ordered=ordered, choice=choice) == 0
        order = 0 if ordered else choice
        assert routing_function(make(topology, 3, 3, "o1turn")).first_class(ordered=ordered, choice=choice) == order * (
            1 + (topology == "torus")
        )
    assert routing_function(make("mesh", 3, 3, "adaptive")).first_class(ordered=ordered, choice=choice) == (not ordered)


def test_dateline_of_a_torus() -> None:
    """The bit is set by crossing, kept along the ring, cleared by leaving it for the other dimension; the order of O1TURN stays."""
    for name, base in (("xy", 0), ("o1turn", 0), ("o1turn", 2)):
        config = make("torus", 4, 4, name, vcs=8)
        function, lanes = routing_function(config), config.lanes
        for lane in range(lanes):
            before, after = base * lanes + lane, (base + 1) * lanes + lane
            both = (Hop(E, before, When.NO_DATELINE), Hop(E, after, When.DATELINE))
            assert function.hops(L, before, E) == both
            assert function.hops(W, before, E) == both
            assert function.hops(W, after, E) == (Hop(E, after),)
            assert function.hops(W, after, N) == (Hop(N, before, When.NO_DATELINE), Hop(N, after, When.DATELINE))
            assert function.hops(W, after, L) == (Hop(L, after),)


def test_crossbar_of_each_function() -> None:
    """Queues, connections and sources of a router, counted by hand."""
    for name, straight_only in (("xy", (N, S)), ("yx", (E, W))):
        connections = Connections(make("mesh", 3, 3, name))
        for port in Port:
            assert len(connections.hops[port, 0]) == (5 if port is L else 2 if port in straight_only else 4), (name, port)
    o1turn = Connections(make("mesh", 3, 3, "o1turn"))
    assert [len(o1turn.hops[N, vc]) for vc in (0, 1)] == [2, 4]
    assert [len(o1turn.hops[E, vc]) for vc in (0, 1)] == [4, 2]
    adaptive = Connections(make("mesh", 3, 3, "adaptive", vcs=4))
    assert [len(adaptive.hops[W, vc]) for vc in range(4)] == [4, 7, 7, 7]
    assert [len(adaptive.hops[L, vc]) for vc in range(4)] == [5, 9, 9, 9]
    # The escape channel to the east: by XY from west and local, from each adaptive queue but those of the east.
    assert len(adaptive.sources[E, 0]) == 2 + 3 * 4
    assert [adaptive.routing.goes_by_age(vc) for vc in range(4)] == [False, True, True, True]
    assert [adaptive.routing.chooses(vc) for vc in range(4)] == [False, True, True, True]


@cases
def test_connections_are_told_from_both_ends(topology: str, x: int, y: int, name: str) -> None:
    connections = Connections(make(topology, x, y, name))
    there = {(queue, (hop.port, hop.vc)) for queue, hops in connections.hops.items() for hop in hops}
    assert there == {(queue, target) for target, queues in connections.sources.items() for queue in queues}
    for hops in connections.hops.values():
        assert len({(hop.port, hop.vc) for hop in hops}) == len(hops)


def test_every_function_has_its_name() -> None:
    assert set(ROUTINGS) == set(ROUTING_CLASSES)
    assert all(function.name == name for name, function in ROUTINGS.items())
