"""Bit-exact model of requantisation: int32 to int8 by a multiplier and a right shift, round to nearest even, saturating."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Bits of a multiplier, and the largest right shift; larger shifts act as this one.
MULTIPLIER_BITS, SHIFT_MAX = 16, 47


def requantise(values: ArrayLike, multiplier: ArrayLike, shift: ArrayLike) -> NDArray[np.int8]:
    """saturate8(round_half_even(value * multiplier / 2**shift)), elementwise with broadcasting.

    Parameters
    ----------
    values : array of int32
    multiplier : array of 0..65535
    shift : array of 0..63
        48 and more act as 47, as in the hardware.

    Raises
    ------
    ValueError
        if a number is outside its range.
    """
    x = _checked("values", values, -(1 << 31), (1 << 31) - 1)
    factor = _checked("multiplier", multiplier, 0, (1 << MULTIPLIER_BITS) - 1)
    places = np.minimum(_checked("shift", shift, 0, 63), SHIFT_MAX)
    product = x * factor  # below 2**47 in magnitude
    floor = product >> places
    # Twice the remainder against 2**shift tells below, at or above the half; it is 0 for shift 0.
    twice = (product - (floor << places)) << 1
    one = np.int64(1) << places
    up = (twice > one) | ((twice == one) & ((floor & 1) == 1))
    return np.clip(floor + up, -128, 127).astype(np.int8)


def _checked(name: str, values: ArrayLike, low: int, high: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, not {array.dtype}")
    if array.size and not (low <= array.min() and array.max() <= high):
        wrong = array[(array < low) | (array > high)].flat[0]
        raise ValueError(f"{name} must be {low} to {high}, not {wrong}")
    return array.astype(np.int64)
