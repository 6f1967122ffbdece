"""Builds a device under test into a Verilator executable that cocotb can drive, once per content.

Testbenches reach the ports of the top module and nothing inside: so nothing inside is kept from being optimised.

The build folder is named by a hash of everything that decides the executable: the Verilog, the waivers, the flags and the versions of Verilator,
cocotb and the C++ compiler. A folder counts as built only when its stamp is there, so an interrupted build is done again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sim.gates import gate_verilog, with_models
from sim.verilated import toolchain
from sim.verilog import emit

from .launch import clean_environment, launch

#: Everything the cocotb runs write is below this folder.
BUILD = toolchain.build_root() / "cosim"

#: Lint waivers, each with its reason.
WAIVERS = Path(__file__).resolve().parent / "waivers.vlt"

#: For netlists and primitives. An input of a cell that nothing is connected to is 0 there, as in place and route; Yosys's models have a `timescale`, ours and
#: the netlist have none, and this simulation counts cycles.
CELL_WAIVERS = "lint_off -rule PINMISSING\nlint_off -rule TIMESCALEMOD\n"

#: Flags of every build. Registers and memories start at random values (run_tb seeds them): nothing may depend on them.
FLAGS = ("--assert", "--x-assign", "unique", "--x-initial", "unique", "-O3")

#: What `coverage=True` adds.
COVERAGE_FLAGS = ("--coverage-line", "--coverage-toggle")


class BuildError(RuntimeError):
    """The device could not be turned into an executable; the message ends with the tool's last lines."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """A built device: its folder, the name of its top module and whether this call made it or found it."""

    folder: Path
    toplevel: str
    fresh: bool
    waves: bool


def build(
    component: Any,
    *,
    name: str,
    waves: bool = False,
    coverage: bool = False,
    timeout: float = 600.0,
    extra_flags: tuple[str, ...] = (),
    family: str | None = None,
) -> Build:
    """Emits `component` as Verilog module `name` and builds it, or finds the same build made earlier.

    Parameters
    ----------
    component : Amaranth component
    name : str
        Name of the top module.
    waves, coverage : bool
        Build with VCD tracing, with line and toggle coverage: both are slower.
    timeout : float
        Seconds after which the build is given up.
    extra_flags : tuple of str
        Flags of Verilator besides those of every build.
    family : str or None
        Builds the netlist that synthesis makes for this FPGA family, with the models of its cells, in place of the RTL.

    Raises
    ------
    BuildError
        if Verilator or the C++ compiler fails or takes too long.
    SynthesisError
        if there is no netlist of this family.
    ToolError
        if a tool is missing.
    """
    # No initial values: registers start at random like memories, so a reset that forgets one shows.
    rtl = "" if family else emit(component, name=name, initial_values=False)
    verilog = gate_verilog(component, name=name, family=family) if family else with_models(rtl)
    settings = (
        WAIVERS.read_text()
        + (CELL_WAIVERS if verilog != rtl else "")
        + "".join(f'public_flat_rw -module "{name}" -var "{port}"\n' for port in sorted(pins_of(verilog, name)))
    )
    flags = (*FLAGS, *extra_flags, *(COVERAGE_FLAGS if coverage else ()))
    identity = {
        "verilog": verilog,
        "settings": settings,
        "flags": flags,
        "waves": waves,
        "verilator": version("verilator"),
        "cocotb": version("cocotb"),
        "compiler": toolchain.compiler_version(),
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = BUILD / "builds" / f"{name}-{key}"
    stamp = folder / "built"
    with locked(folder):
        if stamp.exists():
            return Build(folder=folder, toplevel=name, fresh=False, waves=waves)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        source = folder / f"{name}.v"
        source.write_text(verilog)
        waivers = folder / f"{name}.vlt"
        waivers.write_text(settings)
        job = {
            "action": "build",
            "sources": [str(source), str(waivers)],
            "hdl_toplevel": name,
            "build_dir": str(folder),
            "build_args": list(flags),
            "waves": waves,
        }
        status = launch(job, folder=folder, log=folder / "build.log", timeout=timeout, environment=_environment())
        if status != 0:
            raise BuildError(f"{name} must build, not end with {status}: see {folder / 'build.log'}\n{tail(folder / 'build.log')}")
        stamp.touch()
    return Build(folder=folder, toplevel=name, fresh=True, waves=waves)


def pins_of(verilog: str, toplevel: str) -> set[str]:
    """Names of the ports of module `toplevel` in a Verilog text."""
    match = re.search(rf"^module {re.escape(toplevel)}\(([^)]*)\)", verilog, re.MULTILINE)
    return {name.strip() for name in match.group(1).split(",")} if match else set()


def tail(log: Path, lines: int = 40) -> str:
    """The last lines of a log file, empty if there is none."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of `folder` (a file beside it), so that two processes never build or run in it at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _environment() -> dict[str, str]:
    """What make and Verilator need, and the launcher that keeps the objects of Verilator's runtime (ccache where there is one)."""
    launcher = shutil.which("ccache") or f"{sys.executable} -ISE {Path(__file__).with_name('objcache.py')} {BUILD / 'objects'}"
    variables = {"OBJCACHE": launcher, "MESHIUM_COMPILER": toolchain.compiler_version()}
    return toolchain.environment(clean_environment()) | variables
