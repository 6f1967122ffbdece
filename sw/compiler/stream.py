"""Feeds a plan from DRAM: slabs of A and B loaded in order of need into rings of SBUF slots.

A *slab* of A is the rows of a block times some tiles of k, one of B some tiles of k times the column tiles of a group. In *resident*
plans a slab
of A stays for all groups of its block; else every group loads it again.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeVar

from ..runtime.layout import row_lines
from .compute import Operand
from .queues import CompileError, Job
from .ring import Item, Region, Ring, slot_limit
from .tiling import Plan, Step, balanced

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Slab:
    """A rectangle of an operand in DRAM: `rows` rows of `width` lines from (`row`, line `column`) on."""

    row: int
    rows: int
    column: int
    width: int

    @property
    def lines(self) -> int:
        """SBUF lines it takes."""
        return self.rows * self.width


class Feed:
    """One operand as a sequence of slabs in a ring.

    Parameters
    ----------
    name : str
        Of the ring.
    region : Region
        SBUF lines for its slots.
    slabs : list of (Slab, Item)
        In order of first use.
    limit : int
        Most slots (the semaphores count that far).
    """

    def __init__(self, *, name: str, region: Region, slabs: list[tuple[Slab, Item]], limit: int) -> None:
        self.slabs = slabs
        size = max(slab.lines for slab, _ in slabs)
        self.ring = Ring(name=name, slots=region.slots(size, limit), items=[item for _, item in slabs])


def _collect(keys: list[_Key]) -> dict[_Key, Item]:
    """First and last step of each key, in order of first use."""
    first: dict[_Key, int] = {}
    last: dict[_Key, int] = {}
    for number, key in enumerate(keys):
        first.setdefault(key, number)
        last[key] = number
    return {key: Item(first=first[key], last=last[key]) for key in first}


def chunks_of(k_tiles: int, limit: int, *, gradual: bool) -> list[tuple[int, int]]:
    """Tiles of k in slabs of at most `limit`; `gradual`: 1, 2, 4 ..., so that the very first step waits for little."""
    if not gradual:
        return balanced(k_tiles, limit)
    result, size = [(0, 1)], 1
    while sum(result[-1]) < k_tiles:
        size = min(2 * size, limit)
        begin = sum(result[-1])
        result.append((begin, min(size, k_tiles - begin)))
    return result


def feed_moving(plan: Plan, region: Region, *, resident: bool) -> tuple[Feed, Operand]:
    """Slabs of A and where each step finds its rows."""
    shape = plan.shape
    blocks = balanced(shape.m, plan.blocking.rows)
    width = plan.blocking.slab

    def key(step: Step) -> tuple[int, int, int]:
        tile = plan.tiles[step.tile]
        return (tile.block, 0 if resident else tile.group, step.k // width)

    found = _collect([key(step) for step in plan.steps])
    slabs = []
    for block, _, chunk in found:
        count = min(width, shape.k_tiles - chunk * width)
        row, rows = blocks[block]
        slab = Slab(row=row, rows=rows, column=chunk * width * shape.element, width=count * shape.element)
        slabs.append((slab, found[block, _, chunk]))
    feed = Feed(name="moving", region=region, slabs=slabs, limit=slot_limit(shape.config))
    numbers = {name: index for index, name in enumerate(found)}

    def locate(number: int, step: Step) -> tuple[int, int]:
        tile = plan.tiles[step.tile]
        index = numbers[key(step)]
        pitch = feed.slabs[index][0].width
        return feed.ring.address(index) + (tile.row - blocks[tile.block][0]) * pitch + step.k % width * shape.element, pitch

    return feed, Operand(locate=locate, ring=feed.ring)


def feed_stationary(plan: Plan, region: Region, *, slot_lines: int) -> tuple[Feed, Operand]:
    """Slabs of B and where each step finds its block."""
    shape, rows = plan.shape, plan.shape.config.rows
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    for tile in plan.tiles:
        low, high = spans.get((tile.block, tile.group), (tile.n, tile.n))
        spans[tile.block, tile.group] = (min(low, tile.n), max(high, tile.n))
    chunk_of: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for name, (low, high) in spans.items():
        width = (high - low + 1) * shape.element
        cut = chunks_of(shape.k_tiles, max(1, slot_lines // (rows * width)), gradual=name == (0, 0))
        chunk_of[name] = [part for part in cut for _ in range(part[1])]

    def key(step: Step) -> tuple[int, int, int, int]:
        tile = plan.tiles[step.tile]
        return (tile.block, tile.group, *chunk_of[tile.block, tile.group][step.k])

    found = _collect([key(step) for step in plan.steps])
    slabs = []
    for (block, group, first, count), item in found.items():
        low, high = spans[block, group]
        length = min(count * rows, shape.k - first * rows)
        slabs.append((Slab(row=first * rows, rows=length, column=low * shape.element, width=(high - low + 1) * shape.element), item))
    feed = Feed(name="stationary", region=region, slabs=slabs, limit=slot_limit(shape.config))
    numbers = {name: index for index, name in enumerate(found)}

    def locate(number: int, step: Step) -> tuple[int, int]:
        tile = plan.tiles[step.tile]
        found_key = key(step)
        pitch = feed.slabs[numbers[found_key]][0].width
        column = (tile.n - spans[tile.block, tile.group][0]) * shape.element
        return feed.ring.address(numbers[found_key]) + (step.k - found_key[2]) * rows * pitch + column, pitch

    return feed, Operand(locate=locate, ring=feed.ring)


def emit_loads(job: Job, plan: Plan, feeds: list[tuple[Feed, int, int]]) -> None:
    """Appends the load queue: the slabs of all feeds in order of first use.

    In that order no load can block another that is needed earlier: what it waits for is freed by steps before its own first use.

    Parameters
    ----------
    feeds : list of (feed, DRAM address of its matrix, columns of the matrix)
        Of two slabs needed first by the same step, that of the earlier feed is loaded first.
    """
    config = job.config
    queue = sorted((item.first, order, index) for order, (feed, _, _) in enumerate(feeds) for index, (_, item) in enumerate(feed.slabs))
    for _, order, index in queue:
        feed, address, columns = feeds[order]
        slab = feed.slabs[index][0]
        pitch = row_lines(columns, plan.shape.element, config) * config.line_bytes
        if pitch >= 1 << 31:
            raise CompileError(f"a row must be shorter than 2**31 bytes, not {pitch}: use fewer columns")
        job.emit(
            "Load", base=feed.ring.address(index), dram=address + slab.row * pitch + slab.column * config.line_bytes,
            ap=[(slab.width, 1, config.line_bytes), (slab.rows, slab.width, pitch)] if slab.rows > 1 else [(slab.width, 1,
            config.line_bytes)],
            waits=[feed.ring.produce_wait(index)], posts=[(feed.ring.ready, 1)],
        )  # fmt: skip
