"""Pictures and CSV of how latency and throughput of a mesh follow its load, with the ideal line and the peers' points drawn in."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import matplotlib

from sim.golden.noc_limits import ideal_throughput, zero_load_latency
from sim.golden.traffic import traffic_matrix

from .files import written_whole
from .noc_measure import Point
from .noc_peers import PATTERN_NAMES, PEERS

SIDE = 8
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")
MARKERS = ("s", "D", "^", "v", "P")


def write_csv(points: Iterable[Point], target: Path) -> None:
    """A line a point, with a header."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [one.name for one in fields(Point)], lineterminator="\n")
    writer.writeheader()
    for point in points:
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in asdict(point).items()})
    with written_whole(target) as stream:
        stream.write(text.getvalue().encode())


def curves(points: Iterable[Point], pattern: str) -> dict[str, list[Point]]:
    """Points of a pattern by configuration, in the order of loads; configurations in the order they come in."""
    found: dict[str, list[Point]] = {}
    for point in points:
        if point.pattern == pattern:
            found.setdefault(point.config, []).append(point)
    return {name: sorted(one, key=lambda point: point.offered) for name, one in found.items()}


def draw_uniform(points: Sequence[Point], target: Path) -> None:
    """Two panels: mean latency, and accepted flits, over offered load."""
    figure, (left, right) = _panels(1, 2, (11, 4.4))
    ideal = _latency(left, points, "uniform", _colours(points))
    for name, line in curves(points, "uniform").items():
        right.plot([one.offered for one in line], [one.accepted for one in line], marker=".", label=name, color=_colours(points)[name])
    right.plot([0, ideal, 1], [0, ideal, ideal], "k--", linewidth=1, label=f"ideal {ideal:.4f}")
    for peer, marker in zip(PEERS, MARKERS, strict=True):
        right.plot([1.0], [peer.accepted], marker, color="#777777", clip_on=False, label=peer.name)
    right.set(
        xlabel="offered, flits/node/cycle", ylabel="accepted, flits/node/cycle", xlim=(0, 1), ylim=(0, None), title="uniform: throughput"
    )
    right.legend(fontsize=6.5, loc="lower right")
    _save(figure, target)


def draw_patterns(points: Sequence[Point], target: Path) -> None:
    """Mean latency over offered load, a panel for each other pattern."""
    figure, axes = _panels(2, 2, (11, 8))
    for axis, pattern in zip(axes.flat, PATTERN_NAMES[1:], strict=True):
        _latency(axis, points, pattern, _colours(points))
    _save(figure, target)


def _colours(points: Iterable[Point]) -> dict[str, str]:
    """A colour for each configuration, the same in all panels."""
    return dict(zip(dict.fromkeys(point.config for point in points), COLOURS * 9, strict=False))


def _latency(axis: Any, points: Sequence[Point], pattern: str, colours: dict[str, str]) -> float:
    """Draws one panel, with the ideal throughput of each routing where they differ; returns that of XY."""
    matrix = traffic_matrix(pattern, SIDE, SIDE)
    ideals = _ideals(pattern)
    zero = zero_load_latency(matrix, SIDE, SIDE)
    ceiling = 11 * zero  # the slowest peer's three times zero load is below
    for name, line in curves(points, pattern).items():
        # Beyond the first point above the ceiling the curve only goes on up.
        shown = [one for one in line if one.latency_mean <= ceiling]
        shown += [one for one in line if one.latency_mean > ceiling][:1]
        axis.plot([one.offered for one in shown], [one.latency_mean for one in shown], marker=".", label=name, color=colours[name])
    for limit, style in zip(sorted(set(ideals.values())), ("--", "-.", ":"), strict=False):
        routings = ", ".join({"xy": "XY", "o1turn": "O1TURN", "best": "best"}[name] for name, value in ideals.items() if value == limit)
        axis.axvline(limit, color="black", linestyle=style, linewidth=1, label=f"ideal {limit:.4f} ({routings})")
    axis.axhline(3 * zero, color="#bbbbbb", linewidth=1)
    for peer, marker in zip(PEERS, MARKERS, strict=True):
        if pattern in peer.saturation:
            axis.plot(
                [peer.saturation[pattern]], [3 * peer.zero_load * zero / (2 * SIDE / 3 + 1)], marker, color="#777777", label=peer.name
            )
    axis.set(
        xlabel="offered, flits/node/cycle",
        ylabel="mean latency, cycles",
        ylim=(0, ceiling),
        xlim=(0, None),
        title=f"{pattern.replace('_', '-')}: latency",
    )
    axis.legend(fontsize=6.5, loc="upper left")
    return ideals["xy"]


@functools.lru_cache
def _ideals(pattern: str) -> dict[str, float]:
    """Ideal throughput by routing; of the best there is only where the order of dimensions matters, for it takes a while."""
    matrix = traffic_matrix(pattern, SIDE, SIDE)
    found = {routing: ideal_throughput(matrix, SIDE, SIDE, routing) for routing in ("xy", "o1turn")}
    if found["o1turn"] > found["xy"] * 1.001:
        found["best"] = ideal_throughput(matrix, SIDE, SIDE, "best")
    return {routing: round(value, 4) for routing, value in found.items()}


def _panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(rows, columns, figsize=size, layout="constrained")


def _save(figure: Any, target: Path) -> None:
    from matplotlib import pyplot

    with written_whole(target) as stream:
        figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
