"""The channel dependency graph of a mesh: it must have no cycle, or packets can wait for one another for ever (Dally and Seitz, 1987).

A channel is a VC of a link. A packet that holds one and asks for another makes the second a *dependency* of the first. The graph is drawn
by walking every destination's packets through the routing function the routers are built of, over the real topology, datelines included.
Lanes and virtual networks are copies of one another and are drawn once.

With an escape channel (`adaptive`) the graph is that of the escape channels (Duato, 1993): what counts is whether packets in escape channels can
wait in a circle, directly or by way of adaptive channels between two escape channels. A function whose packets leave the escape channel is
refused, so the second kind cannot be; what remains to check is that every head in an adaptive VC may ask for an escape channel.
"""

from functools import lru_cache
from typing import NamedTuple

from hw.common.config import ConfigError
from hw.common.noc import NocConfig

from .flit import Port
from .routing import RoutingFunction, routing_function
from .routing.base import When
from .topology import crosses_dateline, neighbour


class Channel(NamedTuple):
    """A VC of the link out of `port` of the router at `at`."""

    at: tuple[int, int]
    port: Port
    vc: int

    def __str__(self) -> str:
        return f"({self.at[0]}, {self.at[1]}) {self.port.name.lower()} VC {self.vc}"


Graph = dict[Channel, set[Channel]]


class _State(NamedTuple):
    """A packet at a router: where, by which port it came, on which VC."""

    at: tuple[int, int]
    port: Port
    vc: int


class _Way(NamedTuple):
    """A hop from a state: `number` is that of the state it leads to, and of the channel it takes, of which each has one."""

    number: int
    is_escape: bool


class _Walker:
    """Follows packets through the mesh. States are numbered as they are met, because hashing them would take most of the time."""

    def __init__(self, config: NocConfig, function: RoutingFunction) -> None:
        self.config, self.function = config, function
        self.states: list[_State] = []
        self.channels: list[Channel | None] = []  #: None: the packet starts here
        self.waits: dict[int, set[int]] = {}
        self._numbers: dict[_State, int] = {}
        self._ways: list[dict[Port, list[_Way]]] = []
        self._chooses = [function.chooses(vc) for vc in range(config.vcs)]
        self._classes = [config.vc_class(vc) for vc in range(config.vcs)]

    def number(self, state: _State, channel: Channel | None) -> int:
        """Number of a state and of the channel that leads to it."""
        if state not in self._numbers:
            self._numbers[state] = len(self.states)
            self.states.append(state)
            self.channels.append(channel)
            self._ways.append({})
        return self._numbers[state]

    def walk(self, destination: tuple[int, int], starts: list[int]) -> None:
        """Adds what packets for `destination` wait for."""
        config, function = self.config, self.function
        todo, seen = list(starts), set(starts)
        ports: dict[tuple[tuple[int, int], int], tuple[Port, ...]] = {}
        while todo:
            number = todo.pop()
            at, _, vc = self.states[number]
            if at == destination:
                continue
            here = at, self._classes[vc]
            if here not in ports:
                ports[here] = function.next_ports(at, destination, self._classes[vc])
            ways = [way for port in ports[here] for way in self._leave(number, port, destination)]
            if self._chooses[vc]:
                escape = function.next_ports(at, destination, 0)
                ways = [way for way in ways if not way.is_escape or self._channel(way.number).port in escape]
                if not any(way.is_escape for way in ways):
                    raise ConfigError(
                        f"routing {config.routing!r} must not leave a packet for {destination} at {at} without an escape channel: see hops()"
                    )
            for way in ways:
                self.waits.setdefault(way.number, set())
                # Adaptive channels need not be free of cycles: their packets can leave for the escape channels.
                if self.channels[number] is not None and not self._chooses[vc]:
                    self.waits[number].add(way.number)
                    self._stays(number, way.number)
                if way.number not in seen:
                    seen.add(way.number)
                    todo.append(way.number)

    def graph(self) -> Graph:
        """What has been found."""
        return {self._channel(held): {self._channel(wanted) for wanted in waits} for held, waits in self.waits.items()}

    def _channel(self, number: int) -> Channel:
        channel = self.channels[number]
        assert channel is not None
        return channel

    def _stays(self, held: int, wanted: int) -> None:
        if self._chooses[self._channel(wanted).vc]:
            raise ConfigError(
                f"routing {self.config.routing!r} must keep packets in the escape channel, not send one from {self._channel(held)} "
                f"to {self._channel(wanted)}: see hops()"
            )

    def _leave(self, number: int, out: Port, destination: tuple[int, int]) -> list[_Way]:
        """The hops of a state by `out`."""
        known = self._ways[number].get(out)
        if known is not None:
            return known
        config, (at, port, vc) = self.config, self.states[number]
        there = neighbour(config, at, out)
        if there is None or out is Port.LOCAL:
            raise ConfigError(
                f"routing {config.routing!r} must not send a packet for {destination} out of the mesh at {at}, {out.name.lower()}: see next_ports()"
            )
        never = When.NO_DATELINE if crosses_dateline(config, at, out) else When.DATELINE
        ways = [
            _Way(self.number(_State(there, out.opposite, hop.vc), Channel(at, out, hop.vc)), hop.when is When.ESCAPE)
            for hop in self.function.hops(port, vc, out)
            if hop.when is not never
        ]
        self._ways[number][out] = ways
        return ways


def channel_dependency_graph(config: NocConfig, routing: RoutingFunction | None = None) -> Graph:
    """Channel -> the channels a packet that holds it can ask for. `routing` stands for the function `config` names.

    Raises
    ------
    ConfigError
        if a packet is sent out of the mesh, finds no escape channel where it needs one, or leaves the escape channels.
    """
    function = routing or routing_function(config)
    walker = _Walker(config, function)
    nodes = [(x, y) for y in range(config.mesh_y) for x in range(config.mesh_x)]
    classes = {function.first_class(ordered=ordered, choice=choice) for ordered, choice in ((True, 0), (False, 0), (False, 1))}
    vcs = [config.vc_number(network=0, vc_class=vc_class, lane=0) for vc_class in sorted(classes)]
    starts = [walker.number(_State(at, Port.LOCAL, vc), None) for at in nodes for vc in vcs]
    for destination in nodes:
        walker.walk(destination, starts)
    return walker.graph()


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
