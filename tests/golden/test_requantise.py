"""`requantise` against exact rational arithmetic of Python integers."""

from fractions import Fraction

import numpy as np
import pytest

from sim.golden.requantise import requantise

EDGES = [0, 1, 2, 3, 5, 127, 128, 129, 255, 256, 2**15, 2**16 - 1, 2**30, 2**31 - 1]
SIGNED_EDGES = EDGES + [-value for value in EDGES] + [-(2**31)]
MULTIPLIERS = [0, 1, 2, 3, 7, 127, 128, 255, 2**15 - 1, 2**15, 2**16 - 2, 2**16 - 1]


def oracle(value: int, multiplier: int, shift: int) -> int:
    # round() of a Fraction is exact and rounds halves to even.
    return max(-128, min(127, round(Fraction(value * multiplier, 2 ** min(shift, 47)))))


def test_edges_of_everything() -> None:
    values, multipliers, shifts = np.array(SIGNED_EDGES), np.array(MULTIPLIERS), np.arange(64)
    got = requantise(values[:, None, None], multipliers[None, :, None], shifts[None, None, :])
    expected = np.array([[[oracle(v, m, s) for s in range(64)] for m in MULTIPLIERS] for v in SIGNED_EDGES])
    assert got.dtype == np.int8
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("seed", range(3))
def test_random(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shift = rng.integers(64, size=4000)
    multiplier = rng.integers(1 << 16, size=4000)
    # Values that land near the int8 range at their shift, where rounding matters, and any others.
    near = rng.integers(-140, 140, size=4000) * (1 << np.minimum(shift, 47)) // np.maximum(multiplier, 1) + rng.integers(-2, 3, size=4000)
    values = np.where(rng.integers(2, size=4000), np.clip(near, -(2**31), 2**31 - 1), rng.integers(-(2**31), 2**31, size=4000))
    expected = [oracle(int(v), int(m), int(s)) for v, m, s in zip(values, multiplier, shift, strict=True)]
    np.testing.assert_array_equal(requantise(values, multiplier, shift), expected, err_msg=f"seed {seed}")


@pytest.mark.parametrize("shift", range(1, 9))
def test_every_tie_goes_to_even(shift: int) -> None:
    values = (2 * np.arange(-150, 150) + 1) << (shift - 1)
    expected = [oracle(int(v), 1, shift) for v in values]
    got = requantise(values, 1, shift)
    np.testing.assert_array_equal(got, expected)
    unsaturated = (got > -128) & (got < 127)
    assert unsaturated.sum() > 200
    assert not (got[unsaturated] & 1).any()


@pytest.mark.parametrize(
    ("values", "multiplier", "shift", "message"),
    [
        (2**31, 1, 0, "values must be -2147483648 to 2147483647, not 2147483648"),
        (0, 65536, 0, "multiplier must be 0 to 65535, not 65536"),
        (0, -1, 0, "multiplier must be 0 to 65535, not -1"),
        (0, 1, 64, "shift must be 0 to 63, not 64"),
        (0.5, 1, 0, "values must be integers, not float64"),
    ],
)
def test_rejects_numbers_out_of_range(values: float, multiplier: int, shift: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        requantise(values, multiplier, shift)
