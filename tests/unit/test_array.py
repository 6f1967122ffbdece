# amaranth: UnusedElaboratable=no
"""Unit tests of hw.tensor.array: every column of every row on its cycle, skewed by hand."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.tensor.array import Array
from hw.tensor.pe import sum_width
from sim.verilog import emit
from tb.vip.tile_traffic import array_stimulus, tile_schedule

INT = ChipConfig(rows=3, cols=4, output_lanes=1)
MIXED = replace(INT, dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2)


@pytest.mark.parametrize(
    "config",
    [
        INT,
        replace(INT, rows=5, cols=1, adder_stages=3),
        replace(INT, rows=1, cols=8, multiplier_stages=3),
        replace(MIXED, rows=2),
        replace(MIXED, dtypes=("bf16",)),
    ],
    ids=lambda config: f"{config.rows}x{config.cols}-{'+'.join(config.dtypes)}-{config.multiplier_stages}-{config.adder_stages}",
)
def test_columns_come_out_on_their_cycle(config: ChipConfig) -> None:
    seed = 21
    rng = np.random.default_rng(seed)
    schedule = tile_schedule(config, rng, blocks=8, reload_cycles=(config.rows - 1) * (config.adder_stages - 1) + 1, idle=0.1)
    play = array_stimulus(config, schedule, rng)
    dut = Array(config=config)
    mixed = config.has_float and config.has_int
    got: dict[tuple[int, int], tuple[int, int]] = {}

    async def bench(ctx: Any) -> None:
        for cycle, words in enumerate(zip(play.moving, play.load, play.stationary, play.partial, strict=True)):
            for port, word in zip((dut.i_moving, dut.i_load, dut.i_stationary, dut.i_sum), words, strict=True):
                ctx.set(port if port is dut.i_load else port.as_value(), word)
            for col in range(config.cols):
                is_float = ctx.get(dut.o_sum[col].is_float) if mixed else int(config.has_float)
                got[cycle, col] = is_float, ctx.get(dut.o_sum[col].data)
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert len(play.expected) == len(schedule.moving) * config.cols
    for place, want in play.expected.items():
        kind, word = want
        assert got[place] == (kind, word & ((1 << sum_width(config)) - 1)), f"seed {seed}, (cycle, column) {place}"


def test_array_is_wiring_only() -> None:
    """No register and no operator of its own, and one module for all processing elements."""
    modules = re.findall(r"^module (\w+).*?^endmodule", text := emit(Array(config=MIXED), name="array"), flags=re.M | re.S)
    assert sorted(modules) == ["array", "pe"]
    body = text[text.index("module array") :].partition("endmodule")[0]
    assert "always" not in body
    assert len(re.findall(r"^  pe ", body, flags=re.M)) == MIXED.rows * MIXED.cols


def test_config_is_checked() -> None:
    with pytest.raises(TypeError, match=r"^config must be a ChipConfig, not None$"):
        # The wrong type is what is tested.
        Array(config=None)  # type: ignore[arg-type]
