"""Firmware: an instruction's access pattern, taken apart."""

from __future__ import annotations

from ..common.isa import ENGINES, INSTRUCTIONS, Instruction
from . import memory_map as where
from .encoding import Condition
from .firmware import DIMENSIONS, Firmware


def unpack(f: Firmware) -> None:
    """`unpack`: base, DRAM address, steps (`rows`, saturating; 0 if a size is) and the dimensions of more than one step, at least one.

    Fails with SIZE unless 0 < rows < limit. Calls `multiply`.
    """
    f.label("unpack")
    f.set(f.dimensions, 0)
    f.set(f.rows, 1)
    f.extract_field(INSTRUCTIONS["Load"].field("base"))
    f.store(f.base)
    f.load(where.private("bytes"))
    f.subtract(ENGINES["load"].instruction_bytes)
    f.jump("unpack.dma", Condition.ZERO)
    f.extract_field(INSTRUCTIONS["LoadChannel"].field("opcode"))
    f.subtract(INSTRUCTIONS["LoadChannel"].opcode)
    f.jump("unpack.single", Condition.ZERO)
    for dim in range(DIMENSIONS):
        _dimension(f, INSTRUCTIONS["Evict"], dim)
    f.jump("unpack.over")
    f.label("unpack.dma")
    dram = INSTRUCTIONS["Load"].field("dram")
    f.extract(dram.offset, 32)
    f.store(f.dram)
    f.extract(dram.offset + 32, dram.width - 32)
    f.store(f.dram_high)
    for dim in range(DIMENSIONS):
        _dimension(f, INSTRUCTIONS["Load"], dim)
    f.label("unpack.over")
    f.load(f.dimensions)
    f.jump("unpack.size", Condition.NONZERO)
    f.label("unpack.single")
    f.set(f.size, 1)
    f.set(f.stride, 0)
    f.store(f.dram_stride)
    f.call("unpack.push")
    f.label("unpack.size")
    f.set(f.unpacked, f.engine_x)
    f.load(f.rows)
    f.jump("bad.size", Condition.ZERO)
    f.compare(f.limit)
    f.jump("bad.size", Condition.CARRY)
    f.ret()
    _push(f)


def _dimension(f: Firmware, instruction: Instruction, dim: int) -> None:
    skip, first, counted = f.unique("skip"), f.unique("first"), f.unique("counted")
    f.extract_field(instruction.field(f"size{dim}"))
    f.store(f.size)
    f.subtract(1)
    f.jump(skip, Condition.ZERO)
    if dim:
        f.load(f.dimensions)
        f.jump(first, Condition.ZERO)
        f.set(f.factor, f.size)
        f.load(f.rows)
        f.call("multiply")
        f.set(f.rows, f.product)
        f.jump(counted)
        f.label(first)
    f.set(f.rows, f.size)
    f.label(counted)
    f.extract_field(instruction.field(f"stride{dim}"))
    f.store(f.stride)
    if instruction.name == "Load":
        f.extract_field(instruction.field(f"dram_stride{dim}"))
        f.store(f.dram_stride)
    f.call("unpack.push")
    f.label(skip)


def _push(f: Firmware) -> None:
    """`unpack.push`: one more dimension, of `size` steps, `stride` and `dram_stride` apart."""
    f.label("unpack.push")
    f.index(f.dimensions)
    f.set(f.sizes.at_x(), f.size)
    f.set(f.strides.at_x(), f.stride)
    f.set((f.strides + DIMENSIONS).at_x(), f.dram_stride)
    f.increase(f.dimensions, 1)
    f.index(f.engine_x)
    f.ret()
