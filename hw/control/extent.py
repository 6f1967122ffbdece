"""How far an access pattern reaches, and how many steps it has: the arithmetic of the instruction checks."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..common.isa import DIMENSIONS


class PatternExtent(wiring.Component):
    """Computes the lowest and highest address of an access pattern and the product of its sizes, without a multiplier.

    Every dimension adds (size - 1) * stride to the highest address, or to the lowest if the stride is negative; the product of the
    sizes p becomes p + (size - 1) * p. Both products run over the same digits of size - 1, two bits a cycle, from the lowest; leading zeros
    and dimensions of size 1 take no time.

    Latency: `o_done` is high from D + 1 cycles after `i_start`, D the sum over the dimensions of ceil(bit_length(size - 1) / 2), until the
    next start; results are valid with it. Inputs other than `i_start` must be stable from `i_start` to the end of use. A size of 0 counts
    as 1 here. Reset: `o_done` high, results undefined.

    Parameters
    ----------
    size_width : int
        Bits of a size.
    addresses : dict of str to (int, int)
        For each address: width of its base and of its (signed) strides.
    limit : int
        The product of sizes saturates at `limit` + 1.

    Members
    -------
    i_start : In(1)
    i_sizes : In(array of 4)
    i_NAME : In({base, strides[4]})
    o_done : Out(1)
    o_product : Out
        Product of the sizes, or limit + 1 if it is above `limit`.
    o_NAME : Out({low, high})
        Lowest and highest step of the pattern, exact and signed.

    Raises
    ------
    ValueError
        if a width or `limit` is below 1, or there is no address.
    """

    def __init__(self, *, size_width: int, addresses: dict[str, tuple[int, int]], limit: int) -> None:
        if size_width < 1:
            raise ValueError(f"size_width must be at least 1, not {size_width!r}")
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit!r}")
        if not addresses:
            raise ValueError("addresses must name at least one address, not {}")
        self._size_width = size_width
        self._limit = limit
        self._addresses = dict(addresses)
        members: dict[str, Any] = {
            "i_start": In(1),
            "i_sizes": In(data.ArrayLayout(unsigned(size_width), DIMENSIONS)),
            "o_done": Out(1),
            "o_product": Out(range(limit + 2)),
        }
        for name, widths in addresses.items():
            if min(widths) < 1:
                raise ValueError(f"widths of {name} must be at least 1, not {widths!r}")
            base_width, stride_width = widths
            # |sum| < DIMENSIONS * 2**size_width * 2**(stride_width - 1) + 2**base_width
            reach = signed(max(size_width + stride_width + 1, base_width) + 2)
            members[f"i_{name}"] = In(
                data.StructLayout({"base": base_width, "strides": data.ArrayLayout(signed(stride_width), DIMENSIONS)})
            )
            members[f"o_{name}"] = Out(data.StructLayout({"low": reach, "high": reach}))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        todo, pending = Signal(DIMENSIONS), Signal(DIMENSIONS)
        rest = Signal(self._size_width)
        loads, steps = Signal(), Signal()
        waiting = Signal(DIMENSIONS)
        chosen = Signal(range(DIMENSIONS))
        m.d.comb += [
            todo.eq(Cat(size > 1 for size in self.i_sizes)),
            self.o_done.eq(rest == 0),
            steps.eq(~self.o_done),
            loads.eq(self.i_start | (steps & (rest[2:] == 0))),
            waiting.eq(Mux(self.i_start, todo, pending)),
        ]
        for dim in reversed(range(DIMENSIONS)):
            with m.If(waiting[dim]):
                m.d.comb += chosen.eq(dim)
        with m.If(steps):
            m.d.sync += rest.eq(rest[2:])
        with m.If(loads):
            m.d.sync += [
                rest.eq(Mux(waiting.any(), Array(self.i_sizes)[chosen] - 1, 0)),
                pending.eq(waiting & (waiting - 1)),
            ]
        self._product(m, rest, loads)
        for name, (_, stride_width) in self._addresses.items():
            self._reach(m, name, stride_width, rest, chosen, loads)
        return m

    def _product(self, m: Module, rest: Value, loads: Value) -> None:
        """p + digit * p << 2k, saturating; `multiple` is p << 2k of the p at the start of the dimension."""
        limit = self._limit
        multiple = Signal.like(self.o_product)

        def saturate(value: Value) -> Value:
            return Mux(value > limit, limit + 1, value)

        following = Signal.like(self.o_product)
        m.d.comb += following.eq(saturate(self.o_product + Mux(rest[0], multiple, 0) + Mux(rest[1], multiple << 1, 0)))
        with m.If(~self.o_done):
            m.d.sync += [self.o_product.eq(following), multiple.eq(saturate(multiple << 2))]
        with m.If(self.i_start):
            m.d.sync += [self.o_product.eq(1), multiple.eq(1)]
        with m.Elif(loads):
            m.d.sync += multiple.eq(following)

    def _reach(self, m: Module, name: str, stride_width: int, rest: Value, chosen: Value, loads: Value) -> None:
        """Adds digit * stride << 2k to the end of the pattern that the sign of the stride moves."""
        pattern, reach = getattr(self, f"i_{name}"), getattr(self, f"o_{name}")
        shifted = Signal(signed(stride_width + self._size_width), name=f"{name}_shifted")
        negative = shifted[-1]
        moved = Signal.like(reach.low, name=f"{name}_moved")
        m.d.comb += moved.eq(Mux(negative, reach.low, reach.high) + Mux(rest[0], shifted, 0) + Mux(rest[1], shifted << 1, 0))
        with m.If(~self.o_done):
            m.d.sync += shifted.eq(shifted << 2)
            with m.If(negative):
                m.d.sync += reach.low.eq(moved)
            with m.Else():
                m.d.sync += reach.high.eq(moved)
        with m.If(loads):
            m.d.sync += shifted.eq(Array(pattern.strides)[chosen])
        with m.If(self.i_start):
            m.d.sync += [reach.low.eq(pattern.base), reach.high.eq(pattern.base)]
