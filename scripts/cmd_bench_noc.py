"""`bench-noc`: the mesh of routers measured on the RTL, beside its limits, its targets and other open routers."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from hw.common.noc import NocConfig
from sim.verilated.toolchain import ToolError

from .console import console, fail, print_json, working
from .files import written_whole
from .markdown import table
from .noc_measure import Bench, Saturation, Wrong, cold_build_seconds
from .noc_peers import PATTERN_NAMES, PEERS, best_peer

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

#: Mean zero-load latency of uniform traffic on 8x8: 16/3 hops and the ejection.
ZERO_LOAD_8X8 = 19 / 3


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure. `beside` is what to compare it with; `target` what the project asks, empty if nothing; `ok` whether it is met."""

    name: str
    measured: float
    unit: str
    beside: str
    target: str = ""
    ok: bool = True


def _at_least(value: float, goal: float | None) -> dict[str, Any]:
    return {} if goal is None else {"target": f">= {goal:.4g}", "ok": value >= goal}


def _at_most(value: float, goal: float) -> dict[str, Any]:
    return {"target": f"<= {goal:.4g}", "ok": value <= goal}


_FAST = NocConfig.named("fast")
_DEEP = NocConfig.named("deep")
CONFIGS: dict[str, NocConfig] = {
    "fast": _FAST,
    "deep": _DEEP,
    "deep, age": replace(_DEEP, name="deep, age", arbitration="age"),
    "lean": NocConfig.named("lean"),
    "o1turn": replace(_FAST, name="o1turn", routing="o1turn"),
    "adaptive": replace(_FAST, name="adaptive", routing="adaptive"),
}
#: What is measured of each configuration.
PATTERNS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("fast", "deep", "deep, age", "lean"), PATTERN_NAMES),
    **dict.fromkeys(("o1turn", "adaptive"), ("transpose",)),
}
#: Least saturation, as a load or as a share of the ideal, and least accepted flits at load 1.0.
SATURATION_TARGETS = {("fast", "uniform"): 0.42, ("o1turn", "transpose"): 0.26, ("adaptive", "transpose"): 0.36}
IDEAL_SHARE_TARGETS = {("fast", "bit_complement"): 0.95, ("fast", "tornado"): 0.82, ("fast", "hot_spot"): 0.93}
ACCEPTED_TARGETS = {("fast", "uniform"): 0.42, ("deep", "uniform"): 0.38}
#: Accepted at load 1.0 over the peak: no collapse. Least and most share of a node over the mean, under uniform traffic at load 1.0.
COLLAPSE_TARGET, SHARE_TARGETS = 0.97, (0.8, 1.2)


def zero_load_figures(bench: Bench, configs: dict[str, NocConfig]) -> Iterator[Figure]:
    """Every pair of nodes, one packet, nothing in its way: hops + 1 cycles, 6.33 in the mean on 8x8."""
    for name, config in configs.items():
        mean, wrong = bench.zero_load(config)
        exact = 2 * (config.mesh_x + config.mesh_y) / 6 + 1
        yield Figure(
            name=f"{name}: mean latency, {wrong} packets off hops + 1", measured=mean, unit="cycles",
            beside=f"peers {min(peer.zero_load for peer in PEERS)} to {max(peer.zero_load for peer in PEERS)}", target=f"{exact:.2f}",
            ok=not wrong and abs(mean - exact) < 1e-6,
        )  # fmt: skip


def saturation_figures(bench: Bench, configs: dict[str, NocConfig], patterns: Mapping[str, tuple[str, ...]] = PATTERNS) -> Iterator[Figure]:
    """Highest load with a mean latency of at most three times that at zero load, flits accepted at load 1.0, their peak, and the nodes' shares."""
    for name, config in configs.items():
        for pattern in patterns[name]:
            found = bench.saturation(config, pattern, sweep=pattern == "uniform")
            yield from _saturation_rows(found)


