"""`make faults`: the list fits the sources, faults are caught, one that survives is told, and a broken source is no catch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts import faults
from scripts.fault_list import FAULTS, Fault
from scripts.faults import FaultError, copied, edited, judge, main, run_check, table, try_fault

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {fault.name: fault for fault in FAULTS}


def test_at_least_twenty_of_different_names() -> None:
    assert len(BY_NAME) == len(FAULTS) >= 20


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_edit_fits(fault: Fault) -> None:
    text = (ROOT / fault.file).read_text()
    faulty = edited(fault, text)
    assert faulty != text
    compile(faulty, fault.file, "exec")


def test_faults_are_caught() -> None:
    """One of a queue, one of an arbiter and one of the ways; the checks pass without them."""
    with copied() as folder:
        for name in ("pointer_does_not_wrap", "stuck_arbiter", "misrouted_turn"):
            outcome = try_fault(BY_NAME[name], folder)
            assert outcome.caught, name
            assert outcome.said, name


def test_harmless_edit_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit that changes nothing is told as a survivor, with exit status 1: the checks pass on sound sources, from the copy."""
    harmless = replace(BY_NAME["stuck_arbiter"], name="harmless", edits=(("with m.If(self.served[i]):", "with m.If(self.served[i] | 0):"),))
    monkeypatch.setattr(faults, "FAULTS", (harmless,))
    done = CliRunner().invoke(main, ["harmless", "--json"])
    assert done.exit_code == 1
    assert '"survived": ["harmless"]' in done.stdout
    assert "every fault must be caught, not survive: harmless" in done.stderr


def test_a_source_that_does_not_import_is_no_catch() -> None:
    broken = replace(BY_NAME["stuck_arbiter"], edits=(("with m.If(self.served[i]):", "with m.If(self.no_such[name]):"),))
    with copied() as folder, pytest.raises(FaultError, match="must pass or fail, not end with status 1"):
        try_fault(broken, folder)


@pytest.mark.parametrize("old", ["no such text", "self"])
def test_edit_that_does_not_fit_is_refused(old: str) -> None:
    with pytest.raises(FaultError, match=r"must stand once in hw/noc/arbiter\.py, not \d+ times"):
        edited(replace(BY_NAME["stuck_arbiter"], edits=((old, ""),)), (ROOT / "hw/noc/arbiter.py").read_text())


@pytest.mark.parametrize("check", ["look at it", "sim router", "proof", "proof a b"])
def test_unknown_check_is_refused(check: str) -> None:
    with pytest.raises(FaultError, match="check must be 'test"):
        run_check(check, ROOT)


@pytest.mark.parametrize(("status", "output"), [(2, "FAILED x"), (1, "nothing"), (1, "FAILED x\nNameError: y")])
def test_other_ends_are_no_catch(status: int, output: str) -> None:
    with pytest.raises(FaultError, match="must pass or fail"):
        judge("test x", status, output)


def test_table_names_survivors() -> None:
    fault = FAULTS[0]
    rows = table(
        [faults.Outcome(fault=fault, caught=True, seconds=1, said=""), faults.Outcome(fault=fault, caught=False, seconds=2, said="")]
    )
    assert f"| `{fault.check}` | 1.0 |" in rows
    assert f"| **not by** `{fault.check}` | 2.0 |" in rows


def test_bad_usage() -> None:
    done = CliRunner().invoke(main, ["no_such"])
    assert done.exit_code == 2
    assert "fault must be one of pointer_does_not_wrap" in done.stderr
    assert CliRunner().invoke(main, ["stuck_arbiter", "--write"]).exit_code == 2
