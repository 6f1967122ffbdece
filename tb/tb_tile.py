"""Cosim of `hw.tensor.tile.Tile`: blocks and rows as close together as the contract allows, bit for bit and cycle for cycle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cocotb
import numpy as np

from hw.common.config import CONFIGS, ChipConfig
from hw.tensor.tile import Tile
from tb.registry import Bench, Gate
from tb.vip import config as device_config
from tb.vip.clock import sample, start
from tb.vip.scoreboard import Scoreboard
from tb.vip.tile_traffic import TileSchedule, pack, tile_schedule

_COMMON: dict[str, Any] = {"cols": 4, "output_lanes": 1}

BENCH = Bench(
    name="tile",
    doc="the systolic tile against the golden matmul: every row on its cycle, swap contract at both extremes",
    top=lambda config: Tile(config=config),
    configs=(
        ChipConfig(name="int4x4", rows=4, **_COMMON),
        ChipConfig(name="mixed5x4", rows=5, dtypes=("int8", "bf16"), multiplier_stages=2, adder_stages=3, accumulator_stages=3, **_COMMON),
    ),
    gates=(
        Gate(config=ChipConfig(name="ecp5_4x4", rows=4, multiplier="ecp5", multiplier_stages=3, **_COMMON), family="ecp5"),
        Gate(config=replace(CONFIGS["small"], name="ecp5_8x8", multiplier="ecp5"), family="ecp5"),
        Gate(config=replace(CONFIGS["nano"], name="ice40_4x4", multiplier="ice40"), family="ice40"),
        Gate(config=ChipConfig(name="gowin_4x4", rows=4, multiplier="gowin", multiplier_stages=2, **_COMMON), family="gowin"),
    ),
)


class TileDriver:
    """Plays a schedule, a beat a cycle; cycles without a beat carry garbage with `valid` low."""

    def __init__(self, dut: Any, config: ChipConfig, rng: np.random.Generator) -> None:
        self._dut, self._config, self._rng = dut, config, rng
        self._width = 8 * config.element_bytes
        self.idle()

    def _garbage(self, count: int, width: int) -> int:
        return pack(self._rng.integers(0, 1 << width, count), width)

    def idle(self) -> None:
        """Nothing valid."""
        self._dut.i_stationary__valid.value = 0
        self._dut.i_moving__valid.value = 0
        self._fill()

    def _fill(self) -> None:
        dut, config = self._dut, self._config
        if config.rows > 1:
            dut.i_stationary__row.value = self._garbage(1, 16) % config.rows
        dut.i_stationary__data.value = self._garbage(config.cols, self._width)
        dut.i_moving__swap.value = self._garbage(1, 1)
        dut.i_moving__is_float.value = self._garbage(1, 1)
        dut.i_moving__lanes.value = self._garbage(config.rows, 1)
        dut.i_moving__data.value = self._garbage(config.rows, self._width)

    def drive(self, schedule: TileSchedule, cycle: int) -> None:
        """Puts on the ports what the schedule has for `cycle`."""
        dut = self._dut
        self.idle()
        if beat := schedule.stationary.get(cycle):
            dut.i_stationary__valid.value = 1
            if self._config.rows > 1:
                dut.i_stationary__row.value = beat.row
            dut.i_stationary__data.value = pack(beat.data, self._width)
        if row := schedule.moving.get(cycle):
            dut.i_moving__valid.value = 1
            dut.i_moving__swap.value = row.swap
            dut.i_moving__is_float.value = row.is_float
            dut.i_moving__lanes.value = row.lanes
            dut.i_moving__data.value = pack(row.data, self._width)


async def play(dut: Any, *, blocks: int, idle: float, full: bool = False) -> None:
    """Plays a random schedule and compares (cycle, is_float, words) of every row that comes out."""
    config = device_config()
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    latency = config.multiplier_stages + config.rows * config.adder_stages + config.cols - 1
    reload_cycles = (config.rows - 1) * (config.adder_stages - 1) + 1
    rows = config.rows + reload_cycles if full else 8
    schedule = tile_schedule(config, rng, blocks=blocks, reload_cycles=reload_cycles, idle=idle, max_rows=rows, full=full)

    board = Scoreboard("o")
    board.expect(*((cycle + latency, is_float, pack(words, 32)) for cycle, is_float, words in schedule.expected))
    driver = TileDriver(dut, config, rng)
    await start(dut)
    for cycle in range(schedule.cycles + 2 * latency):
        driver.drive(schedule, cycle)
        await sample(dut)
        if dut.o__valid.value:
            board.observe((cycle, int(dut.o__is_float.value), int(dut.o__data.value)))
    if full:
        cycles = sorted(schedule.moving)
        assert cycles[-1] - cycles[0] == blocks * rows - 1, "blocks must follow each other without a bubble"
    board.finish()


@cocotb.test()
async def tightest(dut: Any) -> None:
    """Each block and each row at the earliest cycle the contract allows."""
    await play(dut, blocks=80, idle=0.0)


@cocotb.test()
async def random_gaps(dut: Any) -> None:
    """Gaps everywhere."""
    await play(dut, blocks=80, idle=0.4)


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """Full blocks, back to back: a row a cycle, no bubble at any swap."""
    await play(dut, blocks=20, idle=0.0, full=True)
