"""Firmware: how far an access pattern reaches, in SBUF, DRAM and PSUM."""

from __future__ import annotations

from ..common.isa import ENGINES, INSTRUCTIONS
from . import memory_map as where
from .assembler import Cell
from .encoding import Condition
from .firmware import DIMENSIONS, Firmware

_PATTERNED = INSTRUCTIONS["Evict"]
_DMA = INSTRUCTIONS["Load"]


def extent(f: Firmware) -> None:
    """`check.extent`: SBUF_RANGE; leaves in `above` and `below` how far DRAM is left at both ends. Calls `multiply`.

    (size - 1) * |stride| saturates, and so do the sums: what saturates is out of any range, whichever it is.
    """
    f.label("check.extent")
    f.load(0)
    f.label("extent.pass")
    f.store(f.half)
    f.set(f.above, 0)
    f.store(f.below)
    f.load(f.dimensions)
    f.label("extent.dimension")
    f.subtract(1)
    f.store(f.dimension)
    f.index(f.dimension)
    f.load(f.sizes.at_x())
    f.subtract(1)
    f.store(f.factor)
    f.load(f.dimension)
    f.add(f.half)
    f.store(f.t)
    f.index(f.t)
    f.load(f.strides.at_x())
    f.jump("extent.negative", Condition.NEGATIVE)
    _reach(f, f.above)
    f.label("extent.next")
    f.load(f.dimension)
    f.jump("extent.dimension", Condition.NONZERO)
    f.index(f.engine_x)
    f.load(f.half)
    f.jump("extent.over", Condition.NONZERO)
    f.load(f.base)
    f.add(f.above)
    f.jump("bad.sbuf", Condition.CARRY)
    f.add(f.lines)
    f.jump("bad.sbuf", Condition.CARRY)
    f.compare(f.config.sbuf_lines + 1)
    f.jump("bad.sbuf", Condition.CARRY)
    f.load(f.base)
    f.subtract(f.below)
    f.jump("bad.sbuf", Condition.NO_CARRY)
    f.load(where.private("bytes"))
    f.subtract(ENGINES[_DMA.engine].instruction_bytes)
    f.jump("extent.over", Condition.NONZERO)
    f.load(DIMENSIONS)
    f.jump("extent.pass")
    f.label("extent.over")
    f.ret()
    f.label("extent.negative")
    f.store(f.t)
    f.load(0)
    f.subtract(f.t)
    _reach(f, f.below)
    f.jump("extent.next")


def _reach(f: Firmware, cell: Cell) -> None:
    """Adds factor * A to an end of the pattern; the smaller of the two is multiplied by."""
    swapped, fits = f.unique("swapped"), f.unique("fits")
    f.compare(f.factor)
    f.jump(swapped, Condition.NO_CARRY)
    f.store(f.t)
    f.set(f.number, f.factor)
    f.set(f.factor, f.t)
    f.load(f.number)
    f.label(swapped)
    f.call("multiply")
    f.load(cell)
    f.add(f.product)
    f.jump(fits, Condition.NO_CARRY)
    f.invert(0)
    f.label(fits)
    f.store(cell)


def psum(f: Firmware) -> None:
    """`check.psum`: bank and row exist; leaves the parameter PSUM in `psum`."""
    f.label("check.psum")
    f.extract_field(_PATTERNED.field("psum_row"))
    f.store(f.psum)
    f.add(f.rows)
    f.compare(f.config.psum_rows + 1)
    f.jump("bad.psum", Condition.CARRY)
    f.extract_field(_PATTERNED.field("psum_bank"))
    f.compare(f.config.psum_banks)
    f.jump("bad.psum", Condition.CARRY)
    f.label("psum.bank")
    f.jump("psum.over", Condition.ZERO)
    f.store(f.t)
    f.increase(f.psum, f.config.psum_rows)
    f.load(f.t)
    f.subtract(1)
    f.jump("psum.bank")
    f.label("psum.over")
    f.ret()
