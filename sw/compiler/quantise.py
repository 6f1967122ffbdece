"""From float layers to int8: symmetric scales, integer biases, and the multiplier and shift the output stage requantises with.

A value v is represented by the integer q = round(v / scale), saturated to -127..127. Weights have a scale for each output channel, activations one
for the tensor. With x = s_x q_x and w = s_w q_w the accumulator holds the exact sum of q_x q_w in units of s_x s_w, and the next layer's integer is
that sum times the real factor s_x s_w / s_y. The hardware multiplies by multiplier / 2**shift instead (multiplier 16 bits, rounding to nearest even).

Error bound: the multiplier is normalised to 2**15..2**16 wherever the shift allows, so its relative error is at most 2**-16; a
requantised integer |y| <= 127 is therefore off by at most 1/2 (its own rounding) + 127 * 2**-16 < 0.502 of a unit, and never by two units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

#: Largest magnitude of a quantised value; -128 is left out, so that the range is symmetric.
LIMIT = 127
MULTIPLIER_BITS, SHIFT_LIMIT = 16, 47


def scale_of(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """The scale at which the largest magnitude (along `axis`) becomes 127; 1 where all values are zero."""
    largest = np.max(np.abs(values), axis=axis)
    return np.where(largest > 0, largest / LIMIT, 1.0)


def quantise(values: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    """Nearest integers of `values / scale`, ties to even, saturated to -127..127, as int8.

    Raises
    ------
    ValueError
        if a value is not finite.
    """
    if not np.all(np.isfinite(values)):
        raise ValueError("values must be finite to be quantised: they hold NaN or infinity")
    return np.clip(np.rint(values / scale), -LIMIT, LIMIT).astype(np.int8)


def factor_to_integers(factor: float) -> tuple[int, int]:
    """Multiplier (16 bits) and shift (0..47) whose multiplier / 2**shift is nearest to `factor`.

    Raises
    ------
    ValueError
        if the factor is not a finite number above 0 and below 2**16 - 1/2.
    """
    top = 1 << MULTIPLIER_BITS
    if not (np.isfinite(factor) and 0 < factor < top - 0.5):
        raise ValueError(f"factor must be above 0 and below {top - 0.5}, not {factor!r}: rescale the layer")
    # The largest shift that keeps the multiplier in 16 bits has the smallest error.
    shift = min(SHIFT_LIMIT, MULTIPLIER_BITS - int(np.floor(np.log2(factor))))
    while shift > 0 and round(factor * 2.0**shift) >= top:
        shift -= 1
    return round(factor * 2.0**shift), shift


@dataclass(frozen=True, kw_only=True)
class Linear:
    """One int8 layer: y = requantise(relu(x @ weights + bias)), or int32 relu(x @ weights + bias) without multipliers.

    Parameters
    ----------
    weights : int8 [inputs, outputs]
    bias : int32 [outputs]
    relu : bool
    multiplier, shift : integer arrays [outputs], or None
        None keeps the int32 sums: only the last layer may.

    Raises
    ------
    ValueError
        if a shape, type or range does not fit.
    """

    weights: np.ndarray
    bias: np.ndarray
    relu: bool = False
    multiplier: np.ndarray | None = None
    shift: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.weights.dtype != np.int8 or self.weights.ndim != 2 or 0 in self.weights.shape:
            raise ValueError(f"weights must be a non-empty int8 matrix, not {self.weights.dtype} {self.weights.shape}")
        if self.bias.dtype != np.int32 or self.bias.shape != (self.outputs,):
            raise ValueError(f"bias must be int32 of shape ({self.outputs},), not {self.bias.dtype} {self.bias.shape}")
        if (self.multiplier is None) != (self.shift is None):
            raise ValueError("multiplier and shift must be given together or not at all")
        for name, top in (("multiplier", (1 << MULTIPLIER_BITS) - 1), ("shift", SHIFT_LIMIT)):
            value = getattr(self, name)
            if value is not None and (value.shape != (self.outputs,) or value.min() < 0 or value.max() > top):
                raise ValueError(f"{name} must be {self.outputs} numbers from 0 to {top}, not {value!r}")

    @property
    def inputs(self) -> int:
        """Features in."""
        return int(self.weights.shape[0])

    @property
    def outputs(self) -> int:
        """Features out."""
        return int(self.weights.shape[1])

    @property
    def is_requantised(self) -> bool:
        """Whether it gives int8."""
        return self.multiplier is not None


def quantise_linear(
    weights: np.ndarray, bias: np.ndarray, *, input_scale: float, output_scale: float | None, relu: bool
) -> tuple[Linear, np.ndarray]:
    """The int8 layer of a float one, and the scale of its results, one a channel.

    `output_scale` is that of the activations it gives; None keeps int32 sums, whose scale is `input_scale` times that of the channel's weights.
    """
    weight_scale = scale_of(weights, axis=0)
    sum_scale = input_scale * weight_scale
    integer_bias = np.rint(bias / sum_scale)
    if np.any(np.abs(integer_bias) >= 2**31):
        raise ValueError("bias must fit int32 at the scale of the sums: rescale the layer")
    layer = Linear(weights=quantise(weights, weight_scale), bias=integer_bias.astype(np.int32), relu=relu)
    if output_scale is None:
        return layer, sum_scale
    pairs = np.array([factor_to_integers(float(factor)) for factor in sum_scale / output_scale])
    return replace(layer, multiplier=pairs[:, 0], shift=pairs[:, 1]), np.full(len(sum_scale), output_scale)


def reference_linear(layer: Linear, x: np.ndarray) -> np.ndarray:
    """What `layer` gives for int8 rows `x`, in 64-bit integer arithmetic: int8, or int32 for a layer that is not requantised."""
    total = x.astype(np.int64) @ layer.weights.astype(np.int64) + layer.bias
    total = (total + 2**31) % 2**32 - 2**31
    if layer.relu:
        total = np.maximum(total, 0)
    if layer.multiplier is None or layer.shift is None:
        return total.astype(np.int32)
    # |total * multiplier| < 2**47, so int64 holds it; round to nearest even by comparing the remainder with one half.
    product = total * layer.multiplier.astype(np.int64)
    shift = layer.shift.astype(np.int64)
    floor = product >> shift
    twice = 2 * (product - (floor << shift))
    one = np.int64(1) << shift
    rounded = floor + ((twice > one) | ((twice == one) & (floor % 2 == 1)))
    return np.clip(rounded, -128, 127).astype(np.int8)
