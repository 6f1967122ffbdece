"""The access-pattern walker: four nested loops over one or more addresses, one step a cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.isa import DIMENSIONS


class PatternWalker(wiring.Component):
    """Walks an access pattern, dimension 0 innermost (semantics: `hw.common.isa`), giving one step a cycle.

    Latency: the first step is at `o` in the cycle after the pattern's transfer at `i`. Throughput: one step a cycle; the next pattern
    is taken in the cycle in which the last step leaves, so patterns follow each other without a bubble. No multiplier: each dimension
    remembers the address at which its current pass began; those above 0 share an adder. Addresses wrap modulo their width; ranges are
    checked before. `o` comes from flip-flops, `last` one gate behind them. Reset drops the pattern.

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
        pattern = Signal.like(self.i.payload, reset_less=True)
        active, first = Signal(), Signal()
        size_width = self.i.payload.sizes[0].shape().width
        dims = range(DIMENSIONS)
        # Number of the step after the current one, counted from 1, in the current pass of each dimension: compared with the size it tells whether
        # that step is the pass's last, so `ends` is known from the beginning of a cycle, and so is `mover`, the dimension that moves next.
        second = 2 % (1 << size_width)
        following = [Signal(size_width, name=f"following{dim}", init=second) for dim in dims]
        ends, next_ends, single = Signal(DIMENSIONS), Signal(DIMENSIONS), Signal(DIMENSIONS)
        mover = Signal(range(DIMENSIONS))
        # moves[d]: dimensions below d all end with this step, so dimension d moves on.
        moves = [mover >= dim for dim in dims]
        last, step, load = ends.all(), Signal(), Signal()

        m.d.comb += [
            self.o.valid.eq(active),
            self.o.payload.first.eq(first),
            self.o.payload.last.eq(last),
            self.o.payload.edge.eq(ends[0]),
            self.i.ready.eq(~active | (self.o.ready & last)),
            step.eq(active & self.o.ready),
            load.eq(self.i.valid & self.i.ready),
        ]
        for dim in dims:
            m.d.comb += next_ends[dim].eq(Mux(~moves[dim], ends[dim], Mux(ends[dim], single[dim], following[dim] == pattern.sizes[dim])))
            with m.If(load | (step & moves[dim])):
                m.d.sync += following[dim].eq(Mux(load | ends[dim], second, following[dim] + 1))
        with m.If(step):
            m.d.sync += [first.eq(0), active.eq(~last)]
        with m.If(load):
            m.d.comb += next_ends.eq(Cat(size == 1 for size in self.i.payload.sizes))
            m.d.sync += [pattern.eq(self.i.payload), active.eq(1), first.eq(1), single.eq(next_ends)]
        with m.If(load | step):
            m.d.sync += [ends.eq(next_ends), mover.eq(Mux(~next_ends[0], 0, Mux(~next_ends[1], 1, Mux(~next_ends[2], 2, 3))))]
        for name, (width, _) in self._addresses.items():
            self._walk(m, name, width, pattern, mover, load=load, step=step)
        return m

    def _walk(self, m: Module, name: str, width: int, pattern: Any, mover: Signal, *, load: Signal, step: Signal) -> None:
        """One address: `starts[d]` is where the current pass of dimension d began; a step of dimension d moves it and all below."""
        starts = [Signal(width, name=f"{name}_start{dim}", reset_less=True) for dim in range(DIMENSIONS)]
        base, strides = self.i.payload[name].base, pattern[name].strides
        # Dimension 0 has an adder of its own, the others share one: a choice of three is a level of logic less than one of four.
        inner, outer = Signal(width, name=f"{name}_inner"), Signal(width, name=f"{name}_outer")
        m.d.comb += [
            self.o.payload[name].eq(starts[0]),
            inner.eq(starts[0] + strides[0]),
            outer.eq(_outer(mover, starts) + _outer(mover, strides)),
        ]
        with m.If(load | step):
            m.d.sync += starts[0].eq(Mux(load, base, Mux(mover == 0, inner, outer)))
        for dim in range(1, DIMENSIONS):
            with m.If(load | (step & (mover >= dim))):
                m.d.sync += starts[dim].eq(Mux(load, base, outer))


def _outer(mover: Signal, values: Any) -> Value:
    """`values[mover]` for dimensions above 0."""
    result: Value = Mux(mover[1], Mux(mover[0], values[3], values[2]), values[1])
    return result
