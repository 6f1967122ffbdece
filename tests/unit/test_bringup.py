"""The rungs of the bring-up on golden devices, whole and with faults: what is found, and how it is named; the report."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim.golden.board
from hw.common.config import CONFIGS, ChipConfig
from hw.common.registers import REGISTERS
from hw.host.protocol import BLOCK_BYTES, SELF_TEST_BASE, WORD_BYTES, Space
from scripts import cmd_bringup
from scripts.bringup_report import culprits, result, summary, table, write_report
from scripts.meshium import main
from sim.board_faults import BOARD_FAULTS
from sim.golden.board import GoldenBoard
from sim.golden.chip import GoldenChip
from sim.golden.self_test import SelfTestModel
from sw.runtime.bringup import rungs_link, under_test
from sw.runtime.bringup.compare import explain, swapped_lanes
from sw.runtime.bringup.ladder import FAILED, NAMES, PASSED, RUNGS, SKIPPED, WARNED, Outcome, Rung, climb, try_rung
from sw.runtime.bringup.session import Fault, NotHere, Session
from sw.runtime.device import Device

CONFIG = ChipConfig(
    name="tiny", rows=4, cols=4, sbuf_banks=1, sbuf_bank_lines=4096, psum_rows=16, psum_banks=2, dma_burst_lines=16, dma_outstanding=2,
    queue_depth=4, axi_address_width=20, semaphores=8,
)  # fmt: skip
QUICK = tuple(name for name in NAMES if name not in ("stress", "digits"))


class FaultyChip(GoldenChip):
    """A golden chip with one fault."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        super().__init__(CONFIG, dram_bytes=1 << 16)
        execute = self._datapath.execute

        def faulty(name: str, values: dict[str, int]) -> None:
            execute(name, values)
            if fault == "sbuf bit":
                self.sbuf[297, 1] |= 1 << 5
            elif fault == "sbuf address":
                self.sbuf[2048:] = self.sbuf[:2048]
            elif fault == "psum bit":
                self.psum[1, 5, 2] &= ~np.uint32(1 << 9)
            elif name == "MultiplyMoving" and fault == "column":
                self.psum[:, :, 3] = 0
            elif name == "MultiplyMoving" and fault == "adders":
                self.psum[:, :, 1] ^= np.uint32(1 << 14) & (self.psum[:, :, 0] >> np.uint32(1))
            elif name == "Store" and fault == "lanes":
                lines = self.memory.reshape(-1, 4)
                first = values["dram"] // 4
                count = values["size0"] * values["size1"] * values["size2"] * values["size3"]
                lines[first : first + count] = lines[first : first + count][:, [0, 2, 1, 3]]
            elif name == "Store" and fault == "overrun":
                self.memory[values["dram"] + 4 * values["size0"]] ^= 1

        self._datapath.execute = faulty  # type: ignore[method-assign]

    def read_register(self, address: int) -> int:
        value = super().read_register(address)
        return value & ~(1 << 6) if self.fault == "register" and address == REGISTERS["WATCHDOG"].address else value

    @property
    def interrupt(self) -> bool:
        return {"interrupt low": False, "interrupt high": True}.get(self.fault, super().interrupt)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(fault: str) -> Session:
        monkeypatch.setattr(under_test, "open_device", lambda *_, **__: Device(FaultyChip(fault)))
        return Session("golden", CONFIG)

    return make


def test_a_whole_device_passes() -> None:
    with_all = climb(Session("golden", CONFIG, stress_seconds=0))
    assert [(item.rung, item.status) for item in with_all] == [(name, SKIPPED if name == "link" else PASSED) for name in NAMES]
    assert "golden has no link" in with_all[0].message


@pytest.mark.parametrize(
    ("fault", "rung", "words"),
    [
        ("sbuf bit", "march", r"byte lane 1 bit 5|SBUF line 297"),
        ("sbuf bit", "sbuf", r"SBUF line 297"),
        ("sbuf address", "sbuf", r"address bit 11 of SBUF lines is not decoded"),
        ("psum bit", "psum", r"PSUM bank 1 row 5 column 2: bit 9 reads 0 instead of 1"),
        ("column", "psum", r"most words of column 3 are wrong"),
        ("column", "tensor", r"^column 3 of the array is dead; wrong signatures of column 3$"),
        ("adders", "tensor", r"single products are right, sums of them are not; wrong signatures of column 1"),
        ("lanes", "memory", r"byte lanes 1 and 2 are swapped"),
        ("overrun", "dma", r"bytes of the target are wrong after a copy of \d+ lines"),
        (
            "register",
            "registers",
            r"register WATCHDOG reads 0xffffffbf instead of 0xffffffff after 0xffffffff was written .*: bit 6 reads 0",
        ),
        (
            "interrupt low",
            "interrupt",
            r"the interrupt line is dead, or not connected: it is low with IRQ_STATUS 1 after IRQ_ENABLE was set to 1",
        ),
        ("interrupt high", "interrupt", r"the interrupt line is stuck high: it is high after reset"),
    ],
)
def test_faults_are_named(faulty: Any, fault: str, rung: str, words: str) -> None:
    (outcome,) = climb(faulty(fault), [rung])
    assert outcome.status == FAILED and re.search(words, outcome.message), outcome.message


