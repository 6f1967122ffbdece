"""The channel dependency graph of a mesh: it must have no cycle, or packets can wait for one another for ever (Dally and Seitz, 1987).

A channel is a VC of a link. A packet that holds one and asks for another makes the second a *dependency* of the first. The graph is drawn
by walking every destination's packets through the routing function the routers are built of, over the real topology, datelines included.
Lanes and virtual networks are copies of one another and are drawn once.

With an escape channel (`adaptive`) the graph is that of the escape channels (Duato, 1993). A packet that has entered one stays in escape
channels, so there are no dependencies between them by way of adaptive ones; what remains to check is that every head in an adaptive VC may
ask for one.
"""

from functools import lru_cache
from typing import NamedTuple

from hw.common.config import ConfigError
from hw.common.noc import NocConfig

from .flit import Port
from .routing import Hop, RoutingFunction, routing_function
from .routing.base import When
from .topology import crosses_dateline, neighbour


class Channel(NamedTuple):
    """A VC of the link out of `port` of the router at `at`."""

    at: tuple[int, int]
    port: Port
    vc: int

    def __str__(self) -> str:
        return f"({self.at[0]}, {self.at[1]}) {self.port.name.lower()} VC {self.vc}"


class _State(NamedTuple):
    """A packet at a router: where, by which port it came, on which VC."""

    at: tuple[int, int]
    port: Port
    vc: int


Graph = dict[Channel, set[Channel]]


def channel_dependency_graph(config: NocConfig, routing: RoutingFunction | None = None) -> Graph:
    """Channel -> the channels a packet that holds it can ask for. `routing` stands for the function `config` names.

    Raises
    ------
    ConfigError
        if a packet is sent out of the mesh, or finds no escape channel where it needs one.
    """
    function = routing or routing_function(config)
    graph: Graph = {}
    nodes = [(x, y) for y in range(config.mesh_y) for x in range(config.mesh_x)]
    starts = sorted(
        {
            config.vc_number(network=0, vc_class=function.first_class(ordered=ordered, choice=choice), lane=0)
            for ordered, choice in ((True, 0), (False, 0), (False, 1))
        }
    )
    for destination in nodes:
        _walk(config, function, destination, [_State(at, Port.LOCAL, vc) for at in nodes for vc in starts], graph)
    return graph


def _walk(config: NocConfig, function: RoutingFunction, destination: tuple[int, int], states: list[_State], graph: Graph) -> None:
    """Adds to `graph` what packets for `destination` depend on."""
    seen = set(states)
    while states:
        state = states.pop()
        if state.at == destination:
            continue
        held = None
        if state.port is not Port.LOCAL:
            behind = neighbour(config, state.at, state.port)
            assert behind is not None
            held = Channel(behind, state.port.opposite, state.vc)
        for hop in _hops(config, function, state, destination):
            there = neighbour(config, state.at, hop.port)
            if there is None:
                raise ConfigError(
                    f"routing {config.routing!r} sends a packet for {destination} out of the mesh at {state.at}, {hop.port.name.lower()}"
                )
            wanted = Channel(state.at, hop.port, hop.vc)
            graph.setdefault(wanted, set())
            # Adaptive channels need not be free of cycles: their packets can leave for the escape channels.
            if held is not None and not function.chooses(state.vc):
                graph[held].add(wanted)
            following = _State(there, hop.port.opposite, hop.vc)
            if following not in seen:
                seen.add(following)
                states.append(following)


def _hops(config: NocConfig, function: RoutingFunction, state: _State, destination: tuple[int, int]) -> list[Hop]:
    """What a packet can ask for."""
    ports = function.next_ports(state.at, destination, config.vc_class(state.vc))
    escape = function.next_ports(state.at, destination, 0)[0]
    found = []
    for port in ports:
        for hop in function.hops(state.port, state.vc, port):
            crosses = crosses_dateline(config, state.at, port)
            if {
                When.ALWAYS: True,
                When.DATELINE: crosses,
                When.NO_DATELINE: not crosses,
                When.ESCAPE: port is escape,
            }[hop.when]:
                found.append(hop)
    if function.chooses(state.vc) and not any(hop.when is When.ESCAPE for hop in found):
        raise ConfigError(
            f"routing {config.routing!r} leaves a packet for {destination} at {state.at} without an escape channel: see hops()"
        )
    return found


def find_cycle(graph: Graph) -> list[Channel] | None:
    """Channels of a cycle in the order in which they wait for one another, or None."""
    done: set[Channel] = set()
    for root in graph:
        if root in done:
            continue
        path, on_path = [root], {root}
        todo = [iter(sorted(graph[root]))]
        while todo:
            following = next(todo[-1], None)
            if following is None:
                todo.pop()
                on_path.discard(path[-1])
                done.add(path.pop())
            elif following in on_path:
                return path[path.index(following) :]
            elif following not in done:
                path.append(following)
                on_path.add(following)
                todo.append(iter(sorted(graph.get(following, ()))))
    return None


def refuse_cycle(config: NocConfig, graph: Graph) -> None:
    """Raises `ConfigError`, with the cycle, if `graph` has one."""
    cycle = find_cycle(graph)
    if cycle is not None:
        raise ConfigError(
            f"routing {config.routing!r} on a {config.mesh_x}x{config.mesh_y} {config.topology} can deadlock: "
            f"{' waits for '.join(map(str, [*cycle, cycle[0]]))}; forbid one of these turns or give it a VC class of its own"
        )


@lru_cache(maxsize=64)
def check_acyclic(config: NocConfig) -> None:
    """Raises `ConfigError`, with the cycle, if packets of `config` can wait in a circle."""
    refuse_cycle(config, channel_dependency_graph(config))
