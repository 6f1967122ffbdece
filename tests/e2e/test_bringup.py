"""`meshium bringup` and `meshium analyse` from the command line, on a simulated board they make themselves."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.meshium import main


def test_bringup_of_a_simulated_board(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    rungs = ("identity", "march", "tensor", "interrupt")
    only = [word for rung in rungs for word in ("--only", rung)]
    assert main(["bringup", "--device", "sim", "--config", "small", *only, "--report", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert values["ok"] and values["config"] == "small" and values["culprits"] == []
    assert [(item["rung"], item["passed"]) for item in values["rungs"]] == [(rung, 1) for rung in rungs]
    assert values["loops"][0][1]["figures"]["lines"] == 8192
    assert json.loads((tmp_path / "bringup.json").read_text()) == values
    assert "Bring-up of sim" in (tmp_path / "bringup.html").read_text()


def test_bringup_names_the_fault_of_a_simulated_board(capsys: pytest.CaptureFixture) -> None:
    """Two terminals, as a user has them: a board with a fault in one, the bring-up in the other."""
    command = [sys.executable, "-m", "scripts.meshium", "simboard", "--config", "nano", "--fault", "read_lanes", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            started = json.loads(process.stdout.readline())
            assert main(["bringup", "--device", started["device"], "--only", "memory", "--json"]) == 1
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert started["fault"] == "read_lanes" and "its fault: byte lanes 1 and 2 of AXI read data are exchanged" in err
    captured = capsys.readouterr()
    (culprit,) = json.loads(captured.out)["culprits"]
    assert "AXI read data: byte lanes 1 and 2 are swapped" in culprit and "AXI read data" in captured.err


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("smoke", "fault must be one of sbuf_bit, dead_column"),
        ("dead_column", "needs a config with parallel control, not 'nano', which can have read_lanes"),
    ],
)
def test_bad_faults(capsys: pytest.CaptureFixture, fault: str, words: str) -> None:
    assert main(["simboard", "--config", "nano", "--fault", fault]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and words in captured.err and captured.err.count("\n") == 1


def test_analyse_a_product(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    output = tmp_path / "capture.vcd"
    arguments = ["analyse", "--trigger", "trace_state_tensor==busy", "--before", "16", "-o", str(output), "--json"]
    assert main([*arguments, "--", "matmul", "--m", "4", "--k", "8", "--n", "8"]) == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert values["ok"] and (values["samples"], values["first_cycle"], values["last_cycle"]) == (512, -16, 495)
    text = output.read_text()
    assert "sbusy " in text and "$var string 1" in text and "trigger" in text and "right" in captured.err


def test_a_trigger_that_never_comes(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    output, begin = tmp_path / "capture.vcd", time.monotonic()
    assert main(["analyse", "--trigger", "trace_state_load==halted", "--timeout", "0.3", "-o", str(output)]) == 1
    captured = capsys.readouterr()
    assert "trigger 'trace_state_load==halted' did not occur within" in captured.err and not output.exists()
    assert time.monotonic() - begin < 300