def _saturation_rows(found: Saturation) -> Iterator[Figure]:
    key, full = (found.config, found.pattern), found.full_load
    goals = [value for value in (SATURATION_TARGETS.get(key), IDEAL_SHARE_TARGETS.get(key, 0) * found.ideal) if value]
    peer, whose = best_peer(found.pattern)
    label = f"{found.config}, {found.pattern.replace('_', '-')}"
    yield Figure(
        name=f"{label}: saturation, {found.saturation / found.ideal:.1%} of ideal", measured=found.saturation, unit="flits/node/cycle",
        beside=f"ideal {found.ideal:.4f}; best peer {peer:.3f} ({whose})", **_at_least(found.saturation, goals[0] if goals else None),
    )  # fmt: skip
    uniform = found.pattern == "uniform"
    best = max(PEERS, key=lambda one: one.accepted)
    yield Figure(
        name=f"{label}: accepted at load 1.0", measured=full.accepted, unit="flits/node/cycle",
        beside=f"ideal {found.ideal:.4f}" + (f"; best peer {best.accepted:.3f} ({best.name})" if uniform else "; nodes with short ways may send more"),
        **_at_least(full.accepted, ACCEPTED_TARGETS.get(key)),
    )  # fmt: skip
    yield Figure(
        name=f"{label}: accepted at load 1.0 over its peak", measured=found.held, unit="", beside=f"peak {found.peak:.4f}",
        **_at_least(found.held, COLLAPSE_TARGET if found.config == "fast" else None),
    )  # fmt: skip
    if uniform:
        low, high = full.node_share_min, full.node_share_max
        judged = found.config == "fast"
        yield Figure(
            name=f"{label}: least share of a node at load 1.0",
            measured=low,
            unit="of the mean",
            beside="1",
            **_at_least(low, SHARE_TARGETS[0] if judged else None),
        )
        yield Figure(
            name=f"{label}: greatest share of a node at load 1.0",
            measured=high,
            unit="of the mean",
            beside="1",
            **(_at_most(high, SHARE_TARGETS[1]) if judged else {}),
        )


def bar_figures(bench: Bench, configs: dict[str, NocConfig]) -> Iterator[Figure]:
    """Acceptance bars of Constellation (Zhao et al., "Constellation: an open-source SoC-capable NoC generator", NoCArc 2022): 4x4, packets of four flits."""
    for vcs, rate, limit in ((1, 0.15, 150), (3, 0.20, 80)):
        config = replace(_FAST, name=f"{vcs} VC x 4", mesh_x=4, mesh_y=4, vcs=vcs)
        result = bench.run(config, pattern="uniform", rate=rate, length=4, cycles=10_000)
        flows = result.per_flow_offered > 0
        delivered = float((result.per_flow[flows] / result.per_flow_offered[flows]).min())
        label = f"4x4, {vcs} VC x 4, load {rate:.2f}"
        if vcs == 1:
            yield Figure(
                name=f"{label}: least delivered of a flow",
                measured=delivered,
                unit="of its packets",
                beside="bar 0.95",
                **_at_least(delivered, 0.95),
            )
            yield Figure(
                name=f"{label}: median latency",
                measured=result.latency_median,
                unit="cycles",
                beside="bar 20",
                **_at_most(result.latency_median, 20),
            )
        yield Figure(
            name=f"{label}: greatest latency",
            measured=result.latency_max,
            unit="cycles",
            beside=f"bar {limit}",
            **_at_most(result.latency_max, limit),
        )


def simulation_figures(bench: Bench, configs: dict[str, NocConfig]) -> Iterator[Figure]:
    """Cycles simulated in a second on one core (uniform traffic, load 0.3), and a build with empty caches, of the node that stands for all (docs/noc.md)."""
    for name in ("lean", "fast"):
        speed = max(float(bench.run(CONFIGS[name], pattern="uniform", rate=0.3, cycles=10_000).sim_khz) for _ in range(3))
        judged = _at_least(speed, 10) if name == "lean" else {}
        yield Figure(name=f"8x8 {name}, V={CONFIGS[name].vcs}: simulated", measured=speed, unit="kHz", beside="", **judged)
        seconds = cold_build_seconds(CONFIGS[name])
        yield Figure(name=f"8x8 {name}, V={CONFIGS[name].vcs}: cold build", measured=seconds, unit="s", beside="", **_at_most(seconds, 120))


SECTIONS: dict[str, Callable[[Bench, dict[str, NocConfig]], Iterator[Figure]]] = {
    "zero-load": zero_load_figures,
    "saturation": saturation_figures,
    "bars": bar_figures,
    "simulation": simulation_figures,
}


@click.command("bench-noc")
@click.argument("sections", nargs=-1, type=click.Choice(list(SECTIONS)))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--write", is_flag=True, help="Also makes docs/noc_benchmarks.md and its figures.")
@click.option("--quick", is_flag=True, help="Uniform traffic on one configuration, coarsely.")
def bench_noc(sections: tuple[str, ...], as_json: bool, write: bool, quick: bool) -> int:
    """Measures the mesh on the RTL: latency, throughput, fairness, acceptance bars, speed of the simulation; all if none is named.

    Flits lost, doubled, spoiled or out of order make a run count for nothing. Exit status 1 if a target is missed.
    """
    if write and (quick or sections):
        raise click.UsageError("--write makes the whole page: leave out --quick and the names of sections")
    bench = Bench(grain=0.02 if quick else 0.004)
    found = measured(bench, sections or (("zero-load", "saturation") if quick else tuple(SECTIONS)), quick=quick)
    if as_json:
        print_json(
            {
                "figures": {name: [asdict(figure) for figure in figures] for name, figures in found.items()},
                "points": [asdict(point) for point in bench.points],
            }
        )
    if write:
        write_page(DOCS, found, bench)
    return 0 if all(figure.ok for figures in found.values() for figure in figures) else 1


