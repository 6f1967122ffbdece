"""Reports of a bring-up: a table for the terminal, JSON for programs, one HTML file for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.table import Table

from sw.runtime.bringup.ladder import FAILED, PASSED, SKIPPED, WARNED, Outcome

from .files import written_whole

TEMPLATES = Path(__file__).resolve().parent / "templates"
#: Result of walks that passed, but of fewer than were wanted.
INTERRUPTED = "interrupted"
#: How the terminal shows an end.
STYLES = {PASSED: "green", WARNED: "yellow", FAILED: "bold red", SKIPPED: "dim"}


def table(outcomes: Sequence[Outcome], *, title: str) -> Table:
    """Rungs, how they ended, how long they took, and who is to blame."""
    result = Table("rung", "result", "seconds", "what was found", title=title)
    result.columns[2].justify = "right"
    for item in outcomes:
        text = item.message or ", ".join(f"{name} {value}" for name, value in item.figures.items())
        style = STYLES[item.status]
        result.add_row(item.rung, f"[{style}]{item.status}[/{style}]", f"{item.seconds:.2f}", text.replace("[", r"\["))
    return result


def summary(loops: Sequence[Sequence[Outcome]]) -> list[dict[str, Any]]:
    """Each rung over all loops: how often it ended how, and the time it took at most."""
    names = list(dict.fromkeys(item.rung for loop in loops for item in loop))
    result = []
    for name in names:
        found = [item for loop in loops for item in loop if item.rung == name]
        counts = {status: sum(item.status == status for item in found) for status in STYLES}
        result.append({"rung": name, "doc": found[0].doc, **counts, "longest_seconds": max(item.seconds for item in found)})
    return result


def culprits(loops: Sequence[Sequence[Outcome]]) -> list[str]:
    """What failing and warned rungs said, each once, in order."""
    found = [f"{item.rung}: {item.message}" for status in (FAILED, WARNED) for loop in loops for item in loop if item.status == status]
    return list(dict.fromkeys(found))


def result(loops: Sequence[Sequence[Outcome]], *, wanted: int) -> dict[str, Any]:
    """What was found in the walks there were, of `wanted`; one at least. Part of `write_report`'s values.

    `result` is "failed" if a rung did, else "interrupted" if there were fewer walks than wanted, else "passed", which alone is `ok`.
    """
    failed = sum(item.status == FAILED for loop in loops for item in loop)
    verdict = FAILED if failed else INTERRUPTED if len(loops) < wanted else PASSED
    # A board says what it is.
    known = [{"config": item.figures["config"]} for item in loops[0] if item.rung == "identity" and "config" in item.figures]
    return (known[0] if known else {}) | {
        "ok": verdict == PASSED, "result": verdict, "failed": failed, "wanted": wanted, "culprits": culprits(loops), "rungs": summary(loops),
        "loops": [[item.as_dict() for item in loop] for loop in loops],
    }  # fmt: skip


def write_report(folder: Path, values: dict[str, Any]) -> list[Path]:
    """Writes bringup.json and bringup.html, which needs no other file, into `folder`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.get_template("bringup.html.j2").render(values)
    paths = [folder / "bringup.json", folder / "bringup.html"]
    for path, text in zip(paths, (json.dumps(values, indent=2) + "\n", html), strict=True):
        with written_whole(path) as stream:
            stream.write(text.encode())
    return paths
