"""From a tensor instruction to the SBUF addresses of its rows."""

from functools import reduce
from operator import add
from typing import Any

from amaranth.hdl import Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import AP_STRIDE_BITS, DIMENSIONS
from ..common.skid import SkidBuffer
from ..control.command import command_layout
from ..memory.pattern import PatternWalker

#: Bits of a turn (see `Interlock`): at most four instructions of a stream are accepted and not begun (one kept, one walking and, in the streamer, two
#: of one row behind the walker), so turns that are compared differ by at most 4.
TURN_BITS = 3


def row_command_layout(name: str) -> data.StructLayout:
    """The command of instruction `name` and the turn at which it may begin."""
    members = {key: field.shape for key, field in command_layout(name)}
    return data.StructLayout(members | {"turn": unsigned(TURN_BITS)})


class RowWalker(wiring.Component):
    """Turns each command into one step a row: its SBUF line address, whether it is the first or last, and the command it belongs to.

    Latency: the first row is at `o` in the cycle after the command's transfer at `i`. Throughput: one row a cycle, commands follow each
    other without a bubble: one command walks, the next one waits here. Fields are cut to the width that checked values need.
    Reset drops every command.

    Parameters
    ----------
    config : ChipConfig
    instruction : str
        "LoadStationary" or "MultiplyMoving".
    limit : int
        Most rows a command has.

    Members
    -------
    i : In(stream of row_command_layout(instruction))
    o : Out(stream of {address, first, last, command, products})
        `products`: size0 * size1 and size2 * size3 of the command, modulo 2 ** their bits, from flip-flops.

    Raises
    ------
    ValueError
        if `limit` is below 1 or the instruction has no row pattern.
    """

    def __init__(self, *, config: ChipConfig, instruction: str, limit: int) -> None:
        if instruction not in ("LoadStationary", "MultiplyMoving"):
            raise ValueError(f"instruction must be 'LoadStationary' or 'MultiplyMoving', not {instruction!r}")
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit!r}")
        self._shape = row_command_layout(instruction)
        self._size_width = limit.bit_length()
        self._address_width = config.sbuf_address_width
        products = data.ArrayLayout(self._size_width, 2)
        step = data.StructLayout({"address": self._address_width, "first": 1, "last": 1, "command": self._shape, "products": products})
        super().__init__({"i": In(stream.Signature(self._shape)), "o": Out(stream.Signature(step))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # A stride is used modulo the address space, so its bits above an address change nothing.
        stride_width = min(AP_STRIDE_BITS, self._address_width)
        m.submodules.walker = walker = PatternWalker(size_width=self._size_width, addresses={"line": (self._address_width, stride_width)})
        m.submodules.waiting = waiting = SkidBuffer(shape=self._shape)
        wiring.connect(m, wiring.flipped(self.i), waiting.i)
        offered, walking = waiting.o.payload, Signal(self._shape, reset_less=True)
        m.d.comb += [walker.i.valid.eq(waiting.o.valid), waiting.o.ready.eq(walker.i.ready)]
        m.d.comb += walker.i.payload.line.base.eq(offered.base)
        for dim in range(DIMENSIONS):
            m.d.comb += [
                walker.i.payload.sizes[dim].eq(offered[f"size{dim}"]),
                walker.i.payload.line.strides[dim].eq(offered[f"stride{dim}"]),
            ]
        sizes, products = walker.i.payload.sizes, Signal(data.ArrayLayout(self._size_width, 2), reset_less=True)
        with m.If(walker.i.valid & walker.i.ready):
            m.d.sync += [walking.eq(offered), *(products[half].eq(multiply(sizes[2 * half], sizes[2 * half + 1])) for half in range(2))]
        m.d.comb += [
            self.o.valid.eq(walker.o.valid),
            walker.o.ready.eq(self.o.ready),
            self.o.payload.address.eq(walker.o.payload.line),
            self.o.payload.first.eq(walker.o.payload.first),
            self.o.payload.last.eq(walker.o.payload.last),
            self.o.payload.command.eq(walking),
            self.o.payload.products.eq(products),
        ]
        return m


def multiply(left: Value, right: Value) -> Value:
    """The product of two numbers of equal width, modulo 2 ** width, from gates: `*` would take a DSP block for a few bits."""
    width = len(left)
    return reduce(add, ((left & bit.replicate(width)) << place for place, bit in enumerate(right)))[:width]
