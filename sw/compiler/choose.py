"""Chooses how to stream a product from DRAM: every blocking that fits, and a closed-form estimate of each."""

from __future__ import annotations

from dataclasses import dataclass

from ..runtime.layout import tiles
from .queues import CompileError
from .ring import slot_limit, split_sbuf
from .stream import slab_tiles
from .tiling import Blocking, Shape, balanced, groups_of, step_cycles

#: Lines loaded that are worth one cycle even where loading is hidden: of plans equally fast the one that moves less wins, and memory
#: that stalls now and then hurts it less.
TRAFFIC_COST = 64


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to stream: its blocking, whether A stays for all groups of a block, lines of a slot for B, and the cycles estimated."""

    blocking: Blocking
    resident: bool
    stationary_lines: int
    cycles: int


def estimate(shape: Shape, blocking: Blocking, *, resident: bool) -> int:
    """Cycles of a streamed product in closed form.

    The operands of the first step, then the slower of computing and loading in the first group, the slowest of computing, loading and
    storing in the rest, at the end what is still to be evicted and stored after the last step; and a little for every line loaded.
    """
    config, el = shape.config, shape.element
    blocks = tiles(shape.m, blocking.rows)
    rows = tiles(shape.m, blocks)
    cycles = step_cycles(rows, config)
    first = min(blocking.first_group, shape.n_tiles)
    a_lines, b_lines = rows * shape.k_tiles * el, shape.k * el
    start = rows * el + config.rows * first * el
    head = max(first * shape.k_tiles * cycles, a_lines + first * b_lines)
    others = blocks * shape.n_tiles - first
    rest_load = (blocks - 1) * a_lines + others * b_lines
    groups = groups_of(shape.n_tiles, blocking.first_group, blocking.group)
    if not resident:
        rest_load += blocks * (len(groups) - 1) * a_lines
    rest = max(others * shape.k_tiles * cycles, rest_load, 4 * rows * others)
    last = groups[-1][1]
    tail_rows = blocking.tail_rows if blocking.tail_rows and last == 1 else rows
    traffic = (a_lines + first * b_lines + rest_load) // TRAFFIC_COST
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
    stripe = max(length for _, length in stationary.stripes)
    cap = min(config.psum_rows, shape.m, max(length for _, length in moving.stripes) // el)
    if cap < 1 or stripe < config.rows * el:
        raise CompileError(
            f"config {config.name!r} has too little SBUF ({config.sbuf_bytes} bytes) for one tile of {shape.dtype}: choose another"
        )
    found = []
    for parts in (1, 2, 4, 8):
        rows = tiles(shape.m, tiles(shape.m, cap) * parts)
        widest = max(length for _, length in balanced(shape.m, rows))
        width = slab_tiles(shape, widest)
        a_slots = len(moving.slots(widest * width * el, slot_limit(config)))
        for first in (1, 2, 4):
            b_lines = max(config.rows * el * first, stripe // 4)
            if first > max(1, config.psum_banks // 2) or first > shape.n_tiles or b_lines > stripe:
                continue
            b_slots = len(stationary.slots(b_lines, slot_limit(config)))
            for resident in (True, False):
                if a_slots < (tiles(shape.k_tiles, width) if resident else 1):
                    continue
                # The last tile is cut only where A stays, and all of its B stays in its slots meanwhile.
                tail = 2 * step_cycles(1, config)
                cut = resident and widest > tail and tiles(shape.k_tiles, b_lines // (config.rows * el)) < b_slots
                blocking = Blocking(rows=rows, first_group=first, group=1 if resident else first, tail_rows=tail if cut else 0)
                cycles = estimate(shape, blocking, resident=resident)
                found.append(Candidate(blocking=blocking, resident=resident, stationary_lines=b_lines, cycles=cycles))
    return found
