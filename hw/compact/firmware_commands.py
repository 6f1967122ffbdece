"""Firmware: an instruction becomes commands of the datapath, and what they leave for later ones."""

from __future__ import annotations

from ..chip import TRACE_CHANNELS
from ..common.isa import ENGINES, HEADER, INSTRUCTIONS, Cause
from ..control.sequencer import TraceState
from . import memory_map as where
from .assembler import Cell
from .bus import Command, Parameter
from .encoding import Condition, Input
from .firmware import DIMENSIONS, Firmware
from .parameters import LANES_AT

#: What the datapath does for each instruction.
_COMMANDS = {
    "Load": Command.LOAD, "Store": Command.STORE, "LoadStationary": Command.LOAD_STATIONARY, "MultiplyMoving": Command.MULTIPLY,
    "LoadChannel": Command.LOAD_CHANNEL, "Evict": Command.EVICT,
}  # fmt: skip
#: FLAGS of `Command.EVICT` lie in an Evict as they are; the swap flag of `Command.MULTIPLY`.
_EVICT_FLAGS, _SWAP = 5, 1 << 1
_FIELDS = {item.name: item for item in HEADER}


def execute(f: Firmware) -> None:
    """`execute`: each instruction sets what its command needs beside the pattern, and goes on at `run`."""
    f.label("execute")
    f.set(where.private("state"), where.FETCH)
    f.load(f.unpacked)
    f.subtract(f.engine_x)
    f.jump("execute.unpacked", Condition.ZERO)
    # Another engine has run since the checks: they are passed again, where they give what a command needs.
    f.invert(0)
    f.store(f.limit)
    f.call("unpack")
    f.load(where.private("bytes"))
    f.subtract(ENGINES["load"].instruction_bytes)
    f.jump("execute.unpacked", Condition.ZERO)
    f.call("check.psum")
    f.label("execute.unpacked")
    f.extract_field(_FIELDS["opcode"])
    before = 0
    for name in sorted(_COMMANDS, key=lambda name: INSTRUCTIONS[name].opcode)[:-1]:
        f.subtract(INSTRUCTIONS[name].opcode - before)
        before = INSTRUCTIONS[name].opcode
        f.jump(f"execute.{name}", Condition.ZERO)
    # The last needs no test: Evict.
    f.extract(INSTRUCTIONS["Evict"].field("mode").offset, _EVICT_FLAGS)
    f.output(Parameter.FLAGS.value)
    f.give(Parameter.PSUM, f.psum)
    _begin(f, "Evict")
    f.label("execute.LoadChannel")
    f.set(f.sizes, 8)
    f.set(f.strides, 1)
    _begin(f, "LoadChannel")
    f.label("execute.MultiplyMoving")
    accumulate = INSTRUCTIONS["MultiplyMoving"].field("accumulate")
    f.extract(accumulate.offset, accumulate.width)
    f.or_(f.swap)
    f.or_(f.lanes)
    f.output(Parameter.FLAGS.value)
    f.give(Parameter.PSUM, f.psum)
    _begin(f, "MultiplyMoving")
    f.label("execute.LoadStationary")
    f.give(Parameter.ROW, 0)
    _begin(f, "LoadStationary")
    f.label("execute.Load")
    _begin(f, "Load")
    f.label("execute.Store")
    _begin(f, "Store")


def _begin(f: Firmware, name: str) -> None:
    """The command, what the trace shows, and when the first of the tensor engine was."""
    channel = 1 << TRACE_CHANNELS[name]
    f.set(f.channel, channel)
    f.set(f.command, _COMMANDS[name].value)
    if INSTRUCTIONS[name].engine == "tensor":
        later = f.unique("later")
        f.load(f.span_start)
        f.jump(later, Condition.NONZERO)
        f.set(f.span_start, f.time)
        f.label(later)
    f.trace(TraceState.BUSY, channel)
    f.jump("run")


