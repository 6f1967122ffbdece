"""The watchdog of a router: which head of a queue has waited too long, and what each waits for."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig
from hw.common.noc_registers import OVERDUE, QUEUE_BITS, WAIT_BITS, Reason
from hw.common.registers import Bits

from .arbiter import any_of
from .connections import Connections
from .flit import Port

#: Bits of an error count.
COUNT_BITS = 16


def _layout(bits: tuple[Bits, ...]) -> data.FlexibleLayout:
    return data.FlexibleLayout(
        max(item.offset + item.width for item in bits), {item.name: data.Field(item.width, item.offset) for item in bits}
    )


def queue_layout() -> data.FlexibleLayout:
    """Names a queue of a mesh: `vc`, `port`, `node`, as in register PROBE_SELECT. A router does not look at `node`."""
    return _layout(QUEUE_BITS)


def wait_layout() -> data.FlexibleLayout:
    """What the head of a queue waits for, as in register PROBE_DATA (hw/common/noc_registers.py says what the fields mean)."""
    return _layout(WAIT_BITS)


def error_layout() -> data.StructLayout:
    """An error: `valid`, the queue it is of, and what its head waited for when it was raised."""
    return data.StructLayout({"valid": 1, "queue": queue_layout(), "wait": wait_layout()})


class WatchSignature(wiring.Signature):
    """What a watchdog, or all those of a mesh together, tell; seen from them.

    Members
    -------
    error : Out(error_layout)
        The first error since `clear`; all 0 while there is none.
    count : Out(16)
        Flits that have waited too long since `clear`, each counted once; saturates.
    clear : In(1)
        Forgets errors and count, and begins to count every wait anew.
    select : In(queue_layout)
    probe : Out(wait_layout)
        What the head of the queue `select` waits for now, combinational; 0 if there is no such queue.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "error": Out(error_layout()),
                "count": Out(COUNT_BITS),
                "clear": In(1),
                "select": In(queue_layout()),
                "probe": Out(wait_layout()),
            }
        )


