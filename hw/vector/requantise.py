"""Requantisation of one lane: int32 to int8 by a multiplier and a right shift."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Bits of a multiplier and of a shift field, and the largest shift; larger ones act as this one.
MULTIPLIER_BITS, SHIFT_BITS, SHIFT_MAX = 16, 6, 47
#: A product: 32 bits signed times 16 unsigned.
PRODUCT_BITS = 48
#: What a shift by 0..7 needs: guard bit, eight bits of result, and those that come down.
WINDOW = 1 + 8 + 7


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

        # One bit below the binary point: bit 0 of what the shift leaves is the guard bit, the floor is above it. The shift is made in two steps: by
        # multiples of eight, of which only the window that the rest can reach is kept, then by the rest.
        wide = Cat(C(0, 1), product, product[-1].replicate(WINDOW))
        steps = range(SHIFT_MAX // 8 + 1)
        window, fine = Signal(WINDOW, reset_less=True), Signal(3, reset_less=True)
        # `sign`; `beyond`: a bit above the window differs from it; `some`: a bit below the window is set.
        sign, beyond, some = Signal(reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        differs = Cat(bit ^ product[-1] for bit in wide[: PRODUCT_BITS + 1])
        above = [
            differs[8 * step + WINDOW : 8 * step + WINDOW + 8].any() & (shift[3:] <= step)
            for step in steps
            if 8 * step + WINDOW <= PRODUCT_BITS
        ]
        below = [wide[8 * step : 8 * step + 8].any() & (shift[3:] > step) for step in steps[:-1]]
        with m.Switch(shift[3:]):
            for step in steps:
                with m.Case(step):
                    m.d.sync += window.eq(wide[8 * step :])
            with m.Default():
                m.d.sync += window.eq(wide[8 * steps[-1] :])
        m.d.sync += [fine.eq(shift), sign.eq(product[-1]), beyond.eq(Cat(above).any()), some.eq(Cat(below).any())]

        floor, guard, lost = Signal(8, reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        negative, overflow = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            Cat(guard, floor).eq(window >> fine),
            lost.eq(some | Cat(window[bit] & (fine > bit) for bit in range(7)).any()),
            negative.eq(sign),
            overflow.eq(beyond | Cat((window[8 + bit] ^ sign) & (fine <= bit) for bit in range(WINDOW - 8)).any()),
        ]

        # What does not fit saturates whatever is added, and 127 is not added to.
        result, largest = Signal(signed(8), reset_less=True), floor == 127
        up = guard & (floor[0] | lost) & ~largest
        m.d.sync += result.eq(Mux(overflow, Mux(negative, -128, 127), (floor + up)[:8].as_signed()))
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
