"""`meshium synth`: area and clock of units of the hardware, out of context, beside their targets and what was measured before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Column, Table

from .console import console, fail, print_json, print_table, working
from .files import written_whole
from .synth import known, measure
from .synth_pages import FIGURES, changes, figures, router_page, unit_page
from .units import UNITS, unit

DOCS = Path(__file__).resolve().parent.parent / "docs"
ROUTER_PAGE, UNIT_PAGE = DOCS / "noc_area.md", DOCS / "fpga_units.md"
#: What `bench` measured when it was last committed.
COMMITTED = DOCS / "fpga_units.json"


@click.command()
@click.argument("units", nargs=-1)
@click.option(
    "--bench", is_flag=True, help="Every unit of the chip: shows the change against docs/fpga_units.json and writes the page anew."
)
@click.option("--write", is_flag=True, help="Writes docs/noc_area.md, with everything measured of the routers as they are.")
@click.option("--json", "as_json", is_flag=True, help="Results as JSON on standard output.")
def synth(units: tuple[str, ...], bench: bool, write: bool, as_json: bool) -> int:
    """Area and clock of UNITS after place and route, all by default; of routers, UltraScale+ area too.

    What was measured of the same RTL with the same tools is not measured again. Status 1 if a target is missed.
    """
    names = units or tuple(name for name, item in UNITS.items() if not (bench and item.is_router))
    for name in names:
        unit(name)
    results = []
    for name in names:
        with working(f"measuring {name}"):
            results.append(measure(name))
    before = _committed()
    _show(results, before)
    if bench:
        _write_units(results, before)
    if write:
        _write(ROUTER_PAGE, router_page([found for name, item in UNITS.items() if item.is_router and (found := known(name)) is not None]))
    wrong = [f"{result['unit']} ({'; '.join(result['missed'])})" for result in results if not result["ok"]]
    if as_json:
        print_json({"ok": not wrong, "results": results})
    if wrong:
        fail(f"targets missed by {', '.join(wrong)}")
    return 1 if wrong else 0


def _committed() -> dict[str, dict[str, Any]]:
    """Results in docs/fpga_units.json by unit; none if there is no such file yet."""
    if not COMMITTED.exists():
        return {}
    return {result["unit"]: result for result in json.loads(COMMITTED.read_text())["results"]}


def _write_units(results: list[dict[str, Any]], before: dict[str, dict[str, Any]]) -> None:
    """The page and the file behind it: what has been measured now, and what is known of the other units."""
    merged = before | {result["unit"]: result for result in results}
    ordered = [merged[name] for name in UNITS if name in merged]
    _write(COMMITTED, json.dumps({"results": ordered}, indent=1) + "\n")
    _write(UNIT_PAGE, unit_page(ordered))


def _write(path: Path, text: str) -> None:
    with written_whole(path) as stream:
        stream.write(text.encode())
    console.print(f"written: {path.name}")


def _show(results: list[dict[str, Any]], before: dict[str, dict[str, Any]]) -> None:
    table = Table(Column("unit", no_wrap=True), "part", *FIGURES, "UltraScale+ LUT", "targets", "change")
    for result in results:
        luts = f"{result['xcup']['luts']:,}" if result["xcup"] else "-"
        change = "-" if result["xcup"] else changes(before.get(result["unit"]), result)
        table.add_row(result["unit"], result["part"], *figures(result), luts, "met" if result["ok"] else "MISSED", change)
    print_table(table)
