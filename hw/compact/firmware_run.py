"""Firmware: engines in turn, and an instruction from its fetch to its posts."""

from __future__ import annotations

from ..common.isa import COUNT_BITS, HEADER, SEMAPHORE_BITS, Cause
from ..control.sequencer import TraceState
from . import memory_map as where
from .assembler import Cell
from .bus import Command, Parameter
from .encoding import Condition, Output
from .firmware import WAITING, Firmware
from .firmware_commands import commands, execute

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
    execute(f)
    commands(f)
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
