"""Firmware: engines in turn, and an instruction from its fetch to its posts."""

from __future__ import annotations

from ..chip import TRACE_CHANNELS
from ..common.isa import COUNT_BITS, ENGINES, HEADER, INSTRUCTIONS, SEMAPHORE_BITS, Cause
from ..control.sequencer import TraceState
from . import memory_map as where
from .assembler import Cell
from .bus import Command, Parameter
from .encoding import Condition, Input, Output
from .firmware import DIMENSIONS, WAITING, Firmware
from .parameters import LANES_AT

#: What the datapath does for each instruction.
_COMMANDS = {
    "Load": Command.LOAD, "Store": Command.STORE, "LoadStationary": Command.LOAD_STATIONARY, "MultiplyMoving": Command.MULTIPLY,
    "LoadChannel": Command.LOAD_CHANNEL, "Evict": Command.EVICT,
}  # fmt: skip
#: FLAGS of `Command.EVICT` lie in an Evict as they are; the swap flag of `Command.MULTIPLY`.
_EVICT_FLAGS, _SWAP = 5, 1 << 1
_FIELDS = {item.name: item for item in HEADER}
_SLOT_BITS = SEMAPHORE_BITS + COUNT_BITS


def run(f: Firmware) -> None:
    """`scan`: goes through the engines, lowest first, and runs each until it blocks; begins again whenever anything has happened."""
    f.label("scan.moved")
    f.set(f.moved, 1)
    f.label("scan.on")
    # The engine at work cannot go on.
    f.load(f.moved)
    f.jump("scan.next", Condition.ZERO)
    f.label("scan")
    f.set(f.moved, 0)
    f.store(f.engine_x)
    f.label("scan.engine")
    f.index(f.engine_x)
    f.load(where.private("state"))
    f.jump("scan.next", Condition.NEGATIVE)
    f.jump("serve", Condition.NONZERO)
    f.load(where.private("left"))
    f.jump("fetch", Condition.NONZERO)
    f.label("scan.next")
    f.next_engine("scan.engine")
    f.jump("end")
    _fetch(f)
    _waits(f)
    _take(f)
    _execute(f)
    _commands(f)
    _posts(f)


def _fetch(f: Firmware) -> None:
    f.label("fetch")
    f.call("tick")
    f.set(f.mark, f.time)
    f.trace(TraceState.FETCH)
    f.give(Parameter.DRAM, where.private("pointer"))
    f.give(Parameter.DRAM_STRIDE, 4)
    f.load(where.private("bytes"))
    f.shift()
    f.shift()
    f.output(Parameter.COUNT.value)
    f.load(f.engine_x)
    f.or_(where.BUFFERS)
    f.store(f.t)
    f.index(f.t)
    f.give(Parameter.COMMAND, Command.FETCH.value)
    f.set(f.unpacked, 255)
    f.call("wait")
    f.index(f.engine_x)
    f.jump("bad.fetch", Condition.ERROR)
    f.jump("check")
    f.fail("bad.fetch", Cause.FETCH_ERROR, where.private("pointer"))


def _waits(f: Firmware) -> None:
    """From `checked` to `execute`, or to the next engine."""
    f.label("checked")
    f.call("tick")
    f.account("STALL_FETCH")
    f.label("serve.0")
    f.set(f.stage, where.WAIT0)
    f.extract(_FIELDS["wait0_semaphore"].offset, _SLOT_BITS)
    f.call("take")
    f.label("serve.1")
    f.set(f.stage, where.WAIT1)
    f.extract(_FIELDS["wait1_semaphore"].offset, _SLOT_BITS)
    f.call("take")
    f.load(where.private("state"))
    f.jump("execute", Condition.ZERO)
    # It has waited.
    f.call("tick")
    f.set(f.mark, where.private("since"))
    f.account("STALL_SEMAPHORE")
    f.status_bit(WAITING)
    f.store(f.t)
    f.invert(f.t)
    f.and_(where.register("STATUS"))
    f.store(where.register("STATUS"))
    f.jump("execute")
    f.label("serve")
    f.load(where.private("state"))
    f.subtract(where.WAIT0)
    f.jump("serve.0", Condition.ZERO)
    f.jump("serve.1")


