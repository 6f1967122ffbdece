"""The read-ahead buffer of the store DMA: SBUF lines asked for in advance, given as a stream."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..memory.ports import SbufPort


class ReadAhead(wiring.Component):
    """Reads lines from SBUF into a buffer. SBUF's answers cannot be refused, so a line is asked for only when a place is left for it.

    Latency: `sbuf.request` follows `i` combinationally; a line is at `o` one to two cycles after SBUF's answer. Throughput: one line a
    cycle. Reset forgets everything; it may be given alone only while `busy` is low.

    Parameters
    ----------
    config : ChipConfig
    depth : int
        Lines of the buffer.

    Members
    -------
    i : In(stream of line address)
    sbuf : Out(SbufPort)
        Reads only.
    o : Out(stream of line)
    arrived : Out(1)
        Pulse: a line has come from SBUF.
    stop : In(1)
        Ask for no more (a request already raised stays until it is taken).
    busy : Out(1)
        A request is raised and kept up in spite of `stop`, or an answer is to come.

    Raises
    ------
    ValueError
        if `depth` is not an integer of at least 4.
    """

    def __init__(self, *, config: ChipConfig, depth: int) -> None:
        if not isinstance(depth, int) or depth < 4:
            raise ValueError(f"depth must be an integer of at least 4, not {depth!r}")
        self._config = config
        self._depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(config.sbuf_address_width)),
                "sbuf": Out(SbufPort(config)),
                "o": Out(stream.Signature(config.axi_data_width)),
                "arrived": Out(1),
                "stop": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        request, response = self.sbuf.request, self.sbuf.response
        m.submodules.lines = lines = fifo.SyncFIFOBuffered(width=self._config.axi_data_width, depth=self._depth)
        is_held, asked, left = Signal(), Signal(), Signal()
        awaited = Signal(range(self._config.sbuf_latency + 1))
        # Places in the buffer that are taken, or promised to a read under way.
        reserved = Signal(range(self._depth + 1))
        m.d.comb += [
            request.valid.eq(self.i.valid & (reserved != self._depth) & (~self.stop | is_held)),
            request.payload.address.eq(self.i.payload),
            asked.eq(request.valid & request.ready),
            self.i.ready.eq(asked),
            self.arrived.eq(response.valid),
            lines.w_en.eq(response.valid),
            lines.w_data.eq(response.data[: self._config.axi_data_width]),
            self.o.valid.eq(lines.r_rdy),
            self.o.payload.eq(lines.r_data),
            lines.r_en.eq(self.o.ready),
            left.eq(self.o.valid & self.o.ready),
            self.busy.eq(is_held | (awaited != 0)),
        ]
        m.d.sync += [
            is_held.eq(request.valid & ~request.ready),
            awaited.eq(awaited + asked - response.valid),
            reserved.eq(reserved + asked - left),
        ]
        return m
