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

    Latency: a request is answered at the earliest four cycles after it is raised (two, if the port withdrew another in the cycle before), and is
    looked at after at most eleven others. A post whose answer comes in cycle t can be taken by a wait that is answered in t + 1. Throughput: one
    request a cycle over all ports, one in five of a port. A request passes four flip-flops: that it stands, its turn, what it asks for, the answer.
    A wait on a semaphore that the configuration does not have is never ready, a post to one always overflows (the sequencer lets neither
    through). Reset and `i_clear` zero all counters and forget what has not been answered; for `semaphores` cycles after it nothing is looked at.

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
        #: The requests that stood a cycle ago with nothing under way; the one whose turn it is, the one looked at in this cycle and the one answered
        #: in it, one-hot, waits first; counter `peek` (an input of proofs). Public for proofs.
        self.peek, self.peeked = Signal(range(self._count)), Signal(self._width)
        self.standing, self.turn, self.executing, self.answered = Signal(ports), Signal(ports), Signal(ports), Signal(ports)
        #: Of the request looked at; `change` is its count, that of a wait complemented.
        self.semaphore, self.change, self.is_post = Signal(SEMAPHORE_BITS, reset_less=True), Signal(COUNT_BITS, reset_less=True), Signal()
        #: Counter `place` is being cleared, those before it are. Public for proofs.
        self.clearing, self.place = Signal(init=1), Signal(range(self._count))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        waits = [self.wait[engine] for engine in range(len(ENGINES))]
        posts = [self.post[engine][slot] for engine in range(len(ENGINES)) for slot in range(POSTS)]
        ports = (*waits, *posts)
        valid = Signal(len(self.executing))
        m.d.comb += valid.eq(Cat(port.valid for port in ports))
        # The counters are a LUT RAM, which is cleared one by one.
        clearing, place, is_post = self.clearing, self.place, self.is_post
        with m.If(clearing):
            m.d.sync += [clearing.eq(place != self._count - 1), place.eq(place + 1)]
        with m.If(self.i_clear):
            m.d.sync += [clearing.eq(1), place.eq(0)]
        self._choose(m, valid, ports, clearing | self.i_clear)

        m.submodules.storage = storage = memory.Memory(shape=self._width, depth=self._count, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        is_live, is_done, exists, overflow = Signal(), Signal(), Signal(), Signal()
        takes, total, fits = Signal(), Signal(max(self._width, COUNT_BITS) + 1), Signal()
        change = Signal.like(total)
        m.d.comb += [
            is_live.eq((self.executing & valid).any() & ~self.i_clear),
            exists.eq(self._exists(self.semaphore)),
            read.addr.eq(self.semaphore),
            takes.eq(~is_post),
            change.eq(Cat(self.change, takes).as_signed()),
            # One adder: taking is adding the complement, with a carry from below. Below zero the sum has the bits above a counter set, too.
            total.eq((Cat(takes, read.data) + Cat(takes, change))[1:]),
            fits.eq(~total[self._width :].any() & exists),
            is_done.eq(is_live & (is_post | fits)),
            write.addr.eq(Mux(clearing, place, self.semaphore)),
            write.data.eq(Mux(clearing, 0, total)),
            write.en.eq(clearing | (is_live & fits)),
        ]
        turns_post = self.turn[len(waits) :].any()
        count = reduce(or_, (Mux(self.turn[number], port.count, 0) for number, port in enumerate(ports)))
        m.d.sync += [
            is_post.eq(turns_post),
            self.change.eq(Mux(turns_post, count, ~count)),
            self.answered.eq(Mux(is_done, self.executing, 0)),
            overflow.eq(is_post & ~fits),
        ]
        if platform == "formal":
            observer = storage.read_port(domain="comb")
            m.d.comb += [observer.addr.eq(self.peek), self.peeked.eq(Mux(clearing & (self.peek >= place), 0, observer.data))]
        m.d.comb += [port.ready.eq(self.answered[number]) for number, port in enumerate(ports)]
        m.d.comb += [port.overflow.eq(overflow) for port in posts]
        return m

    def _choose(self, m: Module, valid: Signal, ports: tuple[Any, ...], rests: Value) -> None:
        """Whose turn is next: of the requests that stand and have neither turn nor answer under way, the first behind the one before.

        Ports are far away, so they are looked at a cycle after they ask.
        """
        waiting, behind, ahead = (Signal(len(ports), name=name) for name in ("waiting", "behind", "ahead"))
        m.d.comb += [
            waiting.eq(self.standing & ~self.turn),
            # The one whose turn it is is not behind itself.
            ahead.eq(self.standing & behind),
        ]
        # Whether some request comes before that of the same number: of those behind, or if there is none, of all.
        passed = [Mux(ahead.any(), ahead[:number].any(), waiting[:number].any()) for number in range(len(ports))]
        chosen = Mux(ahead.any(), ahead, waiting) & ~Cat(passed)
        with m.If(waiting.any()):
            m.d.sync += behind.eq(Cat(passed))
        m.d.sync += [
            self.standing.eq(Mux(rests, 0, valid & ~self.turn & ~self.executing & ~self.answered)),
            self.turn.eq(Mux(rests, 0, chosen)),
            # One that is withdrawn loses its turn.
            self.executing.eq(Mux(rests, 0, self.turn & valid)),
            self.semaphore.eq(reduce(or_, (Mux(self.turn[number], port.semaphore, 0) for number, port in enumerate(ports)))),
        ]

    def _exists(self, semaphore: Value) -> Value:
        return Const(1) if self._count == 1 << len(semaphore) else semaphore < self._count
