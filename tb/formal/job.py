"""`JobControl`: a job begins only when none runs, ends at most once, and orders to halt come only while it runs."""

from typing import Any

from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.common.isa import ENGINES, Cause
from hw.control.job import JobControl

from .runner import Proof


class JobSpec(wiring.Component):
    """Any doorbell, any engines and any watchdog. Assumed of a sequencer only that it waits neither when halted nor when finished."""

    def __init__(self) -> None:
        count = len(ENGINES)
        super().__init__(
            {
                "start": In(1), "progress": In(1), "watchdog": In(32),
                "halted": In(count), "finished": In(count), "waiting": In(count), "inflight": In(count), "active": In(count),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = JobControl()
        m.d.comb += [getattr(dut, f"i_{name}").eq(getattr(self, name)) for name in self.signature.members]
        m.d.comb += Assume(self.waiting & (self.halted | self.finished) == 0)
        # Begun and not ended: what STATUS has to say. A job ended: done until the next one begins.
        running, done, stuck, failed = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [
            running.eq(Mux(dut.o_start, 1, running & ~dut.o_ended)),
            done.eq(Mux(dut.o_start, 0, done | dut.o_ended)),
            failed.eq(Mux(dut.o_start, 0, failed | dut.o_failed)),
            stuck.eq(dut.o_stuck),
        ]
        busy = (self.inflight | self.active).any()
        is_watched = Signal()
        m.d.sync += is_watched.eq(self.watchdog != 0)
        m.d.comb += [
            Assert(~dut.o_start | (self.start & ~running & ~dut.o_stuck)),
            Assert(~(self.start & ~running & ~dut.o_stuck) | dut.o_start),
            Assert(~dut.o_ended | running),
            Assert((dut.o_running == running) & (dut.o_done == done)),
            Assert(~(dut.o_running & dut.o_done)),
            Assert(~dut.o_halt.any() | running),
            # Nobody is halted twice, and a deadlock is told only to those that wait.
            Assert(dut.o_halt & (self.halted | self.finished) == 0),
            Assert((dut.o_halt_cause != Cause.DEADLOCK) | ~dut.o_halt.any() | ((dut.o_halt & ~self.waiting == 0) & ~busy)),
            # While something is in flight only the watchdog of the cycle before ends a job, and a chip stuck stays so.
            Assert(~dut.o_ended | ~busy | is_watched),
            Assert(~stuck | dut.o_stuck),
            Assert(~(dut.o_stuck & running)),
            # The first error is told once a job.
            Assert(~(dut.o_failed & failed)),
            Assert((dut.o_error == failed) & (dut.o_first_valid == failed)),
        ]
        ends = Signal(2)
        m.d.sync += ends.eq(ends + (dut.o_ended & ~ends[1]))
        m.d.comb += [
            Cover((ends == 1) & dut.o_ended),
            Cover(dut.o_halt.any() & (dut.o_halt_cause == Cause.DEADLOCK)),
            Cover(dut.o_halt.any() & (dut.o_halt_cause == Cause.WATCHDOG)),
            Cover(dut.o_stuck & self.start),
            Cover(failed & dut.o_start),
        ]
        return m


PROOFS = (
    Proof(
        name="job.control",
        doc="a job starts only when idle, ends at most once, running and done exclude each other, halts only while running",
        spec=JobSpec,
        depth=2,
        cover_depth=20,
    ),
)
