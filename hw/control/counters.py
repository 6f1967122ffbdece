"""Performance counters: what every engine did in every cycle of the job."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import ENGINES
from ..common.registers import REGISTERS, engine_register
from .axil import RegisterBus
from .sequencer import TraceState

#: The state that each per-engine counter register counts.
COUNTED: dict[str, TraceState] = {
    "BUSY": TraceState.BUSY,
    "STALL_MEMORY": TraceState.MEMORY,
    "STALL_HAZARD": TraceState.HAZARD,
    "STALL_FETCH": TraceState.FETCH,
    "STALL_SEMAPHORE": TraceState.SEMAPHORE,
}

#: Low bits of a counter that are flip-flops: there are at most as many counters as these count.
LOW = 5
HIGH = 32 - LOW

#: The registers that `Counters` answers itself, in the order of their turns. The low half of TENSOR_MACS comes first, the high half last.
COUNTER_REGISTERS: tuple[str, ...] = (
    "TENSOR_MACS_LO", "CYCLES", "TENSOR_ROWS", "SBUF_CONFLICTS",
    *(engine_register(engine, counter) for engine in ENGINES for counter in COUNTED),
    "TENSOR_MACS_HI",
)  # fmt: skip


class Counters(wiring.Component):
    """The counters behind the CSRs. All are cleared by `i_start` and count while `i_running`; they saturate, they never wrap.

    Most of a counter lives in a memory: its low bits are flip-flops, which go on counting into a few more until the counter's turn. Turns go round
    all the time, one a cycle; in its turn what went over the low bits is added to the rest in the memory, which takes two more cycles.

    A read of one of `COUNTER_REGISTERS` waits for the register's turn, and gives the count of all cycles before it: it is answered 3 to
    `len(COUNTER_REGISTERS)` + 2 cycles after its pulse, one of TENSOR_MACS_HI in up to twice that, as it comes after a turn of the low half. A cycle
    counts from the second cycle after it. Reset, as `i_start`, makes all of them 0.

    Parameters
    ----------
    config : ChipConfig
        `cols` (macs = lanes * cols).

    Members
    -------
    i_start, i_running : In(1)
    i_state : In(TraceState).array(4)
    i_tensor_start : In(1)
        A tensor instruction is dispatched.
    i_tensor_done : In(1)
        A MultiplyMoving completed: its last PSUM row was written in the cycle before.
    i_row : In(1), i_lanes : In
        A moving row is issued; the rows of the stationary block that take part.
    i_conflicts : In(3)
        SBUF requests that wait in this cycle.
    bus : In(RegisterBus)
        Reads of `COUNTER_REGISTERS` are answered here, no other access; `read_data` is 0 but for an answer.
    tensor_span : Out(32)
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_start": In(1), "i_running": In(1), "i_state": In(TraceState).array(len(ENGINES)),
                "i_tensor_start": In(1), "i_tensor_done": In(1), "i_row": In(1), "i_lanes": In(range(config.rows + 1)), "i_conflicts": In(3),
                "bus": In(RegisterBus()), "tensor_span": Out(32),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        start = Signal()
        m.d.sync += start.eq(self.i_start)
        turn = [Signal(name=f"turn_{name.lower()}", init=not index) for index, name in enumerate(COUNTER_REGISTERS)]
        slot = Signal(range(len(turn)))
        m.d.sync += [Cat(turn).eq(Cat(turn).rotate_left(1)), slot.eq(Mux(turn[-1], 0, slot + 1))]
        carry = Signal()
        amounts = self._amounts(m, carry)
        counts = [self._count(m, name, amount, start, one) for (name, amount), one in zip(amounts.items(), turn, strict=True)]
        taken = Signal(max(map(len, counts)))
        m.d.sync += taken.eq(reduce(or_, (count & one.replicate(len(count)) for count, one in zip(counts, turn, strict=True))))
        self._rest(m, start, turn, slot, taken, carry)
        self._span(m)
        return m

    def _amounts(self, m: Module, carry: Signal) -> dict[str, Signal]:
        """What each counter is to count, a cycle after it was."""
        shift = self._config.cols.bit_length() - 1
        events: dict[str, Any] = {
            "TENSOR_MACS_LO": Mux(self.i_row, self.i_lanes, 0) << shift,
            "CYCLES": Const(1, 1),
            "TENSOR_ROWS": self.i_row,
            "SBUF_CONFLICTS": self.i_conflicts,
        }
        for index, engine in enumerate(ENGINES):
            events |= {engine_register(engine, counter): self.i_state[index] == state for counter, state in COUNTED.items()}
        amounts = {}
        for name in COUNTER_REGISTERS[:-1]:
            event = Value.cast(events[name])
            amounts[name] = Signal(len(event), name=f"amount_{name.lower()}")
            m.d.sync += amounts[name].eq(Mux(self.i_running, event, 0))
        return amounts | {COUNTER_REGISTERS[-1]: carry}

    def _count(self, m: Module, name: str, amount: Signal, start: Signal, turn: Signal) -> Signal:
        """The flip-flops of a counter: its low bits, and above them what goes over from turn to turn."""
        most = {"TENSOR_MACS_LO": self._config.rows * self._config.cols, "SBUF_CONFLICTS": 7}.get(name, 1)
        count = Signal(((1 << LOW) - 1 + len(COUNTER_REGISTERS) * most).bit_length(), name=f"low_{name.lower()}")
        kept = Cat(count[:LOW], count[LOW:] & (~turn).replicate(len(count) - LOW))
        m.d.sync += count.eq(Mux(start, 0, kept + amount))
        return count

    def _rest(self, m: Module, start: Signal, turn: list[Signal], slot: Signal, taken: Signal, carry: Signal) -> None:
        """The cycles after the turn: the memory is read, what went over is added, the memory is written."""
        # What the memory holds is of no job until a round after its start.
        fresh, passed = Signal(init=1), Signal(range(len(turn)))
        m.d.sync += passed.eq(Mux(start, 0, passed + 1))
        with m.If(start):
            m.d.sync += fresh.eq(1)
        with m.Elif(passed == len(turn) - 1):
            m.d.sync += fresh.eq(0)
        # Distributed RAM: a block RAM would be as slow as two levels of logic, and take many LUTs to read while it is written.
        m.submodules.rest = rest = memory.Memory(shape=HIGH + 1, depth=len(turn), init=[])
        read, write = rest.read_port(domain="comb"), rest.write_port()
        m.d.comb += read.addr.eq(slot)

        def later(value: Signal, *, by: int) -> Signal:
            for stage in range(1, by + 1):
                after = Signal.like(value, name=f"{value.name}_{stage}", init=0)
                m.d.sync += after.eq(value)
                value = after
            return value

        high, full, added = Signal(HIGH), Signal(), Signal(HIGH + 1)
        total, is_full, first = Signal(HIGH), Signal(), Signal()
        m.d.sync += [Cat(high, full).eq(Mux(fresh, 0, read.data)), first.eq(turn[0] & ~start)]
        m.d.comb += added.eq(high + taken[LOW:])
        # The low half of TENSOR_MACS goes on in the high one.
        m.d.sync += [total.eq(added), is_full.eq((full | added[-1]) & ~first), carry.eq(added[-1] & first & ~start)]
        m.d.comb += [write.addr.eq(later(slot, by=2)), write.data.eq(Cat(total, is_full)), write.en.eq(1)]
        answers = later(self._asked(m, turn, slot), by=2)
        value = Cat(later(taken, by=1)[:LOW], total) | is_full.replicate(32)
        m.d.comb += [self.bus.answered.eq(answers), self.bus.read_data.eq(value & answers.replicate(32))]

    def _asked(self, m: Module, turn: list[Signal], slot: Signal) -> Signal:
        """Whether it is the turn of the register that is to be read."""
        words = [REGISTERS[name].address >> 2 for name in COUNTER_REGISTERS]
        word, mine = self.bus.address[2:], Signal()
        asked, whole, found = Signal(), Signal(), Signal()
        m.d.comb += mine.eq(Cat(word == number for number in words).any())
        at = Signal(range(max(words) + 1), init=words[0])
        m.d.sync += at.eq(Array([*words[1:], words[0]])[slot])
        m.d.comb += found.eq(asked & (word == at) & (whole | ~turn[-1]))
        with m.If(found):
            m.d.sync += asked.eq(0)
        with m.Elif(self.bus.read & mine):
            m.d.sync += [asked.eq(1), whole.eq(0)]
        with m.Elif(asked & turn[0]):
            m.d.sync += whole.eq(1)
        return found

    def _span(self, m: Module) -> None:
        """`age` is the number of cycles since the first tensor instruction was dispatched, 0 before: when a completion is seen, the last
        PSUM write was one cycle ago, so both ends included the span is `age` of now."""
        age, counts, full = Signal(32), Signal(), Signal()
        with m.If(self.i_start):
            m.d.sync += [age.eq(0), self.tensor_span.eq(0), counts.eq(0), full.eq(0)]
        with m.Elif(self.i_running):
            with m.If(self.i_tensor_start):
                m.d.sync += counts.eq(1)
            with m.If((counts | self.i_tensor_start) & ~full):
                m.d.sync += [age.eq(age + 1), full.eq(age[1:].all())]
            with m.If(self.i_tensor_done):
                m.d.sync += self.tensor_span.eq(age)
