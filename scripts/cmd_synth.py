"""`meshium synth`: area and clock of units of the hardware, out of context, beside their targets and peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Column, Table

from .console import console, fail, print_json, working
from .files import written_whole
from .synth import SEEDS, UNITS, known, measure, tools, unit

PAGE = Path(__file__).resolve().parent.parent / "docs" / "noc_area.md"

#: Five-port routers with 64-bit flits, measured with the same tools: name, UltraScale+ LUT and FF, LUT that are memory, ECP5 cells and FF, MHz.
PEERS = (
    ("basejump `bsg_mesh_router_buffered`, FIFO 2", 807, 240, 37, "2,882", 37, 143.5),
    ("FlooNoC `floo_router` 2/2", 1765, 0, 1536, "2,429", 1536, 103.5),
    ("ESP lookahead router, queue 4", 1904, 0, 1840, "3,470", 1844, 83.7),
    ("Stanford router, 2 VC", 2556, 0, 1695, "4,562", 1695, 92.8),
)

_EXPLANATION = """Five ports, 64-bit payload, 8x8 coordinates. V: virtual channels, B: flits of depth of each.

**UltraScale+** area is that of the bare router after `synth_xilinx -family xcup` in Yosys: LUTs of logic, LUTs that are memory (a RAM32M16 is 8),
and their sum. **ECP5-85F** figures are those after placing and routing (nextpnr, speed grade 8): cells are logic and LUT RAM together. For the
clock, every input and output of the router, its coordinates included, has a flip-flop of the device, which synthesis cannot merge with
logic; the path through crossbar and link ends in one, where the next router has the write of its queue (which adds, to route and tail, one
multiplexer). The row with links that lead back to the router itself has no such frame on them: its paths run from queue to queue, as in a
mesh, and so are longer. The frame's flip-flops are taken off the count. Best, median and worst are of placements with {seeds} seeds
(one, where the row says so).

Targets for V = 1, B = 2: at most 1,000 LUTs, memory included, and 150 MHz in the best placement.
"""


def page(results: list[dict[str, Any]]) -> str:
    """The page, of what was measured."""
    lines = [
        "<!-- Made by `python -m scripts.synth --write`: run that, do not edit this page. -->", "", "# Area and clock of the router", "",
        _EXPLANATION.format(seeds=len(SEEDS)),
        "| router | UltraScale+ LUT: logic + memory = all | FF | ECP5 cells / FF | MHz best, median, worst | target |", "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for result in results:
        xcup, ecp5, of = result["xcup"], result["ecp5"], unit(result["unit"])
        target = "-" if of.max_luts is None else "met" if result["ok"] else "MISSED"
        lines.append(
            f"| {of.doc} | {xcup['logic_luts']:,} + {xcup['ram_luts']:,} = {xcup['luts']:,} | {xcup['ffs']:,} | {ecp5['cells']:,} / {ecp5['ffs']:,} "
            f"| {ecp5['mhz_best']}, {ecp5['mhz_median']}, {ecp5['mhz_worst']} | {target} |"
        )
    for name, logic, memory, ffs, cells, ecp5_ffs, mhz in PEERS:
        lines.append(f"| *{name}* | {logic:,} + {memory:,} = {logic + memory:,} | {ffs:,} | {cells} / {ecp5_ffs:,} | {mhz} | |")
    versions = ", ".join(f"{name} {number}" for name, number in tools().items())
    return "\n".join(
        [
            *lines,
            "",
            f"Tools: {versions}. The peers, in italics, were measured with Yosys 0.70; what stood at their ports is not recorded.",
            "",
        ]
    )


def _show(results: list[dict[str, Any]]) -> None:
    table = Table(Column("unit", no_wrap=True), "LUT", "of them RAM", "FF", "ECP5 cells", "FF", "MHz best", "median", "worst", "targets")
    for result in results:
        xcup, ecp5 = result["xcup"], result["ecp5"]
        figures = (
            xcup["luts"],
            xcup["ram_luts"],
            xcup["ffs"],
            ecp5["cells"],
            ecp5["ffs"],
            ecp5["mhz_best"],
            ecp5["mhz_median"],
            ecp5["mhz_worst"],
        )
        table.add_row(result["unit"], *(f"{figure:,}" for figure in figures), "met" if result["ok"] else "MISSED")
    console.print(table)


@click.command()
@click.argument("units", nargs=-1)
@click.option("--write", is_flag=True, help="Writes docs/noc_area.md, with everything measured of the RTL as it is.")
@click.option("--json", "as_json", is_flag=True, help="Results as JSON on standard output.")
def synth(units: tuple[str, ...], write: bool, as_json: bool) -> int:
    """Area (UltraScale+, Yosys) and clock (ECP5, Yosys and nextpnr) of UNITS, all by default.

    What was measured of the same RTL with the same tools is not measured again. Status 1 if a target is missed.
    """
    for name in units:
        unit(name)
    results = []
    for name in units or UNITS:
        with working(f"measuring {name}"):
            results.append(measure(name))
    _show(results)
    if write:
        with written_whole(PAGE) as stream:
            stream.write(page([found for name in UNITS if (found := known(name)) is not None]).encode())
        console.print(f"written: {PAGE.name}")
    missed = [result["unit"] for result in results if not result["ok"]]
    if as_json:
        print_json({"ok": not missed, "results": results, "tools": tools()})
    if missed:
        fail(f"targets missed by {', '.join(missed)}")
    return 1 if missed else 0
