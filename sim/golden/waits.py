"""Who waits for whom in a mesh that does not move: from what the watchdogs' probe says of every queue to a text.

`explain(read_heads(probe, config), config)` is all a simulation needs when it gives up waiting. The records are plain data: they may come from the
probe of a running mesh, from registers, or from a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from hw.common.noc import NocConfig
from hw.common.noc_registers import OVERDUE, QUEUE_BITS, WAIT_BITS, Reason, pack, unpack
from hw.noc.flit import Port
from hw.noc.topology import neighbour

#: A queue: (node, input port, VC).
Queue = tuple[int, int, int]

#: Chains `explain` prints in full, the largest groups first.
CHAINS = 4


class Wait(NamedTuple):
    """What the flit at the head of a queue waits for; fields as in register PROBE_DATA (hw/common/noc_registers.py)."""

    valid: int = 0
    waited: int = 0
    reason: int = Reason.NONE
    wants_port: int = 0
    wants_vc: int = 0
    owner_port: int = 0
    owner_vc: int = 0

    @classmethod
    def unpack(cls, value: int) -> Wait:
        """From a value of PROBE_DATA or ERROR_WAIT."""
        return cls(**unpack(WAIT_BITS, value))

    def pack(self) -> int:
        """As a value of PROBE_DATA."""
        return pack(WAIT_BITS, **self._asdict())


class Chain(NamedTuple):
    """Queues each of which waits for the next, and what the last waits for.

    `circle` is the index in `queues` of the queue the last one waits for, if that is one of them: a deadlock.
    """

    queues: tuple[Queue, ...]
    end: str
    circle: int | None = None


def select_value(node: int, port: int, vc: int) -> int:
    """A queue as a value of PROBE_SELECT, which is also what `Mesh.watch.select` takes."""
    return pack(QUEUE_BITS, node=node, port=port, vc=vc)


def read_heads(probe: Callable[[int, int, int], int], config: NocConfig) -> dict[Queue, Wait]:
    """All queues that hold a flit. `probe(node, port, vc)` gives the value of PROBE_DATA for a queue."""
    queues = [(node, port, vc) for node in range(config.nodes) for port in Port for vc in range(config.vcs)]
    waits = {(node, int(port), vc): Wait.unpack(probe(node, int(port), vc)) for node, port, vc in queues}
    return {queue: wait for queue, wait in waits.items() if wait.valid}


def chain(start: Queue, records: Mapping[Queue, Wait], config: NocConfig) -> Chain:
    """Follows what `start` waits for to the end.

    Parameters
    ----------
    start : Queue
        A queue that holds a flit.
    records : mapping from Queue to Wait
        All queues that hold a flit; others may be there with `valid` 0.
    config : NocConfig

    Raises
    ------
    ValueError
        if a queue is not in the mesh, a field names nothing there is, or `start` holds no flit.
    """
    heads = _checked(records, config)
    if start not in heads:
        raise ValueError(f"start must be a queue that holds a flit, not {start!r}")
    return _follow(start, heads, config)


def explain(records: Mapping[Queue, Wait], config: NocConfig) -> str:
    """Text that says of every flit at the head of a queue what holds it up in the end, with one chain for each such cause.

    Parameters and errors are those of `chain`.
    """
    heads = _checked(records, config)
    if not heads:
        return "no queue holds a flit: nothing waits inside the mesh"
    groups: dict[object, list[Chain]] = {}
    for queue in heads:
        found = _follow(queue, heads, config)
        cause = frozenset(found.queues[found.circle :]) if found.circle is not None else (found.end, found.queues[-1][0])
        groups.setdefault(cause, []).append(found)
    lines = [f"{len(heads)} of {config.nodes * len(Port) * config.vcs} queues hold a flit; what holds them up:"]
    ranked = sorted(groups.values(), key=lambda group: (group[0].circle is None, -len(group)))
    for group in ranked:
        lines.append(f"- {group[0].end} ({len(group)} {'queue waits' if len(group) == 1 else 'queues wait'} for it)")
    for group in ranked[:CHAINS]:
        # The longest chain shows most; in a circle any will do, so the one that is all circle.
        shown = next((one for one in group if one.circle == 0), None) or max(group, key=lambda one: len(one.queues))
        lines += ["", *_lines(shown, heads, config)]
    if len(ranked) > CHAINS:
        lines += ["", f"(chains of {len(ranked) - CHAINS} more causes left out)"]
    return "\n".join(lines)


def _checked(records: Mapping[Queue, Wait], config: NocConfig) -> dict[Queue, Wait]:
    """The records of queues that hold a flit, lowest queue first."""
    limits = {"node": config.nodes, "port": len(Port), "vc": config.vcs}
    heads = {}
    for queue, wait in sorted(records.items()):
        for (name, limit), value in zip(limits.items(), queue, strict=True):
            if not 0 <= value < limit:
                raise ValueError(f"{name} of a queue must be 0 to {limit - 1}, not {value!r} in {queue!r}")
        for name in ("wants_port", "owner_port"):
            if not 0 <= getattr(wait, name) < len(Port):
                raise ValueError(f"{name} must be 0 to {len(Port) - 1}, not {getattr(wait, name)!r} in the record of {queue!r}")
        for name in ("wants_vc", "owner_vc"):
            if not 0 <= getattr(wait, name) < config.vcs:
                raise ValueError(f"{name} must be 0 to {config.vcs - 1}, not {getattr(wait, name)!r} in the record of {queue!r}")
        if wait.reason not in tuple(Reason):
            raise ValueError(f"reason must be 0 to {max(Reason)}, not {wait.reason!r} in the record of {queue!r}")
        if wait.valid:
            heads[queue] = wait
    return heads


def _follow(start: Queue, heads: Mapping[Queue, Wait], config: NocConfig) -> Chain:
    path = [start]
    while True:
        following = _next(path[-1], heads, config)
        if isinstance(following, str):
            return Chain(tuple(path), following)
        if following in path:
            at = path.index(following)
            return Chain(tuple(path), f"deadlock: circle of {len(path) - at} queue{'s' if len(path) - at > 1 else ''}", at)
        path.append(following)


def _next(queue: Queue, heads: Mapping[Queue, Wait], config: NocConfig) -> Queue | str:
    """The queue that `queue` waits for, or words where there is none."""
    node, wait = queue[0], heads[queue]
    out, reason = Port(wait.wants_port), Reason(wait.reason)
    if reason is Reason.NONE:
        return f"node {node} sends it on in this cycle"
    if reason is Reason.NO_ROUTE:
        return f"its route names no output of node {node}: misrouted or corrupted"
    if reason is Reason.LINK:
        return f"the link {_towards(out)} node {node} is down, or the mesh ends there"
    if reason is Reason.TURN:
        return f"others go first {_towards(out)} node {node}: it moves when its turn comes"
    if reason is Reason.LOCK:
        owner = (node, wait.owner_port, wait.owner_vc)
        return owner if owner in heads else _behind(owner, heads, config, frozenset())
    if out is Port.LOCAL:
        return f"node {node} takes nothing from VC {wait.wants_vc}"
    there = _node_at(node, out, config)
    if there is None:
        return f"it wants to leave the mesh {_towards(out)} node {node}: misrouted"
    receiver = (there, int(out.opposite), wait.wants_vc)
    if receiver in heads:
        return receiver
    return f"{_name(receiver, config)} is empty: its credits are on their way, or lost"


def _behind(owner: Queue, heads: Mapping[Queue, Wait], config: NocConfig, seen: frozenset[Queue]) -> Queue | str:
    """Where the rest of the packet is that has a VC through the empty queue `owner`: at the queue that feeds it, one node before."""
    node, port, vc = owner
    before = None if port == Port.LOCAL else _node_at(node, Port(port), config)
    if before is None:
        return f"node {node} has not injected the rest of a packet on VC {vc}"
    feeding = [
        (queue, wait)
        for queue, wait in heads.items()
        if queue[0] == before and (wait.wants_port, wait.wants_vc) == (Port(port).opposite, vc) and wait.reason != Reason.NO_ROUTE
    ]
    # Of those that want the VC, the one that is not locked out has it; those locked out name it.
    for queue, wait in feeding:
        if wait.reason != Reason.LOCK:
            return queue
    sources = [(before, wait.owner_port, wait.owner_vc) for _, wait in feeding]
    if sources and sources[0] not in seen:
        return _behind(sources[0], heads, config, seen | {sources[0]})
    return f"the rest of a packet has not come to {_name(owner, config)}: injected too late, on its way or lost"


def _node_at(node: int, port: Port, config: NocConfig) -> int | None:
    there = neighbour(config, (node % config.mesh_x, node // config.mesh_x), port)
    return None if there is None else there[1] * config.mesh_x + there[0]


def _towards(port: Port) -> str:
    return "out of" if port is Port.LOCAL else f"{port.name.lower()} of"


def _name(queue: Queue, config: NocConfig) -> str:
    node, port, vc = queue
    return f"node {node} ({node % config.mesh_x},{node // config.mesh_x}) {Port(port).name} VC {vc}"


def _lines(found: Chain, heads: Mapping[Queue, Wait], config: NocConfig) -> list[str]:
    """A chain, a queue a line."""
    names = [_name(queue, config) for queue in found.queues]
    width = max(map(len, names))
    lines = []
    for index, (name, queue) in enumerate(zip(names, found.queues, strict=True)):
        wait = heads[queue]
        words = {
            Reason.NONE: "goes",
            Reason.NO_ROUTE: "wants no output",
            Reason.LOCK: f"wants {Port(wait.wants_port).name} VC {wait.wants_vc}, which a packet from {Port(wait.owner_port).name} VC {wait.owner_vc} has",
            Reason.LINK: f"wants {Port(wait.wants_port).name} VC {wait.wants_vc}, where the link is down",
            Reason.CREDIT: f"wants {Port(wait.wants_port).name} VC {wait.wants_vc}, which has no room",
            Reason.TURN: f"wants {Port(wait.wants_port).name} VC {wait.wants_vc}, where others go first",
        }[Reason(wait.reason)]
        overdue = " (overdue)" if wait.waited == OVERDUE else ""
        lines.append(f"{'-> ' if index else '   '}{name:<{width}}  {words}{overdue}")
    last = f"{_name(found.queues[found.circle], config)}: {found.end}" if found.circle is not None else found.end
    return [*lines, f"=> {last}"]
