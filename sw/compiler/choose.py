"""Chooses how to stream a product from DRAM: every blocking that fits, and a closed-form estimate of each."""

from __future__ import annotations

from dataclasses import dataclass

from hw.common.config import ChipConfig

from ..runtime.layout import tiles
from .queues import CompileError
from .ring import slot_limit, split_sbuf
from .tiling import Blocking, Shape, balanced, groups_of, step_cycles

#: Lines loaded that are worth one cycle even where loading is hidden: of plans equally fast the one that moves less wins, and memory
#: that stalls now and then hurts it less.
TRAFFIC_COST = 64
#: Cycles from asking for a burst to having it that plans are made for: an ordinary DRAM behind a short bus.
MEMORY_LATENCY = 40


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to stream: its blocking, whether A stays for all groups of a block, lines of a slot for B, and the cycles estimated."""

    blocking: Blocking
    resident: bool
    stationary_lines: int
    cycles: int


def load_cycles(rows: int, lines: int, config: ChipConfig) -> int:
    """Cycles to load `rows` rows of `lines` neighbouring lines: each row is a burst, and only so many bursts are in flight at a time."""
    return rows * max(lines, tiles(MEMORY_LATENCY, config.dma_outstanding))


def estimate(shape: Shape, blocking: Blocking, *, resident: bool) -> int:
    """Cycles of a streamed product in closed form.

    The operands of the first step, then the slower of computing and loading in the first group, the slowest of computing, loading and
    storing in the rest, at the end what is still to be evicted and stored after the last step; and a little for every line loaded.
    """
    config, el = shape.config, shape.element
    blocks = tiles(shape.m, blocking.rows)
    rows = tiles(shape.m, blocks)
    cycles = step_cycles(rows, config)
    groups = groups_of(shape.n_tiles, blocking.first_group, blocking.group)
    first, last = groups[0][1], groups[-1][1]
    slab = load_cycles(rows, blocking.slab * el, config)
    a_load = slab * tiles(shape.k_tiles, blocking.slab)
    b_load = [load_cycles(shape.k, count * el, config) for _, count in groups]
    start = slab + load_cycles(config.rows, first * el, config)
    head = max(first * shape.k_tiles * cycles, a_load + b_load[0])
    others = blocks * shape.n_tiles - first
    rest_load = sum(b_load[1:]) + (blocks - 1) * (a_load + sum(b_load))
    if not resident:
        rest_load += blocks * (len(groups) - 1) * a_load
    rest = max(others * shape.k_tiles * cycles, rest_load, 4 * rows * others)
    tail_rows = blocking.tail_rows if blocking.tail_rows and last == 1 else rows
    traffic = el * (blocks * shape.k * shape.n_tiles + shape.m * shape.k_tiles * (1 if resident else len(groups))) // TRAFFIC_COST
    return start + head + rest + 4 * tail_rows * last + 2 * min(tail_rows, 128) + traffic


def candidates(shape: Shape) -> list[Candidate]:
    """The blockings that fit, at least one.

    Raises
    ------
    CompileError
        if SBUF has no room for one tile.
    """
    config, el = shape.config, shape.element
    moving, stationary, _ = split_sbuf(config)
    cap = min(config.psum_rows, shape.m, moving.longest // el)
    if cap < 1 or stationary.longest < config.rows * el:
        raise CompileError(
            f"config {config.name!r} has too little SBUF ({config.sbuf_bytes} bytes) for one tile of {shape.dtype}: choose another"
        )
    found = []
    for parts in (1, 2, 4, 8, 16):
        rows = tiles(shape.m, tiles(shape.m, cap) * parts)
        widest = max(length for _, length in balanced(shape.m, rows))
        for slab in slab_widths(shape, widest, moving.longest):
            slots = len(moving.slots(widest * slab * el, slot_limit(config)))
            for resident in (True, False):
                if slots >= (tiles(shape.k_tiles, slab) if resident else 1):
                    found += _groupings(shape, rows, widest, slab, resident=resident)
    return found


def slab_widths(shape: Shape, rows: int, longest: int) -> list[int]:
    """Tiles of k in a slab of A worth trying: 1, and doubled while two slots fit a stripe of `longest` lines."""
    widths = [1]
    while widths[-1] < shape.k_tiles and 2 * (2 * widths[-1] * rows * shape.element) <= longest:
        widths.append(min(2 * widths[-1], shape.k_tiles))
    return widths


def _groupings(shape: Shape, rows: int, widest: int, slab: int, *, resident: bool) -> list[Candidate]:
    """Candidates of one blocking of A: by column tiles in the groups."""
    config, el = shape.config, shape.element
    stationary = split_sbuf(config)[1]
    found = []
    for first in (1, 2, 4):
        lines = max(config.rows * el * first, stationary.longest // 4)
        if first > max(1, config.psum_banks // 2) or first > shape.n_tiles or lines > stationary.longest:
            continue
        # The last tile is cut only where A stays, and all of its B stays in its slots meanwhile.
        tail = 2 * step_cycles(1, config)
        slots = len(stationary.slots(lines, slot_limit(config)))
        cut = resident and widest > tail and tiles(shape.k_tiles, lines // (config.rows * el)) < slots
        blocking = Blocking(rows=rows, slab=slab, first_group=first, group=1 if resident else first, tail_rows=tail if cut else 0)
        cycles = estimate(shape, blocking, resident=resident)
        found.append(Candidate(blocking=blocking, resident=resident, stationary_lines=lines, cycles=cycles))
    return found
