"""SBUF of the compact chip: one memory with one port."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..memory.ports import SbufAccess


class CompactSbuf(wiring.Component):
    """A single-ported memory of lines: the running command's, and in cycles the command leaves free, the debug port's.

    Latency: a read's data is at `o_data` from the next cycle on, until the next access; a line written can be read in the next cycle. A
    debug request that is accepted is answered in the next cycle. Throughput: an access a cycle. Reset forgets the answer that is due; the memory
    is undefined until written.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_valid : In(1), i_write : In(1), i_address : In(lines), i_data : In(line)
        The command's access in this cycle: always served.
    i_hold : In(1)
        The command still needs `o_data`, or the next cycle: no debug access now.
    o_data : Out(line)
    debug : In(SbufAccess)
        Waits while the command has the port or holds it.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        line = 8 * config.line_bytes
        super().__init__(
            {
                "i_valid": In(1), "i_write": In(1), "i_address": In(config.sbuf_address_width), "i_data": In(line),
                "i_hold": In(1), "o_data": Out(line), "debug": In(SbufAccess(config)),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.memory = memory = Memory(shape=unsigned(8 * config.line_bytes), depth=config.sbuf_lines, init=[])
        # Both ports have the same address and never the same cycle, so that synthesis makes one of them.
        read, write = memory.read_port(), memory.write_port()
        request, answered = self.debug.request, Signal()
        address = Signal(config.sbuf_address_width)
        enable, writes, taken = Signal(), Signal(), Signal()
        m.d.comb += [
            request.ready.eq(~self.i_valid & ~self.i_hold),
            taken.eq(request.valid & request.ready),
            enable.eq(self.i_valid | (request.valid & ~self.i_hold)),
            writes.eq(Mux(self.i_valid, self.i_write, request.payload.write)),
            address.eq(Mux(self.i_valid, self.i_address, request.payload.address)),
            read.addr.eq(address),
            write.addr.eq(address),
            write.data.eq(Mux(self.i_valid, self.i_data, request.payload.data)),
            read.en.eq(enable & ~writes),
            write.en.eq(enable & writes),
            self.o_data.eq(read.data),
            self.debug.response.valid.eq(answered),
            self.debug.response.data.eq(read.data),
        ]
        m.d.sync += answered.eq(taken)
        return m
