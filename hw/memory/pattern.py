"""The access-pattern walker: four nested loops over one or more addresses, one step a cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.isa import DIMENSIONS


class PatternWalker(wiring.Component):
    """Walks an access pattern, dimension 0 innermost (semantics: `hw.common.isa`), giving one step a cycle.

    Latency: the first step is at `o` in the cycle after the pattern's transfer at `i`. Throughput: one step a cycle; the next pattern
    is taken in the cycle in which the last step leaves, so patterns follow each other without a bubble. No multiplier: each dimension
    remembers the address at which its current pass began. Addresses wrap modulo their width; ranges are checked before. Reset
    drops the pattern.

    Parameters
    ----------
    size_width : int
        Bits of a size; sizes count from 1.
    addresses : dict of str to (int, int)
        For each address walked: its width and the width of its (signed) strides.

    Members
    -------
    i : In(stream of {sizes[4], and for each address NAME: {base, strides[4]}})
    o : Out(stream of {NAME ..., first, last, edge})
        `first` and `last` mark the first and last step of the pattern; `edge` marks the last step of each pass of dimension 0.

    Raises
    ------
    ValueError
        if a width is below 1 or there is no address.
    """

    def __init__(self, *, size_width: int, addresses: dict[str, tuple[int, int]]) -> None:
        if size_width < 1:
            raise ValueError(f"size_width must be at least 1, not {size_width!r}")
        if not addresses:
            raise ValueError("addresses must name at least one address, not {}")
        for name, widths in addresses.items():
            if min(widths) < 1:
                raise ValueError(f"widths of {name} must be at least 1, not {widths!r}")
        self._addresses = dict(addresses)
        pattern: dict[str, Any] = {"sizes": data.ArrayLayout(unsigned(size_width), DIMENSIONS)}
        step: dict[str, Any] = {}
        for name, (width, stride_width) in addresses.items():
            strides = data.ArrayLayout(signed(stride_width), DIMENSIONS)
            pattern[name] = data.StructLayout({"base": unsigned(width), "strides": strides})
            step[name] = unsigned(width)
        step |= {"first": 1, "last": 1, "edge": 1}
        super().__init__({"i": In(stream.Signature(data.StructLayout(pattern))), "o": Out(stream.Signature(data.StructLayout(step)))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pattern = Signal.like(self.i.payload)
        active, first = Signal(), Signal()
        size_width = self.i.payload.sizes[0].shape().width
        # Steps left of the current pass of each dimension, this one not counted; `pattern` keeps the sizes less one.
        counts = [Signal(size_width, name=f"count{dim}") for dim in range(DIMENSIONS)]
        ends = Signal(DIMENSIONS)
        m.d.comb += ends.eq(Cat(count == 0 for count in counts))
        # carry[d]: dimensions below d all end with this step, so dimension d moves on.
        carry = [ends[:dim].all() for dim in range(DIMENSIONS)]
        last = ends.all()

        m.d.comb += [
            self.o.valid.eq(active),
            self.o.payload.first.eq(first),
            self.o.payload.last.eq(last),
            self.o.payload.edge.eq(ends[0]),
            self.i.ready.eq(~active | (self.o.ready & last)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += first.eq(0)
            with m.If(last):
                m.d.sync += active.eq(0)
            for dim in range(DIMENSIONS):
                with m.If(carry[dim]):
                    m.d.sync += counts[dim].eq(Mux(ends[dim], pattern.sizes[dim], counts[dim] - 1))
        for name, (width, _) in self._addresses.items():
            self._walk(m, name, width, pattern, ends, carry)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [pattern.eq(self.i.payload), active.eq(1), first.eq(1)]
            for dim, count in enumerate(counts):
                m.d.sync += [count.eq(self.i.payload.sizes[dim] - 1), pattern.sizes[dim].eq(self.i.payload.sizes[dim] - 1)]
        return m

    def _walk(self, m: Module, name: str, width: int, pattern: Any, ends: Signal, carry: list[Any]) -> None:
        """One address: `starts[d]` is where the current pass of dimension d began; a step of dimension d moves it and all below."""
        starts = [Signal(width, name=f"{name}_start{dim}") for dim in range(DIMENSIONS)]
        m.d.comb += self.o.payload[name].eq(starts[0])
        with m.If(self.o.valid & self.o.ready):
            for dim in range(DIMENSIONS):
                with m.If(carry[dim] & ~ends[dim]):
                    moved = (starts[dim] + pattern[name].strides[dim])[:width]
                    m.d.sync += [start.eq(moved) for start in starts[: dim + 1]]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [start.eq(self.i.payload[name].base) for start in starts]
