"""`output_rows` against element-by-element Python and ml_dtypes."""

import struct

import ml_dtypes
import numpy as np
import pytest

from hw.common.isa import OUTPUT_LINES, OutputMode
from sim.golden.output import output_rows
from tests.golden.test_requantise import oracle

INTEGER_MODES = (OutputMode.INT8, OutputMode.INT32)
FLOAT_MODES = (OutputMode.BF16, OutputMode.FP32)


def scales(rng: np.random.Generator, cols: int) -> np.ndarray:
    # The unused bits of a scale word must not matter.
    multiplier, shift, unused = rng.integers(1 << 16, size=cols), rng.integers(20, 40, size=cols), rng.integers(1 << 10, size=cols)
    return (multiplier | shift << 16 | unused << 22).astype(np.uint32)


@pytest.mark.parametrize("mode", INTEGER_MODES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("shape", [(1, 4), (2, 8), (13, 4)])
def test_integer_modes(mode: OutputMode, relu: bool, biased: bool, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng([*shape, mode, relu, biased])
    bits = rng.integers(1 << 32, size=shape, dtype=np.uint32)
    bias = rng.integers(1 << 32, size=shape[1], dtype=np.uint32)
    scale = scales(rng, shape[1])
    expected = b""
    for row in bits.tolist():
        for c, value in enumerate(row):
            x = (value + (int(bias[c]) if biased else 0) + 2**31) % 2**32 - 2**31
            x = max(x, 0) if relu else x
            word = int(scale[c])
            expected += struct.pack("<i", x) if mode == OutputMode.INT32 else struct.pack("b", oracle(x, word & 0xFFFF, word >> 16 & 63))
    got = output_rows(bits, mode, bias if biased else None, relu, scale)
    assert got.shape == (shape[0], OUTPUT_LINES[mode] * shape[1])
    assert got.tobytes() == expected


@pytest.mark.parametrize("mode", FLOAT_MODES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_float_modes_of_ordinary_numbers(mode: OutputMode, relu: bool, biased: bool) -> None:
    rng = np.random.default_rng([mode, relu, biased])
    values = rng.normal(size=(9, 8)).astype(np.float32)
    bias = rng.normal(size=8).astype(np.float32)
    x = values + bias if biased else values
    x = np.maximum(x, np.float32(0)) if relu else x
    expected = x.astype(ml_dtypes.bfloat16) if mode == OutputMode.BF16 else x
    got = output_rows(values.view(np.uint32), mode, bias.view(np.uint32) if biased else None, relu, np.zeros(8, np.uint32))
    assert got.tobytes() == expected.tobytes()


def test_float_special_values() -> None:
    minus_zero, minus_nan, nan, minus_infinity, subnormal = 0x80000000, 0xFF800001, 0x7FC00000, 0xFF800000, 0x00000001
    bits = np.array([[minus_zero, minus_nan, minus_infinity, subnormal]], np.uint32)
    none = np.zeros(4, np.uint32)
    # Without bias nothing is added: the bits pass, subnormals and NaN payloads too.
    assert output_rows(bits, OutputMode.FP32, None, False, none).view("<u4").tolist() == bits.tolist()
    assert output_rows(bits, OutputMode.FP32, None, True, none).view("<u4").tolist() == [[0, minus_nan, 0, subnormal]]
    assert output_rows(bits, OutputMode.FP32, none, False, none).view("<u4").tolist() == [[0, nan, minus_infinity, 0]]
    assert output_rows(bits, OutputMode.BF16, None, True, none).view("<u2").tolist() == [[0, 0x7FC0, 0, 0]]
    # A negative NaN is still below zero as an integer.
    assert output_rows(bits, OutputMode.INT32, None, True, none).view("<u4").tolist() == [[0, 0, 0, 1]]


def test_raw_passes_the_bits() -> None:
    bits = np.random.default_rng(1).integers(1 << 32, size=(3, 4), dtype=np.uint32)
    assert output_rows(bits, OutputMode.RAW, None, False, np.zeros(4, np.uint32)).tobytes() == bits.astype("<u4").tobytes()


def test_rejects_bad_input() -> None:
    row = np.zeros((1, 4), np.uint32)
    with pytest.raises(ValueError, match="mode must not be RAW with bias or ReLU, not bias False, relu True"):
        output_rows(row, OutputMode.RAW, None, True, row[0])
    with pytest.raises(ValueError, match="psum_bits must have 2 dimensions, not 1"):
        output_rows(row[0], OutputMode.INT8, None, False, row[0])
