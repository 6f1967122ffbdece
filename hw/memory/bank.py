"""One single-ported SRAM bank with write enables, in the form that synthesis maps to block RAM."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

#: Attribute of a memory that tells Yosys that a read of the row being written may give anything: without it, registers and multiplexers around the
#: memory would give the old row.
NO_CHECK = {"no_rw_check": "1"}


class Bank(wiring.Component):
    """A memory that reads or writes one word a cycle; writes are masked by line.

    Latency: `o_data` is the word one cycle after the read and holds until the next read. A write is seen by every read of a later cycle.
    Reset does not clear the contents, which are undefined at power-up.

    Parameters
    ----------
    depth : int
        Words, at least 2.
    lines : int
        Separately written lines of a word, at least 1.
    line_width : int
        Bits of a line, at least 1.

    Members
    -------
    i_enable : In(1)
        The bank is used in this cycle.
    i_write : In(1)
        Write instead of read.
    i_address : In(range(depth))
    i_mask : In(lines)
        Lines to write.
    i_data : In(lines * line_width)
    o_data : Out(lines * line_width)

    Raises
    ------
    ValueError
        if a parameter is below its limit.
    """

    def __init__(self, *, depth: int, lines: int, line_width: int) -> None:
        for name, value, low in (("depth", depth, 2), ("lines", lines, 1), ("line_width", line_width, 1)):
            if not isinstance(value, int) or value < low:
                raise ValueError(f"{name} must be an integer of at least {low}, not {value!r}")
        self._depth, self._lines, self._line_width = depth, lines, line_width
        width = lines * line_width
        super().__init__(
            {
                "i_enable": In(1),
                "i_write": In(1),
                "i_address": In(range(depth)),
                "i_mask": In(lines),
                "i_data": In(width),
                "o_data": Out(width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = self._lines * self._line_width
        m.submodules.storage = storage = memory.Memory(shape=width, depth=self._depth, init=[])
        write = storage.write_port(granularity=self._line_width)
        read = storage.read_port()
        m.d.comb += [
            write.addr.eq(self.i_address),
            write.data.eq(self.i_data),
            write.en.eq(self.i_mask & (self.i_enable & self.i_write).replicate(self._lines)),
            read.addr.eq(self.i_address),
            read.en.eq(self.i_enable & ~self.i_write),
            self.o_data.eq(read.data),
        ]
        return m
