"""The digits network: data, training, quantisation, and every logit on the golden device."""

from pathlib import Path

import numpy as np
import pytest

from hw.common.config import ChipConfig
from sw.compiler.graph import compile_graph
from sw.compiler.quantise import reference_linear
from sw.models.digits import HELD_OUT, Digits, digits, split
from sw.models.training import Training, forward, train
from sw.runtime.device import open_device
from sw.runtime.layout import pack_matrix, unpack_matrix


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return digits(tmp_path_factory.mktemp("models"))


def test_split_is_fixed_and_disjoint() -> None:
    x, labels, images, expected = split()
    assert len(images) == len(expected) == HELD_OUT and len(x) == len(labels) == 1797 - HELD_OUT
    assert set(labels) == set(expected) == set(range(10)) and images.min() == 0 and images.max() == 1
    assert np.array_equal(split()[2], images)


def test_network_is_good_and_quantisation_costs_little(model: Digits) -> None:
    value = model.inputs
    for layer in model.layers:
        value = reference_linear(layer, value)
    assert model.float_accuracy >= 0.95
    assert abs(model.accuracy(value) - model.float_accuracy) <= 0.01
    assert [layer.weights.shape for layer in model.layers] == [(64, 32), (32, 10)]


@pytest.mark.parametrize("name", ["nano", "small", "base"])
def test_every_logit_on_the_golden_device(model: Digits, name: str) -> None:
    config = ChipConfig.named(name)
    graph = compile_graph(model.layers, batch=HELD_OUT, config=config)
    with open_device("golden", config, dram_bytes=1 << 20, seed=9) as device:
        device.run(graph.program, {"input": pack_matrix(model.inputs, config)})
        found = unpack_matrix(device.read(graph.program, "output"), HELD_OUT, 10, np.int32, config)
    expected = model.inputs
    for layer in model.layers:
        expected = reference_linear(layer, expected)
    assert np.array_equal(found, expected)


def test_training_is_deterministic_and_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 5))
    labels = (x @ rng.standard_normal((5, 3))).argmax(axis=1)
    training = Training(sizes=(5, 8, 3), epochs=100, rate=1e-2)
    first, second = train(x, labels, training), train(x, labels, training)
    assert all(np.array_equal(left, right) for left, right in zip(first, second, strict=True))
    assert np.mean(forward(first, x)[-1].argmax(axis=1) == labels) > 0.7
    with pytest.raises(ValueError, match="sizes must be at least two numbers above 0"):
        Training(sizes=(5,))


def test_cache_gives_the_same_network(tmp_path: Path, model: Digits) -> None:
    made = digits(tmp_path)
    (kept,) = tmp_path.iterdir()
    stamp = kept.stat().st_mtime_ns
    again = digits(tmp_path)
    assert kept.stat().st_mtime_ns == stamp
    for left, right, other in zip(made.parameters, again.parameters, model.parameters, strict=True):
        assert np.array_equal(left, right) and np.array_equal(left, other)


def test_a_damaged_cache_is_replaced(tmp_path: Path, model: Digits) -> None:
    digits(tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:200])
    for left, right in zip(digits(tmp_path).parameters, model.parameters, strict=True):
        assert np.array_equal(left, right)
    assert list(tmp_path.iterdir()) == [kept] and kept.stat().st_size > 200
