"""Batches: the fewest that fit, all images in order, the same results; and the sum of their counters."""

import numpy as np
import pytest

from hw.common.config import CONFIGS
from sw.compiler.batches import compile_batches
from sw.compiler.quantise import reference_linear
from sw.compiler.queues import CompileError
from sw.models.digits import HELD_OUT, Digits, digits
from sw.runtime.device import open_device
from sw.runtime.layout import pack_matrix, unpack_matrix
from sw.runtime.result import total


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return digits(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("name", ["nano", "small"])
@pytest.mark.parametrize("memory", [16 << 10, 32 << 10, 64 << 10, 128 << 10, 1 << 20])
def test_the_fewest_that_fit(model: Digits, name: str, memory: int) -> None:
    graphs = compile_batches(model.layers, batch=HELD_OUT, config=CONFIGS[name], dram_bytes=memory)
    sizes = [graph.batch for graph in graphs]
    assert sum(sizes) == HELD_OUT and max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)
    assert all(graph.program.dram_bytes <= memory for graph in graphs)
    assert (len(graphs) == 1) == (memory >= 128 << 10)
    if len(graphs) > 1:
        # With one job less, some job would be longer than fits.
        longer = -(-HELD_OUT // (len(graphs) - 1))
        assert len(compile_batches(model.layers, batch=longer, config=CONFIGS[name], dram_bytes=memory)) > 1


def test_batches_together_give_what_one_gives(model: Digits) -> None:
    config = CONFIGS["nano"]
    graphs = compile_batches(model.layers, batch=HELD_OUT, config=config, dram_bytes=32 << 10)
    logits, results, first = [], [], 0
    with open_device("golden", config, dram_bytes=32 << 10) as device:
        for graph in graphs:
            images = model.inputs[first : first + graph.batch]
            first += graph.batch
            results.append(device.run(graph.program, {"input": pack_matrix(images, config)}))
            logits.append(unpack_matrix(device.read(graph.program, "output"), graph.batch, 10, np.int32, config))
    expected = model.inputs
    for layer in model.layers:
        expected = reference_linear(layer, expected)
    assert len(graphs) > 1 and np.array_equal(np.concatenate(logits), expected)
    added = total(results)
    assert added.macs == sum(result.macs for result in results) and added.rows == sum(result.rows for result in results)
    retired = [result.engines["tensor"].retired for result in results]
    assert added.engines["tensor"].retired == sum(retired) > max(retired) and added.config is config


@pytest.mark.parametrize(("batch", "memory", "words"), [(0, 1 << 20, "batch must be at least 1, not 0"), (360, 2048, "limit is 2048")])
def test_what_cannot_be_cut(model: Digits, batch: int, memory: int, words: str) -> None:
    with pytest.raises(CompileError, match=words):
        compile_batches(model.layers, batch=batch, config=CONFIGS["nano"], dram_bytes=memory)
