"""Stimulus for the tile and the array: stationary blocks and moving rows on exact cycles, with the rows that must come out.

The same schedule drives the Amaranth simulator (tests/unit) and Verilator (tb/tb_tile.py, tb/tb_array.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.common.config import ChipConfig
from sim.golden.formats import U16, U32
from sim.golden.tile import matmul

#: bf16 numbers at the edges of the format: zeros, subnormals, smallest, largest, infinities, NaN.
BF16_SPECIALS = (0x0000, 0x8000, 0x0001, 0x807F, 0x0080, 0x8080, 0x3F80, 0xBF80, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0xFFA5)


@dataclass
class StationaryBeat:
    """What is at `i_stationary` in a cycle with valid."""

    row: int
    data: NDArray[np.integer]


@dataclass
class MovingBeat:
    """What is at `i_moving` in a cycle with valid."""

    swap: int
    is_float: int
    lanes: int
    data: NDArray[np.integer]


@dataclass
class TileSchedule:
    """Beats by cycle. `expected` has a row for each moving beat, in order: (cycle of the moving beat, is_float, 32-bit words)."""

    stationary: dict[int, StationaryBeat] = field(default_factory=dict)
    moving: dict[int, MovingBeat] = field(default_factory=dict)
    expected: list[tuple[int, int, U32]] = field(default_factory=list)

    @property
    def cycles(self) -> int:
        """Cycles from the first to the last beat."""
        return 1 + max((*self.stationary, *self.moving))


def pack(values: NDArray[np.integer], width: int) -> int:
    """Array elements as one integer, element 0 lowest, negative ones in two's complement."""
    mask = (1 << width) - 1
    return sum((int(value) & mask) << (width * index) for index, value in enumerate(values))


def unpack(word: int, width: int, count: int) -> U32:
    """The `count` elements of `width` bits in `word`, lowest first."""
    return np.array([(word >> (width * index)) & ((1 << width) - 1) for index in range(count)], dtype=np.uint32)


def random_elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, *, special: float = 0.02) -> NDArray[np.integer]:
    """Operands: the whole range of int8, or bf16 of similar exponents with a share of special values."""
    if dtype == "int8":
        values = rng.integers(-128, 128, shape).astype(np.int8)
        return np.where(rng.random(shape) < 0.1, np.int8(-128), values)
    bits: U16 = (rng.integers(0, 2, shape) << 15 | rng.integers(119, 135, shape) << 7 | rng.integers(0, 128, shape)).astype(np.uint16)
    return np.where(rng.random(shape) < special, rng.choice(np.array(BF16_SPECIALS, dtype=np.uint16), shape), bits)


def tile_schedule(
    config: ChipConfig,
    rng: np.random.Generator,
    *,
    blocks: int,
    reload_cycles: int,
    idle: float = 0.0,
    max_rows: int = 8,
    full: bool = False,
) -> TileSchedule:
    """Consecutive random blocks, each as early as the contract of `Tile` allows, and later where `idle` says so.

    Parameters
    ----------
    blocks : int
        Stationary blocks, each of 1..rows rows, used by 1..`max_rows` moving rows.
    reload_cycles : int
        Cycles from a swapping row to the next block.
    idle : float
        Probability of every single cycle of waiting, on both ports. 0 is the tightest legal traffic.
    full : bool
        All blocks have all rows and `max_rows` moving rows, every lane takes part.
    """
    schedule = TileSchedule()
    start = now = 0

    def wait(cycle: int) -> int:
        while rng.random() < idle:
            cycle += 1
        return cycle

    for _ in range(blocks):
        dtype = str(rng.choice(list(config.dtypes)))
        depth = config.rows if full else int(rng.integers(1, config.rows + 1))
        count = max_rows if full else int(rng.integers(1, max_rows + 1))
        stationary = random_elements(rng, (depth, config.cols), dtype)
        start = wait(start)
        for row in range(depth):
            schedule.stationary[start + row] = StationaryBeat(row=row, data=stationary[row])
        now = max(now, start + 1)
        for index in range(count):
            now = wait(now)
            if index == 0:
                start = max(start + depth, now + reload_cycles)
            mask = np.arange(config.rows) < depth
            if not full and rng.random() < 0.3:
                mask &= rng.random(config.rows) < 0.7
            _moving_row(schedule, config, rng, cycle=now, swap=int(index == 0), dtype=dtype, mask=mask, stationary=stationary)
            now += 1
    return schedule


def _moving_row(
    schedule: TileSchedule, config: ChipConfig, rng: np.random.Generator,
    *, cycle: int, swap: int, dtype: str, mask: NDArray[np.bool_], stationary: NDArray[np.integer],
) -> None:  # fmt: skip
    # Lanes that do not take part carry data too, which must not matter.
    data = random_elements(rng, (config.rows,), dtype)
    is_float = int(dtype == "bf16")
    schedule.moving[cycle] = MovingBeat(swap=swap, is_float=is_float, lanes=pack(mask.astype(int), 1), data=data)
    taking = np.flatnonzero(mask)
    schedule.expected.append((cycle, is_float, matmul(data[None, taking], stationary[taking], dtype)[0]))


@dataclass
class ArrayStimulus:
    """The ports of `Array`, a packed word a cycle, and what must be at the bottom: (cycle, column) -> (is_float, word)."""

    moving: list[int]
    load: list[int]
    stationary: list[int]
    partial: list[int]
    expected: dict[tuple[int, int], tuple[int, int]]


def array_stimulus(config: ChipConfig, schedule: TileSchedule, rng: np.random.Generator) -> ArrayStimulus:
    """A tile's schedule spread over rows and columns as `Array` wants it; garbage wherever nothing is said."""
    adder, rows, cols = config.adder_stages, config.rows, config.cols
    width = 8 * config.element_bytes
    mixed = config.has_float and config.has_int
    length = schedule.cycles + config.multiplier_stages + rows * adder + cols
    moving = rng.integers(0, 1 << width, (length, rows))
    stationary = rng.integers(0, 1 << width, (length, cols))
    load, swap, lane = (np.zeros((length, rows), dtype=np.int64) for _ in range(3))
    is_float = np.zeros((length, cols), dtype=np.int64)
    for cycle, beat in schedule.stationary.items():
        load[cycle, beat.row] = 1
        for col in range(cols):
            stationary[cycle + col, col] = int(beat.data[col]) & ((1 << width) - 1)
    for cycle, row in schedule.moving.items():
        for r in range(rows):
            at, taking = cycle + r * adder, row.lanes >> r & 1
            lane[at, r], swap[at, r] = taking, row.swap
            # An integer that does not take part is zero; a float may be anything.
            moving[at, r] = int(row.data[r]) & ((1 << width) - 1) if taking or row.is_float else 0
        for col in range(cols):
            is_float[cycle + config.multiplier_stages + col, col] = row.is_float
    words = moving | swap << width | (lane << (width + 1) if config.has_float else 0)
    word_width = width + 1 + int(config.has_float)
    down = config.multiplier_stages + rows * adder
    return ArrayStimulus(
        moving=[pack(words[cycle], word_width) for cycle in range(length)],
        load=[pack(load[cycle], 1) for cycle in range(length)],
        stationary=[pack(stationary[cycle], width) for cycle in range(length)],
        partial=[pack(is_float[cycle] << 32, 33) if mixed else 0 for cycle in range(length)],
        expected={(cycle + down + col, col): (kind, int(sums[col])) for cycle, kind, sums in schedule.expected for col in range(cols)},
    )
