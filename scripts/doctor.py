"""`make doctor`, `meshium doctor`: names whatever this machine lacks and how to get it.

Runs as plain Python without packages (`python3 scripts/doctor.py`), because what is missing may be the packages; where click is there,
`doctor` is a command of the `meshium` program.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MINIMUM_PYTHON = (3, 11)
#: The environment, the builds and some room.
MINIMUM_DISK_GB = 4
#: The C++ compiler on the largest generated file, twice.
MINIMUM_MEMORY_GB = 4


@dataclass(frozen=True)
class Check:
    """One thing looked for: `remedy` says how to get it, `required` whether anything works without."""

    name: str
    ok: bool
    found: str
    remedy: str
    required: bool = True


def check_python() -> Check:
    """The version of the Python that runs this."""
    version = sys.version.split()[0]
    ok = sys.version_info >= MINIMUM_PYTHON
    return Check("python", ok, version, "" if ok else "apt-get install python3.11, then make PYTHON=python3.11")


def check_venv_module() -> Check:
    """Whether this Python can make a virtual environment with pip in it."""
    probe = subprocess.run([sys.executable, "-c", "import venv, ensurepip"], capture_output=True, check=False)
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    return Check("python venv", probe.returncode == 0, "there" if probe.returncode == 0 else "missing", f"apt-get install {package}")


def check_program(name: str, package: str, why: str, *, required: bool = True) -> Check:
    """Whether a program is on PATH, and its version if it tells."""
    path = shutil.which(name)
    if path is None:
        return Check(name, False, "missing", f"apt-get install {package} ({why})", required)
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        told = ""
    match = re.search(r"\d+\.[\d.]+", told)
    return Check(name, True, match.group(0).rstrip(".") if match else "there", "", required)


def check_lz4() -> Check:
    """The header of liblz4, which only FST waveforms need."""
    present = any(Path(folder, "lz4.h").exists() for folder in ("/usr/include", "/usr/local/include"))
    return Check(
        "liblz4", present, "there" if present else "missing", "apt-get install liblz4-dev (FST waveforms; VCD works without)", False
    )


def check_usb() -> Check:
    """The libraries openFPGALoader is linked to, which only programming a board needs."""
    folders = [Path(root) for root in ("/lib", "/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")]
    lacking = [
        name
        for name in ("libusb-1.0", "libftdi1")
        if not any(path for folder in folders for depth in ("", "*/") for path in folder.glob(f"{depth}{name}.*"))
    ]
    found = "there" if not lacking else f"{' and '.join(lacking)} missing"
    return Check(
        "USB libraries", not lacking, found, "apt-get install libusb-1.0-0 libftdi1-2 (make program; simulation works without)", False
    )


def check_environment() -> Check:
    """Whether `.venv` is set up for the present pyproject.toml."""
    stamp, project = ROOT / ".venv" / ".installed", ROOT / "pyproject.toml"
    if not stamp.exists():
        return Check(".venv", False, "not made yet", "make setup (every other target does it too)", False)
    fresh = stamp.stat().st_mtime >= project.stat().st_mtime
    return Check(".venv", fresh, "there" if fresh else "older than pyproject.toml", "make setup (every other target does it too)", False)


def check_disk() -> Check:
    """Free space where the repository is."""
    free = shutil.disk_usage(ROOT).free / 1e9
    return Check("disk", free >= MINIMUM_DISK_GB, f"{free:.0f} GB free", f"free {MINIMUM_DISK_GB} GB where the repository is")


def check_memory() -> Check:
    """Memory of the machine."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    # A machine sold as 4 GB shows a little less.
    return Check(
        "memory",
        total >= 0.9 * MINIMUM_MEMORY_GB,
        f"{total:.0f} GB",
        f"{MINIMUM_MEMORY_GB} GB: the C++ compiler may be killed below",
        False,
    )


def examine() -> list[Check]:
    """Every check, in the order they matter."""
    return [
        check_python(),
        check_venv_module(),
        check_program("g++", "g++", "compiles the simulations"),
        check_program("make", "make", "builds the simulations"),
        check_program("perl", "perl", "Verilator's driver is written in it"),
        check_disk(),
        check_memory(),
        check_environment(),
        check_program("ccache", "ccache", "repeated C++ builds get faster", required=False),
        check_program("gtkwave", "gtkwave", "shows waveforms; Surfer does too", required=False),
        check_lz4(),
        check_usb(),
    ]


def report(checks: list[Check], *, as_json: bool = False) -> int:
    """Prints the checks, JSON on standard output, words on standard error; returns the exit status: 1 if something required is missing."""
    lacking = [check for check in checks if check.required and not check.ok]
    if as_json:
        print(json.dumps({"ok": not lacking, "checks": [asdict(check) for check in checks]}, indent=1))
        return 1 if lacking else 0
    for check in checks:
        mark = "ok" if check.ok else "MISSING" if check.required else "optional"
        print(f"{mark:8}  {check.name:13} {check.found}{'' if check.ok else '  -> ' + check.remedy}", file=sys.stderr)
    print(
        f"\n{len(lacking)} required thing(s) missing: {', '.join(check.name for check in lacking)}"
        if lacking
        else "\nNothing required is missing.",
        file=sys.stderr,
    )
    return 1 if lacking else 0


try:
    import click
except ImportError:  # only packages give us click; without them there is no meshium program either
    pass
else:

    @click.command()
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def doctor(as_json: bool) -> None:
        """Name whatever is missing on this machine and how to get it."""
        sys.exit(report(examine(), as_json=as_json))


if __name__ == "__main__":
    sys.exit(report(examine(), as_json="--json" in sys.argv[1:]))
