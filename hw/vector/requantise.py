"""Requantisation of one lane: int32 to int8 by a multiplier and a right shift."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Bits of a multiplier and of a shift field, and the largest shift; larger ones act as this one.
MULTIPLIER_BITS, SHIFT_BITS, SHIFT_MAX = 16, 6, 47
#: A product: 32 bits signed times 16 unsigned.
PRODUCT_BITS = 48


class Requantise(wiring.Component):
    """saturate8(round_half_even(i * i_multiplier / 2**i_shift)).

    Latency: `Requantise.LATENCY` (3) cycles: a register after the multiplier (which a DSP block absorbs), one after the shifter, one after
    rounding and saturation. Throughput: one value a cycle, never stalls. Reset: none, it holds data only.

    Members
    -------
    i : In(signed(32))
    i_multiplier : In(16)
    i_shift : In(6)
        0..47; larger values act as 47.
    o : Out(signed(8))
    """

    #: Cycles from operands to result.
    LATENCY = 3

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(signed(32)),
                "i_multiplier": In(unsigned(MULTIPLIER_BITS)),
                "i_shift": In(unsigned(SHIFT_BITS)),
                "o": Out(signed(8)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        product = Signal(signed(PRODUCT_BITS), reset_less=True)
        shift = Signal(range(SHIFT_MAX + 1), reset_less=True)
        m.d.sync += [
            product.eq(self.i * self.i_multiplier),
            shift.eq(Mux(self.i_shift > SHIFT_MAX, SHIFT_MAX, self.i_shift)),
        ]

        # One bit below the binary point: `shifted` is the guard bit, then the floor. Bits shifted out further are `sticky`.
        shifted = Signal(signed(PRODUCT_BITS + 1))
        lost = Signal(PRODUCT_BITS - 1)
        m.d.comb += [
            shifted.eq(Cat(C(0, 1), product).as_signed() >> shift),
            lost.eq(Cat(product[bit] & (shift > bit + 1) for bit in range(PRODUCT_BITS - 1))),
        ]
        # The floor is cut to nine bits first, so that the rounding adder is short; -256 and 255 saturate whatever is added.
        floor, up = Signal(signed(9), reset_less=True), Signal(reset_less=True)
        upper = shifted[9:]
        fits = (upper == 0) | upper.all()
        m.d.sync += [
            floor.eq(Mux(fits, shifted[1:10], Mux(shifted[-1], C(0x100, 9), C(0x0FF, 9))).as_signed()),
            up.eq(shifted[0] & (shifted[1] | lost.any())),
        ]

        rounded = Signal(signed(10))
        m.d.comb += rounded.eq(floor + up)
        result = Signal(signed(8), reset_less=True)
        m.d.sync += result.eq(Mux(rounded > 127, 127, Mux(rounded < -128, -128, rounded)))
        m.d.comb += self.o.eq(result)
        return m
