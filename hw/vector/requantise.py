"""Requantisation of one lane: int32 to int8 by a multiplier and a right shift."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import MULTIPLIERS
from ..common.mult18x18d import mult18x18d

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

    Parameters
    ----------
    multiplier : str
        `ChipConfig.multiplier`. With "ecp5" the two products are two MULT18X18D, whose own registers are those before and behind the multipliers; with any
        other they are left to synthesis. Every cycle's result is the same.

    Members
    -------
    i : In(signed(32))
    i_multiplier : In(16)
    i_shift : In(6)
        0..47; larger values act as 47.
    o : Out(signed(8))

    Raises
    ------
    ValueError
        if `multiplier` is none of `MULTIPLIERS`.
    """

    #: Cycles from operands to result.
    LATENCY = 6

    def __init__(self, *, multiplier: str = "generic") -> None:
        if multiplier not in MULTIPLIERS:
            raise ValueError(f"multiplier must be {', '.join(MULTIPLIERS)}, not {multiplier!r}")
        self._multiplier = multiplier
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
        low_product, high_product = self._halves(m)
        shift = Signal(range(SHIFT_MAX + 1), reset_less=True)
        next_shift, last_shift = Signal.like(shift, reset_less=True), Signal.like(shift, reset_less=True)
        product = Signal(signed(PRODUCT_BITS), reset_less=True)
        m.d.sync += [
            shift.eq(Mux(self.i_shift > SHIFT_MAX, SHIFT_MAX, self.i_shift)),
            next_shift.eq(shift),
            product.eq((high_product << half) + low_product),
            last_shift.eq(next_shift),
        ]
        return product, last_shift

    def _halves(self, m: Module) -> tuple[Value, Value]:
        """The products of the halves of `i`, unsigned and signed, two cycles later."""
        half = MULTIPLIER_BITS
        below, above = self.i[:half], self.i[half:].as_signed()
        if self._multiplier == "ecp5":
            products = mult18x18d(m, "low", below, self.i_multiplier), mult18x18d(m, "high", above, self.i_multiplier)
            return products[0][: 2 * half], products[1][: 2 * half].as_signed()
        low, high, factor = Signal(half, reset_less=True), Signal(signed(half), reset_less=True), Signal(half, reset_less=True)
        low_product, high_product = Signal(2 * half, reset_less=True), Signal(signed(2 * half), reset_less=True)
        m.d.sync += [
            low.eq(below),
            high.eq(above),
            factor.eq(self.i_multiplier),
            low_product.eq(low * factor),
            high_product.eq(high * factor),
        ]
        return low_product, high_product
