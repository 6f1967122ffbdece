"""The output stage: moves PSUM rows to SBUF through bias, ReLU and conversion."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..common.config import ChipConfig
from ..common.streams import Fifo, WideStage, connect_streams
from ..control.command import EngineState, command_layout
from ..memory.ports import PsumRead, SbufPlace, SbufPort, SbufRequest
from .channel import ChannelLoader
from .fetch import ROW_QUEUE, RowFetcher
from .format import unit_elements
from .lane import Lanes, lanes_latency
from .pack import WordPacker, WordWrite
from .split import RowSplitter


class FrontRequest(data.StructLayout):
    """A request to SBUF, its address in two, and `last`: it is the last write of its Evict."""

    def __init__(self, config: ChipConfig) -> None:
        request = {name: member for name, member in SbufRequest(config).members.items() if name != "address"}
        super().__init__(SbufPlace(config).members | request | {"last": 1})


class OutputStage(wiring.Component):
    """Carries out `Evict` and `LoadChannel` (arithmetic and contract: docs/interfaces.md).

    ::

        i_evict -> RowFetcher <-> PSUM
                       | rows
                  RowSplitter -> Lanes -> WordPacker -> queue -> front -> SBUF
                                   ^ bias, scale                 ^
        i_load_channel -> ChannelLoader -------------------------+ reads

    The lanes never stall: a beat enters only if the write it completes has a place in the queue. `front` holds the next two requests to SBUF.

    Throughput, while PSUM and SBUF accept: a row of c = `cols` elements takes c / min(`output_lanes`, c) cycles in mode INT8,
    c / min(`output_lanes`, word_bytes / 2) in BF16 and c / min(`output_lanes`, word_bytes / 4) in the 32-bit modes, so 1, 1 and 4 / E
    cycles with `output_lanes` = c. Consecutive `Evict`s overlap and follow each other without a gap if each is offered before the last row of
    the one before goes to PSUM's queue; after its last write, `done_evict` still comes in order. A `LoadChannel` waits until every `Evict` is
    done, and an `Evict` until the `LoadChannel` is done.

    Latency: from an `Evict` transfer to its first SBUF write being offered `latency` cycles plus those PSUM takes and the beats of the
    write beyond the first. `done_evict` comes in the cycle after the last line has been accepted by SBUF. `LoadChannel`: one cycle more than
    ChannelLoader states. `done_load_channel` in the cycle after the last response.

    Timing: the requests, `i_evict.ready`, `i_load_channel.ready`, the dones and `o_state` come from flip-flops or few gates behind them; the ready signals of
    PSUM and SBUF may come late: each meets few flip-flops of a queue of two.

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
        Of the cycle before. BUSY: an instruction was taken, a row asked for, a beat computed or an SBUF request accepted. MEMORY: otherwise, if
        PSUM or SBUF refused or an SBUF read is awaited. HAZARD: otherwise; data is in the pipeline or awaited from PSUM. IDLE: no instruction inside.

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
        """Cycles from an `Evict` transfer to its first SBUF write without those of PSUM: walker, two row queues, splitter, lanes, queue, front."""
        return 1 + 2 + 1 + lanes_latency(self._config) + 2

    @property
    def write_depth(self) -> int:
        """SBUF writes on their way to `front`: the pipeline from splitter to queue, and one for the place to come back."""
        return 1 + lanes_latency(self._config) + 1 + 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.fetcher = fetcher = RowFetcher(config=config)
        m.submodules.splitter = splitter = RowSplitter(config=config)
        m.submodules.lanes = lanes = Lanes(config=config)
        m.submodules.packer = packer = WordPacker(config=config)
        m.submodules.queue = queue = Fifo(shape=WordWrite(config), depth=self.write_depth)
        # SBUF's ready comes late and must not be the enable of every bit; the bank is what SBUF looks at before.
        m.submodules.front = front = WideStage(shape=FrontRequest(config), early=("bank", "write"))
        m.submodules.loader = loader = ChannelLoader(config=config)

        # Instructions inside, and that whose done it is: each Evict has a row in the walker or in the queues behind it, which bound them.
        evicts = Signal(range(1 + 1 + ROW_QUEUE + self.write_depth + front.DEPTH + 1))
        idle = evicts == self.done_evict
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
        self._write(m, queue, front, loader)
        # A place is free when the write moves on to `front`, whatever SBUF says.
        reserved = Signal(range(self.write_depth + 1))
        m.d.sync += reserved.eq(reserved + splitter.o_reserve - (queue.o.valid & queue.o.ready))
        m.d.comb += splitter.i_room.eq(reserved != self.write_depth)

        m.d.sync += [
            self.done_evict.eq(front.o.valid & front.o.ready & front.o.payload.last),
            evicts.eq(evicts + (self.i_evict.valid & self.i_evict.ready) - self.done_evict),
        ]
        self._state(m, evicting=~idle, reading=loader.o_busy, beat=splitter.o.valid)
        return m

    def _write(self, m: Module, queue: Fifo, front: WideStage, loader: ChannelLoader) -> None:
        """Shares the SBUF port: reads while a LoadChannel runs, else writes. Both never wait at once, so `front` is empty at each change."""
        ahead, behind, request, write = front.i.payload, front.o.payload, self.sbuf.request.payload, queue.o.payload
        m.d.comb += [
            front.i.valid.eq(Mux(loader.o_busy, loader.sbuf.request.valid, queue.o.valid)),
            Cat(ahead.line, ahead.bank).eq(Mux(loader.o_busy, loader.sbuf.request.payload.address, write.address)),
            ahead.write.eq(~loader.o_busy),
            ahead.mask.eq(write.mask),
            ahead.data.eq(write.data),
            ahead.last.eq(write.last & ~loader.o_busy),
            loader.sbuf.request.ready.eq(front.i.ready & loader.o_busy),
            queue.o.ready.eq(front.i.ready & ~loader.o_busy),
            self.sbuf.request.valid.eq(front.o.valid),
            request.address.eq(Cat(behind.line, behind.bank)),
            *(request[name].eq(behind[name]) for name in ("write", "mask", "data")),
            front.o.ready.eq(self.sbuf.request.ready),
            loader.sbuf.response.valid.eq(self.sbuf.response.valid),
            loader.sbuf.response.data.eq(self.sbuf.response.data),
        ]

    def _state(self, m: Module, *, evicting: Value, reading: Signal, beat: Signal) -> None:
        had_moved, had_waited, was_active = Signal(), Signal(), Signal()
        streams = (self.i_evict, self.i_load_channel, self.psum.request, self.sbuf.request)
        m.d.sync += [
            had_moved.eq(Cat(beat, *(port.valid & port.ready for port in streams)).any()),
            had_waited.eq(self.psum.request.valid | self.sbuf.request.valid | reading),
            was_active.eq(evicting | reading),
        ]
        waiting = Mux(had_waited, EngineState.MEMORY, EngineState.HAZARD)
        m.d.comb += self.o_state.eq(Mux(had_moved, EngineState.BUSY, Mux(was_active, waiting, EngineState.IDLE)))
