"""Turns the steps of a plan into tensor, output and store instructions; operands come from wherever the caller says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hw.common.isa import OUTPUT_LINES, OutputMode

from ..runtime.layout import row_lines
from .queues import CompileError, Job
from .ring import Item, Region, Ring, slot_limit
from .tiling import Plan, Step, Tile, balanced

#: Most rows of C that one Evict and one Store move: short enough that the store of a part overlaps the eviction of the next.
CHUNK_ROWS = 128


@dataclass(frozen=True, kw_only=True)
class Operand:
    """Where a step finds an operand in SBUF, and what says that it is there: the ring that feeds it, or one semaphore for all of it."""

    locate: Callable[[int, Step], tuple[int, int]]
    """(step number, step) -> first line, lines from row to row."""
    ring: Ring | None = None
    loaded: str | None = None
    """Semaphore that the first step waits for, where the operand is loaded whole."""

    def waits(self, step: int) -> list[tuple[str, int]]:
        """What `step` waits for."""
        if self.loaded is not None:
            return [(self.loaded, int(step == 0))]
        return [self.ring.use_wait(step)] if self.ring else []

    def posts(self, step: int) -> list[tuple[str, int]]:
        """What `step` posts."""
        return [self.ring.use_post(step)] if self.ring else []


def emit_compute(job: Job, plan: Plan, moving: Operand, stationary: Operand) -> None:
    """Appends the tensor queue.

    PSUM tiles take the banks in turn; a tile waits for its bank to be evicted (`psum_free`) at its first step only, and announces itself
    (`psum_full`) at its last, so the waits of all other steps are for operands alone.
    """
    shape, config = plan.shape, plan.shape.config
    dtype = config.dtype(shape.dtype).code
    for number, step in enumerate(plan.steps):
        tile = plan.tiles[step.tile]
        base, stride = stationary.locate(number, step)
        job.emit(
            "LoadStationary", dtype=dtype, base=base, ap=_pattern(shape.k_rows(step.k), stride),
            waits=stationary.waits(number), posts=stationary.posts(number),
        )  # fmt: skip
        base, stride = moving.locate(number, step)
        reused = step.k == 0 and step.tile >= config.psum_banks
        full = step.k == shape.k_tiles - 1
        job.emit(
            "MultiplyMoving", dtype=dtype, base=base, ap=_pattern(tile.rows, stride), accumulate=int(step.k > 0),
            psum_bank=step.tile % config.psum_banks,
            waits=[*moving.waits(number), ("psum_free", int(reused))], posts=[*moving.posts(number), ("psum_full", int(full))],
        )  # fmt: skip


def _pattern(rows: int, stride: int) -> list[tuple[int, int]]:
    """`rows` rows `stride` lines apart; a single row has no stride, which may then exceed the field."""
    return [(rows, stride if rows > 1 else 0)]


def emit_results(job: Job, plan: Plan, region: Region, *, dram: int, mode: OutputMode) -> None:
    """Appends output and store queues: every PSUM tile goes in chunks through a ring of slots in `region` to the result matrix at
    `dram`.
    """
    config = plan.shape.config
    lines = OUTPUT_LINES[mode]
    # Two slots a stripe at least, where one row a slot allows it: one is written while the other is stored.
    rows = min(CHUNK_ROWS, max(tile.rows for tile in plan.tiles), max(1, region.longest // (2 * lines)))
    slots = region.slots(rows * lines, slot_limit(config))
    chunks = [(index, tile, *part) for index, tile in enumerate(plan.tiles) for part in balanced(tile.rows, rows)]
    ring = Ring(name="result", slots=slots, items=[Item(first=number, last=number) for number in range(len(chunks))])
    pitch = row_lines(plan.shape.n, lines, config) * config.line_bytes
    for number, (index, tile, first, length) in enumerate(chunks):
        done = first + length == tile.rows
        job.emit(
            "Evict", mode=int(mode), base=ring.address(number), ap=[(length, lines)],
            psum_bank=index % config.psum_banks, psum_row=first,
            waits=[("psum_full", int(first == 0)), ring.produce_wait(number)],
            posts=[("psum_free", int(done and index + config.psum_banks < len(plan.tiles))), (ring.ready, 1)],
        )  # fmt: skip
        job.emit(
            "Store", base=ring.address(number), dram=_result_address(tile, first, dram, pitch, lines * config.line_bytes),
            ap=[(lines, 1, config.line_bytes), (length, lines, pitch if length > 1 else 0)],
            waits=[ring.use_wait(number)], posts=[ring.use_post(number)],
        )  # fmt: skip


def _result_address(tile: Tile, first: int, dram: int, pitch: int, width: int) -> int:
    address = dram + (tile.row + first) * pitch + tile.n * width
    if address >= 1 << 48:
        raise CompileError(f"result must lie below 2**48 bytes of DRAM, not at {address:#x}: use smaller sizes")
    return address
