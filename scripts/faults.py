"""`make faults`: faults put into the router on purpose, and the checks that must catch each of them.

A fault is an edit of the source of `hw/noc`, made in a copy of the repository. Each is followed by the cheapest check known to catch it: a unit
test, a testbench or a proof. Before that, every check is run without a fault and must pass. A fault is caught if its check fails *by what it
compares*: a source that no longer imports, or a check that does not start, is an error of this list and not a catch. An edit that no longer fits
the source is an error too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from sim.verilated.toolchain import build_root

from .console import console, fail, print_json
from .fault_list import FAULTS, Fault
from .files import written_whole

ROOT = Path(__file__).resolve().parent.parent

#: What a copy needs.
PARTS = ("hw", "sim", "sw", "tb", "scripts", "tests", "pyproject.toml")

#: Seconds a check may take.
LIMIT = 600.0

#: What Python says of a source that is broken rather than wrong.
_BROKEN = re.compile(r"\b(SyntaxError|IndentationError|ImportError|ModuleNotFoundError|NameError|UnboundLocalError|AttributeError)\b")


class FaultError(RuntimeError):
    """The list of faults does not fit the sources, or a check proves nothing; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a fault: whether its check caught it, in how many seconds, and what the check said."""

    fault: Fault
    caught: bool
    seconds: float
    said: str


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the sources, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="meshium-faults-") as name:
        folder = Path(name)
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(ROOT / part, folder / part)
        yield folder


def edited(fault: Fault, text: str) -> str:
    """The source with the fault. `FaultError` if an edit does not fit exactly once."""
    for old, new in fault.edits:
        if text.count(old) != 1:
            raise FaultError(
                f"fault {fault.name}: {old!r} must stand once in {fault.file}, not {text.count(old)} times: bring the list up to date"
            )
        text = text.replace(old, new)
    return text


def command(check: str) -> list[str]:
    """The command of a check: `test <pytest arguments>`, `sim <testbench> <config> <tests>` or `proof <name>`."""
    kind, *words = check.split()
    if kind == "test":
        return [sys.executable, "-m", "pytest", "-q", "-x", "--tb=short", "-p", "no:cacheprovider", "-p", "no:xdist", *words]
    if kind == "sim" and len(words) == 3:
        return [sys.executable, "-m", "tb", words[0], "--config", words[1], "--only", words[2], "--seed", "1"]
    if kind == "proof" and len(words) == 1:
        return [sys.executable, "-m", "tb.formal", words[0]]
    raise FaultError(f"check must be 'test ...', 'sim <testbench> <config> <tests>' or 'proof <name>', not {check!r}")


def run_check(check: str, folder: Path) -> tuple[int, str]:
    """(exit status, output) of a check in a copy. Builds are kept, by content, apart from those of the repository."""
    environment = dict(os.environ) | {
        "PYTHONPATH": str(folder),
        "MESHIUM_BUILD": str(build_root() / "faults"),
        "AMARANTH_USE_YOSYS": "builtin",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        command(check), cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    return done.returncode, done.stdout + done.stderr


def judge(check: str, status: int, output: str) -> bool:
    """Whether a check that ended so has caught a fault. `FaultError` if it failed for another reason."""
    if status == 0:
        return False
    failed = {"test": r"^FAILED ", "sim": r"test\(s\) failed|ran out of time", "proof": r"an assertion fails|undecided|cannot be reached"}
    if status != 1 or _BROKEN.search(output) or not re.search(failed[check.split()[0]], output, re.M):
        raise FaultError(f"{check} must pass or fail, not end with status {status}:\n" + "\n".join(output.splitlines()[-30:]))
    return True


def reason(output: str) -> str:
    """The line in which a check says what is wrong."""
    found = re.findall(r"^E\s+(.*)$", output, re.M) or re.findall(r"^\W*((?:AssertionError|ValueError|tb\.).*)$", output, re.M)
    return " ".join(found[0].split())[:160] if found else ""


def try_fault(fault: Fault, folder: Path) -> Outcome:
    """Puts a fault into the copy, runs its check and takes the fault out again."""
    file = folder / fault.file
    text = file.read_text()
    begin = time.monotonic()
    file.write_text(edited(fault, text))
    try:
        status, output = run_check(fault.check, folder)
    finally:
        file.write_text(text)
    try:
        caught = judge(fault.check, status, output)
    except FaultError as error:
        raise FaultError(f"fault {fault.name}: {error}") from None
    return Outcome(fault=fault, caught=caught, seconds=time.monotonic() - begin, said=reason(output) if caught else "")


def check_without_faults(checks: Sequence[str], folder: Path) -> None:
    """Every check passes on the copy as it is. `FaultError` if one does not: it would seem to catch anything."""
    for check in checks:
        begin = time.monotonic()
        status, output = run_check(check, folder)
        console.print(f"passes   without faults {time.monotonic() - begin:12.1f} s  {check}", soft_wrap=True)
        if status != 0:
            raise FaultError(f"{check} must pass without a fault, not end with status {status}:\n" + "\n".join(output.splitlines()[-30:]))


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as Markdown."""
    rows = ["| fault | what is wrong | in | caught by | seconds |", "| --- | --- | --- | --- | --- |"]
    for item in outcomes:
        where = f"`{item.fault.file}`"
        caught = f"`{item.fault.check}`" if item.caught else f"**not by** `{item.fault.check}`"
        rows.append(f"| {item.fault.name} | {item.fault.doc} | {where} | {caught} | {item.seconds:.1f} |")
    return "\n".join(rows) + "\n"


