"""The fp32 adder: IEEE-754 round to nearest even, subnormals as zero, in a chosen number of pipeline stages.

The number formats are defined in docs/formats.md; `sim.golden.formats.fp32_add` is the bit-exact model.
"""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, ValueLike, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: The one NaN the hardware makes.
CANONICAL_NAN = 0x7FC00000

#: Segments of the adder, in order.
SEGMENTS = ("order", "align", "add", "coarse", "fine", "round")

#: After which segments a register stands, by number of stages (the last, after "round", belongs to the user of `fp32_sum`).
#: Chosen for the shortest longest path in units of LUT levels; where two cuts tie, the one that holds fewer bits.
CUTS: dict[int, tuple[str, ...]] = {
    2: ("add",),
    3: ("add", "fine"),
    4: ("order", "add", "fine"),
    5: ("order", "add", "coarse", "fine"),
    6: ("order", "align", "add", "coarse", "fine"),
}


def hold(m: Module, registered: bool, prefix: str, **values: Value) -> dict[str, Signal]:
    """Names the values of one pipeline segment: registers without reset if `registered`, else wires. Data only, never control."""
    named = {key: Signal(value.shape(), name=f"{prefix}_{key}", reset_less=True) for key, value in values.items()}
    domain = m.d.sync if registered else m.d.comb
    for key, value in values.items():
        domain += named[key].eq(value)
    return named


def check_stages(stages: int, low: int, high: int) -> None:
    """Raises `ValueError` unless `stages` is an integer from `low` to `high`."""
    if not isinstance(stages, int) or isinstance(stages, bool) or not low <= stages <= high:
        raise ValueError(f"stages must be an integer from {low} to {high}, not {stages!r}")


def fp32_sum(m: Module, a: ValueLike, b: ValueLike, *, stages: int) -> Value:
    """The sum of `a` and `b` (fp32 bits) after `stages` - 1 cycles, as a wire: the last of the `stages` registers is the caller's.

    So a caller can choose between this sum and another value in front of that register. One sum a cycle, nothing stalls, no reset.

    Raises
    ------
    ValueError
        if `stages` is not 2 to 6.
    """
    check_stages(stages, 2, 6)
    cuts = CUTS[stages]
    now = _order(m, "order" in cuts, Value.cast(a), Value.cast(b))
    now = _align(m, "align" in cuts, now)
    now = _add(m, "add" in cuts, now)
    now = _normalise(m, "coarse" in cuts, now, "coarse", (16, 8))
    now = _normalise(m, "fine" in cuts, now, "fine", (4, 2, 1))
    return _round(now)


def _order(m: Module, registered: bool, a: Value, b: Value) -> dict[str, Signal]:
    """Sorts the operands by magnitude; so NaN, then infinity, is always `big`, and the difference below never negative."""
    swap = Signal(name="order_swap")
    big, small = Signal(32, name="order_big"), Signal(32, name="order_small")
    subtract, special = Signal(name="order_sub"), Signal(name="order_inf")
    m.d.comb += [
        swap.eq(a[:31] < b[:31]),
        big.eq(Mux(swap, b, a)),
        small.eq(Mux(swap, a, b)),
        subtract.eq(a[31] ^ b[31]),
        special.eq(big[23:31] == 0xFF),
    ]
    nan = special & (big[:23].any() | (subtract & (small[23:31] == 0xFF)))
    distance = (big[23:31] - small[23:31])[:8]
    return hold(
        m, registered, "ordered",
        sign=big[31], exponent=big[23:31], subtract=subtract, special=special, nan=nan,
        distance=Mux(distance[5:].any(), C(31, 5), distance[:5]),
        # A subnormal operand counts as zero: without a hidden bit, and its fraction is dropped.
        big=Mux(big[23:31].any(), Cat(big[:23], C(1, 1)), C(0, 24)),
        small=Mux(small[23:31].any(), Cat(small[:23], C(1, 1)), C(0, 24)),
    )  # fmt: skip


