"""The load DMA: copies lines from DRAM to SBUF."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import Cause
from ..common.streams import Stage, WideStage, connect_streams
from ..control.command import EngineState, command_layout
from ..memory.ports import SbufPlace, SbufPort
from .axi import AxiError, ReadPort
from .bursts import Burst
from .tracker import BurstTracker
from .walk import DmaWalk


class LoadDma(wiring.Component):
    """Executes `Load` instructions: reads bursts from DRAM and writes each beat to SBUF.

    Bursts go out as far ahead of the data as `dma_outstanding` allows, over several instructions. Between bus and SBUF is a queue of two lines, where
    each beat has its address already; SBUF never waits for DRAM, so it cannot lock up.

    Latency: `axi.request` eight cycles after the command's transfer (more where the first burst still grows, see `BurstSplitter`); a beat is at
    `sbuf.request` in the cycle after its transfer; `done_load` is in the cycle after the last line's acceptance. Throughput: one line a cycle
    and one address request a cycle, instructions of three lines or more following each other without a gap.

    Timing: `i_load.ready` and `axi.request` come from flip-flops, `axi.response.ready`, `o_state` from one gate behind them,
    the valid and the bank of `sbuf.request` from flip-flops, the rest from a small memory; `sbuf.request.ready` may come late: it meets few of them.

    Errors: a beat with an error response is not written, nor is any after it. When the lines before it are, `error` pulses once, two cycles after the
    beat's transfer at the earliest, with the burst's first address; the instructions taken so far are dropped without `done_load`. Beats of
    bursts in flight are taken and dropped. No command is taken until `i_start`. `o_state` is IDLE only when nothing is in flight.

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
        beat, walk = self.axi.response, DmaWalk(config=config, name="Load")
        m.submodules.tracker = tracker = BurstTracker(config=config)
        wiring.connect(m, tracker.request, wiring.flipped(self.axi.request))

        is_halted, is_draining, fault, written, clear = Signal(), Signal(), Signal(), Signal(), Signal()
        # What was taken before an error is dropped once the bus is quiet; until then the gates below are closed.
        m.submodules.walk = ResetInserter(clear)(walk)
        # Cuts the path from the splitter to the tracker's count.
        m.submodules.bursts = bursts = ResetInserter(clear)(Stage(shape=Burst(config)))
        connect_streams(m, walk.bursts, bursts.i)
        m.d.comb += [
            walk.i.payload.eq(self.i_load.payload),
            walk.i.valid.eq(self.i_load.valid & ~is_halted & ~is_draining),
            self.i_load.ready.eq(walk.i.ready & ~is_halted & ~is_draining),
            tracker.i.payload.eq(bursts.o.payload),
            tracker.i.valid.eq(bursts.o.valid & ~is_draining),
            bursts.o.ready.eq(tracker.i.ready & ~is_draining),
        ]

        # SBUF's ready comes late and must not be the enable of every bit; the bank is what SBUF looks at before.
        line = data.StructLayout(SbufPlace(config).members | {"last": 1, "data": config.axi_data_width})
        m.submodules.queue = queue = WideStage(shape=line, early=("bank",))
        taken, spoiled, ended = Signal(), Signal(), Signal()
        # A beat with an error is taken, was in the cycle before, or was and `fault` is to come when the lines before it are written.
        spoils, has_spoilt = Signal(), Signal()
        m.d.comb += [
            beat.ready.eq(is_draining | (walk.lines.valid & queue.i.ready & ~spoiled)),
            taken.eq(beat.valid & beat.ready),
            spoils.eq(taken & beat.payload.resp[1] & ~is_draining),
            fault.eq(spoiled & ~queue.o.valid),
            queue.i.valid.eq(beat.valid & walk.lines.valid & ~beat.payload.resp[1] & ~is_draining & ~spoiled),
            Cat(queue.i.payload.line, queue.i.payload.bank).eq(walk.lines.payload.address),
            queue.i.payload.last.eq(walk.lines.payload.last),
            queue.i.payload.data.eq(beat.payload.data),
            # Of a beat that is not written, too: what is walked to after it is dropped anyway.
            walk.lines.ready.eq(beat.valid & queue.i.ready),
            # One cycle after the last beat, from a flip-flop: in the cycle after any beat the burst it belongs to is still the oldest.
            tracker.oldest.ready.eq(ended),
            self.error.cause.eq(Cause.READ_ERROR),
        ]
        self._write(m, queue.o)
        m.d.comb += written.eq(write.valid & write.ready)
        m.d.sync += [
            ended.eq(taken & beat.payload.last),
            spoiled.eq(spoils | (spoiled & ~fault)),
            has_spoilt.eq(spoils),
            self.done_load.eq(written & queue.o.payload.last),
            self.error.valid.eq(fault),
            is_halted.eq((is_halted | fault) & ~(self.i_start & ~fault)),
            is_draining.eq((is_draining | fault) & ~clear),
            clear.eq(is_draining & ~tracker.oldest.valid & ~clear),
        ]
        with m.If(has_spoilt):
            m.d.sync += self.error.address.eq(tracker.oldest.payload.address)

        waits = walk.busy | bursts.o.valid | tracker.oldest.valid | queue.o.valid | spoiled | is_draining
        self._state(m, waits | (self.i_load.valid & self.i_load.ready), written)
        return m

    def _write(self, m: Module, lines: Any) -> None:
        """Lines of a stream go to SBUF. Its word is a line for each byte of an element; the low bit of the address tells which of them is meant."""
        write, copies = self.sbuf.request, self._config.element_bytes
        place = write.payload.address[:1] if copies == 2 else 0
        m.d.comb += [
            write.valid.eq(lines.valid),
            lines.ready.eq(write.ready),
            write.payload.address.eq(Cat(lines.payload.line, lines.payload.bank)),
            write.payload.write.eq(1),
            write.payload.mask.eq(1 << place),
            write.payload.data.eq(Cat(lines.payload.data for _ in range(copies))),
        ]

    def _state(self, m: Module, active: Value, written: Signal) -> None:
        """What the counters are told of the cycle before: busy in a cycle that wrote, else waiting for the memory if there was anything to do."""
        is_active, was_active, was_written = Signal(), Signal(), Signal()
        m.d.comb += is_active.eq(active)
        m.d.sync += [was_active.eq(is_active), was_written.eq(written)]
        m.d.comb += self.o_state.eq(Mux(was_written, EngineState.BUSY, Mux(was_active, EngineState.MEMORY, EngineState.IDLE)))
