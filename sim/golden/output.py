"""Bit-exact model of the output stage's arithmetic: PSUM rows to the bytes that land in SBUF."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hw.common.isa import OutputMode

from .formats import bf16_round, fp32_add
from .requantise import MULTIPLIER_BITS, requantise

_FLOAT_MODES = (OutputMode.BF16, OutputMode.FP32)
_INFINITY, _SIGN = np.uint32(0x7F800000), np.uint32(1 << 31)


def output_rows(
    psum_bits: NDArray[np.uint32], mode: OutputMode, bias_bits: NDArray[np.uint32] | None, relu: bool, scale: NDArray[np.uint32]
) -> NDArray[np.uint8]:
    """What an `Evict` of mode `mode` writes for the PSUM rows `psum_bits`.

    Parameters
    ----------
    psum_bits : uint32 [M, C]
        Bits of the rows, int32 or fp32.
    mode : OutputMode
    bias_bits : uint32 [C] or None
        Bits of the per-channel bias; None adds nothing.
    relu : bool
        Replace negative values by zero; a negative NaN stays.
    scale : uint32 [C]
        Scale words: multiplier in bits 0..15, shift in bits 16..21. Used by mode INT8 only.

    Returns
    -------
    uint8 [M, lines * C]
        lines is 1 (INT8), 2 (BF16) or 4; little-endian elements.

    Raises
    ------
    ValueError
        if `mode` is RAW with bias or ReLU, or the rows do not have two dimensions.
    """
    bits = np.asarray(psum_bits, np.uint32)
    if bits.ndim != 2:
        raise ValueError(f"psum_bits must have 2 dimensions, not {bits.ndim}")
    if mode == OutputMode.RAW and (bias_bits is not None or relu):
        raise ValueError(f"mode must not be RAW with bias or ReLU, not bias {bias_bits is not None}, relu {relu!r}")
    is_float = mode in _FLOAT_MODES
    if bias_bits is not None:
        bias = np.asarray(bias_bits, np.uint32)
        bits = fp32_add(bits, bias) if is_float else bits + bias
    if relu:
        is_nan = (bits & ~_SIGN) > _INFINITY
        negative = (bits & _SIGN) != 0
        bits = np.where(negative & ~(is_float & is_nan), np.uint32(0), bits)
    if mode == OutputMode.INT8:
        words = np.asarray(scale, np.uint32)
        multiplier = words & np.uint32((1 << MULTIPLIER_BITS) - 1)
        rows = requantise(bits.view(np.int32), multiplier, (words >> np.uint32(MULTIPLIER_BITS)) & np.uint32(63)).astype("i1")
    elif mode == OutputMode.BF16:
        rows = bf16_round(bits).astype("<u2")
    else:
        rows = bits.astype("<u4")
    return np.ascontiguousarray(rows).view(np.uint8)