class Watchdog(wiring.Component):
    """Raises an error for every head of a queue that waits longer than `watchdog_limit` cycles, and tells what it waits for.

    A head waits in a cycle in which its queue holds it and it does not leave. There is no counter for each queue: all share one that runs
    over half the limit (rounded up: `period`), and each has two bits that count its ends. So an error is never raised before a head has
    waited for 2 * `period` + 1 > limit cycles, and always by the 3 * `period`th: within half as much again as the limit, and two cycles.
    What is at the input in cycle t counts in cycle t + 1. Errors of one cycle are all counted, the one of the lowest port, then VC, is kept.
    It watches only: nothing it does reaches a flit. Reset: no errors, all waits begin anew.

    Parameters
    ----------
    config : NocConfig
        `watchdog_limit` above 0: routers without a limit have no watchdog.

    Members
    -------
    valid, leave : In(a bit for each queue, by port, then VC)
        The queue holds a flit; it leaves in this cycle.
    requests : In(a bit for each of `ways`)
        Which VC of which output a head asks for.
    locked, credit : In(a bit for each of `targets`)
        A packet has that VC of that output; the receiver has room.
    owner : In(a bit for each of `owners`)
        Its queue; only read while `locked`.
    up : In(5)
        The link of that output is up.
    watch : Out(WatchSignature)
        `error` and `count` change in the cycle after the last one waited.

    Raises
    ------
    ValueError
        if `config.watchdog_limit` is 0.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        if not config.watchdog_limit:
            raise ValueError("config.watchdog_limit must be at least 1, not 0: leave the watchdog out")
        connections = Connections(config)
        self.queues = list(connections.queues)
        #: (queue, output port, VC there), in the order of `requests`.
        self.ways = [(queue, hop.port, hop.vc) for queue in self.queues for hop in connections.hops[queue]]
        #: (output port, VC), in the order of `locked` and `credit`.
        self.targets = list(connections.sources)
        #: (output port, VC, queue), in the order of `owner`.
        self.owners = [(*target, queue) for target in self.targets for queue in connections.sources[target]]
        #: Cycles between two counts of the waits.
        self.period = -(-config.watchdog_limit // (OVERDUE - 1))
        super().__init__(
            {
                "valid": In(len(self.queues)),
                "leave": In(len(self.queues)),
                "requests": In(len(self.ways)),
                "locked": In(len(self.targets)),
                "credit": In(len(self.targets)),
                "owner": In(len(self.owners)),
                "up": In(len(Port)),
                "watch": Out(WatchSignature()),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        waited = [Signal(range(OVERDUE + 1), name=f"waited_{port.name.lower()}{vc}") for port, vc in self.queues]
        fired = self._count(m, waited)
        first = fired & ~(fired - 1)[: len(fired)]
        error, select = self.watch.error, self.watch.select
        m.d.comb += self._lookup(m, "probed", lambda port, vc: (select.port == port) & (select.vc == vc), waited, self.watch.probe)
        now = Signal(wait_layout())
        m.d.comb += self._lookup(m, "first", lambda port, vc: first[self.queues.index((port, vc))], waited, now)

        with m.If(fired.any() & ~error.valid):
            numbers = [Const(port << 4 | vc, 7) for port, vc in self.queues]
            number = _either(first, numbers)
            m.d.sync += [error.valid.eq(1), error.queue.vc.eq(number[:4]), error.queue.port.eq(number[4:])]
            # The count of this wait ends with this cycle.
            m.d.sync += [error.wait.eq(now), error.wait.waited.eq(OVERDUE)]
        total = Signal(range((1 << COUNT_BITS) + len(fired)))
        m.d.comb += total.eq(self.watch.count + sum(fired[index] for index in range(len(fired))))
        m.d.sync += self.watch.count.eq(Mux(total >> COUNT_BITS, (1 << COUNT_BITS) - 1, total))
        with m.If(self.watch.clear):
            m.d.sync += [Value.cast(error).eq(0), self.watch.count.eq(0)]
        return m

    def _count(self, m: Module, waited: list[Signal]) -> Signal:
        """Counts the ends of periods in each wait; a bit for each queue whose head is overdue from the end of this cycle on."""
        timer, fired = Signal(range(self.period)), Signal(len(self.queues))
        end = Signal()
        m.d.comb += end.eq(timer == self.period - 1)
        m.d.sync += timer.eq(Mux(end, 0, timer + 1))
        for index, count in enumerate(waited):
            waits = self.valid[index] & ~self.leave[index]
            m.d.comb += fired[index].eq(waits & end & (count == OVERDUE - 1))
            with m.If(~waits | self.watch.clear):
                m.d.sync += count.eq(0)
            with m.Elif(end & (count != OVERDUE)):
                m.d.sync += count.eq(count + 1)
        return fired

    def _lookup(self, m: Module, name: str, hits: Callable[[Port, int], Value], waited: list[Signal], result: Any) -> list[Any]:
        """Assignments that make `result` the wait of the one queue for which `hits` is 1."""
        hit, wanted = Signal(len(self.queues), name=f"{name}_hit"), Signal(len(self.targets), name=f"{name}_wanted")
        m.d.comb += hit.eq(Cat(hits(port, vc) for port, vc in self.queues))
        of_queue = {queue: hit[index] for index, queue in enumerate(self.queues)}
        for position, target in enumerate(self.targets):
            asking = [self.requests[way] & of_queue[queue] for way, (queue, *out) in enumerate(self.ways) if tuple(out) == target]
            m.d.comb += wanted[position].eq(any_of(asking))
        others, numbers = [], []
        for position, target in enumerate(self.targets):
            own = [(self.owner[bit], queue) for bit, (*out, queue) in enumerate(self.owners) if tuple(out) == target]
            others.append(self.locked[position] & ~any_of([bit & of_queue[queue] for bit, queue in own]))
            numbers.append(_either(Cat(bit for bit, _ in own), [Const(port << 4 | vc, 7) for _, (port, vc) in own]))
        valid, goes = (hit & self.valid).any(), (hit & self.leave).any()
        want = _either(wanted, [Const(port << 4 | vc, 7) for port, vc in self.targets])
        locked = Signal(name=f"{name}_locked")
        owner = _either(wanted, numbers)
        reason = Signal(len(result.reason), name=f"{name}_reason")
        m.d.comb += locked.eq((wanted & Cat(others)).any() & valid & ~goes)
        with m.If(valid & ~goes):
            with m.If(~wanted.any()):
                m.d.comb += reason.eq(Reason.NO_ROUTE)
            with m.Elif(locked):
                m.d.comb += reason.eq(Reason.LOCK)
            with m.Elif(~(wanted & Cat(self.up[port] for port, _ in self.targets)).any()):
                m.d.comb += reason.eq(Reason.LINK)
            with m.Elif(~(wanted & self.credit).any()):
                m.d.comb += reason.eq(Reason.CREDIT)
            with m.Else():
                m.d.comb += reason.eq(Reason.TURN)
        return [
            result.valid.eq(valid),
            result.waited.eq(_either(hit, waited)),
            result.reason.eq(reason),
            result.wants_vc.eq(Mux(valid, want[:4], 0)),
            result.wants_port.eq(Mux(valid, want[4:], 0)),
            result.owner_vc.eq(Mux(locked, owner[:4], 0)),
            result.owner_port.eq(Mux(locked, owner[4:], 0)),
        ]


def _either(one_hot: Value, choices: list[Any]) -> Value:
    """The choice whose bit is set; 0 if none is."""
    result: Value = Const(0, len(choices[0]))
    for index, choice in enumerate(choices):
        result = result | (choice & one_hot[index].replicate(len(choice)))
    return result
