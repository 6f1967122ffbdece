"""The bring-up on a simulated board with faults in its RTL: each must be named. And a capture of the logic analyser."""

from __future__ import annotations

import re

import pytest

from scripts.meshium import main
from sim.board_faults import BOARD_FAULTS
from sim.verilated.board import DIVISOR, LineFaults
from sw.runtime.analyser import AnalyserError, LogicAnalyser, Trigger
from sw.runtime.board import board_link
from sw.runtime.bringup.ladder import FAILED, WARNED, climb
from sw.runtime.bringup.session import Session
from tests.cosim.faulty_board import faulty_board, sound_board

CASES = (
    ("sbuf_bit", "march", r"^SBUF line 297: bit 13 \(lane 1 bit 5\) reads 1 instead of 0; bank 0, first seen in element up\(r0,w1\)"),
    ("dead_column", "tensor", r"^column 3 of the array is dead; wrong signatures of column 3$"),
    ("dead_row", "tensor", r"^row 1 of the array is dead; wrong signatures of columns 0, 1, 2, 3$"),
    ("psum_bit", "psum", r"^PSUM bank 1 row 5 column 2: bit 9 reads 0 instead of 1"),
    ("read_lanes", "memory", r"^AXI read data: byte lanes 1 and 2 are swapped"),
    ("write_lanes", "memory", r"^AXI write data: byte lanes 0 and 3 are swapped"),
    ("irq_dead", "interrupt", r"^the interrupt line is dead, or not connected"),
    ("irq_stuck", "interrupt", r"^the interrupt line is stuck high: it is high after reset"),
    ("debug_silent", "march", r"SBUF does not answer on the chip's debug port"),
    ("register_bit", "registers", r"^register \w+ reads 0xffffffbf instead of 0xffffffff after 0xffffffff was written .*: bit 6 reads 0"),
)  # fmt: skip


def test_every_fault_has_a_case() -> None:
    assert [(fault, rung) for fault, rung, _ in CASES] == [(name, fault.rung) for name, fault in BOARD_FAULTS.items()]


@pytest.mark.parametrize(("fault", "rung", "words"), CASES, ids=[case[0] for case in CASES])
def test_a_fault_of_the_hardware_is_named(fault: str, rung: str, words: str) -> None:
    with faulty_board(fault) as board:
        session = Session(f"board:{board.port}", None)
        try:
            (outcome,) = climb(session, [rung])
        finally:
            session.close()
    assert outcome.status == FAILED and re.search(words, outcome.message), outcome.message


def test_lost_octets_are_counted_and_data_are_right() -> None:
    with sound_board(faults=LineFaults(drop=0.001, seed=4)) as board:
        session = Session(f"board:{board.port}", None)
        try:
            outcomes = climb(session, ["link", "tensor"])
        finally:
            session.close()
        assert board.counters["dropped"] > 0
    assert [item.status for item in outcomes] == [WARNED, "passed"]
    assert outcomes[0].figures["retries"] > 0 and "all data are right" in outcomes[0].message


def test_a_board_without_faults_passes(capsys: pytest.CaptureFixture) -> None:
    with sound_board() as board:
        status = main(["bringup", "--device", f"board:{board.port}", "--stress-seconds", "0"])
    err = capsys.readouterr().err
    # On a busy machine the simulated board may answer so late that the host asks again, of which the first rung warns.
    assert status == 0 and len(re.findall(r"│ (passed|warned) +│", err)) == 12 and err.count("warned") <= 1


# The logic analyser ------------------------------------------------------------------------------------------


def test_a_capture_over_the_link() -> None:
    with sound_board() as board:
        name = f"board:{board.port}"
        with board_link(name) as link:
            LogicAnalyser(link).arm(Trigger.parse("trace_state_tensor==busy"), before=100)
        session = Session(name, None)
        (outcome,) = climb(session, ["tensor"])
        session.close()
        assert outcome.status == "passed", outcome.message
        with board_link(name) as link:
            analyser = LogicAnalyser(link)
            assert analyser.wait(10)
            capture = analyser.fetch()
            with pytest.raises(AnalyserError, match="0 to 511, as the analyser holds 512, not 512"):
                analyser.arm(Trigger.parse("irq"), before=512)
    assert len(capture.samples) == analyser.depth == 512 and capture.cycles == list(range(-100, 412))
    busy = capture.signal("trace_state_tensor")
    assert busy[100] == 1 and 1 not in busy[:100]


@pytest.mark.parametrize(("fault", "never"), (("irq_dead", "irq"), ("irq_stuck", "!irq")))
def test_a_capture_shows_a_faulty_line(fault: str, never: str) -> None:
    """What the rung says from the outside is what the analyser sees at the pin, and a fault that is gone is gone for both."""
    with faulty_board(fault) as board:
        for there in (True, False):
            board.set_fault(fault if there else "")
            with board_link(f"board:{board.port}") as link:
                # The board's RESET, which the rung begins with, takes no sample away.
                LogicAnalyser(link).arm(Trigger.parse(never), before=0)
            session = Session(f"board:{board.port}", None)
            try:
                (outcome,) = climb(session, ["interrupt"])
            finally:
                session.close()
            assert outcome.status == (FAILED if there else "passed"), outcome.message
            with board_link(f"board:{board.port}") as link:
                analyser = LogicAnalyser(link)
                assert analyser.status["triggered"] is not there
                analyser.force()
                assert analyser.wait(10)
                levels = set(analyser.fetch().signal("irq"))
            assert not there or levels == {int(fault == "irq_stuck")}


def test_lost_octets_change_nothing_in_a_capture() -> None:
    with sound_board(faults=LineFaults(drop=0.002, seed=5)) as board, board_link(f"board:{board.port}") as link:
        analyser = LogicAnalyser(link)
        analyser.arm(Trigger.parse("!rx"), before=0)
        assert analyser.wait(10)
        first, second = analyser.fetch(), analyser.fetch()
        assert board.counters["dropped"] > 0 and link.counters.retries > 0
    # Each download lost other octets.
    assert first.samples == second.samples and first.cycles == second.cycles == list(range(analyser.depth))
    # From the falling edge on the line is low for the whole start bit of a request, and high again before the next one.
    received = first.signal("rx")
    assert received[: DIVISOR - 1] == [0] * (DIVISOR - 1) and 1 in received
