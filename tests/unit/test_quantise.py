"""Quantisation against exact rational arithmetic, at its stated error bounds."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.golden.requantise import requantise
from sw.compiler.quantise import Linear, factor_to_integers, quantise, quantise_linear, reference_linear, scale_of


@settings(max_examples=300, deadline=None)
@given(st.floats(2.0**-30, 65535.0))
def test_factor_is_within_its_relative_bound(factor: float) -> None:
    multiplier, shift = factor_to_integers(factor)
    assert 0 < multiplier < 1 << 16 and 0 <= shift <= 47
    assert abs(Fraction(multiplier, 1 << shift) - Fraction(factor)) <= Fraction(factor) / (1 << 16)


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.0, (32768, 15)), (65535.4, (65535, 0)), (0.5, (32768, 16)), (2.0**-47, (1, 47)), (1 - 2.0**-20, (32768, 15))],
)
def test_factors_at_the_edges(factor: float, expected: tuple[int, int]) -> None:
    multiplier, shift = factor_to_integers(factor)
    assert Fraction(multiplier, 1 << shift) == Fraction(expected[0], 1 << expected[1])


@pytest.mark.parametrize("factor", [0.0, -1.0, 65535.5, np.inf, np.nan])
def test_factor_refusals(factor: float) -> None:
    with pytest.raises(ValueError, match=r"factor must be above 0 and below 65535\.5"):
        factor_to_integers(factor)


@pytest.mark.parametrize("seed", range(3))
def test_values_come_back_within_half_a_unit(seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((50, 7)) * 10.0 ** np.arange(-3, 4)
    scale = scale_of(values, axis=0)
    integers = quantise(values, scale)
    assert np.max(np.abs(integers), axis=0).tolist() == [127] * 7
    assert np.all(np.abs(integers * scale - values) <= scale / 2 * (1 + 1e-12))
    assert quantise(np.array([300.0, -300.0]), 1.0).tolist() == [127, -127]
    assert scale_of(np.zeros(3)) == 1


def test_quantise_refuses_nan() -> None:
    with pytest.raises(ValueError, match="values must be finite"):
        quantise(np.array([np.nan]), 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_reference_agrees_with_the_golden_output_stage(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = Linear(
        weights=rng.integers(-128, 128, (40, 9), np.int8), bias=rng.integers(-(2**20), 2**20, 9).astype(np.int32), relu=bool(seed % 2),
        multiplier=rng.integers(1, 1 << 16, 9), shift=rng.integers(10, 30, 9),
    )  # fmt: skip
    x = rng.integers(-128, 128, (30, 40), np.int8)
    total = x.astype(np.int32) @ layer.weights.astype(np.int32) + layer.bias
    assert layer.multiplier is not None and layer.shift is not None
    expected = requantise(np.maximum(total, 0) if layer.relu else total, layer.multiplier, layer.shift)
    assert np.array_equal(reference_linear(layer, x), expected), f"seed {seed}"


def test_a_quantised_layer_is_near_the_float_one() -> None:
    rng = np.random.default_rng(4)
    weights, bias, x = rng.standard_normal((30, 8)), rng.standard_normal(8), rng.uniform(-1, 1, (100, 30))
    exact = np.maximum(x @ weights + bias, 0)
    input_scale, output_scale = 1 / 127, float(scale_of(exact))
    layer, scales = quantise_linear(weights, bias, input_scale=input_scale, output_scale=output_scale, relu=True)
    found = reference_linear(layer, quantise(x, input_scale)) * scales
    # Half a unit of each input times |w|, half a unit of each weight times |x| <= 1, bias and result by half a unit each.
    weight_scale = scale_of(weights, axis=0)
    bound = (
        input_scale / 2 * np.abs(weights).sum(axis=0) + 30 * weight_scale / 2 * (1 + input_scale / 2) + 0.51 * output_scale + weight_scale
    )
    assert np.all(np.abs(found - exact) <= bound)
    last, scales = quantise_linear(weights, bias, input_scale=input_scale, output_scale=None, relu=False)
    assert not last.is_requantised and reference_linear(last, quantise(x, input_scale)).dtype == np.int32
    assert np.all(np.abs(reference_linear(last, quantise(x, input_scale)) * scales - (x @ weights + bias)) <= bound)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.zeros((2, 3))}, "weights must be a non-empty int8 matrix, not float64"),
        ({"weights": np.zeros((0, 3), np.int8)}, r"weights must be a non-empty int8 matrix, not int8 \(0, 3\)"),
        ({"bias": np.zeros(2, np.int32)}, r"bias must be int32 of shape \(3,\)"),
        ({"multiplier": np.ones(3, int)}, "multiplier and shift must be given together"),
        ({"multiplier": np.full(3, 65536), "shift": np.zeros(3, int)}, "multiplier must be 3 numbers from 0 to 65535"),
        ({"multiplier": np.ones(3, int), "shift": np.full(3, 48)}, "shift must be 3 numbers from 0 to 47"),
    ],
)
def test_layer_refusals(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Linear(**{"weights": np.zeros((2, 3), np.int8), "bias": np.zeros(3, np.int32), **changes})


def test_bias_beyond_int32_is_refused() -> None:
    with pytest.raises(ValueError, match="bias must fit int32"):
        quantise_linear(np.ones((1, 1)), np.array([1e12]), input_scale=1e-3, output_scale=None, relu=False)
