"""An engine's sequencer: fetch, check, wait, dispatch, post; and what it tells the registers about it."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import Cause, instructions_of
from ..common.streams import connect_streams
from ..dma.axi import AxiError, ReadPort
from .checker import Checker
from .command import EngineState, command_layout
from .completion import Completion
from .decode import ADDRESS_WIDTH, CAUSE_WIDTH, INDEX_WIDTH, channels, snake
from .dispatcher import Dispatcher
from .fetcher import Fetcher
from .semaphores import POSTS, SemaphorePost, SemaphoreWait
from .window import window_layout


class TraceState(enum.Enum, shape=3):
    """What the trace and the counters say of an engine in a cycle."""

    IDLE = 0
    BUSY = 1
    MEMORY = 2
    HAZARD = 3
    FETCH = 4
    SEMAPHORE = 5
    HALTED = 6


class Sequencer(wiring.Component):
    """Runs the instruction queue of one engine.

    ::

        DRAM -> Fetcher -> queue -> Checker -> queue -> Dispatcher -> engine
                                                 waits |   | posts      | done
                                                       v   v            v
                                               semaphores <- Completion

    Errors. A failing instruction halts the engine when everything before it has been dispatched; those complete and post. An error pulse
    of the engine halts it, two cycles later, at the oldest instruction that is not done; those done before it still post and retire. A post that
    overflows halts it at the instruction it belongs to; its other post is made if it fits. Younger ones already dispatched still run to their end but
    neither post nor count as retired, as if they had not been dispatched: how many they are depends on timing. Should an older instruction
    fail after a younger one has been recorded, the older replaces it: what is left at the end does not depend on which was seen first.
    `i_halt` records its cause, and for DEADLOCK the instruction that waits and its semaphore, for WATCHDOG the oldest in flight or the
    next to be dispatched, unless the engine has halted or finished.

    Latency: 4 cycles from `i_start` to the first fetch; from the last beat of an instruction without waits to its command 9 + D cycles, D
    as in `Checker`; `o_finished` follows the last retirement by two cycles, `i_start` by three at the earliest. Throughput: see `Checker`; its
    queue (`CHECKED_DEPTH`) gives one in two cycles in bursts. Reset: as before the first start, that is neither finished nor halted. A start begins
    afresh in whatever state the sequencer is; the engine must be started with it.

    Parameters
    ----------
    config : ChipConfig
    engine : str

    Members
    -------
    i_start : In(1)
        Pulse; base and count are read with it.
    i_base : In(64), i_count : In(32)
        The queue: byte address and number of instructions.
    i_window : In(window_layout)
        `low` is read in the cycle of `i_start`, `high` in the cycle after it, and both from then on.
    fetch : Out(ReadPort), wait : Out(SemaphoreWait), post : array of Out(SemaphorePost)
    o_NAME : Out(stream of command_layout(NAME)), done_NAME : In(1), for each instruction of the engine
        A command once offered stays until taken, unless the engine is halted from outside, by its own error, or started anew.
    engine_state : In(EngineState)
    i_error : In(AxiError)
    i_halt : In(1), i_halt_cause : In(5)
    o_halted, o_finished, o_waiting : Out(1)
        Stopped by an error; all instructions completed and posted; a wait is being refused in this cycle.
    o_inflight : Out(1)
        An instruction is dispatched and not completed, a fetch has not ended, or an engine that reported an error is not idle yet.
    o_cause : Out(5), o_index : Out(32), o_address : Out(64), o_retired : Out(32)
        As the registers of these names.
    o_state : Out(TraceState)
    o_progress : Out(4)
        What moved: a command, a done, a wait, a fetch beat.
    o_start, o_done : Out(one bit an instruction of the engine)
        Dispatches and dones of this cycle.

    Raises
    ------
    ValueError
        if there is no such engine.
    """

    def __init__(self, *, config: ChipConfig, engine: str) -> None:
        self._channels = channels(engine)
        self._config = config
        self._engine = engine
        members: dict[str, Any] = {
            "i_start": In(1), "i_base": In(ADDRESS_WIDTH), "i_count": In(INDEX_WIDTH),
            "i_window": In(window_layout(config)),
            "fetch": Out(ReadPort(config)), "wait": Out(SemaphoreWait()), "post": Out(SemaphorePost()).array(POSTS),
            "engine_state": In(EngineState), "i_error": In(AxiError(config)), "i_halt": In(1), "i_halt_cause": In(CAUSE_WIDTH),
            "o_halted": Out(1), "o_finished": Out(1), "o_waiting": Out(1), "o_inflight": Out(1),
            "o_cause": Out(CAUSE_WIDTH), "o_index": Out(INDEX_WIDTH), "o_address": Out(ADDRESS_WIDTH), "o_retired": Out(INDEX_WIDTH),
            "o_state": Out(TraceState), "o_progress": Out(4),
            "o_start": Out(len(self._channels)), "o_done": Out(len(self._channels)),
        }  # fmt: skip
        for item in instructions_of(engine):
            members[f"o_{snake(item.name)}"] = Out(stream.Signature(command_layout(item.name)))
            members[f"done_{snake(item.name)}"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, engine = self._config, self._engine
        # `running`: started and not halted.
        started, running, broken, is_through, is_dispatched = Signal(), Signal(), Signal(), Signal(), Signal()
        count, coming_count, is_new = Signal(INDEX_WIDTH), Signal(INDEX_WIDTH, reset_less=True), Signal()
        # From far away, to wide comparisons.
        window = Signal(window_layout(config), reset_less=True)
        restarted = ResetInserter(self.i_start)
        m.submodules.fetcher = fetcher = Fetcher(config=config, engine=engine)
        m.submodules.checker = checker = restarted(Checker(config=config, engine=engine))
        m.submodules.dispatcher = dispatcher = restarted(Dispatcher(engine=engine))
        m.submodules.completion = completion = restarted(Completion(engine=engine))
        connect_streams(m, fetcher.o, checker.i)
        connect_streams(m, checker.o, dispatcher.i)
        m.d.comb += [
            fetcher.i_window.eq(window),
            checker.i_window.eq(window),
            self.o_retired.eq(completion.o_retired),
            completion.i_halted.eq(self.o_halted),
            completion.i_halt_index.eq(self.o_index),
            # After an error of the engine nothing in flight will be done.
            completion.i_abandon.eq(broken),
        ]
        self._engine_side(m, dispatcher, completion)
        self._record(m, started, running, broken, dispatcher, completion)
        m.d.sync += [is_through.eq(self.o_retired == count), is_dispatched.eq(dispatcher.o_index == count)]
        m.d.sync += [window.eq(self.i_window), coming_count.eq(self.i_count), is_new.eq(self.i_start)]
        with m.If(is_new):
            m.d.sync += count.eq(coming_count)
        with m.If(self.i_start | is_new):
            m.d.sync += [is_through.eq(0), is_dispatched.eq(0)]
        with m.If(self.i_start):
            m.d.sync += started.eq(1)
        m.d.comb += [
            fetcher.i_start.eq(self.i_start),
            fetcher.i_base.eq(self.i_base),
            fetcher.i_count.eq(self.i_count),
            fetcher.i_halt.eq(self.o_halted),
            dispatcher.i_run.eq(running),
            self.o_finished.eq(is_through & running),
            self.o_waiting.eq(self.wait.valid & ~self.wait.ready),
            self.o_inflight.eq(completion.o_inflight | fetcher.o_busy | (broken & (self.engine_state != EngineState.IDLE))),
            self.o_progress.eq(
                Cat(
                    self.o_start.any(),
                    self.o_done.any(),
                    self.wait.valid & self.wait.ready,
                    self.fetch.response.valid & self.fetch.response.ready,
                )
            ),
        ]
        self._state(m, started & ~self.o_finished, dispatcher.o_idle & ~is_dispatched)
        return m

    def _engine_side(self, m: Module, dispatcher: Any, completion: Any) -> None:
        """Commands out, dones in, semaphores, fetch port."""
        fetch = m.submodules.fetcher.fetch
        connect_streams(m, fetch.request, self.fetch.request)
        connect_streams(m, self.fetch.response, fetch.response)
        m.d.comb += [
            self.wait.valid.eq(dispatcher.wait.valid),
            self.wait.semaphore.eq(dispatcher.wait.semaphore),
            self.wait.count.eq(dispatcher.wait.count),
            dispatcher.wait.ready.eq(self.wait.ready),
        ]
        for outer, inner in zip(self.post, completion.post, strict=True):
            m.d.comb += [
                outer.valid.eq(inner.valid), outer.semaphore.eq(inner.semaphore), outer.count.eq(inner.count),
                inner.ready.eq(outer.ready), inner.overflow.eq(outer.overflow),
            ]  # fmt: skip
        starts, dones = [], []
        for name in self._channels:
            command, done = getattr(self, f"o_{name}"), getattr(self, f"done_{name}")
            connect_streams(m, getattr(dispatcher, f"o_{name}"), command)
            connect_streams(m, getattr(dispatcher, f"posts_{name}"), getattr(completion, f"i_{name}"))
            m.d.comb += getattr(completion, f"done_{name}").eq(done)
            starts.append(command.valid & command.ready)
            dones.append(done)
        m.d.comb += [self.o_start.eq(Cat(starts)), self.o_done.eq(Cat(dones))]

    def _record(self, m: Module, started: Value, running: Signal, broken: Signal, dispatcher: Any, completion: Any) -> None:
        """CAUSE, INDEX and ADDRESS: of the oldest instruction that failed."""
        # Whose error is recorded says what may still be older: what was not dispatched is younger than what was not done, that than what was; and
        # what is halted from outside has nothing older left.
        is_undone, is_final = Signal(), Signal()
        # An engine with AXI has one kind of instruction, done in order. Its error is recorded a cycle later.
        error, cause, failed, is_inflight = Signal.like(self.i_error.address), Signal(CAUSE_WIDTH), Signal(), Signal()
        m.d.sync += [
            failed.eq(self.i_error.valid & started), cause.eq(self.i_error.cause), error.eq(self.i_error.address),
            is_inflight.eq(completion.o_inflight),
        ]  # fmt: skip
        # As is an overflow; meanwhile nothing behind it comes to the head.
        overflowed, over_index, over_semaphore = Signal(), Signal(INDEX_WIDTH), Signal.like(completion.o_semaphore)
        m.d.sync += [overflowed.eq(completion.o_overflow), over_index.eq(completion.o_index), over_semaphore.eq(completion.o_semaphore)]
        overflows, errs, halts, deadlocks = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            overflows.eq(overflowed & ~is_final),
            errs.eq(failed & ~is_undone & ~is_final),
            halts.eq(self.i_halt & running & ~self.o_finished),
            deadlocks.eq(self.i_halt_cause == Cause.DEADLOCK),
        ]
        oldest = Mux(halts & is_inflight & ~deadlocks, completion.o_oldest, dispatcher.o_index)
        m.d.sync += is_final.eq(is_final | overflows | (halts & ~errs))
        with m.If(self.i_error.valid):
            m.d.sync += broken.eq(1)
        with m.If(overflows | errs | halts | (dispatcher.o_failed & ~self.o_halted)):
            m.d.sync += [
                self.o_halted.eq(1),
                running.eq(0),
                is_undone.eq(errs),
                self.o_index.eq(Mux(overflows, over_index, Mux(errs, completion.o_undone, oldest))),
            ]
            with m.If(overflows):
                m.d.sync += [self.o_cause.eq(Cause.SEMAPHORE_OVERFLOW), self.o_address.eq(over_semaphore)]
            with m.Elif(errs):
                m.d.sync += [self.o_cause.eq(cause), self.o_address.eq(error)]
            with m.Elif(halts):
                m.d.sync += [self.o_cause.eq(self.i_halt_cause), self.o_address.eq(Mux(deadlocks, self.wait.semaphore, 0))]
            with m.Else():
                m.d.sync += [self.o_cause.eq(dispatcher.o_cause), self.o_address.eq(dispatcher.o_address)]
        with m.If(self.i_start):
            m.d.sync += [
                self.o_halted.eq(0), running.eq(1), self.o_cause.eq(Cause.NONE), self.o_index.eq(0), self.o_address.eq(0), broken.eq(0), failed.eq(0),
                overflowed.eq(0), is_undone.eq(0), is_final.eq(0),
            ]  # fmt: skip

    def _state(self, m: Module, running: Value, starved: Value) -> None:
        with m.If(self.o_halted):
            m.d.comb += self.o_state.eq(TraceState.HALTED)
        with m.Elif(running):
            with m.If(self.engine_state != EngineState.IDLE):
                # The codes of the working states are the engine's own.
                m.d.comb += Value.cast(self.o_state).eq(Value.cast(self.engine_state))
            with m.Elif(self.o_waiting):
                m.d.comb += self.o_state.eq(TraceState.SEMAPHORE)
            with m.Elif(starved):
                m.d.comb += self.o_state.eq(TraceState.FETCH)
