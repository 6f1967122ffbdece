"""A batch that does not fit the memory at once, cut into as few jobs as do."""

from __future__ import annotations

from collections.abc import Sequence

from hw.common.config import ChipConfig

from ..runtime.layout import tiles
from .graph import CompiledGraph, compile_graph
from .quantise import Linear
from .queues import CompileError
from .tiling import balanced


def compile_batches(layers: Sequence[Linear], *, batch: int, config: ChipConfig, dram_bytes: int) -> list[CompiledGraph]:
    """Jobs that together run `batch` rows through `layers`, in order; all of one length, or one row less.

    Raises
    ------
    CompileError, ConfigError
        as `compile_graph` does; for DRAM only if not even a single row fits.
    """
    # If not even one does, this says what is wrong.
    compile_graph(layers, batch=1, config=config, dram_bytes=dram_bytes)
    # The longest batches there are: the whole, halves, thirds, ...
    for longest in sorted({tiles(batch, count) for count in range(1, batch + 1)}, reverse=True):
        sizes = [length for _, length in balanced(batch, longest)]
        try:
            made = {size: compile_graph(layers, batch=size, config=config, dram_bytes=dram_bytes) for size in set(sizes)}
        except CompileError:
            continue
        return [made[size] for size in sizes]
    raise CompileError(f"batch must be at least 1, not {batch!r}")
