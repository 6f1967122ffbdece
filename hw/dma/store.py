"""The store DMA: copies lines from SBUF to DRAM."""

from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import Cause
from ..common.streams import Fifo, connect_streams
from ..control.command import EngineState, command_layout
from ..memory.ports import SbufPort
from .axi import AxiError, WritePort, burst_limit
from .gate import BurstGate
from .readahead import ReadAhead
from .sender import BeatSender
from .tracker import BurstTracker
from .walk import DmaWalk


class StoreDma(wiring.Component):
    """Executes `Store` instructions: reads lines from SBUF ahead into a buffer and writes them to DRAM in bursts.

    A burst's address is raised only when all its data is in the buffer, so once on the bus it is delivered without waiting for SBUF. SBUF's
    answers cannot be refused: a line is asked for only when a place in the buffer is left for it. Address and data are raised
    independently of each other's ready, as AXI demands: data may leave while their address waits behind another that is refused.

    Latency: `sbuf.request` four cycles after the command's transfer; `axi.request` and the first beat of `axi.data` two and four cycles after
    the last line of the burst came from SBUF; `done_store` in the cycle after the last response. Throughput: one line a cycle and, for
    single-beat bursts, one address request a cycle, instructions of three lines or more following each other without a gap.

    Timing: `i_store.ready`, `sbuf.request`, `axi.request`, `axi.data` and `o_state` come from flip-flops or few gates behind them, but for the data of a
    beat, which come from a memory; ready signals may come late.

    Errors: on an error response `error` pulses once in the cycle after it, with the burst's first address; the instructions taken so far
    are dropped without `done_store`, but bursts whose address was raised before are completed. A read that SBUF has not accepted yet is
    still made and dropped. No command is taken until `i_start`. `o_state` is IDLE only when nothing is in flight.

    Reset drops everything, bursts in flight included: the bus must be reset with it.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_store : In(stream of command_layout("Store"))
    i_start : In(1)
        Start of a job: an engine stopped by an error takes commands again.
    done_store : Out(1)
        One pulse an instruction, in order.
    error : Out(AxiError)
        WRITE_ERROR and the burst's address.
    axi : Out(WritePort)
    sbuf : Out(SbufPort)
        Reads only.
    o_state : Out(EngineState)
        Of the cycle before: BUSY when a line was read or a beat taken, MEMORY when an instruction waited for DRAM or SBUF.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_store": In(stream.Signature(command_layout("Store"))),
                "i_start": In(1),
                "done_store": Out(1),
                "error": Out(AxiError(config)),
                "axi": Out(WritePort(config)),
                "sbuf": Out(SbufPort(config)),
                "o_state": Out(EngineState),
            }
        )

    @property
    def buffer_lines(self) -> int:
        """Lines of the buffer: the longest burst, and what comes from SBUF while its address is raised and its first beat leaves."""
        return burst_limit(self._config) + self._config.sbuf_latency + 10

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, answer = self._config, self.axi.response
        walk, ahead = DmaWalk(config=config, name="Store"), ReadAhead(config=config, depth=self.buffer_lines)
        gate = BurstGate(config=config, lines=self.buffer_lines)
        m.submodules.tracker = tracker = BurstTracker(config=config)
        wiring.connect(m, tracker.request, wiring.flipped(self.axi.request))
        wiring.connect(m, ahead.sbuf, wiring.flipped(self.sbuf))

        is_halted, is_draining, fault, clear = Signal(), Signal(), Signal(), Signal()
        # What was taken before an error is dropped once bus and SBUF are quiet; until then the gates are closed.
        m.submodules.walk = ResetInserter(clear)(walk)
        m.submodules.ahead = ResetInserter(clear)(ahead)
        m.submodules.gate = ResetInserter(clear)(gate)
        m.d.comb += [
            walk.i.payload.eq(self.i_store.payload),
            walk.i.valid.eq(self.i_store.valid & ~is_halted & ~is_draining),
            self.i_store.ready.eq(walk.i.ready & ~is_halted & ~is_draining),
            ahead.i.valid.eq(walk.lines.valid),
            ahead.i.payload.eq(walk.lines.payload.address),
            walk.lines.ready.eq(ahead.i.ready),
            ahead.stop.eq(is_draining),
        ]
        connect_streams(m, walk.bursts, gate.i)
        # A length goes to the sender a cycle after its burst to the bus: what lets a burst go is decided all over the engine.
        claimed, length = Signal(), Signal(8, reset_less=True)
        m.d.comb += [
            gate.arrived.eq(ahead.arrived),
            tracker.i.payload.eq(gate.o.payload),
            tracker.i.valid.eq(gate.o.valid & ~is_draining),
            gate.o.ready.eq(tracker.i.ready & ~is_draining),
        ]
        m.d.sync += [claimed.eq(tracker.i.valid & tracker.i.ready), length.eq(tracker.i.payload.length)]
        # Never full: every burst in it is also in flight, which the tracker bounds.
        m.submodules.lengths = lengths = Fifo(shape=8, depth=config.dma_outstanding)
        m.submodules.sender = sender = BeatSender(config=config)
        connect_streams(m, lengths.o, sender.i_length)
        connect_streams(m, ahead.o, sender.i_line)
        wiring.connect(m, sender.o, wiring.flipped(self.axi.data))
        m.d.comb += [lengths.i.valid.eq(claimed), lengths.i.payload.eq(length)]

        is_sent, is_read, is_active, was_busy, was_active, was_draining = (Signal() for _ in range(6))
        m.d.comb += [
            answer.ready.eq(tracker.oldest.valid),
            tracker.oldest.ready.eq(answer.valid),
            fault.eq(answer.valid & answer.ready & answer.payload[1] & ~is_draining),
            self.error.cause.eq(Cause.WRITE_ERROR),
            is_sent.eq(sender.o.valid & sender.o.ready),
            is_read.eq(self.sbuf.request.valid & self.sbuf.request.ready),
            is_active.eq(walk.busy | gate.busy | tracker.oldest.valid | is_draining | (self.i_store.valid & self.i_store.ready)),
            self.o_state.eq(Mux(was_busy, EngineState.BUSY, Mux(was_active, EngineState.MEMORY, EngineState.IDLE))),
        ]
        m.d.sync += [
            was_busy.eq(is_read | is_sent),
            was_active.eq(is_active),
            self.done_store.eq(answer.valid & answer.ready & tracker.oldest.payload.last & ~fault & ~is_draining),
            self.error.valid.eq(fault),
            is_halted.eq((is_halted | fault) & ~(self.i_start & ~fault)),
            is_draining.eq((is_draining | fault) & ~clear),
            # Of the cycle before too: `ahead` asks for no more a cycle after it is told, and a length is on its way.
            clear.eq(is_draining & was_draining & ~tracker.oldest.valid & ~lengths.o.valid & ~sender.busy & ~ahead.busy & ~clear),
            was_draining.eq(is_draining & ~clear),
            # Belongs to `error.valid`; an enable would come late.
            self.error.address.eq(tracker.oldest.payload.address),
        ]
        return m
