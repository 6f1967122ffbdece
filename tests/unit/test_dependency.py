"""The checker of dependencies: what cannot deadlock passes, what can is refused with its circle named."""

import re
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.common.config import ConfigError
from hw.common.noc import ROUTING_CLASSES, NocConfig
from hw.noc.dependency import Channel, channel_dependency_graph, check_acyclic, find_cycle, refuse_cycle
from hw.noc.flit import Port
from hw.noc.mesh import Mesh
from hw.noc.routing.adaptive import Adaptive
from hw.noc.routing.base import Hop
from hw.noc.routing.xy import XY
from hw.noc.topology import neighbour

N, E, S, W, L = Port


def unchecked(**fields: Any) -> NocConfig:
    """A configuration no `NocConfig` would allow."""
    config = NocConfig(mesh_x=4, mesh_y=4)
    for name, value in fields.items():
        object.__setattr__(config, name, value)
    return config


def check_circle(config: NocConfig, text: str, length: int) -> None:
    """The channels in `text` are a closed chain of links of the topology."""
    found = [(int(x), int(y), Port[port.upper()]) for x, y, port in re.findall(r"\((\d+), (\d+)\) ([a-z]+) VC \d", text)]
    assert len(found) == length + 1 and found[0] == found[-1], text
    for (x, y, port), (next_x, next_y, _) in pairwise(found):
        assert neighbour(config, (x, y), port) == (next_x, next_y), text


@pytest.mark.parametrize("name", ["xy", "yx", "o1turn"])
def test_a_torus_without_its_dateline_is_refused(name: str) -> None:
    """Packets wait for one another around a ring, and the ring is named; also where a mesh is made."""
    config = unchecked(topology="torus", routing=name)
    for check in (check_acyclic, lambda config: Mesh(config=config)):
        with pytest.raises(ConfigError, match=f"routing '{name}' on a 4x4 torus can deadlock") as caught:
            check(config)
        assert "forbid one of these turns or give it a VC class of its own" in str(caught.value)
        check_circle(config, str(caught.value), 4)


class AllTurns(XY):
    """Along the dimension with more to go; no order of dimensions."""

    def next_ports(self, at: tuple[int, int], dst: tuple[int, int], vc_class: int) -> tuple[Port, ...]:
        return tuple(port for port in (N, E, S, W) if _nearer(at, dst, port)) or (L,)


def _nearer(at: tuple[int, int], dst: tuple[int, int], port: Port) -> bool:
    dx, dy = port.step
    return dx * (dst[0] - at[0]) + dy * (dst[1] - at[1]) > 0


@pytest.mark.parametrize(("x", "y"), [(2, 2), (3, 2), (4, 4)])
def test_all_turns_are_refused(x: int, y: int) -> None:
    config = NocConfig(mesh_x=x, mesh_y=y, vcs=1)
    graph = channel_dependency_graph(config, AllTurns(config=config))
    cycle = find_cycle(graph)
    assert cycle is not None and len(cycle) >= 4
    for held, wanted in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
        assert wanted in graph[held]
    with pytest.raises(ConfigError) as caught:
        refuse_cycle(config, graph)
    check_circle(config, str(caught.value), len(cycle))


def test_all_turns_are_harmless_in_a_row() -> None:
    """Where there are no turns there is no circle: the checker looks at the topology, not at the name."""
    for x, y in ((1, 5), (5, 1), (1, 1)):
        config = NocConfig(mesh_x=x, mesh_y=y, vcs=1)
        assert find_cycle(channel_dependency_graph(config, AllTurns(config=config))) is None


def test_an_adaptive_function_needs_its_escape() -> None:
    """Without the escape channel, out of the escape channel, or round in the escape channel: refused."""
    config = NocConfig(mesh_x=3, mesh_y=3, routing="adaptive", vcs=2)
    none = type("None_", (Adaptive,), {"hops": lambda self, port, vc, out: (Hop(out, vc),)})(config=config)
    with pytest.raises(ConfigError, match=r"must not leave a packet for \(\d, \d\) at \(\d, \d\) without an escape channel"):
        channel_dependency_graph(config, none)
    back = type("Back", (Adaptive,), {"hops": lambda self, port, vc, out: (Hop(out, 1), *Adaptive.hops(self, port, 1, out)[1:])})(
        config=config
    )
    with pytest.raises(
        ConfigError, match=r"must keep packets in the escape channel, not send one from \(\d, \d\) \w+ VC 0 to \(\d, \d\) \w+ VC 1"
    ):
        channel_dependency_graph(config, back)
    turns = type("Turns", (Adaptive,), {"next_ports": AllTurns.next_ports})(config=config)
    with pytest.raises(ConfigError, match=r"can deadlock: .* VC 0 waits for"):
        refuse_cycle(config, channel_dependency_graph(config, turns))


