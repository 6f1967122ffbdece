"""Golden model of access patterns and of the bursts the DMA engines make of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hw.common.config import ChipConfig

#: Bytes no AXI burst may cross, and beats it may have at most (IHI 0022, A3.4.1).
PAGE_BYTES, AXI_BEATS = 4096, 256


def pattern_addresses(base: int, sizes: Sequence[int], strides: Sequence[int]) -> NDArray[np.int64]:
    """Addresses of an access pattern in walk order, dimension 0 innermost (semantics: `hw.common.isa`).

    Any number of dimensions; sizes count from 1. The unit is whatever `base` and `strides` are in.

    Raises
    ------
    ValueError
        if the numbers of sizes and strides differ, there is none, or a size is below 1.
    """
    if len(sizes) != len(strides) or not len(sizes):
        raise ValueError(f"sizes and strides must be equally many, at least one, not {list(sizes)!r} and {list(strides)!r}")
    if min(sizes) < 1:
        raise ValueError(f"sizes must be at least 1, not {list(sizes)!r}")
    result = np.array([base], dtype=np.int64)
    for size, stride in zip(sizes, strides, strict=True):
        steps = np.arange(size, dtype=np.int64) * stride
        result = (steps[:, None] + result[None, :]).reshape(-1)
    return result


def burst_limit(config: ChipConfig) -> int:
    """Beats of the longest burst a configuration issues: one where the compact datapath copies, line by line."""
    return 1 if config.control == "compact" else min(AXI_BEATS, config.dma_burst_lines, PAGE_BYTES // config.line_bytes)


def bursts(addresses: NDArray[np.int64], *, config: ChipConfig) -> NDArray[np.int64]:
    """The bursts that carry the lines at byte `addresses` in that order: rows of (address, beats).

    Greedy: a burst takes every following line that is contiguous with it, up to the limit of the configuration and to the page boundary.

    Raises
    ------
    ValueError
        if `addresses` is empty or holds one that is not a multiple of the line size.
    """
    lines = np.asarray(addresses, dtype=np.int64)
    if lines.ndim != 1 or not lines.size:
        raise ValueError(f"addresses must be a vector of at least one, not of shape {lines.shape}")
    if np.any(lines % config.line_bytes):
        raise ValueError(f"addresses must be multiples of {config.line_bytes}, not {lines[np.flatnonzero(lines % config.line_bytes)[0]]}")
    position = np.arange(lines.size)
    breaks = np.ones(lines.size, dtype=bool)
    breaks[1:] = (np.diff(lines) != config.line_bytes) | (lines[1:] % PAGE_BYTES == 0)
    run_start = np.maximum.accumulate(np.where(breaks, position, 0))
    starts = np.flatnonzero((position - run_start) % burst_limit(config) == 0)
    beats = np.diff(np.append(starts, lines.size))
    return np.stack([lines[starts], beats], axis=1)
