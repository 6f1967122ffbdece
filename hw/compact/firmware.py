"""What all parts of the firmware share: variables, small pieces of code, subroutines. The program itself: `program.py`."""

from __future__ import annotations

from ..common.config import ChipConfig
from ..common.isa import ENGINES, Cause, Field
from ..control.sequencer import TraceState
from . import memory_map as where
from .assembler import Assembler, Cell
from .bus import Parameter
from .encoding import Condition, Control, Input, Output

#: Dimensions of an access pattern that are kept: those of more than one step.
DIMENSIONS = 4


#: Bits of STATUS, and where its fields of one bit an engine begin.
RUNNING, DONE, ERROR, STUCK = 1 << 0, 1 << 1, 1 << 2, 1 << 3
HALTED, FINISHED, WAITING = 8, 12, 16


def bits(*controls: Control) -> int:
    """A word for `Output.CONTROL`."""
    return sum(1 << control for control in controls)


class Firmware(Assembler):
    """An assembler that knows the machine: `config`, where everything lies, and the pieces of code that come again and again.

    Members
    -------
    config : ChipConfig
    engine_x : Cell
        X of the engine at work. X itself is that wherever nothing else is said.
    time : Cell
        Cycles since the doorbell, as of the last `tick`.
    """

    def __init__(self, config: ChipConfig) -> None:
        super().__init__(spare=where.spare())
        self.config = config
        # Eight words: strides of the dimensions in SBUF, then in DRAM.
        self.strides = self.variable("strides", 8)
        self.sizes = self.variable("sizes", DIMENSIONS)
        # Nested loops, from dimension 1 on: steps left, and where the present step of the dimension began.
        self.steps, self.bases, self.drams = (self.variable(name, DIMENSIONS) for name in ("steps", "bases", "drams"))
        self.engine_x = self.variable("engine_x")
        self.time, self.over, self.mark, self.last = (self.variable(name) for name in ("time", "over", "mark", "last"))
        self.t = self.variable("t")
        self.slot, self.number = self.variable("slot"), self.variable("number")
        self.factor, self.times, self.product = (self.variable(name) for name in ("factor", "times", "product"))
        self.base, self.dram, self.rows, self.dimensions = (self.variable(name) for name in ("base", "dram", "rows", "dimensions"))

        # The window; what has been unpacked, by the X of its engine; whether anything has happened since the engines were last gone through.
        self.low, self.high, self.unpacked, self.moved = (self.variable(name) for name in ("low", "high", "unpacked", "moved"))
        # Lanes of the stationary block, at their place in FLAGS; its rows; the swap flag; when the first tensor instruction started.
        self.lanes, self.depth, self.swap, self.span_start = (self.variable(name) for name in ("lanes", "depth", "swap", "span_start"))
        # The command, its bit of `trace_done`, the parameter PSUM; in `check` and `run`, a dimension.
        self.command, self.channel, self.psum, self.dimension = (
            self.variable(name) for name in ("command", "channel", "psum", "dimension")
        )
        # Entries 0 of the loops are not used, the others only while commands run. The first semaphore that overflowed and 1 more; which wait is
        # taken; whether an engine had halted at the end.
        self.overflow, self.stage, self.verdict = self.steps, self.bases, self.drams
        # Of the checks: lines of a step, one more than the steps allowed, the high half of the DRAM address; how far the pattern reaches beyond its
        # base, and which half of the strides; a dimension on its way.
        self.lines, self.limit, self.dram_high = (self.steps + place for place in (1, 2, 3))
        self.above, self.below, self.half = (self.bases + place for place in (1, 2, 3))
        self.size, self.stride, self.dram_stride = (self.drams + place for place in (1, 2, 3))

    # Pieces of code ------------------------------------------------------------------------------------------

    def word(self, number: int) -> Cell:
        """A word of the instruction of the engine that X names."""
        return Cell(where.BUFFERS + number, indexed=True)

    def extract(self, offset: int, width: int) -> None:
        """A = bits of the instruction; uses `t`."""
        first, low = divmod(offset, 32)
        mask = (1 << width) - 1
        if low + width > 32:
            self.load(self.word(first + 1))
            self.and_((1 << low + width - 32) - 1)
            self.store(self.t)
            self.load(self.word(first))
            if low:
                self.and_(-1 << low)
                self.or_(self.t)
            self.rotate(low)
            return
        self.load(self.word(first))
        self.rotate(low & ~3)
        for _ in range(low & 3):
            self.shift()
        if low or width < 32:
            self.and_(mask)

    def extract_field(self, item: Field) -> None:
        """A = a field, with its sign spread over the word; uses `t`."""
        self.extract(item.offset, item.width)
        if item.signed and item.width < 32:
            done = self.unique("positive")
            self.compare(1 << item.width - 1)
            self.jump(done, Condition.NO_CARRY)
            self.or_(-1 << item.width)
            self.label(done)

    def test(self, mask: int, label: str) -> None:
        """To `label` if A has any of the bits of `mask`."""
        low = ((mask & -mask).bit_length() - 1) // 4 * 4
        if low <= 16 and mask >> low < 256:
            self.rotate(low)
            mask >>= low
        self.and_(mask)
        self.jump(label, Condition.NONZERO)

    def set(self, cell: Cell, value: Cell | Input | int) -> None:
        """Cell = value."""
        self.load(value)
        self.store(cell)

    def increase(self, cell: Cell, value: Cell | int) -> None:
        """Cell += value; carry."""
        self.load(cell)
        self.add(value)
        self.store(cell)

    def control(self, *controls: Control) -> None:
        """Writes `Output.CONTROL`."""
        self.load(bits(*controls))
        self.output(Output.CONTROL)

    def trace(self, state: TraceState, start: int = 0) -> None:
        """State of the engine at work, and channels of which an instruction starts."""
        self.load(state.value | start << 3)
        self.output(Output.TRACE)

    def give(self, parameter: Parameter, value: Cell | int) -> None:
        """A parameter of the datapath."""
        self.load(value)
        self.output(parameter.value)

    def account(self, counter: str) -> None:
        """Adds the time since `mark` to a counter of the engine at work, which saturates."""
        done = self.unique("counted")
        self.load(self.time)
        self.subtract(self.mark)
        self.add(where.engine(counter))
        self.jump(done, Condition.NO_CARRY)
        self.invert(0)
        self.label(done)
        self.store(where.engine(counter))

    def status_bit(self, place: int) -> None:
        """A = the bit of the engine at work in the field of STATUS at `place`."""
        self.load(where.private("bit"))
        self.rotate(32 - place)

    def every_engine(self, name: str) -> str:
        """Opens a loop over the engines, lowest first; the label to go on at, for `next_engine`."""
        self.set(self.engine_x, 0)
        self.label(name)
        self.index(self.engine_x)
        return name

    def next_engine(self, name: str) -> None:
        """Closes it."""
        self.increase(self.engine_x, where.ENGINE_STEP)
        self.compare(where.ENGINE_STEP * len(ENGINES))
        self.jump(name, Condition.NO_CARRY)

    # Subroutines ---------------------------------------------------------------------------------------------

    def subroutines(self) -> None:
        """Those that several parts call."""
        self._tick()
        self._wait()
        self._multiply()
        self._halt()

    def _tick(self) -> None:
        """`tick`: brings `time` up to date; must be called once in 2**16 cycles."""
        self.label("tick")
        self.load(Input.TIME)
        self.subtract(self.time)
        self.and_(0xFFFF)
        self.add(self.time)
        self.store(self.time)
        self.jump("tick.over", Condition.CARRY)
        self.ret()
        self.label("tick.over")
        self.set(self.over, 1)
        self.ret()

    def _wait(self) -> None:
        """`wait`: until the datapath is free; to `expired` if nothing moves in it for WATCHDOG cycles. Calls `tick`."""
        watchdog = where.register("WATCHDOG")
        self.label("wait")
        self.jump("wait.over", Condition.FREE)
        self.call("tick")
        self.label("wait.moved")
        self.set(self.last, self.time)
        self.jump("wait.over", Condition.FREE)
        self.control(Control.UP, Control.STILL)
        self.label("wait.on")
        self.jump("wait.over", Condition.FREE)
        self.call("tick")
        self.jump("wait.over", Condition.FREE)
        self.jump("wait.moved", Condition.MOVED)
        self.load(watchdog)
        self.jump("wait.on", Condition.ZERO)
        self.load(self.time)
        self.subtract(self.last)
        self.compare(watchdog)
        self.jump("wait.on", Condition.NO_CARRY)
        self.jump("expired")
        self.label("wait.over")
        self.ret()

    def _multiply(self) -> None:
        """`multiply`: product = factor * A, or all ones if that needs more than 32 bits; `factor` is lost. Quicker for a small A."""
        self.label("multiply")
        self.store(self.times)
        self.subtract(1)
        self.jump("multiply.once", Condition.ZERO)
        self.set(self.product, 0)
        self.load(self.times)
        self.jump("multiply.over", Condition.ZERO)
        self.jump("multiply.add", Condition.ODD)
        self.label("multiply.halve")
        self.shift()
        self.store(self.times)
        self.jump("multiply.over", Condition.ZERO)
        self.increase(self.factor, self.factor)
        self.jump("multiply.large", Condition.CARRY)
        self.load(self.times)
        self.jump("multiply.halve", Condition.EVEN)
        self.label("multiply.add")
        self.increase(self.product, self.factor)
        self.jump("multiply.large", Condition.CARRY)
        self.load(self.times)
        self.jump("multiply.halve")
        self.label("multiply.large")
        self.invert(0)
        self.store(self.product)
        self.label("multiply.over")
        self.ret()
        self.label("multiply.once")
        self.set(self.product, self.factor)
        self.ret()

    def _halt(self) -> None:
        """`halt`: the engine at work halts at its current instruction, with A as its cause; ADDRESS has been written."""
        status, first = where.register("STATUS"), where.register("ERROR_ENGINE")
        self.label("halt")
        self.store(where.engine("CAUSE"))
        self.set(where.engine("INDEX"), where.engine("RETIRED"))
        self.set(where.private("state"), where.HALTED)
        self.status_bit(WAITING)
        self.store(self.t)
        self.invert(self.t)
        self.and_(status)
        self.or_(ERROR)
        self.store(status)
        self.status_bit(HALTED)
        self.or_(status)
        self.store(status)
        self.trace(TraceState.HALTED)
        self.load(first)
        self.jump("halt.over", Condition.NONZERO)
        self.load(self.engine_x)
        self.rotate(4)
        self.or_(1 << 31)
        self.store(first)
        self.control(Control.UP, Control.IRQ_ERROR)
        self.label("halt.over")
        self.ret()

    def fail(self, label: str, cause: Cause, address: Cell | int | None) -> None:
        """Place to go to when the engine at work fails: ADDRESS = `address` (None: it has been written), halt, next engine."""
        self.label(label)
        if address is not None:
            self.set(where.engine("ADDRESS_LO"), address)
        self.load(int(cause))
        self.call("halt")
        self.jump("scan.moved")
