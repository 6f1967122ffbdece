"""The counters through which the engines meet, and the signatures of the ports that wait and post."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
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
    """One post, seen from the engine: `valid` with `semaphore` and `count` holds until `ready`; `overflow` with it says that it did not fit and
    was not made."""

    def __init__(self) -> None:
        super().__init__({"valid": Out(1), "semaphore": Out(SEMAPHORE_BITS), "count": Out(COUNT_BITS), "ready": In(1), "overflow": In(1)})


class Semaphores(wiring.Component):
    """`semaphores` counters of `semaphore_width` bits, one wait an engine and two posts an engine at a time, served one after the other.

    One request a cycle is looked at, in turns (the next after the one before, of those that stand): a wait is served if enough is there and
    else has another turn, a post is made or refused for good. A request that is withdrawn has no effect unless it is answered in the
    first cycle without it, and the port rests for that cycle.

    Latency: a request is answered at the earliest two cycles after it is raised, and is looked at after at most eleven others. A post whose answer
    comes in cycle t can be taken by a wait that is answered in t + 1. Throughput: one request a cycle over all ports, one in three of a port.
    A wait on a semaphore that the configuration does not have is never ready, a post to one always overflows (the sequencer lets neither
    through). Reset and `i_clear` zero all counters and forget what has not been answered.

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
        ports = (1 + POSTS) * len(ENGINES)
        #: The request looked at in this cycle and the one answered in it, one-hot, waits first; counter `peek` (an input of proofs). Public for proofs.
        self.peek, self.peeked = Signal(range(self._count)), Signal(self._width)
        self.executing, self.answered = Signal(ports), Signal(ports)
        self.semaphore, self.amount = Signal(SEMAPHORE_BITS, reset_less=True), Signal(COUNT_BITS, reset_less=True)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        waits = [self.wait[engine] for engine in range(len(ENGINES))]
        posts = [self.post[engine][slot] for engine in range(len(ENGINES)) for slot in range(POSTS)]
        valid = Signal(len(self.executing))
        m.d.comb += valid.eq(Cat(port.valid for port in (*waits, *posts)))
        self._choose(m, valid, [*waits, *posts])

        # The counters are a LUT RAM. What it holds counts from the first change after a clear.
        m.submodules.storage = storage = memory.Memory(shape=self._width, depth=self._count, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        used = Signal(1 << SEMAPHORE_BITS)
        is_post, is_live, is_done, exists, overflow = Signal(), Signal(), Signal(), Signal(), Signal()
        before, less = Signal(self._width), Signal(self._width)
        total = Signal(max(self._width, COUNT_BITS) + 1)
        enough, fits = Signal(), Signal()
        m.d.comb += [
            is_post.eq(self.executing[len(waits) :].any()),
            is_live.eq((self.executing & valid).any() & ~self.i_clear),
            exists.eq(self._exists(self.semaphore)),
            read.addr.eq(self.semaphore),
            before.eq(Mux(used.bit_select(self.semaphore, 1), read.data, 0)),
            total.eq(before + self.amount),
            less.eq(before - self.amount),
            enough.eq((before >= self.amount) & exists),
            fits.eq(~(total >> self._width).any() & exists),
            is_done.eq(is_live & (is_post | enough)),
            write.addr.eq(self.semaphore),
            write.data.eq(Mux(is_post, total, less)),
            write.en.eq(is_live & Mux(is_post, fits, enough)),
        ]
        m.d.sync += [self.answered.eq(Mux(is_done, self.executing, 0)), overflow.eq(is_post & ~fits)]
        with m.If(self.i_clear):
            m.d.sync += used.eq(0)
        with m.Elif(write.en):
            m.d.sync += used.bit_select(self.semaphore, 1).eq(1)
        if platform == "formal":
            observer = storage.read_port(domain="comb")
            m.d.comb += [observer.addr.eq(self.peek), self.peeked.eq(Mux(used.bit_select(self.peek, 1), observer.data, 0))]
        m.d.comb += [port.ready.eq(self.answered[number]) for number, port in enumerate((*waits, *posts))]
        m.d.comb += [port.overflow.eq(overflow) for port in posts]
        return m

    def _choose(self, m: Module, valid: Signal, ports: list[Any]) -> None:
        """Whose turn is next: of the requests that stand and have no answer under way, the first behind the one before."""
        waiting, behind, candidates, chosen = (Signal(len(ports), name=name) for name in ("waiting", "behind", "candidates", "chosen"))
        m.d.comb += [
            waiting.eq(valid & ~self.executing & ~self.answered),
            candidates.eq(Mux((waiting & behind).any(), waiting & behind, waiting)),
            chosen.eq(candidates & (~candidates + 1)),
        ]
        with m.If(chosen.any()):
            m.d.sync += behind.eq(~(chosen | (chosen - 1)))
        m.d.sync += [
            self.executing.eq(Mux(self.i_clear, 0, chosen)),
            self.semaphore.eq(reduce(or_, (Mux(chosen[number], port.semaphore, 0) for number, port in enumerate(ports)))),
            self.amount.eq(reduce(or_, (Mux(chosen[number], port.count, 0) for number, port in enumerate(ports)))),
        ]

    def _exists(self, semaphore: Value) -> Value:
        return Const(1) if self._count == 1 << len(semaphore) else semaphore < self._count
