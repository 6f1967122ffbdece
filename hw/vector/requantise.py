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

    Latency: `Requantise.LATENCY` (6) cycles: registers before the multipliers, which take half of `i` each and are what a DSP block has; behind
    them; behind the sum of their products; after the two halves of the shifter; after rounding and saturation. Throughput: one value a cycle, never stalls.
    Reset: none, it holds data only.

    Members
    -------
    i : In(signed(32))
    i_multiplier : In(16)
    i_shift : In(6)
        0..47; larger values act as 47.
    o : Out(signed(8))
    """

    #: Cycles from operands to result.
    LATENCY = 6

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
        product, shift = self._multiply(m)

        # One bit below the binary point: `shifted` is the guard bit, then the floor. Bits shifted out further are `sticky`. The shift is made in two
        # steps: by multiples of eight, then by the rest.
        wide = Cat(C(0, 1), product).as_signed()
        coarse, fine, some = Signal(signed(PRODUCT_BITS + 1), reset_less=True), Signal(3, reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            coarse.eq(wide >> (shift & 0x38)),
            fine.eq(shift),
            some.eq(Cat(wide[8 * step : 8 * step + 8].any() & (shift[3:] > step) for step in range(SHIFT_MAX // 8 + 1)).any()),
        ]
        shifted = Signal(signed(PRODUCT_BITS + 1))
        lost = Signal()
        m.d.comb += [
            shifted.eq(coarse >> fine),
            lost.eq(some | Cat(coarse[bit] & (fine > bit) for bit in range(7)).any()),
        ]
        # The floor is cut to nine bits first, so that the rounding adder is short; -256 and 255 saturate whatever is added.
        floor, up = Signal(signed(9), reset_less=True), Signal(reset_less=True)
        upper = shifted[9:]
        fits = (upper == 0) | upper.all()
        m.d.sync += [
            floor.eq(Mux(fits, shifted[1:10], Mux(shifted[-1], C(0x100, 9), C(0x0FF, 9))).as_signed()),
            up.eq(shifted[0] & (shifted[1] | lost)),
        ]

        rounded = Signal(signed(10))
        m.d.comb += rounded.eq(floor + up)
        result = Signal(signed(8), reset_less=True)
        m.d.sync += result.eq(Mux(rounded > 127, 127, Mux(rounded < -128, -128, rounded)))
        m.d.comb += self.o.eq(result)
        return m

    def _multiply(self, m: Module) -> tuple[Signal, Signal]:
        """The product, and the shift that belongs to it."""
        half = MULTIPLIER_BITS
        low, high = Signal(half, reset_less=True), Signal(signed(half), reset_less=True)
        factor, shift = Signal(half, reset_less=True), Signal(range(SHIFT_MAX + 1), reset_less=True)
        low_product, high_product = Signal(2 * half, reset_less=True), Signal(signed(2 * half), reset_less=True)
        next_shift, last_shift = Signal.like(shift, reset_less=True), Signal.like(shift, reset_less=True)
        product = Signal(signed(PRODUCT_BITS), reset_less=True)
        m.d.sync += [
            low.eq(self.i[:half]),
            high.eq(self.i[half:].as_signed()),
            factor.eq(self.i_multiplier),
            shift.eq(Mux(self.i_shift > SHIFT_MAX, SHIFT_MAX, self.i_shift)),
            low_product.eq(low * factor),
            high_product.eq(high * factor),
            next_shift.eq(shift),
            product.eq((high_product << half) + low_product),
            last_shift.eq(next_shift),
        ]
        return product, last_shift
