"""`meshium noc`: traffic on a mesh of routers, simulated in RTL and checked flit by flit."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from hw.common.config import ConfigError
from hw.common.noc import ARBITRATIONS, PAYLOAD_BITS, ROUTING_CLASSES, TOPOLOGIES, NocConfig
from sim.golden.noc_jobs import listed_packets, read_jobs
from sim.golden.noc_limits import zero_load_latency
from sim.golden.traffic import PATTERNS, traffic_matrix
from sim.verilated.noc import TrafficResult, TrafficRun, run_traffic
from sim.verilated.noc_build import noc_simulation

from .console import console, cycle_progress, fail, print_json, working

#: What JSON and CSV call the counts of errors; `right` of the result needs all of them to be 0.
ERRORS = ("lost", "duplicated", "misrouted", "reordered", "corrupted", "overflowed")
#: Measured figures in the JSON object.
FIGURES = ("offered", "accepted", "latency_mean", "latency_median", "latency_p99", "latency_max", "node_share_min", "node_share_max")


def _mesh(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if not match:
        raise click.BadParameter(f"--mesh must be columns x rows, for example 8x8, not {text!r}")
    return int(match[1]), int(match[2])


def _run(options: dict[str, Any]) -> TrafficRun:
    """The measurement the options describe; whatever is wrong with them is bad usage."""
    mesh_x, mesh_y = _mesh(options["mesh"])
    topology, arbitration = options["topology"], options["arbitration"]
    try:
        config = NocConfig(
            mesh_x=mesh_x, mesh_y=mesh_y, topology=topology, torus_scheme="dateline" if topology == "torus" else "none",
            routing=options["routing"], payload_bits=options["payload"], virtual_networks=options["networks"], vcs=options["vcs"],
            depth=options["depth"], arbitration=arbitration, qos=options["qos"], watchdog_limit=options["watchdog"],
        )  # fmt: skip
        packets = None
        if options["jobs"] is not None:
            packets = listed_packets(read_jobs(options["jobs"], config=config), config=config)
        return TrafficRun(
            config=config, pattern=options["pattern"], rate=options["rate"], length=options["length"], length_max=options["length_max"],
            warmup=options["warmup"], cycles=options["cycles"], seed=options["seed"], burst=options["burst"], stall=options["stall"],
            packets=packets,
        )  # fmt: skip
    except OSError as error:
        raise click.UsageError(f"--jobs must name a file or folder that can be read, not {options['jobs']!r}: {error.strerror}") from error
    except (ConfigError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _zero_load(run: TrafficRun) -> float | None:
    """Mean latency of the pattern in an empty mesh; None for a list of packets and for a pattern that sends nothing."""
    config = run.config
    if run.packets is not None:
        return None
    matrix = traffic_matrix(run.pattern, config.mesh_x, config.mesh_y)
    if not matrix.any():
        return None
    bare = zero_load_latency(matrix, config.mesh_x, config.mesh_y, link_stages=config.link_stages, topology=config.topology)
    return bare + run.mean_length - 1


def _target(save: str | None) -> Path | None:
    """Where --save goes, refused before a long run rather than after it."""
    if save is None:
        return None
    path = Path(save)
    if path.suffix != ".csv":
        raise click.BadParameter(f"--save must name a .csv file, not {save!r}")
    if path.is_dir() or not path.parent.is_dir():
        raise click.BadParameter(f"--save must name a file in a folder that exists, not {save!r}")
    return path


@click.command()
@click.option("--mesh", default="8x8", show_default=True, help="Columns x rows, 1x1 to 16x16.")
@click.option("--pattern", default="uniform", show_default=True, help=f"Traffic: {', '.join(PATTERNS)}.")
@click.option("--rate", type=float, default=0.3, show_default=True, help="Offered load, flits per node and cycle.")
@click.option("--length", type=int, default=1, show_default=True, help="Flits of a packet.")
@click.option("--length-max", type=int, default=None, help="Lengths from 1 to this, equally likely, instead of --length.")
@click.option("--vcs", type=int, default=4, show_default=True, help="Virtual channels of a link.")
@click.option("--depth", type=int, default=4, show_default=True, help="Flits buffered per virtual channel.")
@click.option("--routing", default="xy", show_default=True, help=f"Routing function: {', '.join(ROUTING_CLASSES)}.")
@click.option("--arbitration", default="age", show_default=True, help=f"Who goes first: {', '.join(ARBITRATIONS)}.")
@click.option("--topology", default="mesh", show_default=True, help=f"{', '.join(TOPOLOGIES)}.")
@click.option("--networks", type=int, default=1, show_default=True, help="Virtual networks; packets are spread over them.")
@click.option("--qos", is_flag=True, help="Four weighted classes of service; packets are spread over them.")
@click.option("--payload", type=int, default=64, show_default=True, help=f"Bits of a flit's payload: {', '.join(map(str, PAYLOAD_BITS))}.")
@click.option("--watchdog", type=int, default=0, show_default=True, help="Build routers with a watchdog of this limit; 0: none.")
@click.option("--burst", type=float, default=None, help="Mean cycles of a burst at full rate [no bursts].")
@click.option("--stall", type=float, default=0.0, show_default=True, help="Chance that a receiver pauses for a cycle.")
@click.option("--jobs", default=None, help="Instead of a pattern: the jobs of `floogen traffic` in this file or folder.")
@click.option("--warmup", type=int, default=1000, show_default=True, help="Cycles before the measurement.")
@click.option("--cycles", type=int, default=3000, show_default=True, help="Cycles measured.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Of every random choice.")
@click.option("--save", default=None, help="Writes a line a packet to this .csv file: source, destination, length, created, ejected.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def noc(save: str | None, as_json: bool, **options: Any) -> int:
    """Traffic on a mesh of routers in RTL, every flit checked.

    Rates are in flits per node and cycle. Latency runs from the generation of a packet, in a queue without end, to the ejection of its last flit.
    Exit status 0 says that flits were delivered and none was lost, duplicated, misrouted, reordered, corrupted or sent without a credit.
    """
    target, run = _target(save), _run(options)
    with working(f"building the simulator of a {options['mesh']} {options['topology']}"):
        noc_simulation(run.config)
    with cycle_progress(f"{options['mesh']} {run.pattern}", run.warmup + 2 * run.cycles) as progress:
        result = run_traffic(run, save=target, progress=progress)
    values = _values(run, result)
    _report(values, result)
    if as_json:
        print_json(values)
    if not result.right:
        fail(_complaint(result))
    return 0 if result.right else 1


def _values(run: TrafficRun, result: TrafficResult) -> dict[str, Any]:
    config = run.config
    # JSON has no NaN.
    figures = {name: None if math.isnan(value := float(getattr(result, name))) else value for name in FIGURES}
    return (
        {"ok": result.right, **figures, **{name: getattr(result, name) for name in ERRORS}}
        | {"delivered": result.delivered, "unfinished": result.unfinished, "waiting": list(result.waiting), "zero_load": _zero_load(run)}
        | {
            "simulated": result.simulated,
            "sim_seconds": result.sim_seconds,
            "sim_khz": result.sim_khz,
            "build_seconds": result.build_seconds,
        }
        | {"config_hash": config.hash, "mesh": f"{config.mesh_x}x{config.mesh_y}", "topology": config.topology, "routing": config.routing}
        | {"vcs": config.vcs, "depth": config.depth, "arbitration": config.arbitration, "networks": config.virtual_networks}
        | {"qos": config.qos, "payload": config.payload_bits, "watchdog": config.watchdog_limit}
        | {"pattern": "jobs" if run.packets is not None else run.pattern, "rate": run.rate, "length": run.length}
        | {"length_max": run.length_max, "burst": run.burst, "stall": run.stall}
        | {"warmup": run.warmup, "cycles": run.cycles, "seed": run.seed}
    )


def _complaint(result: TrafficResult) -> str:
    wrong = [f"{getattr(result, name)} {name}" for name in ERRORS if getattr(result, name)]
    if result.waiting:
        wrong.append(f"the mesh stopped: {'; '.join(result.waiting)}")
    return "flits: " + ", ".join(wrong) if wrong else "nothing was delivered: raise --rate or --cycles, or choose a pattern that sends"


def _report(values: dict[str, Any], result: TrafficResult) -> None:
    """For people."""

    def number(name: str, digits: int = 2) -> str:
        value = values[name]
        return "-" if value is None else f"{value:.{digits}f}"

    table = Table(
        title=f"{values['mesh']} {values['topology']}, {values['pattern']}: {'right' if result.right else 'WRONG'}", show_header=False
    )
    table.add_row("offered, accepted", f"{number('offered', 4)}, {number('accepted', 4)} flits/node/cycle")
    table.add_row("latency mean, median", f"{number('latency_mean')}, {number('latency_median', 0)} cycles")
    table.add_row("latency 99 %, maximum", f"{number('latency_p99', 0)}, {number('latency_max', 0)} cycles")
    table.add_row("latency in an empty mesh", f"{number('zero_load')} cycles")
    table.add_row("share of a node, least, most", f"{number('node_share_min', 3)}, {number('node_share_max', 3)} of the mean")
    table.add_row("flits delivered", f"{values['delivered']:,}")
    table.add_row("packets not finished in time", f"{values['unfinished']:,}")
    table.add_row(", ".join(ERRORS), ", ".join(str(values[name]) for name in ERRORS))
    table.add_row("simulated", f"{values['simulated']:,} cycles at {values['sim_khz']:.1f} kHz, seed {values['seed']}")
    console.print(table)
