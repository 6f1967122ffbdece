"""One router by its rules: where a flit goes, on which VC, what it asks of the next router, and which flits may go in a cycle.

Written from the rules of the mesh alone; nothing of `hw/noc` is used, so that the two can be held against each other. Dimension-order routing and
its deadlock freedom, and the dateline that cuts a ring: W. J. Dally, C. L. Seitz, "Deadlock-free message routing in multiprocessor interconnection
networks", IEEE Transactions on Computers, 1987. O1TURN: D. Seo et al., ISCA 2005. Escape channels: J. Duato, IEEE TPDS, 1993.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import NamedTuple

from hw.common.noc import NocConfig

#: Ports, in the order of the bits of a route. North is y + 1, east is x + 1.
NORTH, EAST, SOUTH, WEST, LOCAL = PORTS = range(5)
NAMES = ("north", "east", "south", "west", "local")
STEPS = {NORTH: (0, 1), EAST: (1, 0), SOUTH: (0, -1), WEST: (-1, 0)}

#: (x, y) of a router, and (input port, VC) of one of its queues.
Place = tuple[int, int]
Queue = tuple[int, int]


class Turn(NamedTuple):
    """A way through a router: by which output, on which VC, with which route (a mask of ports) at the router behind it."""

    out: int
    vc: int
    route: int


class Arrival(NamedTuple):
    """A flit as it can come to a router: input port, VC, destination, and the route it carries."""

    port: int
    vc: int
    dst: Place
    route: int


class Flit(NamedTuple):
    """What a link carries. `stamp` is 0 where arbitration is not by age."""

    payload: int
    tail: bool
    dst: Place
    route: int
    stamp: int = 0


def neighbour(config: NocConfig, at: Place, out: int) -> Place:
    """The router behind output `out`. `ValueError` where the mesh ends."""
    x, y = at[0] + STEPS[out][0], at[1] + STEPS[out][1]
    if config.topology == "torus":
        return x % config.mesh_x, y % config.mesh_y
    if not (0 <= x < config.mesh_x and 0 <= y < config.mesh_y):
        raise ValueError(f"out must lead to a router, not {NAMES[out]} from {at} of a {config.mesh_x} by {config.mesh_y} mesh")
    return x, y


def _towards(config: NocConfig, at: Place, dst: Place, axis: int) -> int | None:
    """The port that brings a flit nearer along an axis; on a ring the shorter way, upwards if both are equally long."""
    ahead = dst[axis] - at[axis]
    if config.topology == "torus":
        size = (config.mesh_x, config.mesh_y)[axis]
        ahead = (ahead + (size - 1) // 2) % size - (size - 1) // 2
    if not ahead:
        return None
    return ((EAST, WEST), (NORTH, SOUTH))[axis][ahead < 0]


def ports(config: NocConfig, at: Place, dst: Place, vc: int) -> tuple[int, ...]:
    """Outputs a flit on `vc` may be routed to at `at`: one, except in the adaptive VCs."""
    along = [_towards(config, at, dst, axis) for axis in (0, 1)]
    within = vc % config.network_vcs
    y_first = config.routing == "yx" or (config.routing == "o1turn" and within >= config.network_vcs // 2)
    useful = [out for out in (reversed(along) if y_first else along) if out is not None]
    if config.routing == "adaptive" and within:
        return tuple(sorted(useful)) or (LOCAL,)
    return (useful[0],) if useful else (LOCAL,)


def mask(outs: tuple[int, ...]) -> int:
    """The route that names these outputs."""
    return sum(1 << out for out in outs)


def _vc_behind(config: NocConfig, at: Place, port: int, vc: int, out: int) -> int:
    """The VC of the link out of `out`: the same from end to end, but on a ring the upper half of an order's VCs behind the dateline."""
    if config.topology == "mesh" or out == LOCAL:
        return vc
    lanes = config.lanes
    behind = (vc % config.network_vcs) // lanes % 2
    lower = vc - lanes * behind
    same_ring = port != LOCAL and port % 2 == out % 2
    there = neighbour(config, at, out)
    wraps = sum(STEPS[out]) * (sum(there) - sum(at)) != 1
    return lower + lanes * int(wraps or (same_ring and behind))


@lru_cache(maxsize=1 << 16)
def turns(config: NocConfig, at: Place, port: int, vc: int, dst: Place) -> tuple[Turn, ...]:
    """The ways a flit that came in by `port` on `vc` may go on at `at`. The last is the escape, where an adaptive flit has one."""
    ways = []
    for out in ports(config, at, dst, vc):
        if out == LOCAL:
            return (Turn(LOCAL, vc, 0),)
        behind = _vc_behind(config, at, port, vc, out)
        ways.append(Turn(out, behind, mask(ports(config, neighbour(config, at, out), dst, behind))))
    if config.routing == "adaptive" and vc % config.network_vcs:
        escape = vc - vc % config.network_vcs
        (out,) = ports(config, at, dst, escape)
        ways.append(Turn(out, escape, mask(ports(config, neighbour(config, at, out), dst, escape))))
    return tuple(ways)


