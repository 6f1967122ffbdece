"""Makes `.venv` and installs the project into it: the first thing every make target does, once.

Plain Python without packages, since it runs before there are any. Usage: `python3 scripts/bootstrap.py .venv`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent

#: Oldest Python, as in pyproject.toml.
MINIMUM = (3, 11)


def say(text: str) -> None:
    """Progress goes to standard error: standard output belongs to the command that is being set up."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    """Ends with one clear error."""
    sys.exit(f"setup: error: {text}")


def make_venv(folder: Path) -> Path:
    """The Python of the virtual environment in `folder`, made if it is missing or broken."""
    python = folder / "bin" / "python"
    if python.exists() and subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
        return python
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    say(f"making {folder.name} with Python {version}")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        # Debian and Ubuntu split ensurepip off into a package of its own.
        if "ensurepip" in made.stdout + made.stderr or "No module named venv" in made.stderr:
            fail(f"python3 must be able to make virtual environments, but lacks ensurepip: apt-get install python{version}-venv")
        fail(f"python3 -m venv {folder} must succeed, not end with {made.returncode}:\n{made.stdout}{made.stderr}")
    return python


def main(folder: Path) -> None:
    """Makes the environment and installs the project, editable, with what its tests and docs need."""
    if sys.version_info < MINIMUM:
        fail(
            f"python3 must be at least {MINIMUM[0]}.{MINIMUM[1]}, not {sys.version.split()[0]}: run make PYTHON=python3.11 or install a newer one"
        )
    python = make_venv(folder)
    say("installing the project and its packages from the package index; the first time takes some minutes")
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f"{ROOT}[dev]"]
    installed = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if installed != 0:
        fail("pip must be able to install the packages named in pyproject.toml: its message is above; is the package index reachable?")
    say(f"done; `. {folder}/bin/activate` makes the command meshium known to a shell")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        fail("usage: python3 scripts/bootstrap.py FOLDER")
    main(Path(sys.argv[1]).absolute())
