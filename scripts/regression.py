"""`make test` and `make lint`: every step with its time, and one exit status. `.ci/run` and the hosted workflow run the same.

Usage: `python -m scripts.regression [STEP...]`; without arguments every step, cheap ones first. A step that fails does not stop the
others, so one run shows everything that is wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

#: pytest processes: more than two only fight over the C++ compiler on the machines this is meant for.
JOBS = str(min(2, os.cpu_count() or 1))

#: The board whose whole bitstream is made here: one that is quick, and whose clock has room. All of them: `make bitstreams`.
BITSTREAM = "icebreaker"


def _pytest(*folders: str) -> list[list[str]]:
    arguments = ["-q", "-n", JOBS, "--dist", "worksteal", "--durations", "5", "-p", "no:cacheprovider"]
    return [[str(BIN / "pytest"), *arguments, *(f"tests/{folder}" for folder in folders)]]


#: Step -> commands, in order.
STEPS: dict[str, list[list[str]]] = {
    "lint": [[str(BIN / "ruff"), "check", "."], [str(BIN / "ruff"), "format", "--check", "."], [str(BIN / "mypy")]],
    "unit": _pytest("unit", "golden"),
    "formal": _pytest("formal"),
    "cosim": _pytest("cosim"),
    "flow": _pytest("flow", "e2e"),
    "bitstream": [[str(BIN / "meshium"), "bitstream", BITSTREAM]],
}


def stamped(text: str) -> None:
    """Prints a line with the time of day."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def run_step(name: str) -> bool:
    """Runs the commands of a step, all of them; returns whether all succeeded."""
    begin = time.monotonic()
    stamped(f"{name}: begins")
    good = True
    for command in STEPS[name]:
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        if status != 0:
            stamped(f"{name}: {' '.join([Path(command[0]).name, *command[1:]])} ended with status {status}")
            good = False
    stamped(f"{name}: {'passed' if good else 'FAILED'} in {time.monotonic() - begin:.0f} s")
    return good


@click.command()
@click.argument("steps", nargs=-1, type=click.Choice(list(STEPS)))
def main(steps: tuple[str, ...]) -> None:
    """Runs STEPS, all of them by default."""
    begin = time.monotonic()
    failed = [name for name in steps or STEPS if not run_step(name)]
    stamped(f"{'FAILED: ' + ', '.join(failed) if failed else 'everything passed'} ({time.monotonic() - begin:.0f} s)")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
