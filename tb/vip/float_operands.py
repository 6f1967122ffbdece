"""Operand pairs that find float bugs: all pairs of special values, near exponents, cancellations, ties, borders of the range."""

from __future__ import annotations

import numpy as np

from sim.golden.formats import U16, U32

#: fp32 bits: zeros, subnormals, both sides of every border, infinities, NaNs (quiet, signalling, negative), ties of rounding.
FP32_SPECIALS: U32 = np.array(
    [
        magnitude | sign
        for magnitude in (
            0x00000000, 0x00000001, 0x007FFFFF, 0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000, 0x0C000000, 0x33800000, 0x33800001,
            0x34000000, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x40000000, 0x4B000000, 0x4B800000, 0x4B800001, 0x73800000, 0x7E800000,
            0x7EFFFFFF, 0x7F000000, 0x7F7FFFFE, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF,
        )
        for sign in (0, 0x80000000)
    ],
    dtype=np.uint32,
)  # fmt: skip


def fp32_pairs(rng: np.random.Generator, count: int) -> tuple[U32, U32]:
    """All pairs of `FP32_SPECIALS`, then `count` random ones: mostly of exponents at most 28 apart, many of short fractions (ties)."""
    a, b = (grid.ravel() for grid in np.meshgrid(FP32_SPECIALS, FP32_SPECIALS))
    left, right = (rng.integers(0, 1 << 32, count, dtype=np.uint32) for _ in range(2))
    # Fractions of few bits, or of few zeros, make ties and long carries.
    for bits in (left, right):
        keep = (0xFFFFFFFF << rng.integers(0, 24, count)) & 0xFFFFFFFF
        style = rng.random(count)
        bits[:] = np.where(style < 0.3, bits & keep, np.where(style < 0.5, bits | (~keep & 0x7FFFFF), bits))
    exponent = (left >> 23 & 0xFF).astype(np.int64) + rng.integers(-28, 29, count)
    near = (right & 0x807FFFFF) | (np.clip(exponent, 0, 255).astype(np.uint32) << 23)
    # Nearly -left: deep cancellation, down to subnormal differences where the exponent is small.
    step = rng.integers(-3, 4, count)
    cancel = ((left.astype(np.int64) + step) & 0xFFFFFFFF).astype(np.uint32) ^ np.uint32(0x80000000)
    style = rng.random(count)
    right = np.where(style < 0.6, near, np.where(style < 0.8, cancel, right)).astype(np.uint32)
    small = rng.random(count) < 0.1
    left, right = (np.where(small, bits & 0x87FFFFFF, bits).astype(np.uint32) for bits in (left, right))
    return np.concatenate([a, left]), np.concatenate([b, right])


def bf16_pairs(rng: np.random.Generator, count: int) -> tuple[U16, U16]:
    """All pairs of the upper halves of `FP32_SPECIALS` and some more, then `count` random ones, many at the borders of the range."""
    more = [0x0001, 0x807F, 0x0081, 0x2000, 0x1F80, 0x5F80, 0xDF7F, 0x5FFF, 0x1FFF]
    special = np.unique(np.concatenate([FP32_SPECIALS >> 16, more])).astype(np.uint16)
    a, b = (grid.ravel() for grid in np.meshgrid(special, special))
    left, right = (rng.integers(0, 1 << 16, count, dtype=np.uint16) for _ in range(2))
    # Exponents that add up to the smallest or to the largest product.
    border = np.where(rng.random(count) < 0.5, 127, 127 + 254) + rng.integers(-2, 3, count)
    exponent = np.clip(border - (left >> 7 & 0xFF).astype(np.int64), 0, 255).astype(np.uint16)
    right = np.where(rng.random(count) < 0.5, (right & 0x807F) | (exponent << 7), right).astype(np.uint16)
    return np.concatenate([a, left]), np.concatenate([b, right])