def starts(config: NocConfig) -> list[int]:
    """VCs a packet can be injected on: on a torus those before the dateline."""
    return [vc for vc in range(config.vcs) if config.topology == "mesh" or not (vc % config.network_vcs) // config.lanes % 2]


def journey(config: NocConfig, src: Place, dst: Place, vc: int) -> list[tuple[Place, Arrival]]:
    """Every (router, arrival) of a packet injected on `vc`; in order where there is one path only."""
    begin = (src, Arrival(LOCAL, vc, dst, mask(ports(config, src, dst, vc))))
    found = {begin: None}
    waiting = deque([begin])
    while waiting:
        at, arrival = waiting.popleft()
        for turn in turns(config, at, arrival.port, arrival.vc, dst):
            if turn.out != LOCAL:
                step = (neighbour(config, at, turn.out), Arrival((turn.out + 2) % 4, turn.vc, dst, turn.route))
                if step not in found:
                    found[step] = None
                    waiting.append(step)
    return list(found)


def arrivals(config: NocConfig, at: Place) -> list[Arrival]:
    """Every flit that can come to the router at `at`, whoever sends it, in a fixed order."""
    places = [(x, y) for y in range(config.mesh_y) for x in range(config.mesh_x)]
    found = {
        arrival
        for src in places
        for dst in places
        for vc in starts(config)
        for place, arrival in journey(config, src, dst, vc)
        if place == at
    }
    return sorted(found)


class RouterModel:
    """The state of one router, and the rules a flit that leaves must keep.

    In each cycle ask `offers`, report what left with `leave`, then what came during the cycle with `arrive` and `credit`: a flit that came can
    leave in the next cycle, and a credit can be spent in the next. Who goes first among those who may is left open.

    Parameters
    ----------
    config : NocConfig
    at : (x, y)
        Where the router is.

    Members
    -------
    queues : deque of Flit by (port, VC)
    owners : queue whose packet is under way, by (output, VC); absent if none
    credits : places left behind an output, by (output, VC)
    """

    def __init__(self, config: NocConfig, at: Place) -> None:
        if not (0 <= at[0] < config.mesh_x and 0 <= at[1] < config.mesh_y):
            raise ValueError(f"at must be inside a {config.mesh_x} by {config.mesh_y} mesh, not {at}")
        self.config, self.at = config, at
        self.reset()

    def reset(self) -> None:
        """Empty queues, no packet under way, all credits here."""
        everywhere = [(port, vc) for port in PORTS for vc in range(self.config.vcs)]
        self.queues: dict[Queue, deque[Flit]] = {queue: deque() for queue in everywhere}
        self.credits = dict.fromkeys(everywhere, self.config.depth)
        self.owners: dict[Queue, Queue] = {}
        self._begun: dict[Queue, Turn] = {}

    def arrive(self, port: int, vc: int, flit: Flit) -> None:
        """A flit is written to a queue. `ValueError` if that is full: its sender has broken its promise."""
        queue = self.queues[port, vc]
        if len(queue) == self.config.depth:
            raise ValueError(f"a flit must come to a queue with room, not to the full one of VC {vc} at {NAMES[port]}")
        queue.append(flit)

    def credit(self, out: int, vc: int) -> None:
        """A place behind an output has become free. `ValueError` if all were."""
        if self.credits[out, vc] == self.config.depth:
            raise ValueError(f"a credit must follow a flit, not come alone on VC {vc} at {NAMES[out]}")
        self.credits[out, vc] += 1

    def offers(self) -> dict[int, dict[Queue, Turn]]:
        """By output: the queues whose head may leave by it now, and how. A queue with a choice is named at each of its outputs."""
        found: dict[int, dict[Queue, Turn]] = {out: {} for out in PORTS}
        for queue, flits in self.queues.items():
            if not flits:
                continue
            for turn in self._choices(queue, flits[0]):
                found[turn.out][queue] = turn
        return found

    def _choices(self, queue: Queue, flit: Flit) -> list[Turn]:
        if begun := self._begun.get(queue):
            return [begun] if self.credits[begun.out, begun.vc] else []
        ways = turns(self.config, self.at, *queue, flit.dst)
        free = [turn for turn in ways if (turn.out, turn.vc) not in self.owners and self.credits[turn.out, turn.vc]]
        if len(ways) == 1 or self.config.routing != "adaptive":
            return free
        # An adaptive VC is entered only if the packet cannot come to stand behind another's tail; the escape is for want of such a one.
        adaptive = [turn for turn in free if turn is not ways[-1] and (flit.tail or self.credits[turn.out, turn.vc] == self.config.depth)]
        return adaptive or [turn for turn in free if turn is ways[-1]]

    def leave(self, queue: Queue, turn: Turn) -> Flit:
        """The head of `queue` goes: the flit as it must be on the link. `turn` must be among the `offers` of this cycle."""
        flit = self.queues[queue].popleft()
        self.credits[turn.out, turn.vc] -= 1
        if flit.tail:
            self._begun.pop(queue, None)
            self.owners.pop((turn.out, turn.vc), None)
        else:
            self._begun[queue] = turn
            self.owners[turn.out, turn.vc] = queue
        return flit._replace(route=turn.route)

    @property
    def empty(self) -> bool:
        """No flit inside and no packet under way."""
        return not any(self.queues.values()) and not self.owners
