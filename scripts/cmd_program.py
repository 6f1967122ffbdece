"""`meshium program`: loads a bitstream into a board with openFPGALoader."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click

from hw.boards.board import Board
from hw.boards.boards import board_named
from sw.runtime.errors import DeviceError

from .bitstream import result_folder, with_config
from .console import console, print_json

#: Seconds: a flash of some megabytes behind a slow cable.
LIMIT = 600
#: Words of openFPGALoader -> what to do.
REMEDIES = {
    "libusb-1.0.so": "a library it needs is missing: apt-get install libusb-1.0-0 libftdi1-2",
    "libftdi1.so": "a library it needs is missing: apt-get install libusb-1.0-0 libftdi1-2",
    "device not found": "no cable was found: plug the board in, and name the cable with CABLE=... if it is not the board's own",
    "no device found": "the cable was found but no FPGA behind it: is the board powered, and is it the right one?",
    "usb_open() failed": "the cable is not ours to open: add a udev rule for it (docs/howto/board.md) or try as root",
    "Failed to claim cable": "the cable is not free or not ours: end what uses it, or add a udev rule for it (docs/howto/board.md)",
    "unknown board": "this openFPGALoader does not know the board: update it",
}


class ProgramError(DeviceError):
    """The board was not programmed; the message says why and what to do."""


def loader() -> str:
    """openFPGALoader: that of the environment, or one on PATH."""
    for candidate in (Path(sys.executable).parent / "openfpgaloader-cli", shutil.which("openFPGALoader")):
        if candidate is not None and Path(candidate).exists():
            return str(candidate)
    raise ProgramError(f"openFPGALoader must be beside {sys.executable} or on PATH: run `make setup`")


def file_of(board: Board) -> Path:
    """The bitstream that was made for a board; `ProgramError` if there is none."""
    folder = result_folder(board)
    record, vivado = folder / f"{board.name}.json", folder / f"{board.name}.bit"
    name = json.loads(record.read_text())["bitstream"] if record.exists() else None
    path = vivado if board.family == "xilinx" else folder / (name or f"{board.name}.bit")
    if not path.exists():
        how = (
            "vivado -mode batch -source build.tcl there"
            if record.exists() and board.family == "xilinx"
            else f"make bitstream BOARD={board.name}"
        )
        raise ProgramError(f"a bitstream of {board.name} must be in {folder}, not missing: run {how} first")
    return path


def load(board: Board, path: Path, *, cable: str | None, flash: bool) -> None:
    """Runs openFPGALoader; `ProgramError` names the cause if it fails."""
    arguments = ["--cable", cable] if cable else ["--board", board.programmer]
    # The iCEBreaker connects its cable to the flash, not to the FPGA's own memory.
    arguments += ["--write-flash" if flash or board.family == "ice40" else "--write-sram"]
    command = [loader(), *arguments, str(path)]
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise ProgramError(f"openFPGALoader must end within {LIMIT} s, not longer: unplug the board and try again") from None
    if result.returncode:
        remedy = next((text for words, text in REMEDIES.items() if words in result.stdout), "its last words stand before")
        said = " ".join(result.stdout.split()[-20:])
        raise ProgramError(f"openFPGALoader failed on {board.name} with status {result.returncode} ({said}): {remedy}")


@click.command()
@click.argument("board_name", metavar="BOARD")
@click.option("--config", help="The bitstream of another configuration than the board's own.")
@click.option("--cable", help="Cable as openFPGALoader names it, instead of the board's own.")
@click.option("--flash", is_flag=True, help="Into the flash, where it survives power-off, not into the FPGA's memory.")
@click.option("--json", "as_json", is_flag=True, help="Result as JSON on standard output.")
def program(board_name: str, config: str | None, cable: str | None, flash: bool, as_json: bool) -> int:
    """Loads what `meshium bitstream` made into BOARD."""
    board = board_named(board_name)
    if config is not None:
        board = with_config(board, config)
    path = file_of(board)
    console.print(f"loading {path} into {board.doc}", markup=False)
    load(board, path, cable=cable, flash=flash)
    if as_json:
        print_json({"ok": True, "board": board.name, "bitstream": str(path)})
    return 0
