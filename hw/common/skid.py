"""A place to wait in: one word of a stream that costs no cycle when nobody waits."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class SkidBuffer(wiring.Component):
    """Passes `i` to `o` in the same cycle, and keeps one word while `o` is refused, so that `i` is accepted one word early.

    Latency: 0 cycles. Throughput: one transfer a cycle. `i.ready` comes from a register and depends on nothing else. Reset drops
    the word kept.

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
        full = Signal()
        kept = Signal(len(Value.cast(self.i.payload)), reset_less=True)
        m.d.comb += [
            self.i.ready.eq(~full),
            self.o.valid.eq(self.i.valid | full),
            Value.cast(self.o.payload).eq(self.i.payload),
        ]
        with m.If(full):
            m.d.comb += Value.cast(self.o.payload).eq(kept)
            m.d.sync += full.eq(~self.o.ready)
        with m.Else():
            m.d.sync += [full.eq(self.i.valid & ~self.o.ready), kept.eq(self.i.payload)]
        return m