def commands(f: Firmware) -> None:
    """`run`: the datapath goes along dimension 0, the firmware along the others; the engine is busy meanwhile."""
    dram_strides = f.strides + DIMENSIONS
    f.label("run")
    f.give(Parameter.SBUF_STRIDE, f.strides)
    f.give(Parameter.DRAM_STRIDE, dram_strides)
    f.load(f.dimensions)
    f.subtract(1)
    f.jump("run.begin", Condition.ZERO)
    f.label("run.prepare")
    f.store(f.dimension)
    f.index(f.dimension)
    f.set(f.steps.at_x(), f.sizes.at_x())
    f.set(f.bases.at_x(), f.base)
    f.set(f.drams.at_x(), f.dram)
    f.load(f.dimension)
    f.subtract(1)
    f.jump("run.prepare", Condition.NONZERO)
    f.label("run.begin")
    f.call("tick")
    f.set(f.mark, f.time)
    f.label("run.command")
    f.give(Parameter.SBUF, f.base)
    f.give(Parameter.DRAM, f.dram)
    f.give(Parameter.COUNT, f.sizes)
    f.give(Parameter.COMMAND, f.command)
    f.call("wait")
    f.jump("run.error", Condition.ERROR)
    f.load(f.dimensions)
    f.subtract(1)
    f.jump("run.over", Condition.ZERO)
    f.set(f.dimension, 1)
    f.label("run.step")
    f.index(f.dimension)
    f.load(f.steps.at_x())
    f.subtract(1)
    f.jump("run.wrap", Condition.ZERO)
    f.store(f.steps.at_x())
    f.increase(f.bases.at_x(), f.strides.at_x())
    f.store(f.base)
    f.increase(f.drams.at_x(), dram_strides.at_x())
    f.store(f.dram)
    f.label("run.inner")
    f.load(f.dimension)
    f.subtract(1)
    f.jump("run.command", Condition.ZERO)
    f.store(f.dimension)
    f.index(f.dimension)
    f.set(f.bases.at_x(), f.base)
    f.set(f.drams.at_x(), f.dram)
    f.jump("run.inner")
    f.label("run.wrap")
    f.set(f.steps.at_x(), f.sizes.at_x())
    f.increase(f.dimension, 1)
    f.compare(f.dimensions)
    f.jump("run.step", Condition.NO_CARRY)
    _after(f)


def _after(f: Firmware) -> None:
    """The commands have ended: counters, and what later instructions must know of this one."""
    f.label("run.over")
    f.index(f.engine_x)
    f.call("tick")
    f.account("BUSY")
    f.load(f.command)
    f.subtract(Command.LOAD_STATIONARY.value)
    f.jump("after.stationary", Condition.ZERO)
    f.subtract(Command.MULTIPLY.value - Command.LOAD_STATIONARY.value)
    f.jump("posts", Condition.NONZERO)
    f.set(f.swap, 0)
    _saturate(f, where.register("TENSOR_ROWS"), f.rows)
    # A full block needs no multiplication.
    f.load(f.depth)
    f.subtract(f.config.rows)
    f.jump("after.full", Condition.ZERO)
    f.set(f.factor, f.rows)
    f.load(f.depth)
    f.call("multiply")
    f.load(f.product)
    f.jump("after.columns")
    f.label("after.full")
    f.load(f.rows)
    _double(f, f.config.rows.bit_length() - 1)
    f.label("after.columns")
    _double(f, f.config.cols.bit_length() - 1)
    f.add(where.register("TENSOR_MACS_LO"))
    f.store(where.register("TENSOR_MACS_LO"))
    f.jump("after.span", Condition.NO_CARRY)
    f.increase(where.register("TENSOR_MACS_HI"), 1)
    f.label("after.span")
    f.load(f.time)
    f.subtract(f.span_start)
    f.store(where.register("TENSOR_SPAN"))
    f.load(f.over)
    f.jump("posts", Condition.ZERO)
    f.invert(0)
    f.store(where.register("TENSOR_SPAN"))
    f.jump("posts")
    f.label("after.stationary")
    f.set(f.swap, _SWAP)
    f.load(f.rows)
    f.subtract(f.depth)
    f.jump("posts", Condition.ZERO)
    f.set(f.lanes, 0)
    f.set(f.depth, f.rows)
    f.label("after.lane")
    f.store(f.t)
    f.load(f.lanes)
    f.add(f.lanes)
    f.or_(1 << LANES_AT)
    f.store(f.lanes)
    f.load(f.t)
    f.subtract(1)
    f.jump("after.lane", Condition.NONZERO)
    f.jump("posts")
    f.label("run.error")
    f.index(f.engine_x)
    f.call("tick")
    f.account("BUSY")
    f.set(where.engine("ADDRESS_LO"), Input.ERROR_ADDRESS)
    f.load(f.command)
    f.subtract(Command.LOAD.value)
    f.jump("bad.read", Condition.ZERO)
    f.fail("bad.write", Cause.WRITE_ERROR, None)
    f.fail("bad.read", Cause.READ_ERROR, None)


def _double(f: Firmware, times: int) -> None:
    """A shifted left."""
    for _ in range(times):
        f.store(f.t)
        f.add(f.t)


def _saturate(f: Firmware, cell: Cell, value: Cell) -> None:
    """Cell += value, at most all ones."""
    fits = f.unique("fits")
    f.load(cell)
    f.add(value)
    f.jump(fits, Condition.NO_CARRY)
    f.invert(0)
    f.label(fits)
    f.store(cell)
