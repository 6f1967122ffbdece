"""The chip at a prompt, fed through a pipe."""

import subprocess
import sys
from pathlib import Path

import pytest

from hw.common.registers import MAGIC
from sim.verilated import repl

ROOT = Path(__file__).resolve().parents[2]


def run(lines: list[str], *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "sim.verilated.repl", *arguments]
    return subprocess.run(command, cwd=ROOT, input="\n".join([*lines, ""]), capture_output=True, text=True, timeout=300, check=False)


def test_piped_lines_are_carried_out() -> None:
    result = run(
        [*repl.EXAMPLES, "sorted(name for name in dir() if not name.startswith('_'))", "1 / 0", "print('after an error')"],
        "--config",
        "nano",
    )
    assert result.returncode == 0, result.stderr
    first, second, *rest = result.stdout.splitlines()
    assert first.startswith("'cycle ") and "store engine idle" in first
    assert second == repr(hex(MAGIC))
    assert rest[:4] == [
        "array([[ 0,  1,  2,  3],",
        "       [ 4,  5,  6,  7],",
        "       [ 8,  9, 10, 11],",
        "       [12, 13, 14, 15]], dtype=int32)",
    ]
    assert rest[4:] == [repr(sorted(repl.NAMES)), "after an error"], "no prompts between the results"
    assert "ZeroDivisionError" in result.stderr
    for text in ("Meshium nano", *repl.NAMES, *repl.EXAMPLES):
        assert text in result.stderr, "the banner names the objects and examples"


def test_unknown_configuration_is_one_line(capsys: pytest.CaptureFixture) -> None:
    assert repl.main(["--config", "pico"]) == 1
    assert capsys.readouterr().err == "repl: error: config must be one of nano, small, base, large, not 'pico'\n"
