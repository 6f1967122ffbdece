# amaranth: UnusedElaboratable=no
"""Unit tests of hw.tensor.tile: every row on its exact cycle, at both extremes of the swap contract."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.tensor.tile import Tile
from sim.golden.tile import matmul
from tb.vip.tile_traffic import MovingBeat, StationaryBeat, TileSchedule, pack, random_elements, tile_schedule, unpack

INT = ChipConfig(rows=4, cols=4, output_lanes=1)
FLOAT = replace(INT, dtypes=("bf16",), adder_stages=2, accumulator_stages=2)
MIXED = replace(FLOAT, dtypes=("int8", "bf16"))

#: Cycle of a row at o, is_float, words.
Row = tuple[int, int, np.ndarray]


def latency(config: ChipConfig) -> int:
    """What docs/interfaces.md promises, with no register besides."""
    return config.multiplier_stages + config.rows * config.adder_stages + config.cols - 1


def reload_cycles(config: ChipConfig) -> int:
    """From a swapping row to row 0 of the next block, by docs/interfaces.md."""
    return (config.rows - 1) * (config.adder_stages - 1) + 1


def run(config: ChipConfig, schedule: TileSchedule, rng: np.random.Generator) -> list[Row]:
    """Plays a schedule; returns every valid cycle of `o`. Idle cycles carry garbage."""
    dut = Tile(config=config)
    assert (dut.latency, dut.reload_cycles) == (latency(config), reload_cycles(config))
    width = 8 * config.element_bytes
    got: list[Row] = []

    async def bench(ctx: Any) -> None:
        for cycle in range(schedule.cycles + dut.latency + 4):
            load, row = schedule.stationary.get(cycle), schedule.moving.get(cycle)
            ctx.set(dut.i_stationary.valid, load is not None)
            ctx.set(dut.i_moving.valid, row is not None)
            ctx.set(dut.i_stationary.row, load.row if load else int(rng.integers(0, config.rows)))
            data = load.data if load else rng.integers(0, 1 << width, config.cols)
            ctx.set(dut.i_stationary.data.as_value(), pack(data, width))
            ctx.set(dut.i_moving.swap, row.swap if row else int(rng.integers(0, 2)))
            ctx.set(dut.i_moving.is_float, row.is_float if row else int(rng.integers(0, 2)))
            ctx.set(dut.i_moving.lanes, row.lanes if row else int(rng.integers(0, 1 << config.rows)))
            data = row.data if row else rng.integers(0, 1 << width, config.rows)
            ctx.set(dut.i_moving.data.as_value(), pack(data, width))
            if ctx.get(dut.o.valid):
                got.append((cycle, ctx.get(dut.o.is_float), unpack(ctx.get(dut.o.data.as_value()), 32, config.cols)))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return got


def check(config: ChipConfig, schedule: TileSchedule, got: list[Row], note: str) -> None:
    """Every row, in order, on its cycle, bit for bit, and not one more."""
    assert [cycle - latency(config) for cycle, _, _ in got] == [cycle for cycle, _, _ in schedule.expected], note
    for (cycle, is_float, words), (_, want_float, want) in zip(got, schedule.expected, strict=True):
        assert is_float == want_float, f"{note}, cycle {cycle}"
        np.testing.assert_array_equal(words, want, err_msg=f"{note}, cycle {cycle}")


@pytest.mark.parametrize("idle", [0.0, 0.4])
@pytest.mark.parametrize(
    "config",
    [
        INT,
        replace(INT, rows=3, cols=8, adder_stages=3, multiplier_stages=2),
        replace(INT, rows=5, cols=2, adder_stages=2, multiplier_stages=4),
        replace(INT, rows=1, cols=1),
        FLOAT,
        replace(FLOAT, rows=3, cols=2, adder_stages=5, multiplier_stages=3),
        MIXED,
        replace(MIXED, rows=2, cols=4, adder_stages=3, multiplier_stages=2),
        replace(MIXED, rows=1, cols=1, adder_stages=4, multiplier_stages=4),
    ],
    ids=lambda c: f"{c.rows}x{c.cols}-{'+'.join(c.dtypes)}-{c.multiplier_stages}-{c.adder_stages}",
)  # fmt: skip
def test_rows_come_out_on_their_cycle(config: ChipConfig, idle: float) -> None:
    seed = 7
    rng = np.random.default_rng(seed)
    schedule = tile_schedule(config, rng, blocks=10, reload_cycles=reload_cycles(config), idle=idle)
    check(config, schedule, run(config, schedule, rng), f"seed {seed}")


@pytest.mark.parametrize("config", [INT, MIXED], ids=["int8", "mixed"])
def test_a_row_a_cycle_without_a_bubble(config: ChipConfig) -> None:
    """Blocks of enough rows follow each other with no cycle between them, on both ports' busiest traffic."""
    rng = np.random.default_rng(11)
    rows = config.rows + reload_cycles(config)
    schedule = tile_schedule(config, rng, blocks=4, reload_cycles=reload_cycles(config), max_rows=rows, full=True)
    assert [cycle for cycle, _, _ in schedule.expected] == list(range(1, 1 + 4 * rows))
    check(config, schedule, run(config, schedule, rng), "seed 11")


