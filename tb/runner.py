"""The one way a cocotb testbench is run: `run_tb` builds, runs and refuses to pass silently.

How to add a testbench
----------------------
1. Write `tb/tb_<name>.py`: cocotb tests (`@cocotb.test()`, `@cocotb.parametrize`), each ending in `Scoreboard.finish()` of tb/vip/scoreboard.py
   (or `report(n)`). The configuration comes from `tb.vip.config()`, randomness from `numpy.random.default_rng(cocotb.RANDOM_SEED)`.
2. In the same file register it: `BENCH = Bench(name="<name>", doc=..., top=lambda config: Block(config=config), configs=(...))` (tb/registry.py).

Then `make sim TB=<name>` runs it and tests/cosim/test_tb.py runs it in `make test`. The top module is called `<name>`; its ports are the
flat names of the component's signature (`i.payload` is `i__payload`) plus `clk` and `rst`. A module that is no testbench must not be called `tb_*`.

What makes a run fail
---------------------
* a test failed, or the simulation ended without writing results;
* the number of tests that ran is not the number in the module (counted by importing it, parametrisations included), or is 0, or tests were skipped;
* a test compared nothing: it has no line with a count above 0 in the scores file;
* it took longer than `Bench.timeout`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sim.verilated.toolchain import repository_root

from .build import BUILD, build, locked, tail
from .launch import TIMED_OUT, clean_environment, launch
from .registry import Bench, Config, Gate


class TestbenchError(AssertionError):
    """A run that did not do everything it should have; the message says what, and ends with how to replay it."""

    __test__ = False  # not a test class, whatever pytest reads from its name


@dataclass(frozen=True, kw_only=True)
class Result:
    """A run in which every test passed.

    Members: tests and their wall seconds, items compared by test, seed, configuration, folder of the run (`results.xml`, `run.log`,
    `scores.jsonl`, `dump.vcd`, `coverage.dat`), the Verilog that ran, seconds to build (0 when found) and to run.
    """

    name: str
    config: str
    seed: int
    tests: dict[str, float]
    compared: dict[str, int]
    folder: Path
    verilog: Path
    build_seconds: float
    run_seconds: float


def run_tb(
    name: str,
    *,
    top: Callable[[Any], Any],
    config: Config,
    module: str = "",
    expected: int | None = None,
    seed: int | None = None,
    waves: bool = False,
    coverage: bool = False,
    env: Mapping[str, str] | None = None,
    only: str | None = None,
    timeout: float = 300.0,
    flags: tuple[str, ...] = (),
    family: str | None = None,
) -> Result:
    """Builds `top(config)`, runs the tests of a module on it and checks that all of them ran, passed and compared something.

    Parameters
    ----------
    name : str
        Name of the testbench and of the top module.
    top : callable
        Makes the device from the configuration.
    config : ChipConfig or NocConfig
        Also handed to the tests, as JSON in `MESHIUM_CONFIG`.
    module : str
        Import name of the cocotb module, `tb.tb_<name>` by default.
    expected : int or None
        Number of tests that must run; counted in the module by default.
    seed : int or None
        Seed of everything random in the run, chosen and printed by default.
    waves, coverage : bool
        Leave `dump.vcd`, `coverage.dat` in the folder of the run.
    env : mapping or None
        More variables for the tests.
    only : str or None
        Regular expression: only the tests in whose name (`module.test`) it is found run.
    timeout : float
        Seconds of wall clock the simulation may take.
    flags : tuple of str
        More flags of Verilator.
    family : str or None
        Runs on the netlist of this FPGA family.

    Raises
    ------
    TestbenchError
        if anything in the list at the head of this module went wrong.
    BuildError
        if the device does not build.
    ValueError
        if `expected` is not positive, or `only` leaves no test.
    """
    module = module or f"tb.tb_{name}"
    if expected is None:
        expected = count_tests(module, only=only)
    if isinstance(expected, bool) or not isinstance(expected, int) or expected <= 0:
        raise ValueError(f"expected must be a positive number of tests, not {expected!r} in {module}{f' with {only!r}' if only else ''}")
    if seed is None:
        seed = secrets.randbits(31)
    replay = (
        f"make sim TB={name} CONFIG={config.name} SEED={seed}" + (f" TEST='{only}'" if only else "") + (" LEVEL=gate" if family else "")
    )
    print(f"{name} [{config.name}{f', {family} netlist' if family else ''}] {expected} test(s), seed {seed}; replay: {replay}", flush=True)

    begin = time.monotonic()
    built = build(top(config), name=name, waves=waves, coverage=coverage, extra_flags=flags, family=family)
    build_seconds = time.monotonic() - begin if built.fresh else 0.0

    folder = (
        BUILD / "runs" / f"{name}-{config.name}{'-waves' if waves else ''}{'-coverage' if coverage else ''}{f'-{family}' if family else ''}"
    )
    begin = time.monotonic()
    with locked(folder):
        shutil.rmtree(folder, ignore_errors=True)  # nothing of an earlier run may be mistaken for this one's
        folder.mkdir(parents=True)
        job = {
            "action": "test",
            "test_module": module,
            "hdl_toplevel": built.toplevel,
            "hdl_toplevel_lang": "verilog",
            "build_dir": str(built.folder),
            "test_dir": str(folder),
            "results_xml": str(folder / "results.xml"),
            "seed": seed,
            "waves": waves,
            "test_filter": only,
            # What registers and memories hold before reset comes from this seed.
            "plusargs": ["+verilator+rand+reset+2", f"+verilator+seed+{seed % 2**31 or 1}"],
        }
        environment = {
            **clean_environment(),
            "MESHIUM_CONFIG": json.dumps(config.to_dict()),
            "MESHIUM_SCORES": str(folder / "scores.jsonl"),
            "PYTHONPATH": os.pathsep.join([str(repository_root()), *filter(None, [os.environ.get("PYTHONPATH")])]),
            **(env or {}),
        }
        status = launch(
            job,
            folder=folder,
            log=folder / "run.log",
            timeout=timeout,
            environment=environment,
        )
        try:
            tests, compared = check_results(folder, expected=expected, status=status)
        except TestbenchError as error:
            raise TestbenchError(f"{name} [{config.name}]: {error}\nseed {seed}; replay: {replay}\n{tail(folder / 'run.log')}") from None
    return Result(
        name=name, config=config.name, seed=seed, tests=tests, compared=compared, folder=folder, verilog=built.folder / f"{built.toplevel}.v",
        build_seconds=build_seconds, run_seconds=time.monotonic() - begin,
    )  # fmt: skip


def run_bench(bench: Bench, config: Config, **options: Any) -> Result:
    """`run_tb` of a registered testbench in one of its configurations."""
    chosen: dict[str, Any] = {"timeout": bench.timeout, "flags": bench.flags} | options
    return run_tb(bench.name, top=bench.top, config=config, module=bench.module, **chosen)


def run_gate(bench: Bench, gate: Gate, **options: Any) -> Result:
    """`run_tb` of a registered testbench on one of its netlists."""
    return run_bench(bench, gate.config, family=gate.family, **options)


def count_tests(module: str, *, only: str | None = None) -> int:
    """Number of cocotb tests in a module, every parametrisation counted: what the simulator will register when nothing goes wrong."""
    # cocotb has no public way to list tests outside a simulation; these two classes are what its own discovery looks for.
    from cocotb._decorators import Test, TestGenerator

    tests: list[Test] = []
    for item in vars(importlib.import_module(module)).values():
        if isinstance(item, Test):
            tests.append(item)
        elif isinstance(item, TestGenerator):
            tests.extend(item.generate_tests())
    return sum(re.search(only or "", test.fullname) is not None for test in tests)


def check_results(folder: Path, *, expected: int, status: int = 0) -> tuple[dict[str, float], dict[str, int]]:
    """Reads what a run left in `folder`; returns wall seconds and items compared, by test.

    Raises
    ------
    TestbenchError
        if the results are missing or broken, their number is not `expected`, one failed or was skipped, or one compared nothing.
    """
    if status == TIMED_OUT:
        raise TestbenchError("ran out of time and was killed")
    try:
        cases = list(ElementTree.parse(folder / "results.xml").getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        raise TestbenchError(f"ended with status {status} and left no results ({error})") from None
    bad = {case.get("name", "?"): mark for case in cases for mark in (case.find("failure"), case.find("error")) if mark is not None}
    if bad:
        # The last lines of each traceback come first here: they may be far from the end of the log.
        reasons = "".join(f"\n{name}:\n  " + "\n  ".join((mark.text or "").strip().splitlines()[-4:]) for name, mark in bad.items())
        raise TestbenchError(f"{len(bad)} of {len(cases)} test(s) failed: {', '.join(bad)}{reasons}")
    ran = [case for case in cases if case.find("skipped") is None]
    if len(ran) != expected:
        raise TestbenchError(
            f"{expected} test(s) must run, not {len(ran)} (and {len(cases) - len(ran)} skipped): {', '.join(c.get('name', '?') for c in ran)}"
        )
    if status != 0:
        raise TestbenchError(f"the simulation must end with status 0, not {status}, although its tests passed")
    scores = folder / "scores.jsonl"
    lines = [json.loads(line) for line in scores.read_text().splitlines()] if scores.exists() else []
    tests, compared = {}, {}
    for case in ran:
        name = f"{case.get('classname')}.{case.get('name')}"
        start, stop = _interval(case)
        # Tests follow each other in simulation time, so the time of a count tells whose it is.
        compared[name] = sum(line["compared"] for line in lines if start < line["time"] <= stop)
        tests[name] = float(case.get("time", 0))
        if compared[name] <= 0:
            raise TestbenchError(f"{name} compared nothing: it must end with Scoreboard.finish() or report(n) after some simulation time")
    return tests, compared


def _interval(case: ElementTree.Element) -> tuple[float, float]:
    """Simulation time, in nanoseconds, at which a test began and ended."""
    properties = {item.get("name"): item.get("value") for item in case.iter("property")}
    properties |= {key: value for key, value in case.attrib.items() if key.startswith("sim_time")}
    try:
        return float(properties["sim_time_start"] or 0), float(properties["sim_time_stop"] or 0)
    except KeyError as error:
        raise TestbenchError(f"results.xml must hold {error} of {case.get('name')}: has cocotb changed its format?") from None
