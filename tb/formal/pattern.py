"""`PatternWalker`: its output obeys the stream rules."""

from typing import Any

from amaranth.hdl import Assert, Cover, Module, Signal
from amaranth.lib import wiring

from hw.memory.pattern import PatternWalker

from .rules import free, held
from .runner import Proof

SIZE_BITS, ADDRESS_BITS, STRIDE_BITS = 2, 4, 3


def _walker(m: Module) -> PatternWalker:
    dut = PatternWalker(size_width=SIZE_BITS, addresses={"address": (ADDRESS_BITS, STRIDE_BITS)})
    m.submodules.dut = dut
    free(m, dut.i.valid, dut.i.payload, dut.o.ready)
    return dut


class StreamSpec(wiring.Component):
    """Whatever the patterns, sizes of 0 included, and whatever they do while they are refused."""

    def __init__(self) -> None:
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        dut = _walker(m)
        held(m, dut.o, name="o")
        waiting, active = Signal(), Signal()
        taken, ends = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready & dut.o.payload.last
        with m.If(taken | ends):
            m.d.sync += active.eq(taken)
        m.d.sync += waiting.eq(dut.o.valid & ~dut.o.ready)
        m.d.comb += [
            # A step exactly while a pattern is inside, and the next one is taken with the last step.
            Assert(dut.o.valid == active),
            Assert(dut.i.ready == (~active | ends)),
            Cover(waiting & ends & taken),
        ]
        return m


PROOFS = (
    Proof(
        name="pattern.stream",
        doc="PatternWalker: valid and payload hold, a step exactly while a pattern is inside, no bubble between patterns",
        spec=StreamSpec,
        depth=2,
        cover_depth=6,
    ),
)
