"""Job control: when a job starts, ends, deadlocks or is cut short by the watchdog."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.isa import ENGINES, Cause

#: Cycles for which nothing may be in flight before waiting engines are believed to wait for ever. Semaphores look at one request a cycle in
#: turns: the answer to a wait comes at most seven cycles after it is raised (four steps, three others), and five after that of the last post. Either
#: reaches the job a cycle later, or two as progress, as does what the count begins with; the rest is margin.
SETTLE_CYCLES = 12


class JobControl(wiring.Component):
    """Watches the four sequencers and says when the job is over (rules: docs/interfaces.md, "Errors, end of a job").

    A job ends in the cycle in which the last engine has finished; where engines are halted or wait, `SETTLE_CYCLES` cycles after nothing is
    in flight any more; of the watchdog, when every engine is seen to have stopped, since one may have begun something in the cycle of the order.
    `o_start` follows `i_start` in the same cycle unless a job runs or the chip is stuck. Reset: idle.

    Members
    -------
    i_start : In(1)
        The doorbell.
    i_halted, i_finished, i_waiting, i_inflight, i_active : In(4)
        One bit an engine: what its sequencer says; `i_active` is set while the engine itself is not IDLE.
    i_progress : In(1)
        Anything moved in this cycle.
    i_watchdog : In(32)
        Cycles without progress after which the job is halted, one cycle later; 0 disables.
    o_start : Out(1)
        Pulse: the job begins; counters, semaphores and errors are cleared with it.
    o_running, o_done, o_error, o_stuck : Out(1)
        STATUS.
    o_ended, o_failed : Out(1)
        Pulses: the job has ended; the first engine has halted.
    o_halt : Out(4), o_halt_cause : Out(5)
        Orders to sequencers.
    o_first_engine : Out(4), o_first_valid : Out(1)
        ERROR_ENGINE.
    """

    i_start: In(1)
    i_halted: In(len(ENGINES))
    i_finished: In(len(ENGINES))
    i_waiting: In(len(ENGINES))
    i_inflight: In(len(ENGINES))
    i_active: In(len(ENGINES))
    i_progress: In(1)
    i_watchdog: In(32)
    o_start: Out(1)
    o_running: Out(1)
    o_done: Out(1)
    o_error: Out(1)
    o_stuck: Out(1)
    o_ended: Out(1)
    o_failed: Out(1)
    o_halt: Out(len(ENGINES))
    o_halt_cause: Out(5)
    o_first_engine: Out(4)
    o_first_valid: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        running = self.o_running
        m.d.comb += self.o_start.eq(self.i_start & ~running & ~self.o_stuck)
        busy = Signal()
        m.d.comb += busy.eq((self.i_inflight | self.i_active).any())

        all_finished, deadlocked, given_up = Signal(), Signal(), Signal()
        expired = self._watch(m)
        settled = self._settle(m, busy, expired | deadlocked)
        m.d.comb += [
            all_finished.eq(running & self.i_finished.all() & ~busy),
            deadlocked.eq(settled & ~self.i_halted.any() & self.i_waiting.any()),
            given_up.eq(expired & (self.i_finished | self.i_halted).all()),
            self.o_ended.eq(all_finished | (settled & ~deadlocked) | given_up),
        ]
        with m.If(expired):
            m.d.comb += [self.o_halt.eq(~(self.i_finished | self.i_halted)), self.o_halt_cause.eq(Cause.WATCHDOG)]
        with m.Elif(deadlocked):
            m.d.comb += [self.o_halt.eq(self.i_waiting), self.o_halt_cause.eq(Cause.DEADLOCK)]

        with m.If(self.o_start):
            m.d.sync += [running.eq(1), self.o_done.eq(0)]
        with m.Elif(self.o_ended):
            m.d.sync += [running.eq(0), self.o_done.eq(1)]
            with m.If(given_up & busy):
                m.d.sync += self.o_stuck.eq(1)
        self._first_error(m)
        return m

    def _settle(self, m: Module, busy: Signal, ordered: Value) -> Signal:
        quiet, settled = Signal(range(SETTLE_CYCLES + 1)), Signal()
        stopped = (self.i_finished | self.i_halted | self.i_waiting).all()
        with m.If(self.o_running & stopped & ~busy & ~self.i_progress & ~ordered):
            with m.If(quiet != SETTLE_CYCLES):
                m.d.sync += quiet.eq(quiet + 1)
        with m.Else():
            m.d.sync += quiet.eq(0)
        m.d.comb += settled.eq(self.o_running & (quiet == SETTLE_CYCLES) & ~busy & stopped)
        return settled

    def _watch(self, m: Module) -> Signal:
        idle, expired = Signal(32), Signal()
        with m.If(~self.o_running | self.i_progress):
            m.d.sync += idle.eq(0)
        with m.Elif(~idle.all()):
            m.d.sync += idle.eq(idle + 1)
        # Told a cycle later: two words are compared.
        reached = Signal()
        m.d.sync += reached.eq(self.o_running & ~self.i_progress & (self.i_watchdog != 0) & (idle >= self.i_watchdog))
        m.d.comb += expired.eq(self.o_running & reached)
        return expired

    def _first_error(self, m: Module) -> None:
        with m.If(self.o_start):
            m.d.sync += [self.o_error.eq(0), self.o_first_valid.eq(0), self.o_first_engine.eq(0)]
        with m.Elif(self.i_halted.any() & ~self.o_first_valid):
            m.d.comb += self.o_failed.eq(1)
            m.d.sync += [self.o_error.eq(1), self.o_first_valid.eq(1)]
            for index in reversed(range(len(ENGINES))):
                with m.If(self.i_halted[index]):
                    m.d.sync += self.o_first_engine.eq(index)
