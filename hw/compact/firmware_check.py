"""Firmware: the checks an instruction passes before it starts, in the order of `Cause`."""

from __future__ import annotations

from ..common.isa import (
    COUNT_BITS,
    DMA_MAX_LINES,
    HEADER,
    INSTRUCTIONS,
    OUTPUT_LINES,
    SEMAPHORE_BITS,
    Cause,
    Instruction,
    OutputMode,
)
from ..control.checker import SLOTS
from . import memory_map as where
from .encoding import Condition
from .firmware import DIMENSIONS, Firmware
from .firmware_extent import extent, psum
from .firmware_unpack import unpack

_PATTERNED = INSTRUCTIONS["Evict"]
_DMA = INSTRUCTIONS["Load"]


def check(f: Firmware) -> None:
    """`check`: the instruction of the engine at work, just fetched; goes on at `checked` or at what halts the engine."""
    f.label("check")
    f.extract_field(_DMA.field("opcode"))
    f.store(f.t)
    # ADDRESS of an illegal opcode; any other cause writes its own.
    f.store(where.engine("ADDRESS_LO"))
    f.load(f.engine_x)
    for engine in ("load", "tensor", "output"):
        f.jump(f"check.{engine}", Condition.ZERO)
        f.subtract(where.ENGINE_STEP)
    _opcode(f, "Store", "check.dma")
    f.label("check.load")
    _opcode(f, "Load", "check.dma")
    f.label("check.tensor")
    _opcode(f, "MultiplyMoving", "check.multiply", last=False)
    _opcode(f, "LoadStationary", "check.stationary")
    f.label("check.output")
    _opcode(f, "Evict", "check.evict", last=False)
    _opcode(f, "LoadChannel", "check.channel")
    _dma(f)
    _tensor(f)
    _output(f)
    _shared(f)
    _failures(f)


def _opcode(f: Firmware, name: str, label: str, *, last: bool = True) -> None:
    """To `label` if the opcode in `t` is that of the instruction; if not, the next is tried or the engine halts."""
    f.load(f.t)
    f.subtract(INSTRUCTIONS[name].opcode)
    f.jump(label, Condition.ZERO)
    if last:
        f.jump("bad.opcode")


def _begin(f: Firmware, label: str, instruction: Instruction, *, lines: int, limit: int) -> None:
    """What every instruction begins with: reserved bits, lines of a step, and how many steps it may have."""
    f.label(label)
    f.set(where.engine("ADDRESS_LO"), 0)
    words = [instruction.reserved_mask >> offset & 0xFFFFFFFF for offset in range(0, 512, 32)]
    for number, mask in enumerate(words):
        if 0 < mask < 0xFFFFFFFF:
            f.load(f.word(number))
            f.test(mask, "bad.reserved")
    whole = [number for number, mask in enumerate(words) if mask == 0xFFFFFFFF]
    for place, number in enumerate(whole):
        (f.or_ if place else f.load)(f.word(number))
    if whole:
        f.jump("bad.reserved", Condition.NONZERO)
    f.set(f.lines, lines)
    f.set(f.limit, limit + 1)


def _dma(f: Firmware) -> None:
    line = f.config.line_bytes
    _begin(f, "check.dma", _DMA, lines=1, limit=DMA_MAX_LINES)
    f.call("check.header")
    _aligned(f, {"dram": line, **{f"dram_stride{dim}": line for dim in range(DIMENSIONS)}}, _DMA)
    f.call("check.extent")
    f.load(f.dram_high)
    f.jump("bad.dram", Condition.NONZERO)
    f.load(f.dram)
    f.add(f.above)
    f.jump("bad.dram", Condition.CARRY)
    f.add(line)
    f.jump("bad.dram", Condition.CARRY)
    f.store(f.t)
    f.load(f.high)
    f.compare(f.t)
    f.jump("bad.dram", Condition.NO_CARRY)
    f.load(f.dram)
    f.subtract(f.below)
    f.jump("bad.dram", Condition.NO_CARRY)
    f.compare(f.low)
    f.jump("bad.dram", Condition.NO_CARRY)
    f.jump("checked")


def _tensor(f: Firmware) -> None:
    config = f.config
    for label, name, limit in (
        ("check.multiply", "MultiplyMoving", config.psum_rows),
        ("check.stationary", "LoadStationary", config.rows),
    ):
        instruction = INSTRUCTIONS[name]
        _begin(f, label, instruction, lines=1, limit=limit)
        # The one operand type there is has code 0.
        dtype = instruction.field("dtype")
        f.load(f.word(0))
        f.test((1 << dtype.width) - 1 << dtype.offset, "bad.mode")
        f.call("check.header")
        f.call("check.extent")
        if name == "MultiplyMoving":
            f.call("check.psum")
            f.load(f.lanes)
            f.jump("bad.stationary", Condition.ZERO)
        f.jump("checked")


