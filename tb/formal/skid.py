"""`SkidBuffer`: every word comes out once, unchanged and in order, and a refused word stays at its output."""

from typing import Any

from amaranth.hdl import Assert, Cover, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.common.skid import SkidBuffer
from hw.common.streams import connect_streams

from .rules import held
from .runner import Proof

WIDTH = 3


class SkidSpec(wiring.Component):
    """Follows one word, any one, from its transfer at `i` to its transfer at `o`.

    At most one word is inside, so the next to leave is the watched one; that none leaves twice or from nothing is in the count of words inside.
    The giver may break the stream rules: nothing is assumed of it.
    """

    def __init__(self) -> None:
        shape = stream.Signature(WIDTH)
        super().__init__({"i": In(shape), "o": Out(shape), "watch": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = SkidBuffer(shape=WIDTH)
        connect_streams(m, wiring.flipped(self).i, dut.i)
        connect_streams(m, dut.o, wiring.flipped(self).o)
        held(m, dut.o, name="o")
        push, pop = Signal(), Signal()
        m.d.comb += [push.eq(dut.i.valid & dut.i.ready), pop.eq(dut.o.valid & dut.o.ready)]
        inside, watching, word = Signal(2), Signal(), Signal(WIDTH)
        m.d.sync += inside.eq(inside + push - pop)
        m.d.comb += [
            Assert(inside <= 1),
            Assert(dut.i.ready == (inside == 0)),
            Assert(dut.o.valid == ((inside != 0) | dut.i.valid)),
            # A word that nobody waits behind costs no cycle.
            Assert((inside != 0) | (dut.o.payload == dut.i.payload)),
            Assert(~watching | ((inside == 1) & dut.o.valid & (dut.o.payload == word))),
            Cover(watching & pop & (word == 5) & dut.i.valid & (dut.i.payload == 2)),
            Cover(push & pop),
        ]
        with m.If(watching & pop):
            m.d.sync += watching.eq(0)
        with m.If(push & ~pop & self.watch):
            m.d.sync += [watching.eq(1), word.eq(dut.i.payload)]
        return m


PROOFS = (
    Proof(
        name="skid.buffer",
        doc="SkidBuffer: an arbitrary word leaves once, unchanged, in its turn; valid and payload hold",
        spec=SkidSpec,
        depth=2,
        cover_depth=6,
    ),
)
