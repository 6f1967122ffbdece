"""Bit-exact numpy models of the number formats (docs/formats.md): fp32 and bf16 held as unsigned integers.

All functions are vectorised and broadcast. fp32 numbers are uint32 arrays of bits, bf16 numbers uint16 arrays of bits.
The float functions below (`flush_float`, ...) do the same on float32 arrays, for models that do many steps in a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
F32 = NDArray[np.float32]

#: The one NaN the hardware makes.
CANONICAL_NAN = 0x7FC00000
#: The one bf16 NaN the hardware makes.
CANONICAL_BF16_NAN = 0x7FC0
#: Smallest normal number, 2**-126: anything of smaller magnitude is zero.
SMALLEST_NORMAL = np.float32(2.0**-126)


def _quiet() -> Any:
    return np.errstate(all="ignore")


def fp32_bits(values: ArrayLike) -> U32:
    """Bits of float values, rounded to fp32 first if they are wider. Nothing is flushed."""
    with _quiet():
        return np.atleast_1d(np.asarray(values, dtype=np.float32)).view(np.uint32).reshape(np.shape(values))


def fp32_values(bits: ArrayLike) -> F32:
    """float32 values of fp32 bits."""
    return np.atleast_1d(np.asarray(bits, dtype=np.uint32)).view(np.float32).reshape(np.shape(bits))


def flush32(bits: ArrayLike) -> U32:
    """fp32 bits with subnormals replaced by zero of their sign."""
    bits = np.asarray(bits, dtype=np.uint32)
    return np.where(bits & np.uint32(0x7F800000), bits, bits & np.uint32(0x80000000))


def canonical32(bits: ArrayLike) -> U32:
    """fp32 bits as the hardware gives them: subnormals flushed, every NaN the canonical one."""
    bits = np.asarray(bits, dtype=np.uint32)
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(is_nan, np.uint32(CANONICAL_NAN), flush32(bits))


def bf16_to_fp32_bits(bits: ArrayLike) -> U32:
    """fp32 bits of the same number; exact, nothing is flushed."""
    return np.asarray(bits, dtype=np.uint16).astype(np.uint32) << np.uint32(16)


def bf16_to_values(bits: ArrayLike) -> F32:
    """float32 values of bf16 bits; exact, nothing is flushed."""
    return fp32_values(bf16_to_fp32_bits(bits))


def bf16_round(bits32: ArrayLike) -> U16:
    """fp32 bits rounded to nearest even as bf16: NaN gives 0x7FC0, subnormals zero of their sign, overflow infinity."""
    bits = canonical32(bits32)
    bias = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    # The canonical NaN has no low bits, so the bias cannot carry out of it; infinity neither.
    return ((bits + bias) >> np.uint32(16)).astype(np.uint16)


def bf16_bits(values: ArrayLike) -> U16:
    """bf16 bits of float values, rounded to nearest even (by way of fp32 if they are wider)."""
    return bf16_round(fp32_bits(values))


def flush_float(values: F32) -> F32:
    """float32 values with subnormals replaced by zero of their sign."""
    return np.where(np.abs(values) < SMALLEST_NORMAL, np.copysign(np.float32(0), values), values)


def fp32_add(a_bits: ArrayLike, b_bits: ArrayLike) -> U32:
    """Sum of fp32 bits as the hardware gives it.

    numpy's float32 addition is IEEE-754 round to nearest even; a sum below 2**-126 is exact, so flushing after it is right.
    """
    with _quiet():
        return canonical32(fp32_bits(fp32_values(flush32(a_bits)) + fp32_values(flush32(b_bits))))


def bf16_product(a_bits: ArrayLike, b_bits: ArrayLike) -> U32:
    """Product of bf16 bits as fp32 bits, as the hardware gives it: exact, flushed below 2**-126, infinity from 2**128."""
    a = fp32_values(flush32(bf16_to_fp32_bits(a_bits)))
    b = fp32_values(flush32(bf16_to_fp32_bits(b_bits)))
    with _quiet():
        return canonical32(fp32_bits(a * b))
