"""SBUF slots used again and again in order, and the semaphores that make that safe.

A producer fills slot i mod S, a consumer empties it. Two counting semaphores are enough for any S: `ready` (posted when slot i is
full, waited for at its first use) and `free` (posted when item i is no longer needed, waited for before item i + S is produced).
Counting works because items become ready and free in their order: an item whose last use is later than that of its successor
delays the successor's post to its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hw.common.config import ChipConfig

from .queues import CompileError


def slot_limit(config: ChipConfig) -> int:
    """Most slots of a ring: the semaphores must count that far, and more than 64 would be of no use."""
    return min(64, (1 << config.semaphore_width) - 1)


@dataclass(frozen=True, kw_only=True)
class Region:
    """SBUF lines of one purpose, as stripes (first line, lines), one a bank where there are enough banks."""

    stripes: tuple[tuple[int, int], ...]

    @property
    def longest(self) -> int:
        """Lines of the longest stripe."""
        return max(length for _, length in self.stripes)

    def slots(self, lines: int, limit: int) -> list[int]:
        """First lines of slots of `lines` lines, neighbours in different stripes, at most `limit` of them."""
        deepest = self.longest // lines
        found = [start + index * lines for index in range(deepest) for start, length in self.stripes if (index + 1) * lines <= length]
        return found[:limit]


def split_sbuf(config: ChipConfig) -> tuple[Region, Region, Region]:
    """Regions for moving operands, stationary operands and results: half, a quarter and a quarter of SBUF.

    With four banks or more each region has banks of its own, so the two read ports of the array never meet.
    """
    banks, lines = config.sbuf_banks, config.sbuf_bank_lines
    if banks >= 4:
        bounds = ((0, banks // 2), (banks // 2, 3 * banks // 4), (3 * banks // 4, banks))
        regions = [tuple((bank * lines, lines) for bank in range(low, high)) for low, high in bounds]
    else:
        total = banks * lines
        regions = [((0, total // 2),), ((total // 2, total // 4),), ((3 * total // 4, total // 4),)]
    return Region(stripes=regions[0]), Region(stripes=regions[1]), Region(stripes=regions[2])


@dataclass(frozen=True, kw_only=True)
class Item:
    """One filling of a slot: the first and last step (a number that only grows) that use it."""

    first: int
    last: int


class Ring:
    """Places items in slots and says who waits and posts, when.

    Parameters
    ----------
    name : str
        Its semaphores are `<name>_ready` and `<name>_free`.
    slots : sequence of int
        First SBUF line of each slot.
    items : sequence of Item
        In order of first use.

    Raises
    ------
    CompileError
        if an item is needed before the slot it must take is free.
    """

    def __init__(self, *, name: str, slots: Sequence[int], items: Sequence[Item]) -> None:
        if not slots:
            raise CompileError(f"{name} needs at least one slot, but SBUF has room for none: choose a config with more SBUF")
        self.name = name
        self._slots = slots
        self._items = items
        self._ready = {item.first: index for index, item in enumerate(items)}
        self._free: dict[int, int] = {}
        if len(self._ready) != len(items):
            raise CompileError(f"{name}: two items must not be used for the first time in one step")
        done = -1
        for index, item in enumerate(items[: max(len(items) - len(slots), 0)]):
            done = max(done, item.last)
            if done >= items[index + len(slots)].first:
                raise CompileError(
                    f"{name}: item {index + len(slots)} is used at step {items[index + len(slots)].first}, before its slot is free"
                )
            self._free[done] = self._free.get(done, 0) + 1

    @property
    def ready(self) -> str:
        """Name of the semaphore posted when an item is in its slot."""
        return f"{self.name}_ready"

    @property
    def free(self) -> str:
        """Name of the semaphore posted when an item has left its slot."""
        return f"{self.name}_free"

    def address(self, index: int) -> int:
        """First line of item `index`."""
        return self._slots[index % len(self._slots)]

    def produce_wait(self, index: int) -> tuple[str, int]:
        """What the producer of item `index` waits for."""
        return self.free, int(index >= len(self._slots))

    def use_wait(self, step: int) -> tuple[str, int]:
        """What `step` waits for: 1 at the first use of an item, else nothing."""
        return self.ready, int(step in self._ready)

    def use_post(self, step: int) -> tuple[str, int]:
        """What `step` posts: the slots that become free with it and are needed again."""
        return self.free, self._free.get(step, 0)
