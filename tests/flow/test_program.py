"""`meshium program`: what openFPGALoader is told, and what is said when it, the cable or the bitstream is missing."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hw.boards.boards import BOARDS
from scripts import cmd_program
from scripts.meshium import main


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build folder in which the iCEBreaker's bitstream has been made."""
    monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path))
    for name, suffix in (("icebreaker", "bin"), ("ulx3s_85f", "bit"), ("arty_a7_35", "bit")):
        folder = tmp_path / "bitstream" / name
        folder.mkdir(parents=True)
        (folder / f"{name}.{suffix}").write_bytes(b"bits")
        made = None if name.startswith("arty") else f"{name}.{suffix}"
        (folder / f"{name}.json").write_text(json.dumps({"bitstream": made}))
    return tmp_path


def answering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str, status: int) -> Path:
    """Puts a program in openFPGALoader's place that keeps its arguments; the file they are kept in."""
    kept, program = tmp_path / "arguments", tmp_path / "loader"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {kept}\ncat <<'END'\n{output}\nEND\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setattr(cmd_program, "loader", lambda: str(program))
    return kept


@pytest.mark.parametrize("arguments, told", [
    (["icebreaker"], ["--board", "ice40_generic", "--write-flash", "icebreaker/icebreaker.bin"]),
    (["icebreaker", "--flash"], ["--board", "ice40_generic", "--write-flash", "icebreaker/icebreaker.bin"]),
    (["ulx3s_85f"], ["--board", "ulx3s", "--write-sram", "ulx3s_85f/ulx3s_85f.bit"]),
    (["ulx3s_85f", "--flash", "--cable", "ft232"], ["--cable", "ft232", "--write-flash", "ulx3s_85f/ulx3s_85f.bit"]),
    (["arty_a7_35"], ["--board", "arty_a7_35t", "--write-sram", "arty_a7_35/arty_a7_35.bit"]),
])  # fmt: skip
def test_the_loader_is_told_board_and_file(
    arguments: list[str], told: list[str], built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = answering(monkeypatch, built, "DONE", 0)
    assert main(["program", *arguments, "--json"]) == 0
    assert kept.read_text().splitlines() == [*told[:-1], str(built / "bitstream" / told[-1])]
    assert json.loads(capsys.readouterr().out) == {"ok": True, "board": arguments[0], "bitstream": str(built / "bitstream" / told[-1])}


@pytest.mark.parametrize("output, remedy", [
    ("error while loading shared libraries: libusb-1.0.so.0: cannot open shared object file", "apt-get install libusb-1.0-0 libftdi1-2"),
    ("unable to open ftdi device: -3 (device not found)\nJTAG init failed with: unable to open ftdi device", "no cable was found: plug the board in"),
    ("unable to open ftdi device: -4 (usb_open() failed)", "the cable is not ours to open: add a udev rule"),
    ("something new", "its last words stand before"),
])  # fmt: skip
def test_failures_name_cause_and_remedy(
    output: str, remedy: str, built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, built, output, 1)
    assert main(["program", "ulx3s_85f", "--json"]) == 1
    out, err = capsys.readouterr()
    (message,) = [line for line in err.splitlines() if "error:" in line and line.startswith("meshium")]
    assert "openFPGALoader failed on ulx3s_85f with status 1" in message and remedy in message and output.split()[-1] in message
    assert json.loads(out)["ok"] is False


def test_what_is_missing_is_named(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["program", "tang_nano_9k"]) == 1
    assert "a bitstream of tang_nano_9k must be in" in (said := capsys.readouterr().err) and "run make bitstream BOARD=tang_nano_9k" in said
    (built / "bitstream/arty_a7_35/arty_a7_35.bit").unlink()
    assert main(["program", "arty_a7_35"]) == 1
    assert "vivado -mode batch -source build.tcl" in capsys.readouterr().err
    assert main(["program", "nonsense"]) == 1
    assert "board must be one of ulx3s_85f" in capsys.readouterr().err
    monkeypatch.setattr(cmd_program.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["program", "icebreaker"]) == 1
    assert "openFPGALoader must be beside" in capsys.readouterr().err


def test_a_loader_that_hangs_is_given_up(built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def hang(command: list[str], **options: Any) -> Any:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(cmd_program.subprocess, "run", hang)
    assert main(["program", "icebreaker"]) == 1
    assert "openFPGALoader must end within 600 s, not longer" in capsys.readouterr().err


def test_the_loader_of_the_environment_knows_every_board() -> None:
    """Its board names are in the program: it lists them only where its libraries are installed."""
    program = Path(cmd_program.loader())
    assert program.name == "openfpgaloader-cli"
    (library,) = program.parents[1].glob("lib/python*/site-packages/openfpgaloader/bin/openFPGALoader")
    names = set(library.read_bytes().split(b"\0"))
    assert {board.programmer.encode() for board in BOARDS.values()} <= names