def test_a_function_that_leaves_the_mesh_is_refused() -> None:
    config = NocConfig(mesh_x=2, mesh_y=2, vcs=1)
    outward = type("Outward", (XY,), {"next_ports": lambda self, at, dst, vc_class: (E,)})(config=config)
    with pytest.raises(ConfigError, match=r"routing 'xy' must not send a packet for \(\d, \d\) out of the mesh at \(1, \d\), east"):
        channel_dependency_graph(config, outward)


def test_graph_by_hand() -> None:
    """XY on 2x2: eight channels; those along x wait for those along y they can turn into."""
    graph = channel_dependency_graph(NocConfig(mesh_x=2, mesh_y=2, vcs=1))
    links = {Channel((0, y), E, 0) for y in (0, 1)} | {Channel((1, y), W, 0) for y in (0, 1)}
    links |= {Channel((x, 0), N, 0) for x in (0, 1)} | {Channel((x, 1), S, 0) for x in (0, 1)}
    assert set(graph) == links
    turns = {((0, 0), E): ((1, 0), N), ((0, 1), E): ((1, 1), S), ((1, 0), W): ((0, 0), N), ((1, 1), W): ((0, 1), S)}
    for channel, waits in graph.items():
        expected = turns.get((channel.at, channel.port))
        assert waits == ({Channel(*expected, 0)} if expected else set()), channel


def test_dateline_splits_the_ring() -> None:
    """On a ring of five, the link that closes it is taken after the dateline only, and no packet comes back before it."""
    config = NocConfig(mesh_x=5, mesh_y=1, topology="torus", torus_scheme="dateline", vcs=2)
    graph = channel_dependency_graph(config)
    assert Channel((4, 0), E, 1) in graph and Channel((4, 0), E, 0) not in graph
    assert all(wanted.vc >= held.vc for held, waits in graph.items() for wanted in waits)


def test_find_cycle() -> None:
    a, b, c, d = (Channel((place, 0), E, 0) for place in range(4))
    assert find_cycle({}) is None
    assert find_cycle({a: {b, c}, b: {d}, c: {d}, d: set()}) is None
    assert find_cycle({a: {a}}) == [a]
    cycle = find_cycle({a: {b}, b: {c}, c: {d}, d: {b}})
    assert cycle is not None and sorted(cycle) == [b, c, d]


@pytest.mark.parametrize(
    ("topology", "name"), [(t, r) for r, built in ROUTING_CLASSES.items() for t, c in zip(("mesh", "torus"), built, strict=True) if c]
)
@pytest.mark.parametrize(("x", "y"), [(1, 1), (1, 4), (4, 1), (2, 2), (3, 5), (8, 8)])
def test_every_function_passes(topology: str, name: str, x: int, y: int) -> None:
    check_acyclic(make(topology, name, x, y))


def make(topology: str, name: str, x: int, y: int, networks: int = 1, lanes: int = 1) -> NocConfig:
    vcs = networks * ((1 + lanes) if name == "adaptive" else lanes * ROUTING_CLASSES[name][topology == "torus"])
    scheme = "dateline" if topology == "torus" else "none"
    return NocConfig(
        mesh_x=x,
        mesh_y=y,
        topology=topology,
        torus_scheme=scheme,
        routing=name,
        virtual_networks=networks,
        vcs=vcs,
        arbitration="round_robin",
    )


CHOICES = [(topology, name) for topology, name in product(("mesh", "torus"), ROUTING_CLASSES) if ROUTING_CLASSES[name][topology == "torus"]]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(choice=st.sampled_from(CHOICES), x=st.integers(1, 7), y=st.integers(1, 7), networks=st.integers(1, 2), lanes=st.integers(1, 2))
def test_every_valid_config_is_acyclic(choice: tuple[str, str], x: int, y: int, networks: int, lanes: int) -> None:
    config = make(*choice, x, y, networks, lanes)
    graph = channel_dependency_graph(config)
    assert find_cycle(graph) is None
    # Every link that shortest paths use is there: all those of a mesh.
    if config.topology == "mesh":
        assert {(channel.at, channel.port) for channel in graph} == {
            (at, port) for at in product(range(x), range(y)) for port in (N, E, S, W) if neighbour(config, at, port)
        }


def test_a_mesh_is_checked_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    config = NocConfig(mesh_x=2, mesh_y=3, vcs=1, depth=3)
    monkeypatch.setattr(XY, "next_ports", AllTurns.next_ports)
    with pytest.raises(ConfigError, match="routing 'xy' on a 2x3 mesh can deadlock"):
        Mesh(config=config)