def _align(m: Module, registered: bool, now: dict[str, Signal]) -> dict[str, Signal]:
    """Moves the smaller significand under the larger one: 24 bits, two more below, and a sticky bit for all that fell off."""
    wide = Cat(C(0, 2), now.pop("small"))
    distance = now.pop("distance")
    kept = wide >> distance
    dropped = wide & ~(C((1 << 26) - 1, 26) << distance)[:26]
    return hold(m, registered, "aligned", **now, small=Cat(dropped.any(), kept[:26]))


def _add(m: Module, registered: bool, now: dict[str, Signal]) -> dict[str, Signal]:
    """Adds or subtracts the significands: 28 bits, never negative."""
    subtract = now["subtract"]
    small = Cat(now.pop("small"), C(0, 1)) ^ subtract.replicate(28)
    total = (Cat(C(0, 3), now.pop("big")) + small + subtract)[:28]
    exponent = (now.pop("exponent") + 1)[:9]
    return hold(m, registered, "added", **now, exponent=Cat(exponent, C(0, 1)).as_signed(), total=total)


def _normalise(m: Module, registered: bool, now: dict[str, Signal], prefix: str, steps: tuple[int, ...]) -> dict[str, Signal]:
    """Shifts leading zeros out by the given powers of two, and counts them off the exponent."""
    total: Value = now.pop("total")
    taken = []
    for step in steps:
        shift = Signal(name=f"{prefix}_by{step}")
        shifted = Signal(28, name=f"{prefix}_left{step}")
        m.d.comb += [shift.eq(~total[28 - step :].any()), shifted.eq(Mux(shift, Cat(C(0, step), total[: 28 - step]), total))]
        total = shifted
        taken.append(shift)
    zeros = Cat(C(0, min(steps).bit_length() - 1), *reversed(taken))
    exponent = (now.pop("exponent") - zeros)[:10].as_signed()
    return hold(m, registered, prefix, **now, exponent=exponent, total=total)


def _round(now: dict[str, Signal]) -> Value:
    """Rounds to nearest even and puts infinity, NaN and zero in place."""
    total, exponent = now["total"], now["exponent"]
    is_zero = ~total[27]
    # Exact cancellation gives +0; two zeros of one sign keep it.
    sign = now["sign"] & ~(now["subtract"] & is_zero)
    up = total[3] & (total[4] | total[:3].any())
    # A carry out of the fraction moves on into the exponent, up to infinity.
    rounded = (Cat(total[4:27], exponent[:8]) + up)[:31]
    infinite = now["special"] | (exponent >= 255)
    magnitude = Mux(infinite, C(0xFF << 23, 31), Mux(is_zero | (exponent <= 0), C(0, 31), rounded))
    return Mux(now["nan"], C(CANONICAL_NAN, 32), Cat(magnitude, sign))


class Fp32Adder(wiring.Component):
    """Adds two fp32 numbers: IEEE-754 round to nearest even, subnormals as zero (docs/formats.md).

    Latency: `o` is the sum of the operands exactly `stages` cycles before; the last stage is an output register. Throughput: one sum a
    cycle, nothing stalls. Reset: none, it holds data only.

    Parameters
    ----------
    stages : int
        Register stages, 2 to 6.

    Members
    -------
    a, b : In(32)
        Operands, fp32 bits.
    o : Out(32)
        Sum, fp32 bits. Every NaN is 0x7FC00000.

    Raises
    ------
    ValueError
        if `stages` is not 2 to 6.
    """

    def __init__(self, *, stages: int) -> None:
        check_stages(stages, 2, 6)
        self._stages = stages
        super().__init__({"a": In(unsigned(32)), "b": In(unsigned(32)), "o": Out(unsigned(32))})

    @property
    def stages(self) -> int:
        """Cycles from operands to sum."""
        return self._stages

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        total = Signal(32, reset_less=True)
        m.d.sync += total.eq(fp32_sum(m, self.a, self.b, stages=self._stages))
        m.d.comb += self.o.eq(total)
        return m
