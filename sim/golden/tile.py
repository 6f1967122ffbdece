"""Bit-exact numpy model of the tile and of accumulation in PSUM: what is added to what, in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .formats import U32, bf16_to_fp32_bits, canonical32, flush32, flush_float, fp32_add, fp32_bits, fp32_values


def _check_dtype(dtype: str) -> None:
    if dtype not in ("int8", "bf16"):
        raise ValueError(f"dtype must be int8 or bf16, not {dtype!r}")


def matmul(moving: ArrayLike, stationary: ArrayLike, dtype: str) -> U32:
    """Sums of products as the tile gives them: out[m, c] = sum over r, ascending, of moving[m, r] * stationary[r, c].

    int8 (int8 arrays) sums wrap modulo 2**32. bf16 (uint16 arrays of bits) sums start from +0 and are rounded to fp32 after each addition.
    The result holds the bits of int32 or fp32 numbers, shape [M, C].

    Raises
    ------
    ValueError
        for an unknown dtype or shapes that do not fit.
    """
    _check_dtype(dtype)
    left, right = np.asarray(moving), np.asarray(stationary)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError(f"shapes must be [M, k] and [k, C], not {left.shape} and {right.shape}")
    if dtype == "int8":
        _check_element(left, right, np.int8, dtype)
        # Below 2**53 a float64 sum of integers is exact in any order, and a matmul of floats is fast.
        total = np.matmul(left.astype(np.float64), right.astype(np.float64))
        return total.astype(np.int64).astype(np.uint32)
    _check_element(left, right, np.uint16, dtype)
    a = fp32_values(flush32(bf16_to_fp32_bits(left)))
    b = fp32_values(flush32(bf16_to_fp32_bits(right)))
    total32 = np.zeros((left.shape[0], right.shape[1]), dtype=np.float32)
    with np.errstate(all="ignore"):
        for row in range(right.shape[0]):
            total32 = flush_float(total32 + flush_float(a[:, row, None] * b[None, row, :]))
    return canonical32(fp32_bits(total32))


def _check_element(left: NDArray[Any], right: NDArray[Any], element: type, dtype: str) -> None:
    for name, array in (("moving", left), ("stationary", right)):
        if array.dtype != element:
            raise ValueError(f"{name} must be an array of {element.__name__} for {dtype}, not of {array.dtype}")


def accumulate(psum_bits: ArrayLike, rows_bits: ArrayLike, dtype: str) -> U32:
    """What PSUM holds after rows have been accumulated onto it: psum + rows, int32 modulo 2**32 or fp32.

    Raises
    ------
    ValueError
        for an unknown dtype.
    """
    _check_dtype(dtype)
    psum, rows = np.asarray(psum_bits, dtype=np.uint32), np.asarray(rows_bits, dtype=np.uint32)
    return psum + rows if dtype == "int8" else fp32_add(psum, rows)
