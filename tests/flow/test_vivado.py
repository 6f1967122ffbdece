"""Projects for Vivado, which is not here: their scripts run in a Tcl interpreter with stand-ins for its commands, their Verilog is linted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hw.boards.board import Board
from hw.boards.boards import BOARDS
from hw.common.config import CONFIGS
from scripts.bitstream import result_folder
from scripts.meshium import main
from scripts.vivado import project
from sim.verilated import toolchain
from tests.flow.test_bitstream import Count

ARTYS = [name for name, board in BOARDS.items() if board.family == "xilinx"]
#: Just the ports and parameters that are used.
STUBS = """
module MMCME2_BASE #(parameter BANDWIDTH = "", parameter STARTUP_WAIT = "", parameter real CLKIN1_PERIOD = 0.0, parameter integer DIVCLK_DIVIDE = 1,
  parameter real CLKFBOUT_MULT_F = 5.0, parameter real CLKOUT0_DIVIDE_F = 1.0) (input CLKIN1, input CLKFBIN, input PWRDWN, input RST,
  output CLKFBOUT, output CLKOUT0, output LOCKED);
  assign CLKFBOUT = CLKIN1;
  assign CLKOUT0 = CLKIN1;
  assign LOCKED = ~PWRDWN & ~RST;
endmodule
module BUFG (input I, output O);
  assign O = I;
endmodule
"""
#: Vivado's commands: they note that they were called, and say what they are asked.
COMMANDS = """
set called {}
proc unknown {args} { global called; lappend called $args }
proc get_timing_paths {args} { return [lindex $args 0] }
proc get_property {name object} { global slacks; return [dict get $slacks $object] }
proc exit {status} { global called; lappend called "exit $status"; return -code error stopped }
rename puts say
proc puts {args} { global called; lappend called $args }
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path))
    return tmp_path / "bitstream"


def make(board: Board) -> dict[str, Any]:
    return project(board, inner=Count(), say=lambda text: None)


def run_script(path: Path, *, setup: float, hold: float) -> list[list[str]]:
    """Commands that a script calls where the worst slacks are these."""
    tkinter = pytest.importorskip("tkinter", reason="this Python has no Tcl")
    tcl = tkinter.Tcl()
    assert tcl.call("info", "complete", path.read_text())
    tcl.eval(COMMANDS)
    tcl.eval(f"set slacks {{-setup {setup} -hold {hold}}}")
    try:
        tcl.eval(f"source {{{path}}}")
    except tkinter.TclError as error:
        assert str(error) == "stopped"
    return [[str(word) for word in tcl.splitlist(call)] for call in tcl.splitlist(tcl.eval("set called"))]


@pytest.mark.parametrize("name", ARTYS)
def test_script_builds_the_board_and_only_then_writes_the_bitstream(name: str, made: Path) -> None:
    board = BOARDS[name]
    result = make(board)
    folder = made / name
    assert result == json.loads((folder / f"{name}.json").read_text())
    assert result["bitstream"] is None and result["config"]["hash"] == f"0x{board.config.hash:08x}"
    called = run_script(folder / "build.tcl", setup=0.0, hold=0.01)
    assert [call[0] for call in called] == [
        "read_verilog", "read_xdc", "synth_design", "opt_design", "place_design", "phys_opt_design", "route_design", "report_utilization",
        "report_timing_summary", "write_bitstream",
    ]  # fmt: skip
    part = {"arty_a7_35": "xc7a35ticsg324-1L", "arty_a7_100": "xc7a100tcsg324-1"}[name]
    assert called[2] == ["synth_design", "-top", name, "-part", part]
    assert all((folder / call[1]).exists() for call in called[:2]), "what it reads is there"
    assert called[-1] == ["write_bitstream", "-force", f"{name}.bit"]


@pytest.mark.parametrize("setup, hold, kind", [(-0.001, 0.1, "setup"), (0.1, -0.2, "hold")])
def test_script_refuses_a_missed_clock(setup: float, hold: float, kind: str, made: Path) -> None:
    make(BOARDS["arty_a7_35"])
    called = run_script(made / "arty_a7_35/build.tcl", setup=setup, hold=hold)
    assert called[-1] == ["exit", "1"] and "write_bitstream" not in [call[0] for call in called]
    assert called[-2][0] == "stderr" and f"{kind} slack must be at least 0 ns, not {min(setup, hold)}" in called[-2][1]


@pytest.mark.parametrize("name", ARTYS)
def test_verilog_is_clean(name: str, made: Path) -> None:
    make(BOARDS[name])
    (made / "stubs.v").write_text(STUBS)
    # Names that nothing uses, and registers with a value at power-up, which an FPGA has, are what Amaranth writes; the rest are errors.
    waived = ["DECLFILENAME", "UNUSEDSIGNAL", "UNUSEDPARAM", "PROCASSINIT"]
    arguments = ["--lint-only", "-Wall", *(f"-Wno-{name}" for name in waived), "--top-module", name, f"{name}/{name}.v", "stubs.v"]
    assert not toolchain.run_verilator(arguments, cwd=made).strip()


def test_verilog_of_a_whole_chip_is_accepted(made: Path) -> None:
    """The board top with the smallest chip: nothing is driven twice, no latch, no loop; widths are Amaranth's own."""
    board = replace(BOARDS["arty_a7_35"], config=CONFIGS["nano"])
    project(board, say=lambda text: None)
    (made / "stubs.v").write_text(STUBS)
    arguments = [
        "--lint-only",
        "-Wall",
        "-Wno-lint",
        "-Wno-style",
        "--top-module",
        board.name,
        f"{result_folder(board)}/{board.name}.v",
        "stubs.v",
    ]
    assert not toolchain.run_verilator(arguments, cwd=made).strip()


def test_command_makes_the_project(made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("scripts.cmd_bitstream.project", lambda board, say: project(board, inner=Count(), say=say))
    assert main(["bitstream", "arty_a7_100", "--json"]) == 0
    out, err = capsys.readouterr()
    (result,) = json.loads(out)["results"]
    assert result["ok"] is True and result["bitstream"] is None and result["project"] == "build.tcl"
    assert Path(result["folder"]) == made / "arty_a7_100" and "Vivado" in err


def test_same_inputs_give_the_same_project(made: Path) -> None:
    first = make(BOARDS["arty_a7_35"])
    files = {path.name: path.read_bytes() for path in (made / "arty_a7_35").iterdir()}
    assert make(BOARDS["arty_a7_35"]) == first
    assert {path.name: path.read_bytes() for path in (made / "arty_a7_35").iterdir()} == files
    assert set(files) == {"arty_a7_35.v", "arty_a7_35.json", "arty_a7.xdc", "build.tcl"}
    assert make(replace(BOARDS["arty_a7_35"], leds_active_low=True))["verilog_sha256"] != first["verilog_sha256"]
