"""The layer-graph compiler on the golden chip against integer arithmetic in numpy."""

import itertools

import numpy as np
import pytest

from hw.common.config import ChipConfig, ConfigError
from sw.compiler.graph import compile_graph
from sw.compiler.placement import channel_constants
from sw.compiler.quantise import Linear, reference_linear
from sw.compiler.queues import CompileError
from sw.runtime.device import open_device
from sw.runtime.layout import matrix_bytes, pack_matrix, unpack_matrix

SMALL = ChipConfig.named("small")
TINY = ChipConfig(
    name="tiny",
    rows=4,
    cols=4,
    output_lanes=4,
    sbuf_banks=4,
    sbuf_bank_lines=256,
    psum_rows=8,
    psum_banks=2,
    semaphores=16,
    semaphore_width=4,
)


def network(rng: np.random.Generator, sizes: list[int], *, keep_sums: bool = True) -> list[Linear]:
    layers = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        last = index == len(sizes) - 2 and keep_sums
        layers.append(
            Linear(
                weights=rng.integers(-127, 128, (inputs, outputs), np.int8),
                bias=rng.integers(-5000, 5000, outputs).astype(np.int32),
                relu=not last,
                multiplier=None if last else rng.integers(1 << 15, 1 << 16, outputs),
                shift=None if last else rng.integers(20, 25, outputs),
            )
        )
    return layers


def run(config: ChipConfig, layers: list[Linear], batch: int, *, seed: int = 0, block_rows: int = 0) -> None:
    rng = np.random.default_rng([seed, batch])
    x = rng.integers(-128, 128, (batch, layers[0].inputs), np.int8)
    graph = compile_graph(layers, batch=batch, config=config, block_rows=block_rows)
    with open_device("golden", config, dram_bytes=1 << 20, seed=seed) as device:
        device.run(graph.program, {"input": pack_matrix(x, config)})
        found = unpack_matrix(device.read(graph.program, "output"), batch, layers[-1].outputs, graph.output_type, config)
    expected = x
    for layer in layers:
        expected = reference_linear(layer, expected)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected), f"{config.name} {batch} rows seed {seed}"


@pytest.mark.parametrize("config", [SMALL, ChipConfig.named("nano"), ChipConfig.named("base"), TINY], ids=lambda config: config.name)
@pytest.mark.parametrize("batch", [1, 7, 33])
def test_three_layers(config: ChipConfig, batch: int) -> None:
    run(config, network(np.random.default_rng(batch), [17, 9, 16, 5]), batch)


@pytest.mark.parametrize("keep_sums", [True, False])
@pytest.mark.parametrize("sizes", [[1, 1], [8, 8], [64, 32, 10], [5, 40, 3, 8, 8, 2]], ids=str)
def test_depths_and_widths(sizes: list[int], keep_sums: bool) -> None:
    run(SMALL, network(np.random.default_rng(1), sizes, keep_sums=keep_sums), 50)


@pytest.mark.parametrize("block_rows", [1, 3, 8, 64, 1000])
def test_any_block_size(block_rows: int) -> None:
    run(SMALL, network(np.random.default_rng(2), [20, 12, 9]), 67, seed=3, block_rows=block_rows)


def test_blocks_shrink_until_they_fit() -> None:
    run(ChipConfig(rows=8, cols=8, output_lanes=8, sbuf_banks=8, sbuf_bank_lines=128), network(np.random.default_rng(2), [100, 8]), 70)


def test_constants_are_padded_with_zeros() -> None:
    layer = network(np.random.default_rng(0), [4, 9], keep_sums=False)[0]
    words = channel_constants(layer, SMALL).view("<u4").reshape(2, 2, 8)
    assert np.array_equal(words[:, 0].reshape(-1)[:9].view(np.int32), layer.bias)
    assert layer.multiplier is not None and layer.shift is not None
    assert np.array_equal(words[:, 1].reshape(-1)[:9], layer.multiplier + (layer.shift << 16))
    assert not words.transpose(1, 0, 2).reshape(2, 16)[:, 9:].any()


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (3, 8), (2, 9), (5, 31)])
def test_layout_goes_round(kind: type, shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).integers(0, 100, shape).astype(kind)
    raw = pack_matrix(matrix, SMALL)
    assert len(raw) == matrix_bytes(*shape, matrix.itemsize, SMALL)
    assert np.array_equal(unpack_matrix(raw, *shape, kind, SMALL), matrix)
    rows = raw.reshape(shape[0], -1)
    assert not rows[:, shape[1] * matrix.itemsize :].any() and rows.shape[1] % (8 * matrix.itemsize) == 0


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    good = network(rng, [8, 8, 8])
    with pytest.raises(CompileError, match="layers must be at least one"):
        compile_graph([], batch=1, config=SMALL)
    with pytest.raises(CompileError, match="batch must be at least 1, not 0"):
        compile_graph(good, batch=0, config=SMALL)
    with pytest.raises(CompileError, match="layer 1 must take 8 inputs, which layer 0 gives, not 9"):
        compile_graph([good[0], *network(rng, [9, 2])], batch=1, config=SMALL)
    with pytest.raises(CompileError, match="layer 0 must be requantised to int8"):
        compile_graph([good[1], good[1]], batch=1, config=SMALL)
    with pytest.raises(CompileError, match=r"weights need .* bytes of SBUF, config 'small' keeps 16384 for them"):
        compile_graph(network(rng, [200, 200]), batch=1, config=SMALL)
    with pytest.raises(CompileError, match="activations of 512 rows need"):
        compile_graph(
            network(rng, [64, 8]), batch=512, config=ChipConfig(rows=8, cols=8, output_lanes=8, sbuf_bank_lines=512), block_rows=512
        )
    with pytest.raises(CompileError, match="results of 64 rows do not fit"):
        short = ChipConfig(rows=8, cols=8, output_lanes=8, sbuf_bank_lines=128)
        compile_graph(network(rng, [8, 8]), batch=64, config=short, block_rows=64)
    with pytest.raises(CompileError, match=r"output needs DRAM up to byte .*, the limit is 5000"):
        compile_graph(good, batch=300, config=SMALL, dram_bytes=5000)
    packed = compile_graph(good, batch=300, config=SMALL, dram_bytes=20000).program.dram_bytes
    assert packed < 20000
    with pytest.raises(
        CompileError, match=f"batch 300 needs {packed} bytes of DRAM with its queues, the limit is {packed - 1}: use smaller"
    ):
        compile_graph(good, batch=300, config=SMALL, dram_bytes=packed - 1)
    with pytest.raises(ConfigError, match="dtype must be one of bf16"):
        floats = ChipConfig(name="float", rows=4, cols=4, output_lanes=4, dtypes=("bf16",), adder_stages=2, accumulator_stages=2)
        compile_graph(good, batch=1, config=floats)
