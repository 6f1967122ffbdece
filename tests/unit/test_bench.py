"""The closed forms that `meshium bench` compares with."""

import pytest

from hw.common.config import CONFIGS, ChipConfig
from scripts.cmd_bench import SHAPES, overlap_limit, pipeline_latency, scale_sim_cycles

CONFIG = ChipConfig(rows=16, cols=16)


@pytest.mark.parametrize(
    ("m", "k", "n", "cycles"),
    [(12, 16, 16, 57), (1, 1, 1, 46), (128, 128, 128, 64 * 174 - 1), (5, 17, 17, 4 * 51 - 1), (16, 16, 17, 2 * 62 - 1)],
)
def test_scale_sim(m, k, n, cycles):
    assert scale_sim_cycles(CONFIG, m, k, n) == cycles


def test_overlap_limit_is_the_figure_of_the_architecture():
    cycles = overlap_limit(CONFIG, 128, 128, 128)
    assert cycles == 64 * 128 + 46
    assert round(128**3 / (cycles * 256), 3) == 0.994


def test_pipeline_latency_counts_registers_only():
    base = CONFIGS["base"]
    assert pipeline_latency(base) == base.sbuf_latency + base.multiplier_stages + 16 * 2 + 1 + base.accumulator_stages


def test_there_are_24_shapes():
    shapes = {tuple(map(int, text.split(","))) for text in SHAPES.split()}
    assert len(shapes) == 24 and all(len(shape) == 3 and min(shape) >= 1 for shape in shapes)
