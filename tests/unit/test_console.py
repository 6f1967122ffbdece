"""How commands talk: tables in pipes."""

import pytest
from rich.table import Table

from scripts import cmd_bitstream
from scripts.console import PIPE_WIDTH, print_table


def test_rows_stay_whole_in_a_pipe(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = " ".join(f"word{index:02}" for index in range(24))
    assert 80 < len(words) < PIPE_WIDTH
    table = Table("what")
    table.add_row(words)
    print_table(table)
    captured = capsys.readouterr()
    assert words in captured.err and captured.out == ""


def test_a_bitstream_is_one_row(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = {
        "ok": True, "config": {"name": "small", "hash": "49ac7f6a"}, "bitstream": "ulx3s_85f.bit", "folder": "build/bitstream/ulx3s_85f", "seed": 3,
        "clocks": {"clk": {"achieved_mhz": 101.5, "required_mhz": 100.0}},
        "utilisation": {name: {"used": 46_000, "percent": 55.0} for name in ("TRELLIS_COMB", "DP16KD", "MULT18X18D")},
    }  # fmt: skip
    cmd_bitstream._show({"ulx3s_85f": result})
    rows = [line for line in capsys.readouterr().err.splitlines() if "ulx3s_85f" in line]
    assert len(rows) == 1 and all(text in rows[0] for text in ("101.5 of 100", "46,000 MULT18X18D", "ulx3s_85f.bit"))