def _output(f: Firmware) -> None:
    config, evict = f.config, INSTRUCTIONS["Evict"]
    _begin(f, "check.evict", evict, lines=1, limit=config.psum_rows)
    f.extract_field(evict.field("mode"))
    before = 0
    for mode, label in ((OutputMode.INT8, "evict.narrow"), (OutputMode.RAW, "evict.raw"), (OutputMode.INT32, "evict.wide")):
        f.subtract(mode - before)
        f.jump(label, Condition.ZERO)
        before = mode
    f.jump("bad.mode")
    f.label("evict.raw")
    f.load(f.word(0))
    f.test(sum(1 << evict.field(name).offset for name in ("bias", "relu")), "bad.mode")
    f.label("evict.wide")
    lines = OUTPUT_LINES[OutputMode.RAW]
    f.set(f.lines, lines)
    f.call("check.header")
    _aligned(f, dict.fromkeys(("base", *(f"stride{dim}" for dim in range(DIMENSIONS))), lines), evict)
    f.jump("evict.placed")
    f.label("evict.narrow")
    f.call("check.header")
    f.label("evict.placed")
    f.call("check.extent")
    f.call("check.psum")
    f.jump("checked")
    channel = INSTRUCTIONS["LoadChannel"]
    _begin(f, "check.channel", channel, lines=8, limit=1)
    f.call("check.header")
    _aligned(f, {"base": 8}, channel)
    f.call("check.extent")
    f.jump("checked")


def _aligned(f: Firmware, units: dict[str, int], instruction: Instruction) -> None:
    """The fields are multiples of these powers of two."""
    masks: dict[int, dict[int, list[int]]] = {}
    for name, unit in units.items():
        first, low = divmod(instruction.field(name).offset, 32)
        masks.setdefault((unit - 1) << low, {}).setdefault(first, []).append(low)
    for mask, words in masks.items():
        for place, number in enumerate(words):
            (f.or_ if place else f.load)(f.word(number))
        f.test(mask, "bad.alignment")


def _shared(f: Firmware) -> None:
    """Subroutines of the checks."""
    f.label("check.header")
    _semaphores(f)
    unpack(f)
    extent(f)
    psum(f)


def _semaphores(f: Firmware) -> None:
    """Only numbers that exist, where there is a count; falls through to `unpack`."""
    if f.config.semaphores == 1 << SEMAPHORE_BITS:
        return
    fields = {item.name: item for item in HEADER}
    for slot in SLOTS:
        done = f.unique("slot")
        f.extract(fields[f"{slot}_semaphore"].offset, SEMAPHORE_BITS + COUNT_BITS)
        f.compare(1 << SEMAPHORE_BITS)
        f.jump(done, Condition.NO_CARRY)
        f.and_((1 << SEMAPHORE_BITS) - 1)
        f.compare(f.config.semaphores)
        f.jump("bad.semaphore", Condition.CARRY)
        f.label(done)


def _failures(f: Firmware) -> None:
    """Where the engine halts: the cause, and what ADDRESS shows."""
    f.label("bad.psum")
    f.extract_field(_PATTERNED.field("psum_bank"))
    f.rotate(16)
    f.store(f.base)
    f.extract_field(_PATTERNED.field("psum_row"))
    f.or_(f.base)
    f.store(f.base)
    f.fail("bad.psum.place", Cause.PSUM_RANGE, f.base)
    f.label("bad.dram")
    f.set(where.engine("ADDRESS_HI"), f.dram_high)
    f.fail("bad.dram.place", Cause.DRAM_RANGE, f.dram)
    f.label("bad.semaphore")
    f.store(f.base)
    f.fail("bad.semaphore.place", Cause.SEMAPHORE, f.base)
    f.fail("bad.opcode", Cause.ILLEGAL_OPCODE, None)
    f.fail("bad.reserved", Cause.RESERVED, None)
    f.fail("bad.mode", Cause.MODE, None)
    f.fail("bad.size", Cause.SIZE, None)
    f.fail("bad.stationary", Cause.NO_STATIONARY, None)
    f.fail("bad.alignment", Cause.ALIGNMENT, f.base)
    f.fail("bad.sbuf", Cause.SBUF_RANGE, f.base)
