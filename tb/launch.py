"""Runs one step of `cocotb_tools.runner` in a process of its own, with a clean environment, a log file and a time limit.

The runner changes its behaviour under pytest, lets variables of the surrounding environment override its arguments, and ends
the process when a simulation fails. In a process of its own none of that reaches the caller: only the exit status and the
files it leaves count.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

#: Variables that would silently change what a run does (a filter left in a shell, a plugin): never inherited.
_PREFIXES = ("COCOTB_", "PYTEST_", "GPI_", "PYGPI_", "VERILATOR_", "MESHIUM_")
_NAMES = (
    "WAVES",
    "GUI",
    "SIM",
    "SIM_CMD_PREFIX",
    "SIM_CMD_SUFFIX",
    "TOPLEVEL",
    "MODULE",
    "TESTCASE",
    "RANDOM_SEED",
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
)

#: Exit status reported for a step that ran out of time.
TIMED_OUT = 124


def clean_environment() -> dict[str, str]:
    """The variables of this process without those that could change a run unseen."""
    kept = ("MESHIUM_BUILD",)  # the folder everything is built in
    return {key: value for key, value in os.environ.items() if key in kept or not (key.startswith(_PREFIXES) or key in _NAMES)}


def launch(job: dict[str, Any], *, folder: Path, log: Path, timeout: float, environment: dict[str, str]) -> int:
    """Runs `job` (see `_main`) with the variables `environment`, output to `log`; returns its exit status, `TIMED_OUT` if it had to be killed."""
    file = folder / f"{job['action']}.json"
    file.write_text(json.dumps(job, indent=1))
    root = str(Path(__file__).resolve().parent.parent)
    return run_group([sys.executable, "-m", "tb.launch", str(file)], cwd=root, log=log, timeout=timeout, environment=environment)


def run_group(command: list[str], *, cwd: str, log: Path, timeout: float, environment: dict[str, str]) -> int:
    """Runs `command`, output to `log`; returns its exit status. Everything it started dies with it when time is up (`TIMED_OUT`) or we are stopped."""
    with open(log, "w") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                output.write(f"\nkilled after {timeout} seconds\n")
                return TIMED_OUT
            raise


def _main(file: str) -> None:
    """Executes the job described in JSON `file`: `action` ("build" or "test") and the arguments of that method of the cocotb runner."""
    from cocotb_tools.runner import Verilator

    class PortsOnly(Verilator):
        """Leaves out the flag that makes every net of the design public: the ports are, by the waiver file, and the rest can be optimised."""

        def _build_command(self) -> list[list[str]]:
            return [[word for word in command if word != "--public-flat-rw"] for command in super()._build_command()]

    job: dict[str, Any] = json.loads(Path(file).read_text())
    action = job.pop("action")
    runner = PortsOnly()
    if action == "build":
        runner.build(always=True, verbose=True, timescale=("1ns", "1ps"), **job)
    else:
        runner.test(verbose=True, **job)


if __name__ == "__main__":
    _main(sys.argv[1])
