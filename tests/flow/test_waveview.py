"""Viewer files, from a small VCD."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hw.control.command import EngineState
from tb.build import pins_of
from tb.waveview import read_header, write_view

VCD = """$version x $end
$timescale 1ps $end
$scope module top $end
$var wire 1 # clk $end
$var wire 1 $ i__valid $end
$var wire 8 % i__payload [7:0] $end
$var wire 4 % i__payload.low [3:0] $end
$var wire 32 & m_axi_awaddr [31:0] $end
$var wire 1 ' m_axi_awvalid $end
$var wire 2 ( mode [1:0] $end
$var wire 3 ) trace_state_load [2:0] $end
$var wire 9 * $12 [8:0] $end
$scope module sequencer $end
$var wire 2 + engine_state [1:0] $end
$var wire 8 , opcode [7:0] $end
$upscope $end
$upscope $end
$enddefinitions $end
#0
"""
PINS = {"i__valid", "i__payload", "m_axi_awaddr", "m_axi_awvalid", "trace_state_load"}


@pytest.fixture
def vcd(tmp_path: Path) -> Path:
    path = tmp_path / "dump.vcd"
    path.write_text(VCD)
    return path


def groups(text: str) -> dict[str, list[str]]:
    """Group -> signals of a .gtkw file."""
    found: dict[str, list[str]] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("-"):
            current = line[1:]
        elif not line.startswith(("@", "^", "[")):
            found.setdefault(current, []).append(line)
    return found


def test_signals_are_grouped_by_port_and_block(vcd: Path) -> None:
    gtkw, surfer = write_view(vcd, toplevel="top", pins=PINS, ports={"trace_*": "trace"})
    assert groups(gtkw.read_text()) == {
        "clock": ["top.clk"],
        "i": ["top.i__valid", "top.i__payload[7:0]", "top.i__payload.low[3:0]"],
        "m_axi": ["top.m_axi_awaddr[31:0]", "top.m_axi_awvalid"],
        "trace": ["top.trace_state_load[2:0]"],
        "inside": ["top.mode[1:0]"],
        "sequencer": ["top.sequencer.engine_state[1:0]", "top.sequencer.opcode[7:0]"],
    }
    assert "divider_add m_axi\nvariable_add top.m_axi_awaddr\n" in surfer.read_text()


def test_every_group_that_begins_ends(vcd: Path) -> None:
    gtkw, _ = write_view(vcd, toplevel="top", pins=PINS)
    flags = re.findall("^@(.*)$", gtkw.read_text(), re.MULTILINE)
    assert flags.count("800200") == flags.count("1000200") > 0
    assert flags.count("c00200") == flags.count("1401200") > 0


def test_values_are_named(vcd: Path) -> None:
    gtkw, _ = write_view(vcd, toplevel="top", pins=PINS, decode={"mode": {0: "OFF", 1: "ON"}})
    text = gtkw.read_text()

    def names(signal: str) -> str:
        match = re.search(rf"@2022\n\^1 (.*)\n{re.escape(signal)}", text)
        assert match, signal
        return Path(match.group(1)).read_text()

    assert names("top.mode[1:0]") == "0 OFF\n1 ON\n"
    assert names("top.sequencer.engine_state[1:0]").splitlines() == [f"{state.value:x} {state.name}" for state in EngineState]
    assert "LoadStationary" in names("top.sequencer.opcode[7:0]")


def test_paths_are_those_of_the_waveform(vcd: Path) -> None:
    paths = {wire.path for wire in read_header(vcd)}
    gtkw, _ = write_view(vcd, toplevel="top", pins=PINS)
    for signals in groups(gtkw.read_text()).values():
        assert set(signals) <= paths


def test_ports_come_from_the_verilog() -> None:
    text = "module other(a);\nendmodule\nmodule top(clk, i__valid\n, o);\nendmodule\n"
    assert pins_of(text, "top") == {"clk", "i__valid", "o"}
    assert pins_of(text, "none") == set()


def test_wrong_module_is_refused(vcd: Path) -> None:
    with pytest.raises(ValueError, match=r"toplevel must be a scope of dump\.vcd, not 'chip'"):
        write_view(vcd, toplevel="chip", pins=())
