"""The front of the output stage: walks the destination pattern and reads the PSUM rows."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import AP_STRIDE_BITS, DIMENSIONS, OutputMode
from ..common.streams import Fifo, connect_streams
from ..control.command import command_layout
from ..memory.pattern import PatternWalker
from ..memory.ports import PsumRead, psum_row_layout
from .format import FLOAT_MODES, KINDS, RowTag

#: PSUM rows on their way, from walker to splitter: enough for full rate with a PSUM read latency of up to 5 cycles.
ROW_QUEUE = 8


class RowFetcher(wiring.Component):
    """Turns `Evict` instructions into a stream of PSUM rows with their destinations.

    Between walker and PSUM is a queue of two requests. Latency: the first PSUM request is made two cycles after the instruction is taken, a row is
    at `o` one cycle after its response. Throughput: one row a cycle for PSUM read latencies up to 5; the next instruction is taken in the cycle
    in which the last row of the one before goes into the queue, so that instructions follow each other without a bubble. At most `ROW_QUEUE` rows are
    in the queue, asked for or not passed on, so a response always has room. Reset drops everything; responses to requests made before it must not
    arrive after it.

    Timing: `i.ready`, `psum.request` and `o.valid` come from flip-flops or few gates behind them; `psum.request.ready` may come late: it moves the
    pointers of the queue alone.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i : In(stream of Evict)
    psum : Out(PsumRead)
    o : Out(stream of {tag: RowTag, data: row})
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        row = data.StructLayout({"tag": RowTag(config), "data": psum_row_layout(config)})
        super().__init__(
            {
                "i": In(stream.Signature(command_layout("Evict"))),
                "psum": Out(PsumRead(config)),
                "o": Out(stream.Signature(row)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        # No size exceeds the rows of a bank; a stride is used modulo the address space, so its bits above an address change nothing.
        stride_width = min(AP_STRIDE_BITS, config.sbuf_address_width)
        m.submodules.walker = walker = PatternWalker(
            size_width=config.psum_rows.bit_length(), addresses={"sbuf": (config.sbuf_address_width, stride_width)}
        )
        # A queue and not a `Stage`: PSUM's ready comes late and would be the enable of every bit.
        request = self.psum.request
        m.submodules.asks = asks = Fifo(shape=request.payload.shape(), depth=2)
        m.submodules.tags = tags = Fifo(shape=RowTag(config), depth=ROW_QUEUE)
        m.submodules.rows = rows = Fifo(shape=psum_row_layout(config), depth=ROW_QUEUE)
        connect_streams(m, asks.o, request)
        command = self.i.payload
        m.d.comb += [
            walker.i.valid.eq(self.i.valid),
            self.i.ready.eq(walker.i.ready),
            walker.i.payload.sbuf.base.eq(command.base),
        ]
        for dim in range(DIMENSIONS):
            m.d.comb += [
                walker.i.payload.sizes[dim].eq(command[f"size{dim}"]),
                walker.i.payload.sbuf.strides[dim].eq(command[f"stride{dim}"]),
            ]
        # What is the same for all rows of the instruction, and the running PSUM row.
        common = Signal(RowTag(config))
        bank, row = Signal(config.psum_bank_width), Signal(config.psum_row_width)
        # A row has its place in `tags` and `rows` before it is asked for: counted here, the places are no business of PSUM's ready.
        pushed, passed = Signal(), Signal()
        with m.If(pushed):
            m.d.sync += row.eq(row + 1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [bank.eq(command.psum_bank), row.eq(command.psum_row)]
            m.d.sync += [common.bias.eq(command.bias), common.relu.eq(command.relu)]
            self._decode(m, common)

        reserved = Signal(range(ROW_QUEUE + 1))
        has_room = reserved != ROW_QUEUE
        m.d.sync += reserved.eq(reserved + pushed - passed)
        m.d.comb += [
            asks.i.valid.eq(walker.o.valid & has_room),
            asks.i.payload.bank.eq(bank),
            asks.i.payload.row.eq(row),
            walker.o.ready.eq(asks.i.ready & has_room),
            pushed.eq(asks.i.valid & asks.i.ready),
            passed.eq(self.o.valid & self.o.ready),
            tags.i.valid.eq(pushed),
            tags.i.payload.eq(common),
            tags.i.payload.address.eq(walker.o.payload.sbuf),
            tags.i.payload.last.eq(walker.o.payload.last),
            rows.i.valid.eq(self.psum.response.valid),
            rows.i.payload.eq(self.psum.response.data),
            self.o.valid.eq(rows.o.valid),
            self.o.payload.tag.eq(tags.o.payload),
            self.o.payload.data.eq(rows.o.payload),
            tags.o.ready.eq(passed),
            rows.o.ready.eq(self.o.ready),
        ]
        return m

    def _decode(self, m: Module, common: Any) -> None:
        """The kind of the instruction and whether it adds as fp32."""
        with m.Switch(self.i.payload.mode):
            for mode in OutputMode:
                with m.Case(mode.value):
                    m.d.sync += [common.kind.eq(KINDS[mode]), common.is_float.eq(mode in FLOAT_MODES)]
