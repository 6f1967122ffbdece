"""The golden router: shortest ways, datelines, what the routing functions of the RTL say, and the rules of leaving."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from hw.common.noc import NocConfig
from hw.noc.flit import Port
from hw.noc.routing import routing_function
from sim.golden.router import LOCAL, PORTS, WEST, Flit, RouterModel, Turn, arrivals, journey, neighbour, ports, starts, turns

RING: dict[str, Any] = {"topology": "torus", "torus_scheme": "dateline"}
CONFIGS = [
    NocConfig(name="xy", mesh_x=4, mesh_y=3, vcs=1),
    NocConfig(name="yx", mesh_x=3, mesh_y=5, routing="yx", vcs=2),
    NocConfig(name="o1turn", mesh_x=3, mesh_y=4, routing="o1turn", vcs=4),
    NocConfig(name="adaptive", mesh_x=4, mesh_y=3, routing="adaptive", vcs=3),
    NocConfig(name="networks", mesh_x=2, mesh_y=3, routing="o1turn", vcs=6, virtual_networks=3),
    NocConfig(name="one", mesh_x=1, mesh_y=1, vcs=1),
    NocConfig(name="row", mesh_x=5, mesh_y=1, vcs=1),
    NocConfig(name="column", mesh_x=1, mesh_y=5, routing="adaptive", vcs=2),
    NocConfig(name="torus", mesh_x=4, mesh_y=5, vcs=2, **RING),
    NocConfig(name="torus_o1turn", mesh_x=3, mesh_y=2, routing="o1turn", vcs=8, **RING),
    NocConfig(name="ring", mesh_x=1, mesh_y=4, routing="yx", vcs=4, **RING),
]


def places(config: NocConfig) -> list[tuple[int, int]]:
    return [(x, y) for y in range(config.mesh_y) for x in range(config.mesh_x)]


def distances(config: NocConfig, dst: tuple[int, int]) -> dict[tuple[int, int], int]:
    """Hops to `dst` from everywhere, by search from neighbour to neighbour."""
    found, waiting = {dst: 0}, deque([dst])
    while waiting:
        at = waiting.popleft()
        for dx, dy in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            there = (at[0] + dx, at[1] + dy)
            if config.topology == "torus":
                there = (there[0] % config.mesh_x, there[1] % config.mesh_y)
            if there not in found and there in places(config):
                found[there] = found[at] + 1
                waiting.append(there)
    return found


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_every_step_comes_nearer(config: NocConfig) -> None:
    for dst in places(config):
        far = distances(config, dst)
        for src in places(config):
            for vc in starts(config):
                steps = journey(config, src, dst, vc)
                assert any(at == dst for at, _ in steps)
                for at, arrival in steps:
                    ways = turns(config, at, arrival.port, arrival.vc, dst)
                    assert ways
                    for turn in ways:
                        assert turn.out == LOCAL if at == dst else far[neighbour(config, at, turn.out)] == far[at] - 1
                        assert turn.out != arrival.port or turn.out == LOCAL, "no way leads back"
                        assert arrival.route >> turn.out & 1 or turn is ways[-1], "a flit goes where its route says, or escapes"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_the_routing_functions_of_the_rtl_agree(config: NocConfig) -> None:
    """Ports, and VCs behind each: two descriptions of the same rules, written apart."""
    routing = routing_function(config)
    for at in places(config):
        for arrival in arrivals(config, at):
            vc_class = config.vc_class(arrival.vc)
            theirs = {int(port) for port in routing.next_ports(at, arrival.dst, vc_class)}
            assert set(ports(config, at, arrival.dst, arrival.vc)) == theirs
            for turn in turns(config, at, arrival.port, arrival.vc, arrival.dst):
                assert Port(turn.out) in routing.outputs(Port(arrival.port), vc_class)
                assert turn.vc in {hop.vc for hop in routing.hops(Port(arrival.port), arrival.vc, Port(turn.out))}


@pytest.mark.parametrize("config", [config for config in CONFIGS if config.topology == "torus"], ids=lambda config: config.name)
def test_rings_are_cut(config: NocConfig) -> None:
    """In no ring and no VC class can a packet wait all the way round: the channels of a direction and a VC never follow each other across the dateline."""
    follows = {
        (at, turn.out, turn.vc): (arrival.port, arrival.vc)
        for at in places(config)
        for arrival in arrivals(config, at)
        for turn in turns(config, at, arrival.port, arrival.vc, arrival.dst)
        if arrival.port != LOCAL and turn.out == (arrival.port + 2) % 4 and turn.vc == arrival.vc
    }
    for out in range(4):
        size = config.mesh_x if out % 2 else config.mesh_y
        for vc in range(config.vcs):
            for at in places(config):
                ring = [(at[0] + step, at[1]) if out % 2 else (at[0], at[1] + step) for step in range(size)]
                around = [((x % config.mesh_x, y % config.mesh_y), out, vc) in follows for x, y in ring]
                assert not all(around), f"a circle through {at}, port {out}, VC {vc}"


def test_datelines_by_hand() -> None:
    """A ring of four: from 3 over the edge to 1."""
    config = NocConfig(mesh_x=4, mesh_y=1, vcs=2, **RING)
    assert [(at, arrival.port, arrival.vc) for at, arrival in journey(config, (3, 0), (1, 0), 0)] == [
        ((3, 0), LOCAL, 0),
        ((0, 0), WEST, 1),
        ((1, 0), WEST, 1),
    ]
    assert starts(config) == [0]


def test_adaptive_by_hand() -> None:
    """Both useful outputs, and the escape behind them."""
    config = NocConfig(mesh_x=3, mesh_y=3, routing="adaptive", vcs=2)
    assert turns(config, (0, 0), LOCAL, 1, (1, 1)) == (Turn(0, 1, 0b00010), Turn(1, 1, 0b00001), Turn(1, 0, 0b00001))
    assert turns(config, (0, 0), LOCAL, 0, (1, 1)) == (Turn(1, 0, 0b00001),)


def flit(payload: int, dst: tuple[int, int], *, tail: bool = True) -> Flit:
    return Flit(payload, tail, dst, 0)


def test_rules_of_leaving() -> None:
    """A packet under way keeps its VC, a flit needs a credit, order within a queue."""
    model = RouterModel(NocConfig(mesh_x=3, mesh_y=3, vcs=1, depth=2), (1, 1))
    model.arrive(WEST, 0, flit(1, (2, 1), tail=False))
    model.arrive(LOCAL, 0, flit(2, (2, 1)))
    east = Turn(1, 0, 1 << LOCAL)
    assert model.offers()[1] == {(WEST, 0): east, (LOCAL, 0): east}
    assert model.leave((WEST, 0), east).route == 1 << LOCAL
    assert not any(model.offers().values()), "the packet from the west has the VC and no flit"
    model.arrive(WEST, 0, flit(3, (2, 1)))
    assert model.offers()[1] == {(WEST, 0): east}
    model.leave((WEST, 0), east)
    assert not any(model.offers().values()), "no credit is left"
    assert not model.empty
    model.credit(1, 0)
    assert model.leave((LOCAL, 0), model.offers()[1][LOCAL, 0]).payload == 2
    assert model.empty


def test_adaptive_vcs_are_entered_whole() -> None:
    """A packet of several flits goes into an empty adaptive VC only, a single flit into any room; else the escape."""
    model = RouterModel(NocConfig(mesh_x=3, mesh_y=3, routing="adaptive", vcs=2, depth=2), (1, 1))
    for out in PORTS:
        model.credits[out, 1] = 1
    model.arrive(LOCAL, 1, flit(1, (2, 2), tail=False))
    model.arrive(WEST, 1, flit(2, (2, 2)))
    escape = Turn(1, 0, 1)
    assert [offers.get((LOCAL, 1)) for offers in model.offers().values()] == [None, escape, None, None, None]
    assert {out for out, offers in model.offers().items() if (WEST, 1) in offers} == {0, 1}


def test_what_is_refused() -> None:
    config = NocConfig(mesh_x=2, mesh_y=2, vcs=1, depth=2)
    with pytest.raises(ValueError, match=r"at must be inside a 2 by 2 mesh, not \(2, 0\)"):
        RouterModel(config, (2, 0))
    with pytest.raises(ValueError, match=r"out must lead to a router, not west from \(0, 0\)"):
        neighbour(config, (0, 0), WEST)
    model = RouterModel(config, (0, 0))
    with pytest.raises(ValueError, match="a credit must follow a flit, not come alone on VC 0 at north"):
        model.credit(0, 0)
    for payload in range(2):
        model.arrive(LOCAL, 0, flit(payload, (1, 1)))
    with pytest.raises(ValueError, match="a flit must come to a queue with room"):
        model.arrive(LOCAL, 0, flit(2, (1, 1)))