def _take(f: Firmware) -> None:
    """`take`: takes what the wait in A asks for and returns, or remembers that the engine waits and goes on with the next."""
    f.label("take")
    f.compare(1 << SEMAPHORE_BITS)
    f.jump("take.over", Condition.NO_CARRY)
    _point_at_semaphore(f)
    f.load(Cell(0).at_x())
    f.subtract(f.slot)
    f.jump("take.refused", Condition.NO_CARRY)
    f.store(Cell(0).at_x())
    f.index(f.engine_x)
    f.label("take.over")
    f.ret()
    f.label("take.refused")
    f.index(f.engine_x)
    f.load(where.private("state"))
    f.jump("take.again", Condition.NONZERO)
    f.call("tick")
    f.set(where.private("since"), f.time)
    f.status_bit(WAITING)
    f.or_(where.register("STATUS"))
    f.store(where.register("STATUS"))
    f.trace(TraceState.SEMAPHORE)
    f.label("take.again")
    f.set(where.private("state"), f.stage)
    f.set(where.private("semaphore"), f.number)
    f.jump("scan.on")


def _point_at_semaphore(f: Firmware) -> None:
    """Of the slot in A: `number`, its count in `slot`; X names the semaphore's cell."""
    f.store(f.slot)
    f.and_((1 << SEMAPHORE_BITS) - 1)
    f.store(f.number)
    f.or_(where.SEMAPHORES)
    f.store(f.t)
    f.index(f.t)
    f.load(f.slot)
    f.rotate(SEMAPHORE_BITS & ~3)
    for _ in range(SEMAPHORE_BITS & 3):
        f.shift()
    f.and_((1 << COUNT_BITS) - 1)
    f.store(f.slot)


def _execute(f: Firmware) -> None:
    """`execute`: each instruction sets what its command needs beside the pattern, and goes on at `run`."""
    f.label("execute")
    f.set(where.private("state"), where.FETCH)
    f.set(f.mark, f.time)
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


def _commands(f: Firmware) -> None:
    """`run`: the datapath goes along dimension 0, the firmware along the others."""
    dram_strides = f.strides + DIMENSIONS
    f.label("run")
    f.give(Parameter.SBUF_STRIDE, f.strides)
    f.give(Parameter.DRAM_STRIDE, dram_strides)
    f.load(f.dimensions)
    f.subtract(1)
    f.jump("run.command", Condition.ZERO)
    f.label("run.prepare")
    f.store(f.dimension)
    f.index(f.dimension)
    f.set(f.steps.at_x(), f.sizes.at_x())
    f.set(f.bases.at_x(), f.base)
    f.set(f.drams.at_x(), f.dram)
    f.load(f.dimension)
    f.subtract(1)
    f.jump("run.prepare", Condition.NONZERO)
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
    f.set(f.factor, f.rows)
    f.load(f.depth)
    f.call("multiply")
    f.load(f.product)
    for _ in range(f.config.cols.bit_length() - 1):
        f.store(f.t)
        f.add(f.t)
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


def _saturate(f: Firmware, cell: Cell, value: Cell) -> None:
    """Cell += value, at most all ones."""
    fits = f.unique("fits")
    f.load(cell)
    f.add(value)
    f.jump(fits, Condition.NO_CARRY)
    f.invert(0)
    f.label(fits)
    f.store(cell)


def _posts(f: Firmware) -> None:
    """`posts`: makes them, and the instruction is done."""
    f.label("posts")
    f.load(f.channel)
    f.output(Output.DONE)
    f.set(f.overflow, 0)
    for slot in ("post0", "post1"):
        f.extract(_FIELDS[f"{slot}_semaphore"].offset, _SLOT_BITS)
        f.call("post")
    f.load(f.overflow)
    f.jump("retire", Condition.ZERO)
    f.subtract(1)
    f.store(where.engine("ADDRESS_LO"))
    f.load(int(Cause.SEMAPHORE_OVERFLOW))
    f.call("halt")
    f.label("retire")
    f.set(f.moved, 1)
    f.increase(where.engine("RETIRED"), 1)
    f.increase(where.private("pointer"), where.private("bytes"))
    f.load(where.private("left"))
    f.subtract(1)
    f.store(where.private("left"))
    f.jump("scan.engine", Condition.NONZERO)
    f.load(f.overflow)
    f.jump("scan.on", Condition.NONZERO)
    f.call("finished")
    f.jump("scan.on")
    f.label("post")
    f.compare(1 << SEMAPHORE_BITS)
    f.jump("post.over", Condition.NO_CARRY)
    _point_at_semaphore(f)
    f.load(Cell(0).at_x())
    f.add(f.slot)
    f.compare(1 << f.config.semaphore_width)
    f.jump("post.refused", Condition.CARRY)
    f.store(Cell(0).at_x())
    f.index(f.engine_x)
    f.label("post.over")
    f.ret()
    f.label("post.refused")
    f.index(f.engine_x)
    f.load(f.overflow)
    f.jump("post.over", Condition.NONZERO)
    f.load(f.number)
    f.add(1)
    f.store(f.overflow)
    f.ret()
