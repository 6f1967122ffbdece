"""How a matrix product is cut into steps, and in which order they run.

A *step* is one LoadStationary and one MultiplyMoving: rows of A against one tile of B, into one PSUM *tile*. Tiles of the inner
dimension k follow
each other within a PSUM tile; a *group* is the PSUM tiles that share each pass over A. Loops, outermost first: blocks of rows, groups of
column
tiles, k, column tile in the group. The last PSUM tile may be cut into short ones, so that little is left to write out after the last step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.common.config import ChipConfig

from ..runtime.layout import tiles

#: Cycles the sequencer takes to check a LoadStationary and a MultiplyMoving; shorter steps wait for it.
ISSUE_CYCLES = 21


@dataclass(frozen=True, kw_only=True)
class Shape:
    """C[m, n] = A[m, k] B[k, n] of one operand type on one configuration.

    Raises
    ------
    ConfigError, ValueError
        if the configuration does not build the type, or a size is below 1.
    """

    m: int
    k: int
    n: int
    dtype: str
    config: ChipConfig

    def __post_init__(self) -> None:
        self.config.require_chip()
        self.config.dtype(self.dtype)
        for name in ("m", "k", "n"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool):
                raise ValueError(f"{name} must be an integer, not {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
            # numpy's integers would overflow where addresses are computed.
            object.__setattr__(self, name, int(value))

    @property
    def element(self) -> int:
        """Bytes of an operand element, which is also the lines of one tile of a row."""
        return self.config.dtype(self.dtype).bytes

    @property
    def k_tiles(self) -> int:
        """Tiles of the inner dimension."""
        return tiles(self.k, self.config.rows)

    @property
    def n_tiles(self) -> int:
        """Tiles of the columns of C."""
        return tiles(self.n, self.config.cols)

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        return self.m * self.k * self.n

    def k_rows(self, tile: int) -> int:
        """Rows of B in tile `tile` of k."""
        return min(self.config.rows, self.k - tile * self.config.rows)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One PSUM tile: `rows` rows of C from `row` on, column tile `n`, in block `block` and group `group`."""

    block: int
    group: int
    row: int
    rows: int
    n: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """One LoadStationary and one MultiplyMoving: tile number `tile` of the plan, tile `k` of the inner dimension."""

    tile: int
    k: int


@dataclass(frozen=True, kw_only=True)
class Blocking:
    """Choices that make a plan.

    Parameters
    ----------
    rows : int
        Most rows of a block.
    first_group, group : int
        Column tiles in the first group, and in the others.
    slab : int
        Tiles of k in a slab of A (where A is streamed).
    tail_rows : int
        Most rows of the tiles that the last one is cut into; 0: it is not cut.
    """

    rows: int
    first_group: int
    group: int
    slab: int = 1
    tail_rows: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The steps in order, and the PSUM tiles in order of their first step."""

    shape: Shape
    blocking: Blocking
    tiles: tuple[Tile, ...]
    steps: tuple[Step, ...]


def balanced(count: int, limit: int) -> list[tuple[int, int]]:
    """`count` things in the fewest parts of at most `limit`, as equal as can be: (first, length) of each."""
    parts = tiles(count, limit)
    size, longer = divmod(count, parts)
    result, first = [], 0
    for part in range(parts):
        length = size + (part < longer)
        result.append((first, length))
        first += length
    return result


def groups_of(n_tiles: int, first: int, others: int) -> list[tuple[int, int]]:
    """Groups of column tiles: one of `first`, then of `others`: (first tile, count) of each."""
    result = [(0, min(first, n_tiles))]
    while result[-1][0] + result[-1][1] < n_tiles:
        begin = result[-1][0] + result[-1][1]
        result.append((begin, min(others, n_tiles - begin)))
    return result


def make_plan(shape: Shape, blocking: Blocking) -> Plan:
    """Steps and PSUM tiles of `blocking`."""
    found: list[Tile] = []
    steps: list[Step] = []
    blocks = balanced(shape.m, blocking.rows)
    for block, (row, rows) in enumerate(blocks):
        groups = groups_of(shape.n_tiles, blocking.first_group if block == 0 else blocking.group, blocking.group)
        for group, (n, count) in enumerate(groups):
            last = block == len(blocks) - 1 and group == len(groups) - 1 and count == 1
            cuts = balanced(rows, blocking.tail_rows) if last and blocking.tail_rows else [(0, rows)]
            for offset, length in cuts:
                base = len(found)
                found += [Tile(block=block, group=group, row=row + offset, rows=length, n=n + index) for index in range(count)]
                steps += [Step(tile=base + index, k=k) for k in range(shape.k_tiles) for index in range(count)]
    return Plan(shape=shape, blocking=blocking, tiles=tuple(found), steps=tuple(steps))


def step_cycles(rows: int, config: ChipConfig) -> int:
    """Cycles between steps of `rows` moving rows.

    Loading a block takes R, the next block may not overtake the wavefront of the one before, and two instructions take `ISSUE_CYCLES`.
    """
    return max(rows, config.rows, (config.rows - 1) * (config.adder_stages - 1) + 2, ISSUE_CYCLES)
