"""Firmware: reset, start of a job, its end."""

from __future__ import annotations

from ..common.config import ARCHITECTURE_VERSION
from ..common.dtypes import DTYPES
from ..common.isa import ENGINES, SEMAPHORE_BITS, Cause
from ..common.registers import ENGINE_REGISTERS, REGISTERS, Access
from . import memory_map as where
from .assembler import Cell
from .encoding import Condition, Control
from .firmware import DONE, FINISHED, RUNNING, STUCK, Firmware

#: Cycles from the last look at the time to the end of the job, as `end.job` is written.
_END_CYCLES = 36

#: Words a loop that clears memory clears at a time.
_STRIDE = 8


def boot(f: Firmware) -> None:
    """From reset to the first doorbell."""
    config = f.config
    # Not where the loop clears: variables may lie there.
    place = Cell(where.PRIVATE + where.ENGINE_STEP - 1)
    _clear(f, "boot.clear", 0, where.REGISTER_WORDS, place)
    f.call("constants")
    dtypes = sum(1 << DTYPES[name].code for name in config.dtypes)
    values = {name: item.reset for name, item in REGISTERS.items() if item.reset}
    values |= {
        "VERSION": ARCHITECTURE_VERSION,
        "CONFIG_HASH": config.hash,
        "GEOMETRY": config.rows | config.cols << 8 | config.element_bytes << 16 | dtypes << 24,
    }
    for name, value in values.items():
        f.build(value)
        f.store(where.register(name))
    for engine in ENGINES.values():
        f.index(where.ENGINE_STEP * engine.index)
        f.set(where.private("bit"), 1 << engine.index)
        f.set(where.private("bytes"), engine.instruction_bytes)
    f.control(Control.UP, Control.IDLE)
    f.label("idle")
    f.jump("start", Condition.DOORBELL)
    f.jump("idle")


def _clear(f: Firmware, name: str, first: int, count: int, place: Cell) -> None:
    """Words `first` to `first + count` become 0; both are multiples of `count`, a power of two. `place` is used."""
    f.load(count - _STRIDE)
    f.label(name)
    f.store(place)
    f.index(place)
    f.load(0)
    for offset in range(_STRIDE):
        f.store(Cell(first + offset).at_x())
    f.load(place)
    f.subtract(_STRIDE)
    f.jump(name, Condition.CARRY)


def start(f: Firmware) -> None:
    """The doorbell has rung: clears what a job begins without, reads the window and the queues."""
    f.label("start")
    f.load(0)
    for cell in (f.time, f.over, f.span_start, f.lanes, f.depth, f.swap, f.moved):
        f.store(cell)
    f.store(where.register("ERROR_ENGINE"))
    for register in REGISTERS.values():
        if register.access is Access.RO and REGISTERS["WATCHDOG"].address < register.address < 4 * where.SEMAPHORES:
            f.store(where.register(register.name))
    f.set(where.register("STATUS"), RUNNING)
    f.set(f.unpacked, 255)
    _clear(f, "start.semaphores", where.SEMAPHORES, 1 << SEMAPHORE_BITS, f.t)
    _window(f)
    f.every_engine("start.engine")
    f.load(0)
    for name, _, access, _ in ENGINE_REGISTERS:
        if access is Access.RO:
            f.store(where.engine(name))
    f.store(where.private("state"))
    f.set(where.private("pointer"), where.engine("QUEUE_BASE_LO"))
    f.set(where.private("left"), where.engine("QUEUE_COUNT"))
    f.jump("start.empty", Condition.ZERO)
    _queue(f)
    f.label("start.next")
    f.next_engine("start.engine")
    f.control(Control.UP, Control.ANSWER)
    f.jump("scan")
    f.label("start.empty")
    f.call("finished")
    f.jump("start.next")
    f.label("start.refused")
    f.set(where.engine("ADDRESS_LO"), where.engine("QUEUE_BASE_LO"))
    f.set(where.engine("ADDRESS_HI"), where.engine("QUEUE_BASE_HI"))
    f.load(int(Cause.FETCH_ERROR))
    f.call("halt")
    f.jump("start.next")