PAGE = """# Seeded faults of the mesh

`make faults` puts each of these faults into a copy of the sources, one at a time, and runs the check beside it, which must fail. Before that every
check must pass without a fault. `python -m scripts.faults --write` writes this page. Seconds are those of the run that wrote it.

A check is a unit test (`test`), a testbench with its configuration and tests (`sim`), or a proof (`proof`): the cheapest known to catch the fault,
seldom the only one.

"""


@click.command()
@click.argument("names", nargs=-1)
@click.option("--write", is_flag=True, help="Write the table to docs/noc_faults.md.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(names: tuple[str, ...], write: bool, as_json: bool) -> None:
    """Seeds the faults called NAMES, all of them by default; exit status 0 only if each is caught."""
    known = {fault.name: fault for fault in FAULTS}
    for name in names:
        if name not in known:
            raise click.UsageError(f"fault must be one of {', '.join(known)}, not {name!r}")
    if write and names:
        raise click.UsageError("--write must come without names: the page is about all faults")
    chosen = [known[name] for name in names] or list(FAULTS)
    outcomes: list[Outcome] = []
    begin = time.monotonic()
    try:
        with copied() as folder:
            check_without_faults(list(dict.fromkeys(fault.check for fault in chosen)), folder)
            for fault in chosen:
                outcomes.append(try_fault(fault, folder))
                item = outcomes[-1]
                console.print(
                    f"{'caught  ' if item.caught else 'SURVIVED'} {fault.name:28} {item.seconds:6.1f} s  {fault.check}", soft_wrap=True
                )
                if item.said:
                    console.print(f"         {item.said}", style="dim", markup=False, soft_wrap=True)
    except (FaultError, subprocess.TimeoutExpired) as error:
        console.print(str(error), markup=False)
        fail(str(error).splitlines()[0])
        sys.exit(1)
    survived = [item.fault.name for item in outcomes if not item.caught]
    if as_json:
        print_json({"faults": len(outcomes), "survived": survived, "seconds": round(time.monotonic() - begin, 1)})
    if write and not survived:
        with written_whole(ROOT / "docs/noc_faults.md") as file:
            file.write((PAGE + table(outcomes)).encode())
    console.print(f"{len(outcomes) - len(survived)} of {len(outcomes)} faults caught in {time.monotonic() - begin:.0f} s")
    if survived:
        fail(f"every fault must be caught, not survive: {', '.join(survived)}")
        sys.exit(1)


if __name__ == "__main__":
    main()