def test_others_go_on_after_a_rung_that_fails(faulty: Any) -> None:
    outcomes = {item.rung: item.status for item in climb(faulty("interrupt low"))}
    failed = {name for name, status in outcomes.items() if status == FAILED}
    assert failed == {"interrupt"}
    assert {name for name, status in outcomes.items() if status == SKIPPED} == {"link", "stress", "digits"}


@pytest.mark.parametrize("problem", [ValueError("no"), TimeoutError("late"), RuntimeError("odd"), OSError(5, "gone")])
def test_what_a_broken_device_raises_is_a_failure(problem: Exception) -> None:
    def broken(session: Session) -> dict[str, Any]:
        raise problem

    outcome = try_rung(Rung(name="x", doc="", climb=broken), Session("golden", CONFIG))
    assert outcome.status == FAILED and type(problem).__name__ in outcome.message


# Boards ------------------------------------------------------------------------------------------------------


class SelfTestedBoard(GoldenBoard):
    """A golden board with a self-test block, and a stuck bit if asked."""

    def __init__(self, *, stuck: bool = False) -> None:
        super().__init__(CONFIG, memory_bytes=1 << 15)
        self.registers["FEATURES"] = 1
        self._stuck = stuck
        self._model = SelfTestModel(CONFIG, self)
        self._plain = self._bridge._spaces[Space.BOARD]
        self._bridge._spaces[Space.BOARD] = self._space()

    def _space(self) -> Any:
        board = self

        class Registers:
            def read(self, address: int) -> int:
                inside = SELF_TEST_BASE <= address < SELF_TEST_BASE + BLOCK_BYTES
                return board._model.read((address - SELF_TEST_BASE) // WORD_BYTES) if inside else board._plain.read(address)

            def write(self, address: int, value: int) -> None:
                if SELF_TEST_BASE <= address < SELF_TEST_BASE + BLOCK_BYTES:
                    board._model.write((address - SELF_TEST_BASE) // WORD_BYTES, value)
                else:
                    board._plain.write(address, value)

        return Registers()

    def read(self, line: int) -> int:
        value = int.from_bytes(self.chip.sbuf[line].tobytes(), "little")
        return value | 1 << 13 if self._stuck and line == 297 else value

    def write(self, line: int, data: int) -> None:
        self.chip.sbuf[line] = np.frombuffer(data.to_bytes(CONFIG.line_bytes, "little"), np.uint8)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, CONFIG.name, CONFIG)


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("self_test", [False, True])
def test_golden_boards_pass(known: None, slow: bool, self_test: bool) -> None:
    with SelfTestedBoard() if self_test else GoldenBoard(CONFIG, memory_bytes=1 << 15) as board:
        session = Session(f"board:{board.port}", None)
        session._slow = slow
        outcomes = climb(session, QUICK)
        session.close()
    assert [(item.rung, item.status, item.message) for item in outcomes] == [(name, PASSED, "") for name in QUICK]
    figures = {item.rung: item.figures for item in outcomes}
    assert figures["identity"]["config"] == "tiny" and figures["link"]["retries"] == 0 and figures["link"]["slow"] == slow
    assert figures["tensor"]["signatures_by"] == ("self-test" if self_test else "host")


def test_a_stuck_bit_is_named_by_line_and_bit(known: None) -> None:
    with SelfTestedBoard(stuck=True) as board:
        session = Session(f"board:{board.port}", None)
        (outcome,) = climb(session, ["march"])
        session.close()
    assert outcome.status == FAILED
    assert outcome.message == (
        "SBUF line 297: bit 13 (lane 1 bit 5) reads 1 instead of 0; bank 0, first seen in element up(r0,w1) on background 'solid', 3 failing reads"
    )


@pytest.mark.parametrize(("most", "status"), [(rungs_link.MOST_REPEATED, WARNED), (0.001, FAILED)])
def test_lost_octets_are_counted(known: None, monkeypatch: pytest.MonkeyPatch, most: float, status: str) -> None:
    monkeypatch.setattr(rungs_link, "MOST_REPEATED", most)
    sent, every = 0, 100

    def lossy(body: bytes) -> bytes:
        nonlocal sent
        sent += 1
        octets = framed(body)
        return octets[:3] + octets[4:] if sent % every == 0 else octets

    framed = sim.golden.board.frame
    with GoldenBoard(CONFIG, memory_bytes=1 << 15) as board:
        session = Session(f"board:{board.port}", None)
        assert session.link.board("MAGIC")
        monkeypatch.setattr(sim.golden.board, "frame", lossy)
        (outcome,) = climb(session, ["link"])
        session.close()
    assert outcome.status == status and re.match(r"the line loses octets: \d+ of \d+ frames were sent again", outcome.message), (
        outcome.message
    )
    assert ("all data are right" in outcome.message) == (status == WARNED)


def test_a_board_that_is_silent_stops_all(known: None) -> None:
    with GoldenBoard(CONFIG) as board:
        board.deaf = True
        outcomes = climb(Session(f"board:{board.port}", None))
    assert [item.status for item in outcomes] == [FAILED] + [SKIPPED] * (len(NAMES) - 1)
    assert "no Meshium board answers" in outcomes[0].message and outcomes[1].message == "needs link"


def test_another_configuration_is_named(known: None) -> None:
    with GoldenBoard(CONFIG) as board:
        session = Session(f"board:{board.port}", CONFIGS["small"])
        outcomes = climb(session, ["link", "identity", "registers"])
        session.close()
    assert [item.status for item in outcomes] == [PASSED, FAILED, SKIPPED] and "which is config 'tiny'" in outcomes[1].message


def test_the_self_test_needs_its_block() -> None:
    with pytest.raises(NotHere, match="no self-test block of 256 bytes at 0x100"):
        Session("golden", CONFIG).self_test_registers(0)
    with pytest.raises(NotHere, match="golden has no link"):
        _ = Session("golden", CONFIG).link


def test_waits_have_a_limit() -> None:
    with pytest.raises(Fault, match=r"the moon has not risen after 0.01 s"):
        Session("golden", CONFIG).wait(lambda: False, lambda: "the moon has not risen", seconds=0.01)


# Words -------------------------------------------------------------------------------------------------------


def test_differences_in_words() -> None:
    rng = np.random.default_rng(3)
    expected = rng.integers(0, 256, (64, 8), np.uint8)
    assert swapped_lanes(expected, expected[:, [0, 5, 2, 3, 4, 1, 6, 7]]) == "byte lanes 1 and 5 are swapped"
    assert swapped_lanes(expected, expected[:, [0, 0, 2, 3, 4, 5, 6, 7]]) == "byte lane 1 carries lane 0"
    found = expected.copy()
    found[:, 2] |= 8
    assert explain(expected, found, "line").startswith("byte lane 2 bit 3 is stuck at 1; line ")
    found = expected.copy()
    found[9, 0] ^= 1
    assert explain(expected, found, "line") == (
        f"line 9 reads {found[9].tobytes().hex()} instead of {expected[9].tobytes().hex()} (lane 0 first); 1 of 64 differ"
    )
    assert explain(expected, expected[np.arange(64) & ~16], "line").startswith("address bit 4 of lines is not decoded; line 16 ")
    assert explain(expected, expected[[1, 2, 0, *range(3, 64)]], "line").startswith("lines hold what belongs to others; line 0 ")


# The report --------------------------------------------------------------------------------------------------


OUTCOMES = [
    Outcome(rung="link", doc="octets", status=WARNED, seconds=1.0, message="loses <some>"),
    Outcome(rung="march", doc="cells", status=FAILED, seconds=2.0, message="line 3 [bit 1]"),
    Outcome(rung="digits", doc="all", status=PASSED, seconds=0.5, figures={"images": 360}),
]


def test_report(tmp_path: Any) -> None:
    loops = [OUTCOMES, OUTCOMES[1:]]
    assert culprits(loops) == ["march: line 3 [bit 1]", "link: loses <some>"]
    assert summary(loops)[1] == {
        "rung": "march",
        "doc": "cells",
        "passed": 0,
        "warned": 0,
        "failed": 2,
        "skipped": 0,
        "longest_seconds": 2.0,
    }
    values = {"device": "board:X", "config": "small", "seed": 1, "started": "now", "seconds": 3.5} | result(loops, wanted=2)
    assert not values["ok"] and (values["result"], values["failed"], values["config"]) == ("failed", 2, "small")
    paths = write_report(tmp_path / "new", values)
    assert json.loads(paths[0].read_text()) == values
    html = paths[1].read_text()
    texts: list[str] = []
    links: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            texts.append(data)

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            links.extend(value for name, value in attrs if name in ("src", "href"))

    Reader().feed(html)
    assert "loses <some>" in "".join(texts) and not links and "line 3 [bit 1]" in html and html.count("<h2>Walk") == 2
    assert "FAILED" in texts and "2 walks up the ladder" in html
    write_report(tmp_path / "new", values | {"result": "interrupted", "wanted": 100})
    html = paths[1].read_text()
    assert '"warned">INTERRUPTED<' in html and "2 of 100 walks up the ladder" in html
    assert table(OUTCOMES, title="t").row_count == 3


def test_command(capsys: pytest.CaptureFixture, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["bringup", "--device", "golden", "--only", "march", "--only", "tensor", "--loop", "2", "--json", "--report", str(tmp_path)]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert values["ok"] and [item["passed"] for item in values["rungs"]] == [2, 2] and len(values["loops"]) == 2
    assert sorted(os.listdir(tmp_path)) == ["bringup.html", "bringup.json"] and "walk 2 of 2" in captured.err
    monkeypatch.setattr(under_test, "open_device", lambda *_, **__: Device(FaultyChip("column")))
    assert main(arguments) == 1
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert not values["ok"] and "meshium: error: 2 rungs failed; tensor: column 3 of the array is dead" in captured.err


@pytest.mark.parametrize(
    ("broken", "verdict"), [(False, "no rung failed"), (True, "2 rungs failed; tensor: column 3 of the array is dead")]
)
def test_an_interrupted_soak_reports_what_it_completed(
    capsys: pytest.CaptureFixture, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, broken: bool, verdict: str
) -> None:
    completed, whole = [], cmd_bringup.climb

    def climb(*arguments: Any) -> list[Outcome]:
        if len(completed) == 2:
            raise KeyboardInterrupt
        completed.append(whole(*arguments))
        return completed[-1]

    monkeypatch.setattr(cmd_bringup, "climb", climb)
    if broken:
        monkeypatch.setattr(under_test, "open_device", lambda *_, **__: Device(FaultyChip("column")))
    folder = tmp_path / "deep" / "soak"
    assert main(["bringup", "--device", "golden", "--only", "tensor", "--loop", "1000000", "--json", "--report", str(folder)]) == 130
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert values == json.loads((folder / "bringup.json").read_text())
    assert (values["ok"], values["result"], len(values["loops"])) == (False, "failed" if broken else "interrupted", 2)
    assert f"meshium: error: interrupted after 2 of 1000000 walks; {verdict}" in captured.err


def test_a_report_without_a_place_is_refused_before_the_walk(capsys: pytest.CaptureFixture, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")
    assert main(["bringup", "--device", "golden", "--report", str(tmp_path / "file")]) == 1
    captured = capsys.readouterr()
    assert "File exists" in captured.err and "link" not in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "moon"], "--only must be one of link, identity"),
        (["--device", "moon"], "--device must be one of sim, golden"),
        (["--device", "golden", "--drop-octets", "0.1"], "--drop-octets must come with --device sim, not 'golden'"),
        (["--loop", "0"], "0 is not in the range"),
    ],
)
def test_bad_usage(capsys: pytest.CaptureFixture, arguments: list[str], words: str) -> None:
    assert main(["bringup", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and words in captured.err and captured.err.count("\n") == 1


def test_every_rung_says_what_it_proves() -> None:
    names = [rung.name for rung in RUNGS]
    assert len(set(names)) == len(names)
    for index, rung in enumerate(RUNGS):
        assert rung.doc and set(rung.needs) <= set(names[:index])


def test_every_fault_of_simulated_boards_is_documented() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "bringup.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| `(\w+)` \|$", page.partition("## Faults on purpose")[2], flags=re.M)
    assert rows == [(name, fault.doc, fault.rung) for name, fault in BOARD_FAULTS.items()]
    assert {fault.rung for fault in BOARD_FAULTS.values()} <= set(NAMES)
