"""bf16: the multiplier whose product is an exact fp32, and rounding of fp32 to bf16.

The number formats are defined in docs/formats.md; `sim.golden.formats` has the bit-exact models.
"""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, ValueLike, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .fp32 import CANONICAL_NAN, check_stages, hold

#: The one bf16 NaN the hardware makes.
CANONICAL_BF16_NAN = 0x7FC0


def bf16_product(m: Module, a: ValueLike, b: ValueLike, skip: ValueLike, *, stages: int) -> Value:
    """The product of `a` and `b` (bf16 bits) as fp32 bits after `stages` - 1 cycles, as a wire: the last register is the caller's.

    With `skip` it is -0 whatever the operands are: the number that changes no fp32 it is added to.
    From two stages on the registers stand after the multiplication, then in front of it, then a second time after it: the places
    where a DSP block has its own.

    Raises
    ------
    ValueError
        if `stages` is not 1 to 4.
    """
    check_stages(stages, 1, 4)
    taken = hold(m, stages >= 3, "operand", a=Value.cast(a), b=Value.cast(b), skip=Value.cast(skip))
    now = _multiply(m, stages >= 2, taken["a"], taken["b"], taken["skip"])
    now = hold(m, stages >= 4, "product", **now)
    return _pack(m, now)


def _multiply(m: Module, registered: bool, a: Signal, b: Signal, skip: Signal) -> dict[str, Signal]:
    """Multiplies the significands, adds the exponents, finds the special cases."""
    zero, special, nan = Signal(name="any_zero"), Signal(name="any_special"), Signal(name="any_nan")
    m.d.comb += [
        zero.eq(~a[7:15].any() | ~b[7:15].any()),
        special.eq(a[7:15].all() | b[7:15].all()),
        # With an exponent of all ones on either side: a NaN among them, or infinity times zero (a subnormal is zero).
        nan.eq(special & (zero | (a[:15] > 0x7F80) | (b[:15] > 0x7F80))),
    ]
    return hold(
        m, registered, "multiplied",
        sign=(a[15] ^ b[15]) | skip,
        zero=zero | skip,
        special=special,
        nan=nan & ~skip,
        exponent=(a[7:15] + b[7:15])[:9],
        significand=(Cat(a[:7], C(1, 1)) * Cat(b[:7], C(1, 1)))[:16],
    )  # fmt: skip


def _pack(m: Module, now: dict[str, Signal]) -> Value:
    """Normalises by at most one place; the 16-bit significand always fits, so there is nothing to round."""
    significand = now["significand"]
    carry = significand[15]
    exponent = Signal(10, name="biased_twice")
    m.d.comb += exponent.eq(now["exponent"] + carry)
    fraction = Mux(carry, Cat(C(0, 8), significand[:15]), Cat(C(0, 9), significand[:14]))
    infinite = now["special"] | (exponent >= 255 + 127)
    flushed = now["zero"] | (exponent <= 127)
    finite = Cat(fraction, (exponent - 127)[:8])
    # Zero comes first: with `skip` the operands may be anything.
    magnitude = Mux(flushed, C(0, 31), Mux(infinite, C(0xFF << 23, 31), finite))
    return Mux(now["nan"], C(CANONICAL_NAN, 32), Cat(magnitude, now["sign"]))


def round_to_bf16(value32: ValueLike) -> Value:
    """fp32 bits rounded to nearest even as bf16 bits (combinational).

    NaN gives 0x7FC0, a subnormal operand zero of its sign, overflow infinity.
    """
    value = Value.cast(value32)
    if len(value) != 32:
        raise ValueError(f"value32 must be 32 bits wide, not {len(value)}")
    up = value[15] & (value[16] | value[:15].any())
    rounded = (value[16:31] + up)[:15]
    is_nan = value[23:31].all() & value[:23].any()
    magnitude = Mux(value[23:31].any(), rounded, C(0, 15))
    return Mux(is_nan, C(CANONICAL_BF16_NAN, 16), Cat(magnitude, value[31]))


class Bf16Multiplier(wiring.Component):
    """Multiplies two bf16 numbers into an fp32 that is exact, but for flushing below 2**-126 and infinity from 2**128 (docs/formats.md).

    Latency: `o` is the product of the operands exactly `stages` cycles before; the last stage is an output register. Throughput: one
    product a cycle, nothing stalls. Reset: none, it holds data only.

    Parameters
    ----------
    stages : int
        Register stages, 1 to 4.

    Members
    -------
    a, b : In(16)
        Operands, bf16 bits. A subnormal counts as zero of its sign.
    skip : In(1)
        Makes the product -0 whatever the operands are: added to any fp32, it changes nothing. 0 if left unconnected.
    o : Out(32)
        Product, fp32 bits. Every NaN is 0x7FC00000.

    Raises
    ------
    ValueError
        if `stages` is not 1 to 4.
    """

    def __init__(self, *, stages: int) -> None:
        check_stages(stages, 1, 4)
        self._stages = stages
        super().__init__({"a": In(unsigned(16)), "b": In(unsigned(16)), "skip": In(1), "o": Out(unsigned(32))})

    @property
    def stages(self) -> int:
        """Cycles from operands to product."""
        return self._stages

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        product = Signal(32, reset_less=True)
        m.d.sync += product.eq(bf16_product(m, self.a, self.b, self.skip, stages=self._stages))
        m.d.comb += self.o.eq(product)
        return m