@pytest.mark.parametrize("reload_early", [0, 1])
def test_one_cycle_inside_the_contract_is_the_last(reload_early: int) -> None:
    """The contract has one cycle in hand: a block may really follow a cycle earlier than promised, but not two."""
    rng = np.random.default_rng(5)
    config = replace(INT, adder_stages=3)
    schedule = tile_schedule(config, rng, blocks=6, reload_cycles=reload_cycles(config) - 1 - reload_early, max_rows=1, full=True)
    got = run(config, schedule, rng)
    same = all(np.array_equal(words, want) for (_, _, words), (_, _, want) in zip(got, schedule.expected, strict=True))
    assert same == (reload_early == 0)


@pytest.mark.parametrize("config", [FLOAT, MIXED], ids=["bf16", "mixed"])
def test_lanes_that_do_not_take_part_do_not_matter(config: ChipConfig) -> None:
    """Infinity and NaN on both sides of an idle lane leave the sum alone, and -0 survives them only as IEEE says."""
    rng = np.random.default_rng(3)
    schedule = TileSchedule()
    block = random_elements(rng, (config.rows, config.cols), "bf16", special=0.0)
    block[1], block[3] = 0x7F80, 0x7FC0
    for row in range(config.rows):
        schedule.stationary[row] = StationaryBeat(row=row, data=block[row])
    poison = np.array([0x3F80, 0x0000, 0xC000, 0xFF80], dtype=np.uint16)
    for cycle, lanes in enumerate((0b0101, 0b0000, 0b0100, 0b1111), start=config.rows):
        schedule.moving[cycle] = MovingBeat(swap=int(cycle == config.rows), is_float=1, lanes=lanes, data=poison)
        taking = [row for row in range(config.rows) if lanes >> row & 1]
        schedule.expected.append((cycle, 1, matmul(poison[None, taking], block[taking], "bf16")[0]))
    assert not schedule.expected[1][2].any(), "no lane at all must give +0"
    check(config, schedule, run(config, schedule, rng), "idle lanes")


def test_reset_drops_what_is_on_its_way() -> None:
    """No row of before a reset comes out after it."""
    tile = Tile(config=INT)
    clear = Signal()
    seen: list[int] = []

    async def bench(ctx: Any) -> None:
        ctx.set(tile.i_moving.valid, 1)
        ctx.set(tile.i_moving.swap, 1)
        await ctx.tick().repeat(latency(INT))
        assert ctx.get(tile.o.valid) == 1
        ctx.set(tile.i_moving.valid, 0)
        ctx.set(clear, 1)
        await ctx.tick()
        ctx.set(clear, 0)
        for _ in range(2 * latency(INT)):
            seen.append(ctx.get(tile.o.valid))
            await ctx.tick()

    sim = Simulator(ResetInserter(clear)(tile))
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert not any(seen)


def test_config_is_checked() -> None:
    with pytest.raises(TypeError, match=r"^config must be a ChipConfig, not 'base'$"):
        Tile(config="base")  # type: ignore[arg-type]
