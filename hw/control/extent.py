"""How far an access pattern reaches, and how many steps it has: the arithmetic of the instruction checks."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..common.isa import DIMENSIONS


class PatternExtent(wiring.Component):
    """Computes the lowest and highest address of an access pattern and the product of its sizes, without a multiplier.

    Every dimension adds (size - 1) * stride to the highest address, or to the lowest if the stride is negative; the product of the
    sizes p becomes p + (size - 1) * p. Both products run over the same digits of size - 1, two bits a cycle, from the lowest; leading zeros
    and dimensions of size 1 take no time. Sums only move away from where they began, so what has once left its range stays outside.

    Latency: `o_done` is low from the cycle after `i_start` and high from D + 2 cycles after it, D the sum over the dimensions of
    ceil(bit_length(size - 1) / 2), until the next start, which may come in the first cycle of `o_done`. Results are valid from the cycle after that, until
    the cycle after the next start; they are little logic behind flip-flops. A size of 0 counts as 1 here. Reset: `o_done` high, results undefined.

    Parameters
    ----------
    size_width : int
        Bits of a size.
    addresses : dict of str to (int, int, int)
        For each address: width of its base, of its (signed) strides, and bits of an address inside the range.
    limit : int
        Products of sizes up to it are exact.

    Members
    -------
    i_start : In(1)
    i_coming : In(array of 4)
        The sizes, read in the cycle before `i_start`.
    i_sizes : In(array of 4), i_NAME : In({base, strides[4]})
        The pattern, stable from the cycle after `i_start` until `o_done`.
    o_done : Out(1)
    o_product : Out, o_many : Out(1)
        Product of the sizes; with `o_many` it is above `limit` and `o_product` undefined.
    o_NAME : Out({low, high, beyond})
        Lowest and highest step of the pattern; undefined with `beyond`: some step is negative or needs more bits than an address has.

    Raises
    ------
    ValueError
        if a width or `limit` is below 1, or there is no address.
    """

    def __init__(self, *, size_width: int, addresses: dict[str, tuple[int, int, int]], limit: int) -> None:
        if size_width < 1:
            raise ValueError(f"size_width must be at least 1, not {size_width!r}")
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit!r}")
        if not addresses:
            raise ValueError("addresses must name at least one address, not {}")
        self._size_width = size_width
        self._limit = limit
        self._addresses = dict(addresses)
        sizes = data.ArrayLayout(unsigned(size_width), DIMENSIONS)
        members: dict[str, Any] = {
            "i_start": In(1),
            "i_coming": In(sizes),
            "i_sizes": In(sizes),
            "o_done": Out(1),
            "o_product": Out(range(limit + 1)),
            "o_many": Out(1),
        }
        for name, widths in addresses.items():
            if min(widths) < 1:
                raise ValueError(f"widths of {name} must be at least 1, not {widths!r}")
            base_width, stride_width, bits = widths
            members[f"i_{name}"] = In(
                data.StructLayout({"base": base_width, "strides": data.ArrayLayout(signed(stride_width), DIMENSIONS)})
            )
            members[f"o_{name}"] = Out(data.StructLayout({"low": bits, "high": bits, "beyond": 1}))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Dimension `current` (one-hot) is next to be walked, `others` after it; `short`: size - 1 is a single digit.
        current, others, short = Signal(DIMENSIONS), Signal(DIMENSIONS), Signal(DIMENSIONS)
        rest = Signal(self._size_width)
        fresh, stepping, final, loads = Signal(), Signal(), Signal(), Signal()
        size = reduce(or_, (Mux(current[dim], self.i_sizes[dim], 0) for dim in range(DIMENSIONS)))
        m.d.comb += [
            self.o_done.eq(~fresh & ~stepping),
            loads.eq(fresh | (stepping & final)),
        ]
        m.d.sync += [
            fresh.eq(self.i_start),
            rest.eq(Mux(loads, size - current.any(), rest[2:])),
            stepping.eq(Mux(loads, current.any(), stepping)),
            final.eq(Mux(loads, (current & short).any(), ~rest[4:].any())),
        ]
        todo, is_short = Signal(DIMENSIONS), Signal(DIMENSIONS)
        m.d.sync += [
            todo.eq(Cat(size[1:].any() for size in self.i_coming)),
            is_short.eq(Cat(~(size[3:].any() | (size[2:].any() & size[:2].any())) for size in self.i_coming)),
        ]
        with m.If(self.i_start):
            m.d.sync += [current.eq(_lowest(todo)), others.eq(todo & ~_lowest(todo)), short.eq(is_short)]
        with m.Elif(loads):
            m.d.sync += [current.eq(_lowest(others)), others.eq(others & ~_lowest(others))]
        self._product(m, rest[:2], fresh, stepping, loads)
        for name, widths in self._addresses.items():
            self._reach(m, name, widths, rest[:2], current, fresh, stepping, loads)
        return m

    def _product(self, m: Module, digit: Value, fresh: Value, stepping: Value, loads: Value) -> None:
        """p + digit * p << 2k; `multiple` is p << 2k of the p at the start of the dimension, `lost` that it has left the range."""
        width = len(self.o_product)
        multiple, following, lost = Signal(width), Signal(width + 2), Signal()
        m.d.comb += following.eq(self.o_product + Mux(digit[0], multiple, 0) + Mux(digit[1], multiple << 1, 0))
        # Where steps follow, so does a digit above 0: the last.
        m.d.sync += [
            self.o_product.eq(following),
            self.o_many.eq(self.o_many | following[width:].any() | (stepping & lost)),
            multiple.eq(Mux(loads, following, multiple << 2)),
            lost.eq(~loads & (lost | multiple[-2:].any())),
        ]
        with m.If(fresh):
            m.d.sync += [self.o_product.eq(1), self.o_many.eq(0), multiple.eq(1)]

    def _reach(
        self, m: Module, name: str, widths: tuple[int, int, int], digit: Value, current: Value, fresh: Value, stepping: Value, loads: Value
    ) -> None:
        """Adds digit * stride << 2k to the end of the pattern that the sign of the stride moves; the product is a cycle ahead of the sum."""
        _, stride_width, bits = widths
        pattern, reach = getattr(self, f"i_{name}"), getattr(self, f"o_{name}")
        # What does not fit `shifted` moves any address out of range.
        shifted = Signal(signed(max(bits + 2, stride_width)), name=f"{name}_shifted")
        term, negative = Signal(signed(len(shifted) + 2), name=f"{name}_term"), Signal(name=f"{name}_negative")
        moved = Signal(signed(len(term) + 1), name=f"{name}_moved")
        low, high = Signal(bits, name=f"{name}_low"), Signal(bits, name=f"{name}_high")
        lost, outside, above = Signal(name=f"{name}_lost"), Signal(name=f"{name}_outside"), Signal(len(moved) - bits, name=f"{name}_above")
        stride = reduce(or_, (Mux(current[dim], pattern.strides[dim].as_unsigned(), 0) for dim in range(DIMENSIONS)))
        m.d.comb += [
            moved.eq(Mux(fresh, pattern.base[:bits], Mux(negative, low, high)) + term),
            reach.low.eq(low),
            reach.high.eq(high),
            reach.beyond.eq(outside | above.any()),
        ]
        m.d.sync += [
            shifted.eq(Mux(loads, stride[:stride_width].as_signed(), shifted << 2)),
            lost.eq(~loads & (lost | (shifted[-3:].any() & ~shifted[-3:].all()))),
            term.eq(Mux(digit[0], shifted, 0) + Mux(digit[1], shifted << 1, 0)),
            negative.eq(shifted[-1]),
            above.eq(moved[bits:]),
            outside.eq(Mux(fresh, pattern.base[bits:].any(), outside | above.any() | (stepping & lost))),
        ]
        with m.If(fresh | negative):
            m.d.sync += low.eq(moved)
        with m.If(fresh | ~negative):
            m.d.sync += high.eq(moved)


def _lowest(bits: Value) -> Value:
    """The lowest of the bits that are set, alone."""
    return Cat(bits[index] & ~bits[:index].any() for index in range(len(bits)))
