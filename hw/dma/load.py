"""The load DMA: copies lines from DRAM to SBUF."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import Cause
from ..common.streams import Stage, connect_streams
from ..control.command import EngineState, command_layout
from ..memory.ports import SbufPort
from .axi import AxiError, ReadBeat, ReadPort
from .tracker import BurstTracker
from .walk import DmaWalk


class LoadDma(wiring.Component):
    """Executes `Load` instructions: reads bursts from DRAM and writes each beat to SBUF.

    Bursts go out as far ahead of the data as `dma_outstanding` allows, over several instructions. Between bus and SBUF is a register stage of
    two beats; SBUF never waits for DRAM, so it cannot lock up.

    Latency: `axi.request` seven cycles after the command's transfer (more where the first burst still grows, see `BurstSplitter`); a beat is at
    `sbuf.request` in the cycle after its transfer; `done_load` is in the cycle after the last line's acceptance. Throughput: one line a cycle
    and one address request a cycle, instructions of three lines or more following each other without a gap.

    Timing: ready signals and `axi.request` come from flip-flops, `sbuf.request` from one gate behind them; `sbuf.request.ready` may come late.

    Errors: when a beat with an error response has come through the register stage nothing is written any more, `error` pulses once in the cycle
    after, with the burst's first address; the instructions taken so far are dropped without `done_load`. Beats of bursts in flight are taken
    and dropped. No command is taken until `i_start`. `o_state` is IDLE only when nothing is in flight.

    Reset drops everything, bursts in flight included: the bus must be reset with it.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_load : In(stream of command_layout("Load"))
    i_start : In(1)
        Start of a job: an engine stopped by an error takes commands again.
    done_load : Out(1)
        One pulse an instruction, in order.
    error : Out(AxiError)
        READ_ERROR and the burst's address.
    axi : Out(ReadPort)
    sbuf : Out(SbufPort)
        Writes only.
    o_state : Out(EngineState)
        Of the cycle before: BUSY when a line was written, MEMORY when an instruction waited for DRAM or SBUF.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_load": In(stream.Signature(command_layout("Load"))),
                "i_start": In(1),
                "done_load": Out(1),
                "error": Out(AxiError(config)),
                "axi": Out(ReadPort(config)),
                "sbuf": Out(SbufPort(config)),
                "o_state": Out(EngineState),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, write = self._config, self.sbuf.request
        m.submodules.beats = beats = Stage(shape=ReadBeat(config))
        connect_streams(m, wiring.flipped(self).axi.response, beats.i)
        beat = beats.o
        walk = DmaWalk(config=config, name="Load")
        m.submodules.tracker = tracker = BurstTracker(config=config)
        wiring.connect(m, tracker.request, wiring.flipped(self.axi.request))

        is_halted, is_draining, fault, written, clear = Signal(), Signal(), Signal(), Signal(), Signal()
        # What was taken before an error is dropped once the bus is quiet; until then the gates below are closed.
        m.submodules.walk = ResetInserter(clear)(walk)
        m.d.comb += [
            walk.i.payload.eq(self.i_load.payload),
            walk.i.valid.eq(self.i_load.valid & ~is_halted & ~is_draining),
            self.i_load.ready.eq(walk.i.ready & ~is_halted & ~is_draining),
            tracker.i.payload.eq(walk.bursts.payload),
            tracker.i.valid.eq(walk.bursts.valid & ~is_draining),
            walk.bursts.ready.eq(tracker.i.ready & ~is_draining),
        ]

        lines = config.element_bytes
        place = walk.lines.payload.address[:1] if lines == 2 else 0
        m.d.comb += [
            fault.eq(beat.valid & beat.payload.resp[1] & ~is_draining),
            write.valid.eq(beat.valid & walk.lines.valid & ~fault & ~is_draining),
            write.payload.address.eq(walk.lines.payload.address),
            write.payload.write.eq(1),
            write.payload.mask.eq(1 << place),
            write.payload.data.eq(Cat(beat.payload.data for _ in range(lines))),
            written.eq(write.valid & write.ready),
            walk.lines.ready.eq(written),
            beat.ready.eq(written | fault | is_draining),
            tracker.oldest.ready.eq(beat.valid & beat.ready & beat.payload.last),
            self.error.cause.eq(Cause.READ_ERROR),
        ]
        m.d.sync += [
            self.done_load.eq(written & walk.lines.payload.last),
            self.error.valid.eq(fault),
            is_halted.eq((is_halted | fault) & ~(self.i_start & ~fault)),
            is_draining.eq((is_draining | fault) & ~clear),
            clear.eq(is_draining & ~tracker.oldest.valid & ~clear),
        ]
        with m.If(fault):
            m.d.sync += self.error.address.eq(tracker.oldest.payload.address)

        is_active = Signal()
        m.d.comb += [
            is_active.eq(walk.busy | tracker.oldest.valid | is_draining | (self.i_load.valid & self.i_load.ready)),
        ]
        m.d.sync += self.o_state.eq(Mux(written, EngineState.BUSY, Mux(is_active, EngineState.MEMORY, EngineState.IDLE)))
        return m
