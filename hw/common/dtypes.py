"""Operand element types: their sizes and what their products are summed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Dtype:
    """One operand type of the tensor engine."""

    name: str
    code: int
    """Value of an instruction's `dtype` field."""
    bytes: int
    """Bytes of an element in DRAM and SBUF (little-endian)."""
    is_float: bool
    accumulator: str
    """Type of a partial sum: `int32` wraps modulo 2**32, `fp32` rounds to nearest even after every addition."""


#: Every operand type by name.
DTYPES: dict[str, Dtype] = {
    "int8": Dtype(name="int8", code=0, bytes=1, is_float=False, accumulator="int32"),
    "bf16": Dtype(name="bf16", code=1, bytes=2, is_float=True, accumulator="fp32"),
}
