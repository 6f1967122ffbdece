"""`meshium bitstream`: bitstreams of boards, their clocks met; for Xilinx boards the project that Vivado makes one of."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.table import Column, Table

from hw.boards.boards import BOARDS, board_named

from .bitstream import SEEDS, build, known, result_folder, with_config
from .bitstream_flows import FLOWS
from .console import console, fail, print_json, print_table
from .files import written_whole
from .markdown import table
from .meshium import explain
from .vivado import project

PAGE = Path(__file__).resolve().parent.parent / "docs" / "bitstreams.md"

_EXPLANATION = """How fast and how full each board came out: `make bitstreams`, then `meshium bitstream --write`. Used is what place and route says (5 % or more
of what there is); MHz what it reached of what it had to, as no bitstream is made otherwise, with the first of the seeds that did. Seconds are of
a machine with two cores, which other work may have slowed down. A board without a row has no bitstream of the sources as they are.
"""


def _seeds(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not all(part.isdecimal() for part in value.split(",")):
        raise click.BadParameter(f"seeds must be whole numbers with commas between them, not {value!r}")
    return tuple(int(part) for part in value.split(","))


def _row(name: str, result: dict[str, Any]) -> tuple[str, ...]:
    if not result["ok"]:
        return name, "", "", "", "", "FAILED"
    config = f"{result['config']['name']} {result['config']['hash']}"
    if result["bitstream"] is None:
        return name, config, "", "", "", f"{result['folder']}/{result['project']}, for Vivado"
    clocks = ", ".join(f"{clock['achieved_mhz']:g} of {clock['required_mhz']:g}" for clock in result["clocks"].values())
    used = ", ".join(f"{item['used']:,} {resource}" for resource, item in result["utilisation"].items() if item["percent"] >= 10)
    return name, config, clocks, str(result["seed"]), used, f"{result['folder']}/{result['bitstream']}"


def _show(results: dict[str, dict[str, Any]]) -> None:
    shown = Table("board", Column("config", no_wrap=True), "MHz", "seed", "used", Column("file", overflow="fold"))
    for name, result in results.items():
        shown.add_row(*_row(name, result))
    print_table(shown)


def page(results: list[dict[str, Any]]) -> str:
    """docs/bitstreams.md, of what was made."""
    rows = []
    for result in results:
        name, config = result["board"], result["config"]
        clocks = ", ".join(f"{clock['achieved_mhz']:g} of {clock['required_mhz']:g}" for clock in result["clocks"].values())
        used = ", ".join(
            f"{item['used']:,} {resource} ({item['percent']:g} %)"
            for resource, item in result["utilisation"].items()
            if item["percent"] >= 5
        )
        seconds = ", ".join(f"{step.replace('_', ' ')} {value:.0f}" for step, value in result["seconds"].items())
        rows.append((f"`{name}`", f"`{config['name']}` {config['hash']}", clocks, result["seed"], used, f"{result['bytes']:,}", seconds))
    versions = {name: number for result in results for name, number in result["tools"].items()}
    tools = ", ".join(f"{name} {number}" for name, number in sorted(versions.items()))
    text = ["<!-- Made by `meshium bitstream --write`: run that, do not edit this page. -->\n", "# Bitstreams\n", _EXPLANATION]
    text.append(table(("board", "config and hash", "MHz", "seed", "used", "bytes", "seconds"), rows))
    return "\n".join([*text, f"Tools: {tools}.\n"])


def _one(name: str, config: str | None, seeds: tuple[int, ...] | None) -> dict[str, Any]:
    begin = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[{time.monotonic() - begin:4.0f} s] {text}", markup=False)

    board = board_named(name)
    if config is not None:
        board = with_config(board, config)
    result = build(board, seeds=seeds, say=say) if board.family in FLOWS else project(board, say=say)
    return {"ok": True, **result, "folder": str(result_folder(board))}


@click.command()
@click.argument("boards", nargs=-1)
@click.option("--config", help="Another named configuration than the board's own.")
@click.option(
    "--seeds",
    callback=_seeds,
    help=f"Of the placement, tried in order, with commas between; by default that of the board, then {','.join(map(str, SEEDS))}.",
)
@click.option("--write", is_flag=True, help="Writes docs/bitstreams.md, with every bitstream made of the sources as they are.")
@click.option("--json", "as_json", is_flag=True, help="Results as JSON on standard output.")
def bitstream(boards: tuple[str, ...], config: str | None, seeds: tuple[int, ...] | None, write: bool, as_json: bool) -> int:
    """Makes the bitstreams of BOARDS, all by default.

    What was made of the same sources with the same tools is not made again. A board that fails does not stop the others; status 1 if one does.
    """
    for name in boards:
        board_named(name)
    results: dict[str, dict[str, Any]] = {}
    for name in boards or BOARDS:
        try:
            results[name] = _one(name, config, seeds)
        except Exception as error:
            status, message = explain(error)
            if status is None:
                raise
            fail(f"{name}: {message}")
            results[name] = {"ok": False, "board": name, "error": " ".join(message.split())}
    _show(results)
    if write:
        made = [result for board in BOARDS.values() if board.family in FLOWS and (result := known(board, seeds=seeds)) is not None]
        with written_whole(PAGE) as stream:
            stream.write(page(made).encode())
        console.print(f"written: {PAGE.name}")
    ok = all(result["ok"] for result in results.values())
    if as_json:
        print_json({"ok": ok, "results": list(results.values())})
    return 0 if ok else 1
