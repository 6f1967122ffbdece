"""The counters through which the engines meet, and the signatures of the ports that wait and post."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import COUNT_BITS, ENGINES, SEMAPHORE_BITS

#: Posts an engine can make in a cycle.
POSTS = 2


class SemaphoreWait(wiring.Signature):
    """One wait, seen from the engine: `valid` with `semaphore` and `count` holds until `ready`, which says that count was there and is now taken."""

    def __init__(self) -> None:
        super().__init__({"valid": Out(1), "semaphore": Out(SEMAPHORE_BITS), "count": Out(COUNT_BITS), "ready": In(1)})


class SemaphorePost(wiring.Signature):
    """One post pulse, seen from the engine: in the same cycle `overflow` says that it did not fit and was not made."""

    def __init__(self) -> None:
        super().__init__({"valid": Out(1), "semaphore": Out(SEMAPHORE_BITS), "count": Out(COUNT_BITS), "overflow": In(1)})


class Semaphores(wiring.Component):
    """`semaphores` counters of `semaphore_width` bits; each engine may wait once and post twice in every cycle.

    What happens in one cycle, as if in this order: the waits by engine, each seeing the counter less what lower engines take of it in this
    cycle and nothing of this cycle's posts; then the posts by engine and slot, each seeing the counter after the takes and after the posts
    before it that were made. So a take makes room for a post of the same cycle, no counter goes below zero, and a refused post changes
    nothing for the ones after it.

    Latency: answers (`ready`, `overflow`) come combinationally in the cycle of the request; a post can be taken from the cycle after it.
    Throughput: every port every cycle. A wait on a semaphore that the configuration does not have is never ready, a post to one always
    overflows (the sequencer lets neither through). Reset and `i_clear` zero all counters; in a cycle of `i_clear` requests are answered
    and have no effect.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_clear : In(1)
    wait : array of In(SemaphoreWait), one an engine
    post : array of In(SemaphorePost), two an engine

    Raises
    ------
    TypeError
        if `config` is not a ChipConfig.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._count = config.semaphores
        self._width = config.semaphore_width
        super().__init__(
            {
                "i_clear": In(1),
                "wait": In(SemaphoreWait()).array(len(ENGINES)),
                "post": In(SemaphorePost()).array(len(ENGINES), POSTS),
            }
        )
        #: The counters; public for proofs.
        self.counters = [Signal(self._width, name=f"counter{index}") for index in range(self._count)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        counters = self.counters
        # Earlier ports of this cycle: (took effect, semaphore, counter after it). The last one on a semaphore decides its new value.
        earlier: list[tuple[Value, Value, Value]] = []
        for engine in range(len(ENGINES)):
            port = self.wait[engine]
            before = self._before(m, counters, earlier, port, f"wait{engine}")
            after = Signal(self._width, name=f"wait{engine}_after")
            made = Signal(1, name=f"wait{engine}_made")
            m.d.comb += [
                port.ready.eq((before >= port.count) & self._exists(port)),
                made.eq(port.valid & port.ready),
                after.eq(before - port.count),
            ]
            earlier.append((made, port.semaphore, after))
        for engine in range(len(ENGINES)):
            for slot in range(POSTS):
                port = self.post[engine][slot]
                before = self._before(m, counters, earlier, port, f"post{engine}_{slot}")
                total = Signal(max(self._width, len(port.count)) + 1, name=f"post{engine}_{slot}_after")
                made = Signal(name=f"post{engine}_{slot}_made")
                m.d.comb += [
                    total.eq(before + port.count),
                    port.overflow.eq((total >> self._width).any() | ~self._exists(port)),
                    made.eq(port.valid & ~port.overflow),
                ]
                earlier.append((made, port.semaphore, total[: self._width]))
        self._update(m, counters, earlier)
        return m

    def _update(self, m: Module, counters: list[Signal], ports: list[tuple[Value, Value, Value]]) -> None:
        hits = []
        for number, (made, semaphore, _) in enumerate(ports):
            hit = Signal(self._count, name=f"hit{number}")
            m.d.comb += hit.eq(made << semaphore)
            hits.append(hit)
        # Most cycles change nothing: one test then spares a simulator all the others.
        with m.If(Cat(made for made, _, _ in ports).any()):
            for index, counter in enumerate(counters):
                for hit, (_, _, after) in zip(hits, ports, strict=True):
                    with m.If(hit[index]):
                        m.d.sync += counter.eq(after)
        with m.If(self.i_clear):
            m.d.sync += [counter.eq(0) for counter in counters]

    def _exists(self, port: Any) -> Value:
        return Const(1) if self._count == 1 << len(port.semaphore) else port.semaphore < self._count

    def _before(self, m: Module, counters: list[Signal], earlier: list[tuple[Value, Value, Value]], port: Any, name: str) -> Value:
        """The counter that `port` names, as the earlier ports of this cycle leave it."""
        value: Value = Array(counters)[port.semaphore]
        for made, semaphore, after in earlier:
            value = Mux(made & (semaphore == port.semaphore), after, value)
        before = Signal(self._width, name=f"{name}_before")
        m.d.comb += before.eq(value)
        return before
