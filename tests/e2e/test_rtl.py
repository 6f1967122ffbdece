"""The command line on the `small` chip's RTL: bits, cycles and pictures."""

import json
from pathlib import Path

import pytest

from scripts.meshium import main


def run(capsys: pytest.CaptureFixture, *arguments: str) -> dict:
    status = main([*arguments, "--device", "rtl", "--config", "small", "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return dict(json.loads(captured.out))


@pytest.mark.parametrize("shape", [(64, 64, 64), (31, 32, 17), (5, 32, 3), (1, 1, 1)], ids=str)
@pytest.mark.parametrize(
    "options", [["--source", "sbuf"], ["--source", "dram"], ["--source", "dram", "--stall", "0.3", "--seed", "5"]], ids=str
)
def test_products_are_right_to_the_bit(capsys: pytest.CaptureFixture, shape: tuple[int, int, int], options: list[str]) -> None:
    m, k, n = shape
    values = run(capsys, "matmul", "--m", str(m), "--k", str(k), "--n", str(n), *options)
    assert values["ok"] and values["max_abs_err"] == 0 and values["sim_khz"] > 0
    assert values["utilisation"] == pytest.approx(m * k * n / (64 * values["cycles"]))


@pytest.mark.parametrize(("source", "least"), [("sbuf", 0.99), ("dram", 0.95)])
def test_the_array_is_kept_busy(capsys: pytest.CaptureFixture, source: str, least: float) -> None:
    assert run(capsys, "matmul", "--source", source)["utilisation"] >= least


def test_digits(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.cmd_run.OUTPUT", tmp_path)
    values = run(capsys, "run", "digits")
    assert values["ok"] and values["logits_equal"] == 3600 and values["accuracy_rtl"] == values["accuracy_golden"] >= 0.95
    assert 0.5 < values["utilisation"] < 1
    trace = json.loads((tmp_path / "digits" / "trace.json").read_text())["traceEvents"]
    states = [item for item in trace if item["ph"] == "X"]
    assert {"busy", "semaphore"} <= {item["name"] for item in states}
    assert max(item["ts"] + item["dur"] for item in states) <= values["cycles"] + 1
    begun, ended = ([item["id"] for item in trace if item["ph"] == kind] for kind in "be")
    assert sorted(begun) == sorted(ended) and len(set(begun)) == len(begun) > 500
    assert (tmp_path / "digits" / "timeline.png").stat().st_size > 10_000
