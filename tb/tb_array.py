"""Cosim of `hw.tensor.array.Array`: skewed by the testbench, every column of every row on its cycle."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from hw.common.config import ChipConfig
from hw.tensor.array import Array
from tb.registry import Bench
from tb.vip import config as device_config
from tb.vip.clock import sample, start
from tb.vip.scoreboard import Scoreboard
from tb.vip.tile_traffic import array_stimulus, tile_schedule

BENCH = Bench(
    name="array",
    doc="the processing elements and their wiring against the golden matmul, without the skews of the tile",
    top=lambda config: Array(config=config),
    configs=(ChipConfig(name="mixed3x4", rows=3, cols=4, dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2, output_lanes=1),),
)


async def play(dut: Any, *, blocks: int, idle: float) -> None:
    """Plays a random schedule and compares (is_float, word) of each column at the cycle it must be there."""
    config = device_config()
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    schedule = tile_schedule(config, rng, blocks=blocks, reload_cycles=(config.rows - 1) * (config.adder_stages - 1) + 1, idle=idle)
    stimulus = array_stimulus(config, schedule, rng)
    mixed = config.has_float and config.has_int
    width = 33 if mixed else 32

    # The array has no valid of its own: the monitor looks at the column and cycle that the schedule names.
    boards = [Scoreboard(f"column {col}") for col in range(config.cols)]
    dut.i_load.value = 0
    dut.i_moving.value = 0
    await start(dut)
    for cycle in range(len(stimulus.moving)):
        dut.i_moving.value = stimulus.moving[cycle]
        dut.i_load.value = stimulus.load[cycle]
        dut.i_stationary.value = stimulus.stationary[cycle]
        dut.i_sum.value = stimulus.partial[cycle]
        await sample(dut)
        for col, board in enumerate(boards):
            if (cycle, col) in stimulus.expected:
                word = int(dut.o_sum.value) >> (width * col) & ((1 << width) - 1)
                board.expect(stimulus.expected[cycle, col])
                board.observe((word >> 32 if mixed else int(config.has_float), word & 0xFFFFFFFF))
    for board in boards:
        board.finish()
        assert board.compared == len(schedule.moving)


@cocotb.test()
async def tightest(dut: Any) -> None:
    """Each block and each row at the earliest cycle the contract allows."""
    await play(dut, blocks=60, idle=0.0)


@cocotb.test()
async def random_gaps(dut: Any) -> None:
    """Gaps everywhere."""
    await play(dut, blocks=60, idle=0.4)
