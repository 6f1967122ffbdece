"""The read-ahead buffer of the store DMA: SBUF lines asked for in advance, given as a stream."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..memory.ports import SbufPort


class ReadAhead(wiring.Component):
    """Reads lines from SBUF into a buffer. SBUF's answers cannot be refused, so a line is asked for only when a place is left for it.

    Latency: `sbuf.request` follows `i` in the same cycle; a line is at `o` three cycles after SBUF's answer. Throughput: one line a cycle.
    `sbuf.request` is one gate behind flip-flops and `i`; `o` comes from flip-flops; `sbuf.request.ready` may come late.
    Reset forgets everything; it may be given alone only while `busy` is low.

    Parameters
    ----------
    config : ChipConfig
    depth : int
        Lines of the buffer; the last may stay empty, because a read is counted in the cycle after SBUF has accepted it.

    Members
    -------
    i : In(stream of line address)
    sbuf : Out(SbufPort)
        Reads only.
    o : Out(stream of line)
    arrived : Out(1)
        Pulse: a line has come from SBUF.
    stop : In(1)
        Ask for no more from the next cycle on (a request already raised stays until it is taken).
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
        # Block memory: in LUTs it would be as large as all the rest of the store DMA.
        storage = memory.Memory(
            shape=self._config.axi_data_width, depth=1 << (self._depth - 1).bit_length(), init=[], attrs={"ram_style": "block"}
        )
        m.submodules.storage = storage
        write, read = storage.write_port(), storage.read_port()
        # Lines written and not fetched. The one fetched is at the read port, whose data stay until the next is; block memory is slow, so it goes through a
        # register.
        stored, is_fetched, fetch = Signal(range(self._depth + 1)), Signal(), Signal()
        line, is_out = Signal(self._config.axi_data_width, reset_less=True), Signal()
        is_held, asked, was_asked, left = Signal(), Signal(), Signal(), Signal()
        awaited = Signal(range(self._config.sbuf_latency + 1))
        # Places in the buffer that are neither taken nor promised to a read of the cycles before the last, and whether one is left for another read.
        free, has_room = Signal(range(self._depth + 1), init=self._depth), Signal(init=1)
        m.d.comb += [
            # A request that is held has its place already.
            request.valid.eq(self.i.valid & (is_held | has_room)),
            request.payload.address.eq(self.i.payload),
            asked.eq(request.valid & request.ready),
            self.i.ready.eq(asked),
            self.arrived.eq(response.valid),
            write.en.eq(response.valid),
            write.data.eq(response.data[: self._config.axi_data_width]),
            fetch.eq((stored != 0) & (~is_fetched | left)),
            read.en.eq(fetch),
            left.eq(is_fetched & (~is_out | self.o.ready)),
            self.o.valid.eq(is_out),
            self.o.payload.eq(line),
            self.busy.eq(is_held | was_asked | (awaited != 0)),
        ]
        m.d.sync += [
            is_held.eq(request.valid & ~request.ready),
            was_asked.eq(asked),
            awaited.eq(awaited + was_asked - response.valid),
            free.eq(free + (is_out & self.o.ready) - was_asked),
            # A place for the read of this cycle, which comes too late to be counted, and one more.
            has_room.eq(((free > 2) | ((free == 2) & ~was_asked)) & ~self.stop),
            stored.eq(stored + response.valid - fetch),
            is_fetched.eq(fetch | (is_fetched & ~left)),
            is_out.eq(left | (is_out & ~self.o.ready)),
            write.addr.eq(write.addr + response.valid),
            read.addr.eq(read.addr + fetch),
        ]
        with m.If(~is_out | self.o.ready):
            m.d.sync += line.eq(read.data)
        return m
