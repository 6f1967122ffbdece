"""A picture of what the engines did: one bar an engine, coloured by state."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hw.common.isa import ENGINES

from .files import written_whole
from .trace import STATES, Interval, state_intervals

#: Colours of the states, told apart also without colour vision.
COLOURS = {
    "busy": "#0072b2", "memory": "#d55e00", "hazard": "#cc79a7", "fetch": "#f0e442", "semaphore": "#bbbbbb", "halted": "#000000",
}  # fmt: skip


def occupancy(intervals: list[Interval], end: int, columns: int) -> dict[str, dict[str, np.ndarray]]:
    """Share of the cycles of each of `columns` equal parts of [0, end) that each engine spent in each state."""
    edges = np.linspace(0, max(end, 1), columns + 1)
    width = edges[1] - edges[0]
    shares = {engine: {state: np.zeros(columns) for state in STATES[1:]} for engine in ENGINES}
    for item in intervals:
        covered = np.clip(np.minimum(edges[1:], item.end) - np.maximum(edges[:-1], item.start), 0, None)
        shares[item.track][item.name] += covered / width
    return shares


def write_timeline(path: Path, events: np.ndarray, *, end: int, title: str, columns: int = 800) -> None:
    """Draws the states of every engine over cycles 0 to `end` as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    shares = occupancy(state_intervals(events, end), end, columns)
    figure, rows = pyplot.subplots(len(ENGINES), 1, figsize=(12, 5), sharex=True, sharey=True)
    left = np.linspace(0, end, columns, endpoint=False)
    for axis, engine in zip(rows, ENGINES, strict=True):
        stacked = [shares[engine][state] for state in COLOURS]
        axis.stackplot(left, stacked, colors=list(COLOURS.values()), labels=list(COLOURS), step="post", linewidth=0)
        axis.set_ylabel(engine)
        axis.set_ylim(0, 1)
        axis.set_yticks([])
    rows[-1].set_xlabel("cycle")
    rows[-1].set_xlim(0, end)
    figure.suptitle(title)
    handles, labels = rows[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(COLOURS), frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    with written_whole(path) as stream:
        figure.savefig(stream, format="png", dpi=120)
    pyplot.close(figure)
