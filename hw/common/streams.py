"""Stream parts: a FIFO that runs at full rate at every depth, register stages, and a `connect` that checks payload shapes."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out


class Fifo(wiring.Component):
    """First-in first-out queue, first word falls through.

    One transfer a cycle on both sides at any depth, full and empty included (ready does not depend on the other side's ready, so a full FIFO
    refuses until the cycle after a word has left). Latency: a word is at `o` in the cycle after its transfer at `i`. Reset empties it;
    words inside are lost. The storage is read asynchronously (LUT RAM or registers): meant for depths up to a few dozen.

    Parameters
    ----------
    shape : shape-castable
        Payload.
    depth : int
        Words held, at least 1 (2 for full rate).

    Members
    -------
    i, o : streams of `shape`
    level : Out(range(depth + 1))
        Words inside.

    Raises
    ------
    ValueError
        if `depth` is not a positive integer.
    """

    def __init__(self, *, shape: Any, depth: int) -> None:
        if not isinstance(depth, int) or depth < 1:
            raise ValueError(f"depth must be a positive integer, not {depth!r}")
        self._shape = shape
        self._depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "level": Out(range(depth + 1))})
        #: Where the next word goes to and comes from. Public for proofs, as is the word `peek` (an input of proofs) of the storage.
        self.produce, self.consume = Signal(range(depth)), Signal(range(depth))
        self.peek, self.peeked = Signal(range(depth)), Signal(len(Value.cast(self.i.payload)))

    @property
    def depth(self) -> int:
        """Words held."""
        return self._depth

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self._depth
        width = len(Value.cast(self.i.payload))
        m.submodules.storage = storage = memory.Memory(shape=width, depth=depth, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        produce, consume = self.produce, self.consume
        push, pop = Signal(), Signal()
        m.d.comb += [
            # The highest bit of `level` where the depth is a power of two.
            self.i.ready.eq(~self.level[-1] if depth & (depth - 1) == 0 else self.level != depth),
            self.o.valid.eq(self.level != 0),
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.valid & self.o.ready),
            write.addr.eq(produce),
            write.data.eq(self.i.payload),
            write.en.eq(push),
            read.addr.eq(consume),
            Value.cast(self.o.payload).eq(read.data),
        ]
        with m.If(push):
            m.d.sync += produce.eq(0 if depth == 1 else _next(produce, depth))
        with m.If(pop):
            m.d.sync += consume.eq(0 if depth == 1 else _next(consume, depth))
        m.d.sync += self.level.eq(self.level + push - pop)
        if platform == "formal":
            observer = storage.read_port(domain="comb")
            m.d.comb += [observer.addr.eq(self.peek), self.peeked.eq(observer.data)]
        return m


def _next(pointer: Signal, depth: int) -> Value:
    wrapped: Value = (pointer + 1)[: len(pointer)]
    if depth & (depth - 1):
        return Mux(pointer == depth - 1, 0, wrapped)
    return wrapped


class Stage(wiring.Component):
    """Register stage of a stream: everything it drives, `i.ready` too, is a flip-flop's output, so no path goes through it.

    Holds up to two words. Latency: a word is at `o` in the cycle after its transfer at `i` if no other waits. Throughput: one transfer a
    cycle. Reset empties it; words inside are lost.

    Parameters
    ----------
    shape : shape-castable
        Payload.

    Members
    -------
    i, o : streams of `shape`
    """

    def __init__(self, *, shape: Any) -> None:
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = len(Value.cast(self.i.payload))
        # `kept` is the word behind the one at `o`: taken while `o` was refused.
        valid, full = Signal(), Signal()
        word, kept = Signal(width, reset_less=True), Signal(width, reset_less=True)
        m.d.comb += [self.i.ready.eq(~full), self.o.valid.eq(valid), Value.cast(self.o.payload).eq(word)]
        with m.If(~valid | self.o.ready):
            m.d.sync += [valid.eq(self.i.valid | full), full.eq(0), word.eq(Mux(full, kept, Value.cast(self.i.payload)))]
        with m.Elif(self.i.valid):
            m.d.sync += full.eq(1)
        with m.If(~full):
            m.d.sync += kept.eq(Value.cast(self.i.payload))
        return m


class WideStage(wiring.Component):
    """A `Stage` for payloads of which few bits are needed early: those come from flip-flops, the rest from a memory of two words in LUTs.

    So an `o.ready` that comes late is the enable of those few flip-flops and moves one pointer, whatever the width. Everything else is as in `Stage`:
    latency, throughput, two words, `i.ready` and `o.valid` from flip-flops; reset empties it.

    Parameters
    ----------
    shape : StructLayout
        Payload.
    early : tuple of str
        Its members that come from flip-flops.

    Members
    -------
    i, o : streams of `shape`

    Raises
    ------
    ValueError
        if `early` is empty, or names a member that the payload has not, or every one it has: that is a `Stage`.
    """

    #: Words held.
    DEPTH = 2

    def __init__(self, *, shape: data.StructLayout, early: tuple[str, ...]) -> None:
        if not set(early) or not set(early) < set(shape.members):
            raise ValueError(f"early must name some members of the payload, but not all, of {', '.join(shape.members)}, not {early!r}")
        self._early = early
        self._late = tuple(name for name in shape.members if name not in early)
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()

        def fields(payload: Any, names: tuple[str, ...]) -> Value:
            return Cat(Value.cast(payload[name]) for name in names)

        coming, late = fields(self.i.payload, self._early), fields(self.i.payload, self._late)
        # There may be nothing of it, as the bank of an address where there is one bank.
        m.submodules.early = stage = Stage(shape=max(1, len(coming)))
        m.submodules.storage = storage = memory.Memory(shape=len(late), depth=2, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        m.d.comb += [
            stage.i.valid.eq(self.i.valid),
            stage.i.payload.eq(coming),
            self.i.ready.eq(stage.i.ready),
            self.o.valid.eq(stage.o.valid),
            stage.o.ready.eq(self.o.ready),
            fields(self.o.payload, self._early).eq(stage.o.payload),
            write.en.eq(self.i.valid & self.i.ready),
            write.data.eq(late),
            fields(self.o.payload, self._late).eq(read.data),
        ]
        m.d.sync += [write.addr.eq(write.addr ^ write.en), read.addr.eq(read.addr ^ (self.o.valid & self.o.ready))]
        return m


def connect_streams(m: Module, source: Any, sink: Any) -> None:
    """Connects `source` to `sink`, both flipped or not as seen from their components, and checks the payload shapes.

    `wiring.connect` compares widths only; here signedness and struct fields must be equal too.

    Raises
    ------
    TypeError
        if the payload shapes differ.
    """

    def described(interface: Any) -> Any:
        shape = interface.signature.members["payload"].shape
        return shape if isinstance(shape, data.Layout) else Shape.cast(shape)

    left, right = described(source), described(sink)
    if left != right:
        raise TypeError(f"payload shapes must be equal, not {left!r} (source) and {right!r} (sink)")
    m.d.comb += [sink.valid.eq(source.valid), Value.cast(sink.payload).eq(Value.cast(source.payload)), source.ready.eq(sink.ready)]
