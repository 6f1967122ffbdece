"""sim.golden.formats against oracles that share no code with it: ml_dtypes, float64 arithmetic, exact integers."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from sim.golden import formats
from tb.vip.float_operands import FP32_SPECIALS, bf16_pairs, fp32_pairs

ALL_BF16 = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
ALL_AS_FLOAT = ALL_BF16.view(ml_dtypes.bfloat16).astype(np.float32)
PAIRS = 2_000_000


def plain(values: np.ndarray) -> np.ndarray:
    """float64 values -> fp32 bits by the documented rules, written from the rules alone: one rounding, then flush and canonical NaN."""
    with np.errstate(all="ignore"):
        rounded = values.astype(np.float32)
    rounded[np.abs(rounded) < 2.0**-126] *= np.float32(0)
    bits = rounded.view(np.uint32)
    bits[np.isnan(rounded)] = 0x7FC00000
    return bits


def operand(values: np.ndarray) -> np.ndarray:
    """Operands as float64, subnormals as zero of their sign."""
    wide = values.astype(np.float64)
    wide[np.abs(wide) < 2.0**-126] *= 0.0
    return wide


def test_bf16_to_fp32_is_exact_for_every_value() -> None:
    got = formats.bf16_to_values(ALL_BF16)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(ALL_AS_FLOAT))
    numbers = ~np.isnan(got)
    np.testing.assert_array_equal(got[numbers].view(np.uint32), ALL_AS_FLOAT[numbers].view(np.uint32))


def test_flush_of_every_bf16_value() -> None:
    got = formats.flush32(formats.bf16_to_fp32_bits(ALL_BF16))
    tiny = np.isfinite(ALL_AS_FLOAT) & (np.abs(ALL_AS_FLOAT) < 2.0**-126)
    assert tiny.sum() == 256
    np.testing.assert_array_equal(got[tiny], np.where(np.signbit(ALL_AS_FLOAT[tiny]), 0x80000000, 0))
    np.testing.assert_array_equal(got[~tiny], ALL_BF16[~tiny].astype(np.uint32) << 16)


def test_round_trip_of_every_bf16_value() -> None:
    got = formats.bf16_round(formats.bf16_to_fp32_bits(ALL_BF16))
    expected = ALL_BF16.copy()
    expected[np.isnan(ALL_AS_FLOAT)] = 0x7FC0
    tiny = np.abs(ALL_AS_FLOAT) < 2.0**-126
    expected[tiny] &= 0x8000
    np.testing.assert_array_equal(got, expected)


def test_rounding_agrees_with_ml_dtypes() -> None:
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 1 << 32, PAIRS, dtype=np.uint32)
    # Every bf16 value with the lower halves around a tie.
    ties = (ALL_BF16.astype(np.uint32) << 16)[:, None] | np.array([0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF], dtype=np.uint32)
    bits = np.concatenate([bits, ties.ravel(), FP32_SPECIALS])
    values = bits.view(np.float32)
    with np.errstate(invalid="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    expected = np.where(np.isnan(values), 0x7FC0, expected)
    tiny = np.abs(values) < 2.0**-126
    expected = np.where(tiny, np.where(np.signbit(values), 0x8000, 0), expected)
    np.testing.assert_array_equal(formats.bf16_round(bits), expected, err_msg="seed 1")


def test_products_agree_with_float64() -> None:
    """The product of two bf16 numbers is exact in float64."""
    a, b = bf16_pairs(np.random.default_rng(2), PAIRS)
    with np.errstate(all="ignore"):
        expected = plain(operand(a.view(ml_dtypes.bfloat16)) * operand(b.view(ml_dtypes.bfloat16)))
    np.testing.assert_array_equal(formats.bf16_product(a, b), expected, err_msg="seed 2")


def test_product_of_every_value_with_the_special_ones() -> None:
    for special in np.unique(FP32_SPECIALS >> 16).astype(np.uint16):
        with np.errstate(all="ignore"):
            expected = plain(operand(ALL_BF16.view(ml_dtypes.bfloat16)) * operand(np.full(1, special).view(ml_dtypes.bfloat16)))
        np.testing.assert_array_equal(formats.bf16_product(ALL_BF16, special), expected, err_msg=f"times {special:#06x}")


def test_sums_agree_with_float64() -> None:
    """A float64 sum of fp32 numbers rounded again to fp32 is the correctly rounded sum: 53 >= 2 * 24 + 2."""
    a, b = fp32_pairs(np.random.default_rng(3), PAIRS)
    with np.errstate(all="ignore"):
        expected = plain(operand(a.view(np.float32)) + operand(b.view(np.float32)))
    np.testing.assert_array_equal(formats.fp32_add(a, b), expected, err_msg="seed 3")


def exact_sum(a: int, b: int) -> int:
    """fp32 sum from exact integers: no floating point at all."""
    parts = [(bits >> 31, bits >> 23 & 0xFF, bits & 0x7FFFFF) for bits in (a, b)]
    if any(exponent == 255 and fraction for _, exponent, fraction in parts):
        return 0x7FC00000
    infinite = {sign for sign, exponent, _ in parts if exponent == 255}
    if infinite:
        return 0x7FC00000 if len(infinite) == 2 else infinite.pop() << 31 | 0x7F800000
    # In units of 2**-149.
    total = sum((-1) ** sign * ((1 << 23 | fraction) << exponent - 1 if exponent else 0) for sign, exponent, fraction in parts)
    if total == 0:
        return (parts[0][0] & parts[1][0]) << 31 if not (parts[0][1] or parts[1][1]) else 0
    sign, magnitude = int(total < 0), abs(total)
    shift = max(magnitude.bit_length() - 24, 0)
    rounded = round(Fraction(magnitude, 1 << shift))  # Python rounds halves to even
    exponent = shift + 1 if rounded >= 1 << 23 else 0
    if exponent == 0:
        return sign << 31
    if rounded == 1 << 24:
        rounded, exponent = rounded >> 1, exponent + 1
    return sign << 31 | (0x7F800000 if exponent >= 255 else exponent << 23 | rounded & 0x7FFFFF)


def test_sums_agree_with_exact_integers() -> None:
    a, b = fp32_pairs(np.random.default_rng(4), 40_000)
    expected = [exact_sum(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    np.testing.assert_array_equal(formats.fp32_add(a, b), expected, err_msg="seed 4")


@pytest.mark.parametrize(
    ("a", "b", "total"),
    [
        (0x80000000, 0x80000000, 0x80000000),  # -0 + -0 = -0
        (0x00000000, 0x80000000, 0x00000000),  # +0 + -0 = +0
        (0x3F800000, 0xBF800000, 0x00000000),  # x - x = +0
        (0x00000001, 0x00000001, 0x00000000),  # subnormal operands are zero
        (0x80000001, 0x80000000, 0x80000000),  # of their sign
        (0x80800001, 0x00800000, 0x80000000),  # subnormal result: zero of its sign
        (0x7F7FFFFF, 0x73000000, 0x7F800000),  # a tie above the largest number: infinity
        (0x7F7FFFFF, 0x72FFFFFF, 0x7F7FFFFF),  # just below the tie: not
        (0x3F800000, 0x33800000, 0x3F800000),  # a tie goes to even
        (0x3F800001, 0x33800000, 0x3F800002),
        (0x7F800000, 0xFF800000, 0x7FC00000),  # inf - inf
        (0xFFC12345, 0x3F800000, 0x7FC00000),  # every NaN is the canonical one
    ],
)
def test_sums_of_the_page(a: int, b: int, total: int) -> None:
    assert int(formats.fp32_add(a, b)) == total
    assert int(formats.fp32_add(b, a)) == total


def test_values_and_bits() -> None:
    assert formats.fp32_bits(1.0) == 0x3F800000
    assert formats.fp32_values(0xC0000000) == -2.0
    assert formats.bf16_bits([1.0, -2.5]).tolist() == [0x3F80, 0xC020]
    assert formats.fp32_bits(np.zeros((2, 3))).shape == (2, 3)
    assert formats.canonical32([0xFFFFFFFF, 0x80000001, 0x3F800001]).tolist() == [0x7FC00000, 0x80000000, 0x3F800001]
    flushed = formats.flush_float(np.array([1e-39, -1e-39, 2.0**-126, np.inf, -1.5], dtype=np.float32))
    assert formats.fp32_bits(flushed).tolist() == [0, 0x80000000, 0x00800000, 0x7F800000, 0xBFC00000]
