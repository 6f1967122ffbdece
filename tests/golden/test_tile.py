"""sim.golden.tile against sums made one scalar at a time with the oracle types."""

import ml_dtypes
import numpy as np
import pytest

from sim.golden.formats import bf16_bits, fp32_bits
from sim.golden.tile import accumulate, matmul
from tb.vip.tile_traffic import random_elements


@pytest.mark.parametrize(("rows", "depth", "cols"), [(1, 1, 1), (5, 16, 16), (7, 13, 3), (4, 17, 1), (3, 1, 16)])
def test_int8_is_the_integer_product(rows: int, depth: int, cols: int) -> None:
    rng = np.random.default_rng(rows)
    a, b = random_elements(rng, (rows, depth), "int8"), random_elements(rng, (depth, cols), "int8")
    expected = a.astype(np.int64) @ b.astype(np.int64)
    got = matmul(a, b, "int8")
    assert got.dtype == np.uint32
    np.testing.assert_array_equal(got.view(np.int32), expected)


def test_int8_wraps() -> None:
    depth = (1 << 31) // (128 * 128)
    a, b = np.full((1, depth), -128, np.int8), np.full((depth, 1), -128, np.int8)
    assert int(matmul(a, b, "int8")[0, 0]) == 1 << 31
    assert int(accumulate(0xFFFFFFFF, 2, "int8")) == 1


@pytest.mark.parametrize(("rows", "depth", "cols"), [(1, 1, 1), (4, 16, 8), (3, 13, 5), (2, 17, 3)])
@pytest.mark.parametrize("special", [0.0, 0.05])
def test_bf16_adds_in_the_stated_order(rows: int, depth: int, cols: int, special: float) -> None:
    rng = np.random.default_rng(depth)
    a, b = (random_elements(rng, shape, "bf16", special=special) for shape in ((rows, depth), (depth, cols)))
    got = matmul(a, b, "bf16")
    for m in range(rows):
        for c in range(cols):
            assert int(got[m, c]) == scalar_sum(a[m], b[:, c]), f"seed {depth}, element {m}, {c}"


def scalar_sum(a: np.ndarray, b: np.ndarray) -> int:
    """((+0 + a0 b0) + a1 b1) + ..., each step in float64, rounded once, by the rules of docs/formats.md."""
    total = np.float64(0)
    with np.errstate(all="ignore"):
        for x, y in zip(a.view(ml_dtypes.bfloat16), b.view(ml_dtypes.bfloat16), strict=True):
            total = flushed(np.float64(np.float32(total + flushed(flushed(np.float64(x)) * flushed(np.float64(y))))))
    return 0x7FC00000 if np.isnan(total) else int(np.float32(total).view(np.uint32))


def flushed(value: np.float64) -> np.float64:
    """Zero of its sign if subnormal in fp32."""
    return value * np.float64(0) if abs(value) < 2.0**-126 else value


def test_bf16_order_matters() -> None:
    a = bf16_bits([[1.0, 2.0**30, -(2.0**30)]])
    b = bf16_bits([[1.0], [1.0], [1.0]])
    assert matmul(a, b, "bf16")[0, 0] == 0
    assert matmul(a[:, ::-1], b, "bf16")[0, 0] == fp32_bits(1.0)


def test_no_row_gives_positive_zero() -> None:
    for dtype, element in (("int8", np.int8), ("bf16", np.uint16)):
        assert matmul(np.zeros((2, 0), element), np.zeros((0, 3), element), dtype).tolist() == [[0] * 3] * 2
    assert matmul(bf16_bits([[-0.0]]), bf16_bits([[1.0]]), "bf16")[0, 0] == 0, "+0 + -0 is +0"


def test_accumulate_is_an_addition_of_fp32() -> None:
    assert accumulate(fp32_bits([1.0, -0.0]), fp32_bits([2.0, -0.0]), "bf16").tolist() == fp32_bits([3.0, -0.0]).tolist()


def test_arguments_are_checked() -> None:
    one = np.zeros((1, 1), np.int8)
    with pytest.raises(ValueError, match=r"^dtype must be int8 or bf16, not 'fp8'$"):
        matmul(one, one, "fp8")
    with pytest.raises(ValueError, match=r"^dtype must be int8 or bf16, not 'fp8'$"):
        accumulate(0, 0, "fp8")
    with pytest.raises(ValueError, match=r"^shapes must be \[M, k\] and \[k, C\], not \(1, 1\) and \(2, 1\)$"):
        matmul(one, np.zeros((2, 1), np.int8), "int8")
    with pytest.raises(ValueError, match=r"^moving must be an array of uint16 for bf16, not of int8$"):
        matmul(one, one, "bf16")
