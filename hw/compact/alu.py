"""Accumulator and arithmetic of the compact processor."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .encoding import Operation, Source


class Alu(wiring.Component):
    """A, the carry flag, and what is done with them (`Operation`); about five LUTs a bit.

    An instruction takes two cycles, with the same source and operation: `i_input` and A are looked at in the first, `i_memory` in the second. A and
    carry change at the end of the second, with `i_execute`. Reset changes neither.

    Members
    -------
    i_source : In(Source), i_operation : In(4), i_execute : In(1)
    i_memory, i_input : In(32)
        S of these sources.
    o_s : Out(32)
    o_a : Out(32), o_carry : Out(1)
        Registers.
    o_zero : Out(1)
        A is 0.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i_source": In(2), "i_operation": In(4), "i_execute": In(1), "i_memory": In(32), "i_input": In(32),
                "o_s": Out(32), "o_a": Out(32), "o_carry": Out(1), "o_zero": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        a, carry = Signal(32, reset_less=True), Signal(reset_less=True)
        # Kept, the sum is a cell of its own behind the carries: merged with the multiplexer behind it, and with A and its enable, the inputs of
        # eight neighbours on an iCE40 are more than its tile has wires, and the carry chain is broken.
        s, b, total = Signal(32), Signal(32), Signal(33, attrs={"keep": 1})
        # All but the memory is chosen in the cycle before, in which A is what it will be: the cycle that adds begins with two LUTs.
        other = Signal(32, reset_less=True)
        with m.Switch(self.i_source):
            with m.Case(Source.ROTATED):
                m.d.sync += other.eq(a.rotate_right(4))
            with m.Case(Source.SHIFTED):
                m.d.sync += other.eq(a >> 1)
            with m.Default():
                m.d.sync += other.eq(self.i_input)
        m.d.comb += s.eq(Mux(self.i_source == Source.MEMORY, self.i_memory, other))
        kind, sums = self.i_operation[:2], self.i_operation[2]
        subtracts = kind == Operation.SUBTRACT & 3
        with m.Switch(kind):
            with m.Case(Operation.LOAD & 3):
                m.d.comb += b.eq(s)
            with m.Case(Operation.SUBTRACT & 3):
                m.d.comb += b.eq(~s)
            with m.Case(Operation.AND & 3):
                m.d.comb += b.eq(a & s)
            with m.Case(Operation.OR & 3):
                m.d.comb += b.eq(~a & s)
        m.d.comb += [
            total.eq(a + b + subtracts),
            self.o_s.eq(s),
            self.o_a.eq(a),
            self.o_carry.eq(carry),
            self.o_zero.eq(a == 0),
        ]
        with m.If(self.i_execute & self.i_operation[3]):
            m.d.sync += a.eq(Mux(sums, total, b))
        with m.If(self.i_execute & sums):
            m.d.sync += carry.eq(total[32])
        return m
