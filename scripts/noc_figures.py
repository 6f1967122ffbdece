"""Draws docs/figures/router_pipeline.svg and router_crossbar.svg.

The pipeline is read off the RTL in the Amaranth simulator: a packet of three flits through four routers in a row, and in its way, at the second, another
packet that was there first. The block drawing counts the connections of the crossbar that the router is built from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import matplotlib
from amaranth.sim import Simulator

from hw.common.noc import NocConfig
from hw.noc.connections import Connections
from hw.noc.flit import Port
from hw.noc.mesh import Mesh

FIGURES = Path(__file__).resolve().parent.parent / "docs" / "figures"
CONFIG = NocConfig(name="row", mesh_x=4, mesh_y=1, vcs=1, depth=2, arbitration="round_robin")
CYCLES, ROUTERS = 10, 4
#: (source, first cycle, payloads of the flits): A goes the whole way, B enters at router 1 two cycles earlier than A gets there. Both end at node 3.
PACKETS = ((0, 1, (0xA0, 0xA1, 0xA2)), (1, 1, (0xB0, 0xB1)))


@dataclass
class Recording:
    """places[cycle][router]: (payload, what it does) of the flits in the router's queues."""

    places: list[list[list[tuple[int, str]]]] = field(default_factory=list)
    ejected: list[tuple[int, int]] = field(default_factory=list)
    """(cycle, payload) of the flits that leave at node 3."""


def record() -> Recording:
    """Runs both packets through the row of routers."""
    recording = Recording()
    mesh: Any = Mesh(config=CONFIG)

    async def drive(ctx: Any) -> None:
        waiting = {source: [(first, payload) for payload in payloads] for source, first, payloads in PACKETS}
        credits = dict.fromkeys(waiting, CONFIG.depth)
        ctx.set(mesh.o[ROUTERS - 1].up, 1)
        for cycle in range(CYCLES):
            for source, flits in waiting.items():
                hop = mesh.i[source].hop
                goes = bool(flits) and cycle >= flits[0][0] and credits[source] > 0
                ctx.set(hop.valid, goes)
                if goes:
                    _, payload = flits.pop(0)
                    credits[source] -= 1
                    ctx.set(hop.flit.payload, payload)
                    ctx.set(hop.flit.tail, not flits)
                    ctx.set(hop.flit.dst_x, ROUTERS - 1)
                    ctx.set(hop.flit.route, 1 << Port.EAST)
            out = mesh.o[ROUTERS - 1]
            ctx.set(out.credit, ctx.get(out.hop.valid))
            if ctx.get(out.hop.valid):
                recording.ejected.append((cycle, ctx.get(out.hop.flit.payload)))
            recording.places.append([_heads(ctx, router) for router in mesh.routers])
            for source in waiting:
                credits[source] += ctx.get(mesh.i[source].credit)
            await ctx.tick()

    simulator = Simulator(mesh)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return recording


def _heads(ctx: Any, router: Any) -> list[tuple[int, str]]:
    found = []
    for port in Port:
        queue = router.inputs[port].queues[0]
        if ctx.get(queue.valid):
            found.append((ctx.get(queue.head.payload), "goes" if ctx.get(queue.leave) else "waits"))
    return found


def draw_pipeline(recording: Recording, target: Path) -> None:
    """Rows are routers, columns cycles: a filled box is a flit at the head of a queue that leaves in this cycle, an empty one a head that waits."""
    pyplot = _pyplot()
    from matplotlib.patches import FancyBboxPatch

    figure, axis = pyplot.subplots(figsize=(9.6, 3.4))
    colours = {0xA: "#9ecae1", 0xB: "#a1d99b"}
    for cycle, routers in enumerate(recording.places):
        for router, flits in enumerate(routers):
            for place, (payload, state) in enumerate(flits):
                low = router + 0.08 + place * 0.44
                box = FancyBboxPatch(
                    (cycle + 0.08, low), 0.84, 0.38, boxstyle="round,pad=0,rounding_size=0.08",
                    facecolor=colours[payload >> 4] if state == "goes" else "white", edgecolor=colours[payload >> 4], linewidth=1.6,
                )  # fmt: skip
                axis.add_patch(box)
                axis.text(cycle + 0.5, low + 0.2, f"{payload:X}", ha="center", va="center", fontsize=8)
    for cycle, payload in recording.ejected:
        axis.text(cycle + 0.5, ROUTERS + 0.25, f"{payload:X}", ha="center", va="center", fontsize=8)
    axis.set(
        xlim=(1, CYCLES), ylim=(ROUTERS + 0.5, 0), xticks=range(1, CYCLES + 1), yticks=[y + 0.5 for y in range(ROUTERS)] + [ROUTERS + 0.25]
    )
    axis.set_yticklabels([*(f"router {y}" for y in range(ROUTERS)), "ejected"], fontsize=8)
    axis.set_xticks([cycle + 0.5 for cycle in range(1, CYCLES)], [str(cycle) for cycle in range(1, CYCLES)], fontsize=8)
    axis.set_xlabel("cycle", fontsize=8)
    axis.grid(axis="y", alpha=0.0)
    for y in range(ROUTERS + 1):
        axis.axhline(y, color="#cccccc", linewidth=0.6)
    _save(figure, target)


def draw_crossbar(target: Path) -> None:
    """Which queues meet at which output: the connections of `fast` (XY, four VCs), one dot a connection."""
    pyplot = _pyplot()
    config = NocConfig.named("fast")
    connections = Connections(config)
    figure, axis = pyplot.subplots(figsize=(9.6, 2.6))
    for column, queue in enumerate(connections.queues):
        for hop in connections.hops[queue]:
            axis.plot(column, hop.port, "o", markersize=7, color=("#9ecae1", "#6baed6", "#3182bd", "#08519c")[queue[1]])
    count = sum(len(hops) for hops in connections.hops.values())
    axis.set(xlim=(-0.6, len(connections.queues) - 0.4), ylim=(len(Port) - 0.5, -0.5))
    axis.set_xticks(range(len(connections.queues)), [f"{port.name[0]}.{vc}" for port, vc in connections.queues], fontsize=7)
    axis.set_yticks(range(len(Port)), [port.name.lower() for port in Port], fontsize=8)
    axis.set_xlabel(f"queue (input port . VC); {count} connections", fontsize=8)
    axis.set_ylabel("output", fontsize=8)
    for y in range(len(Port)):
        axis.axhline(y, color="#eeeeee", linewidth=0.8, zorder=0)
    _save(figure, target)


def _pyplot() -> Any:
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "meshium"
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, target: Path) -> None:
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})
    _pyplot().close(figure)


@click.command()
def main() -> None:
    """Draws the figures of docs/noc.md."""
    draw_pipeline(record(), FIGURES / "router_pipeline.svg")
    draw_crossbar(FIGURES / "router_crossbar.svg")
    click.echo("written: router_pipeline.svg, router_crossbar.svg", err=True)


if __name__ == "__main__":
    main()
