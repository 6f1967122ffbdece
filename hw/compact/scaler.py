"""Multiplier and shifter of the compact chip's output stage: two bits a cycle."""

from typing import Any

from amaranth.hdl import C, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..vector.requantise import MULTIPLIER_BITS, SHIFT_BITS, SHIFT_MAX

#: Bits of the quotient that are kept, and steps they take.
QUOTIENT_BITS = 8
QUOTIENT_STEPS = QUOTIENT_BITS // 2
#: Steps after which the whole multiplier is used: two bits each of it and of the place to shift it by one or two.
MULTIPLIER_STEPS = (MULTIPLIER_BITS + 2) // 2


def requantise_steps(shift: int) -> int:
    """Steps of a requantisation with the scale word's `shift`, 0..63."""
    return max(min(shift, SHIFT_MAX) // 2 + 1 + QUOTIENT_STEPS, MULTIPLIER_STEPS)


class Scaler(wiring.Component):
    """Multiplies `i_x` by a scale word's multiplier, least significant bits first, and lets the product run out through an octet.

    The product leaves the sum two bits a step, into the top of the octet; what falls off its bottom leaves the guard and the sticky bit. An even
    number of steps is had for odd and even shifts by moving the multiplier up one or two bits first. For short shifts the octet has the
    quotient before the multiplier is used up: it is frozen, and what still leaves the sum tells only whether the quotient fits.

    Latency: `requantise_steps(shift)` cycles with `i_step`, without a gap; the last has `o_last_step`, and in the cycle after it `o` is the
    requantised octet. With `i_plain` the number itself: an octet each `QUOTIENT_STEPS` steps, lowest first. Throughput: one number at a
    time. Reset: a cycle without `i_step` does the same.

    Members
    -------
    i_multiplier : In(16), i_shift : In(6)
    i_plain : In(1)
        No scaling, rounding nor saturation. Must stay from `i_load` to the last `o`.
    i_load : In(1)
        Takes a scale word; not while it steps.
    i_x : In(signed(32))
        Must stay while it steps, and have a cycle without a step before.
    i_zero : In(1)
        The product is 0. As `i_x`.
    i_step : In(1)
        Works in this cycle.
    o_last_step : Out(1)
        This step is the octet's last.
    o : Out(8)
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i_x": In(signed(32)), "i_multiplier": In(MULTIPLIER_BITS), "i_shift": In(SHIFT_BITS), "i_zero": In(1), "i_plain": In(1),
                "i_load": In(1), "i_step": In(1), "o_last_step": Out(1), "o": Out(QUOTIENT_BITS),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        total = Signal(signed(32), reset_less=True)
        octet = Signal(QUOTIENT_BITS, reset_less=True)
        guard, sticky, misfit = Signal(reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        digit, is_frozen = self._control(m)

        # Two steps of one bit: add if the multiplier's bit is set, and halve. The sum stays within the range of x.
        first, second = Signal(signed(33)), Signal(signed(33))
        m.d.comb += [
            first.eq(Mux(digit[0], total + self.i_x, total)),
            second.eq(Mux(digit[1], (first >> 1) + self.i_x, first >> 1)),
        ]
        m.d.sync += [total.eq(second >> 1), misfit.eq(misfit | (is_frozen & ((first[0] != octet[-1]) | (second[0] != octet[-1]))))]
        with m.If(~is_frozen):
            m.d.sync += [octet.eq(Cat(octet[2:], first[0], second[0])), guard.eq(octet[1]), sticky.eq(sticky | guard | octet[0])]
        with m.If(~self.i_step | self.i_zero):
            m.d.sync += [value.eq(0) for value in (total, octet, guard, sticky, misfit)]

        fits, up = Signal(), Signal()
        m.d.comb += [
            fits.eq(self.i_plain | ~(misfit | (total != octet[-1].replicate(32).as_signed()))),
            # 127 and a half stays 127.
            up.eq(~self.i_plain & guard & (sticky | octet[0]) & ~(octet == 0x7F)),
            self.o.eq(Mux(fits, octet + up, Cat((~total[-1]).replicate(QUOTIENT_BITS - 1), total[-1]))),
        ]
        return m

    def _control(self, m: Module) -> tuple[Any, Any]:
        """The multiplier's two bits of this step, and whether the octet is complete."""
        multiplier = Signal(2 * MULTIPLIER_STEPS, reset_less=True)
        limit = Signal(range(SHIFT_MAX // 2 + QUOTIENT_STEPS + 1), reset_less=True)
        # Which step comes next; the octet's last step or one after it; one after it; the last of the multiplier or one after it.
        step, is_complete, is_frozen, is_used = Signal.like(limit, init=1), Signal(), Signal(), Signal()
        is_over, is_odd = Signal(), Signal()
        m.d.comb += [is_over.eq(self.i_shift > SHIFT_MAX), is_odd.eq(self.i_shift[0] | is_over)]
        half = Mux(is_over, Const(SHIFT_MAX // 2), self.i_shift[1:])
        with m.If(self.i_load):
            m.d.sync += [
                multiplier.eq(Cat(C(0, 1), Mux(is_odd, Cat(self.i_multiplier, C(0, 1)), Cat(C(0, 1), self.i_multiplier)))),
                limit.eq(half + QUOTIENT_STEPS),
            ]
            with m.If(self.i_plain):
                m.d.sync += [multiplier.eq(1), limit.eq(QUOTIENT_STEPS - 1)]
        with m.Elif(self.i_step):
            m.d.sync += multiplier.eq(multiplier >> 2)
        m.d.comb += self.o_last_step.eq(self.i_step & is_complete & (self.i_plain | is_used))
        m.d.sync += [
            step.eq(step + 1),
            is_complete.eq(is_complete | (step == limit)),
            is_frozen.eq(is_complete),
            is_used.eq(step >= MULTIPLIER_STEPS - 1),
        ]
        with m.If(~self.i_step | self.o_last_step):
            m.d.sync += [step.eq(1), is_complete.eq(0), is_frozen.eq(0)]
        return multiplier[:2], is_frozen