def _window(f: Firmware) -> None:
    """`low` and `high`: the window, cut to what the address bus reaches."""
    reach = 1 << f.config.axi_address_width
    base, base_high, size, size_high = (where.register(f"DRAM_{name}") for name in ("BASE_LO", "BASE_HI", "SIZE_LO", "SIZE_HI"))
    f.set(f.low, reach)
    f.store(f.high)
    f.load(base_high)
    f.jump("window.over", Condition.NONZERO)
    f.load(base)
    f.compare(reach)
    f.jump("window.over", Condition.CARRY)
    f.store(f.low)
    f.load(size_high)
    f.jump("window.over", Condition.NONZERO)
    f.load(base)
    f.add(size)
    f.jump("window.over", Condition.CARRY)
    f.compare(reach)
    f.jump("window.over", Condition.CARRY)
    f.store(f.high)
    f.label("window.over")


def _queue(f: Firmware) -> None:
    """The whole queue of the engine at work lies in the window, aligned; else to `start.refused`."""
    base = where.engine("QUEUE_BASE_LO")
    f.load(where.engine("QUEUE_BASE_HI"))
    f.jump("start.refused", Condition.NONZERO)
    f.load(where.private("bytes"))
    f.subtract(1)
    f.and_(base)
    f.jump("start.refused", Condition.NONZERO)
    f.load(base)
    f.compare(f.low)
    f.jump("start.refused", Condition.NO_CARRY)
    f.set(f.factor, where.engine("QUEUE_COUNT"))
    f.load(where.private("bytes"))
    f.call("multiply")
    f.load(base)
    f.add(f.product)
    f.jump("start.refused", Condition.CARRY)
    f.store(f.t)
    f.load(f.high)
    f.compare(f.t)
    f.jump("start.refused", Condition.NO_CARRY)


def end(f: Firmware) -> None:
    """No engine can go on, or the watchdog has expired: what is left of the job, then back to `idle`."""
    _deadlock(f)
    f.label("end.job")
    f.call("close")
    f.increase(where.register("STATUS"), DONE - RUNNING)
    f.control(Control.UP, Control.IDLE, Control.IRQ_DONE)
    f.jump("idle")
    _watchdog(f)
    _close(f)


def _deadlock(f: Firmware) -> None:
    """Those that wait have waited to here; if none has halted, they never will go on."""
    f.label("end")
    f.call("tick")
    f.set(f.verdict, where.register("ERROR_ENGINE"))
    f.every_engine("end.engine")
    f.load(where.private("state"))
    f.jump("end.next", Condition.ZERO)
    f.jump("end.next", Condition.NEGATIVE)
    f.set(f.mark, where.private("since"))
    f.account("STALL_SEMAPHORE")
    f.load(f.verdict)
    f.jump("end.next", Condition.NONZERO)
    f.set(where.engine("ADDRESS_LO"), where.private("semaphore"))
    f.load(int(Cause.DEADLOCK))
    f.call("halt")
    f.label("end.next")
    f.next_engine("end.engine")


def _watchdog(f: Firmware) -> None:
    """Every engine neither finished nor halted halts. With a transfer in flight, whose answer may come in a later job, there is none."""
    f.label("expired")
    f.every_engine("expired.engine")
    f.load(where.private("state"))
    f.jump("expired.next", Condition.NEGATIVE)
    f.load(where.private("left"))
    f.jump("expired.next", Condition.ZERO)
    f.load(int(Cause.WATCHDOG))
    f.call("halt")
    f.label("expired.next")
    f.next_engine("expired.engine")
    f.jump("end.job", Condition.FREE)
    f.call("close")
    f.increase(where.register("STATUS"), DONE - RUNNING + STUCK)
    f.control(Control.UP, Control.IRQ_DONE)
    f.label("stuck")
    f.jump("stuck")


def _close(f: Firmware) -> None:
    """`close`: CYCLES. `finished`: the engine at work has nothing left."""
    f.label("close")
    f.call("tick")
    f.load(f.over)
    f.jump("close.over", Condition.NONZERO)
    f.load(f.time)
    f.add(_END_CYCLES)
    f.store(where.register("CYCLES"))
    f.ret()
    f.label("close.over")
    f.invert(0)
    f.store(where.register("CYCLES"))
    f.ret()
    f.label("finished")
    f.status_bit(FINISHED)
    f.or_(where.register("STATUS"))
    f.store(where.register("STATUS"))
    f.ret()
