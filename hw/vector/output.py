"""The output stage: moves PSUM rows to SBUF through bias, ReLU and conversion."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..common.config import ChipConfig
from ..common.streams import Fifo, connect_streams
from ..control.command import EngineState, command_layout
from ..memory.ports import PsumRead, SbufPort
from .channel import ChannelLoader
from .fetch import ROW_QUEUE, RowFetcher
from .format import unit_elements
from .lane import Lanes, lanes_latency
from .pack import WordPacker, WordWrite
from .split import RowSplitter


class OutputStage(wiring.Component):
    """Carries out `Evict` and `LoadChannel` (arithmetic and contract: docs/interfaces.md).

    ::

        i_evict -> RowFetcher <-> PSUM
                       | rows
                  RowSplitter -> Lanes -> WordPacker -> queue -> SBUF writes
                                   ^ bias, scale
        i_load_channel -> ChannelLoader <-> SBUF reads

    The lanes never stall: a beat enters only if the write it completes has a place in the queue.

    Throughput, while PSUM and SBUF accept: a row of c = `cols` elements takes c / min(`output_lanes`, c) cycles in mode INT8,
    c / min(`output_lanes`, word_bytes / 2) in BF16 and c / min(`output_lanes`, word_bytes / 4) in the 32-bit modes, so 1, 1 and 4 / E
    cycles with `output_lanes` = c. Consecutive `Evict`s overlap and follow each other without a gap if each is offered before the last row of
    the one before goes to PSUM's queue; after its last write, `done_evict` still comes in order. A `LoadChannel` waits until every `Evict` is
    done, and an `Evict` until the `LoadChannel` is done.

    Latency: from an `Evict` transfer to its first SBUF write being offered `latency` cycles plus those PSUM takes and the beats of the
    write beyond the first. `done_evict` comes in the cycle after the last line has been accepted by SBUF. `LoadChannel`: see ChannelLoader.

    Reset empties everything and zeroes bias and scale; memories that answer must be reset with it.

    Parameters
    ----------
    config : ChipConfig
        Needs `cols` of at least 4.

    Members
    -------
    i_load_channel : In(stream of LoadChannel)
    i_evict : In(stream of Evict)
        Not both offered at once.
    done_load_channel, done_evict : Out(1)
        One pulse an instruction.
    psum : Out(PsumRead)
    sbuf : Out(SbufPort)
    o_state : Out(EngineState)
        IDLE: no instruction inside. BUSY: a row was asked for, a beat computed or an SBUF request accepted. MEMORY: otherwise, if PSUM or
        SBUF refused or an SBUF read is awaited. HAZARD: otherwise; data is in the pipeline or awaited from PSUM.

    Raises
    ------
    TypeError
        if `config` is not a ChipConfig.
    ConfigError
        if `cols` is below 4.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        unit_elements(config)  # raises where 32-bit elements do not fit a line
        self._config = config
        super().__init__(
            {
                "i_load_channel": In(stream.Signature(command_layout("LoadChannel"))),
                "i_evict": In(stream.Signature(command_layout("Evict"))),
                "done_load_channel": Out(1),
                "done_evict": Out(1),
                "psum": Out(PsumRead(config)),
                "sbuf": Out(SbufPort(config)),
                "o_state": Out(EngineState),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from an `Evict` transfer to its first SBUF write without those of PSUM: walker, two row queues, splitter, lanes, word queue."""
        return 1 + 2 + 1 + lanes_latency(self._config) + 1

    @property
    def write_depth(self) -> int:
        """SBUF writes on their way: the pipeline from splitter to queue, and two for the place to come back."""
        return 1 + lanes_latency(self._config) + 1 + 2

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.fetcher = fetcher = RowFetcher(config=config)
        m.submodules.splitter = splitter = RowSplitter(config=config)
        m.submodules.lanes = lanes = Lanes(config=config)
        m.submodules.packer = packer = WordPacker(config=config)
        m.submodules.queue = queue = Fifo(shape=WordWrite(config), depth=self.write_depth)
        m.submodules.loader = loader = ChannelLoader(config=config)

        # Instructions inside: each Evict has at least one row, and rows are bounded by the queues.
        evicts = Signal(range(2 + ROW_QUEUE + 1 + self.write_depth))
        idle = evicts == 0
        m.d.comb += [
            fetcher.i.valid.eq(self.i_evict.valid & ~loader.o_busy),
            fetcher.i.payload.eq(self.i_evict.payload),
            self.i_evict.ready.eq(fetcher.i.ready & ~loader.o_busy),
            loader.i.valid.eq(self.i_load_channel.valid & idle),
            loader.i.payload.eq(self.i_load_channel.payload),
            self.i_load_channel.ready.eq(loader.i.ready & idle),
            self.done_load_channel.eq(loader.done),
        ]
        connect(m, fetcher.psum, flipped(self.psum))
        connect_streams(m, fetcher.o, splitter.i)
        connect(m, splitter.o, lanes.i)
        connect(m, lanes.o, packer.i)
        m.d.comb += [
            lanes.i_bias.eq(loader.o_bias),
            lanes.i_multiplier.eq(loader.o_multiplier),
            lanes.i_shift.eq(loader.o_shift),
            queue.i.valid.eq(packer.o.valid),
            queue.i.payload.eq(packer.o.write),
        ]
        written = self._write(m, queue, loader)
        reserved = Signal(range(self.write_depth + 1))
        m.d.sync += reserved.eq(reserved + splitter.o_reserve - written)
        m.d.comb += splitter.i_room.eq(reserved != self.write_depth)

        finished = written & queue.o.payload.last
        m.d.sync += [
            self.done_evict.eq(finished),
            evicts.eq(evicts + (self.i_evict.valid & self.i_evict.ready) - finished),
        ]
        self._state(m, ~idle | loader.o_busy, loader.o_busy, splitter.o.valid)
        return m

    def _write(self, m: Module, queue: Fifo, loader: ChannelLoader) -> Signal:
        """Shares the SBUF port: reads while a LoadChannel runs, else writes. Gives the pulse of an accepted write."""
        request, write = self.sbuf.request, queue.o.payload
        written = Signal()
        m.d.comb += [
            request.valid.eq(Mux(loader.o_busy, loader.sbuf.request.valid, queue.o.valid)),
            request.payload.address.eq(Mux(loader.o_busy, loader.sbuf.request.payload.address, write.address)),
            request.payload.write.eq(~loader.o_busy),
            request.payload.mask.eq(write.mask),
            request.payload.data.eq(write.data),
            loader.sbuf.request.ready.eq(request.ready & loader.o_busy),
            queue.o.ready.eq(request.ready & ~loader.o_busy),
            written.eq(queue.o.valid & queue.o.ready),
            loader.sbuf.response.valid.eq(self.sbuf.response.valid),
            loader.sbuf.response.data.eq(self.sbuf.response.data),
        ]
        return written

    def _state(self, m: Module, active: Any, reading: Any, beat: Any) -> None:
        psum, sbuf = self.psum.request, self.sbuf.request
        moved = (psum.valid & psum.ready) | (sbuf.valid & sbuf.ready) | beat
        refused = psum.valid | sbuf.valid | reading
        with m.If(~active):
            m.d.comb += self.o_state.eq(EngineState.IDLE)
        with m.Elif(moved):
            m.d.comb += self.o_state.eq(EngineState.BUSY)
        with m.Elif(refused):
            m.d.comb += self.o_state.eq(EngineState.MEMORY)
        with m.Else():
            m.d.comb += self.o_state.eq(EngineState.HAZARD)