def measured(bench: Bench, sections: tuple[str, ...], *, quick: bool) -> dict[str, list[Figure]]:
    """Figures by section, each shown when it is there."""
    found: dict[str, list[Figure]] = {}
    for section in sections:
        with working(f"measuring {section}"):
            if quick and section == "saturation":
                found[section] = list(saturation_figures(bench, {"deep": CONFIGS["deep"]}, {"deep": ("uniform",)}))
            else:
                found[section] = list(SECTIONS[section](bench, {"deep": CONFIGS["deep"]} if quick else CONFIGS))
        shown = Table(title=section, title_justify="left")
        for column in COLUMNS:
            shown.add_column(column, justify="right" if column == "measured" else "left")
        for figure in found[section]:
            shown.add_row(*_cells(figure))
        console.print(shown)
    return found


COLUMNS = ("figure", "measured", "beside", "target", "")


def _cells(figure: Figure) -> tuple[str, ...]:
    verdict = ("met" if figure.ok else "MISSED") if figure.target else ""
    return figure.name, f"{figure.measured:.4g} {figure.unit}".strip(), figure.beside, figure.target, verdict


def write_page(docs: Path, found: dict[str, list[Figure]], bench: Bench) -> None:
    """The page, its CSV and its pictures."""
    from .noc_plots import draw_patterns, draw_uniform, write_csv

    figures = docs / "figures"
    write_csv(bench.points, figures / "noc_curves.csv")
    draw_uniform(bench.points, figures / "noc_uniform.png")
    draw_patterns(bench.points, figures / "noc_patterns.png")
    with written_whole(docs / "noc_benchmarks.md") as stream:
        stream.write(page(found).encode())


def page(found: dict[str, list[Figure]]) -> str:
    """docs/noc_benchmarks.md."""
    missed = sum(not figure.ok for figures in found.values() for figure in figures)
    peers = [
        (peer.name, peer.hop, peer.zero_load, peer.accepted, *(peer.saturation.get(pattern, "-") for pattern in PATTERN_NAMES))
        for peer in PEERS
    ]
    configs = [
        (name, config.vcs, config.depth, config.routing, config.arbitration.replace("_", " "), f"{config.hash:08x}")
        for name, config in CONFIGS.items()
    ]
    lines = [
        "<!-- Made by `make bench-noc` with --write: run that, do not edit this page. -->", "", "# The mesh: measured", "",
        f"The RTL under Verilator, {os.cpu_count()} processors. {'Every target is met.' if not missed else f'{missed} targets are MISSED.'} "
        "`make bench-noc` prints these tables; `python -m scripts.cmd_bench_noc --write` makes this page.", "",
        "**Method.** 8x8 nodes, packets of one flit of 64 bits, generated by chance (Bernoulli) into sources without end, seed 1; 1,000 cycles of warm-up, "
        "3,000 measured; latency from generation to ejection. *Saturation*: the highest load whose mean latency is at most three times that at "
        "zero load, found by halving to 0.004 flits per node and cycle. *Accepted*: flits ejected per node and cycle at offered load 1.0. *Ideal*: the load "
        "at which the first link or port is full (`sim/golden/noc_limits.py`); of the adaptive function, that of the best routing there is; in a window "
        "this short a load a little above it may not show yet. Transposed nodes of the diagonal send to themselves, and at load 1.0 count with all they send. "
        "Accepted over its peak is measured for 10,000 cycles after 10,000 for hot-spot, whose queues take long to settle. Every flit of "
        "every run is checked: one lost, doubled, spoiled, misplaced or out of order ends the measurement.", "",
        "![Latency and accepted flits of uniform traffic](figures/noc_uniform.png)", "",
        "![Latency under the other patterns](figures/noc_patterns.png)", "",
        "All points: [noc_curves.csv](figures/noc_curves.csv).", "", "## Configurations", "",
        table(("name", "V", "B", "routing", "arbitration", "config hash"), configs),
    ]  # fmt: skip
    for section, figures in found.items():
        lines += [f"## {section}", "", inspect.getdoc(SECTIONS[section]) or "", "", table(COLUMNS, [_cells(figure) for figure in figures])]
    lines += ["## Peers", "", "Other open routers, 8x8, the same method; saturation by pattern.", ""]
    lines += [table(("router", "cycles a hop", "zero load", "accepted", *(name.replace("_", "-") for name in PATTERN_NAMES)), peers)]
    return "\n".join(lines)


def main() -> int:
    """The command by itself, with errors as one line."""
    try:
        return int(bench_noc.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        fail(error.format_message())
        return error.exit_code
    except click.Abort:
        fail("interrupted")
        return 130
    except (Wrong, ToolError, OSError, ValueError) as error:
        fail(str(error))
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
