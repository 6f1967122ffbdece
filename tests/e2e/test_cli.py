"""The `meshium` command as a whole, and the pictures it draws."""

import _ctypes
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scripts.files import written_whole
from scripts.meshium import COMMANDS, main
from scripts.timeline import occupancy, write_timeline
from scripts.trace import DONE, START, STATE, instruction_intervals, rebased, state_intervals, write_trace
from sim.verilated import library
from sw.isa.assembler import operation
from sw.isa.program import Program
from sw.runtime.errors import DeviceError

EVENT = np.dtype([("cycle", "<u8"), ("kind", "u1"), ("channel", "u1"), ("value", "u1")])


def test_digits_on_golden(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status = main(["run", "digits", "--device", "golden", "--config", "small", "--json"])
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert status == 0 and values["ok"] and values["images"] == 360 and values["logits"] == values["logits_equal"] == 3600
    assert values["accuracy_golden"] >= 0.95 and values["accuracy_rtl"] is None and values["macs"] == 360 * (64 * 32 + 32 * 10)
    assert "accuracy" in captured.err


def test_help_names_every_command(capsys: pytest.CaptureFixture) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)
    assert main([]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"), [(["run", "cats"], "NAME must be one of digits, not 'cats'"), (["dance"], "No such command 'dance'")]
)
def test_bad_usage(capsys: pytest.CaptureFixture, arguments: list[str], message: str) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status"), [(DeviceError("bad\nday"), 1), (RuntimeError("x"), 1), (KeyboardInterrupt(), 130), (ImportError("no y"), 1)]
)
def test_errors_become_one_line(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int) -> None:
    def explode(**_: object) -> None:
        raise error

    monkeypatch.setattr("scripts.cmd_matmul.matmul.callback", explode)
    assert main(["matmul"]) == status
    err = capsys.readouterr().err.strip()
    assert err.startswith("meshium: error: ") and "\n" not in err


def test_a_full_disk_has_a_remedy(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(**_: object) -> None:
        # What every write to this device says, as a full disk does.
        Path("/dev/full").write_text("x")

    monkeypatch.setattr("scripts.cmd_matmul.matmul.callback", fill)
    assert main(["matmul"]) == 1
    assert re.search(r"No space left on device: make room; .* MESHIUM_BUILD", " ".join(capsys.readouterr().err.split()))


def test_an_interrupt_in_a_destructor_is_not_lost(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def work(**_: object) -> None:
        Stubborn()
        time.sleep(20)

    monkeypatch.setattr("scripts.cmd_matmul.matmul.callback", work)
    start = time.perf_counter()
    assert main(["matmul"]) == 130 and time.perf_counter() - start < 10
    assert "interrupted" in capsys.readouterr().err


def test_golden_needs_no_simulator() -> None:
    """A process in which nothing of the simulator can be imported still multiplies."""
    code = (
        "import sys; sys.modules['sim.verilated'] = None; sys.modules['amaranth'] = None; from scripts.meshium import main; "
        "sys.exit(main(['matmul', '--device', 'golden', '--config', 'small', '--m', '3', '--k', '3', '--n', '3']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with written_whole(path) as stream:
        stream.write(b"old")
    with pytest.raises(RuntimeError), written_whole(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def _events() -> tuple[np.ndarray, Program]:
    rows = [
        (100, STATE, 1, 1), (100, START, 1, 0), (103, START, 2, 0), (105, STATE, 1, 2), (108, DONE, 1, 0), (108, START, 1, 0),
        (109, STATE, 1, 1), (111, START, 2, 0), (115, DONE, 2, 0), (117, DONE, 1, 0), (119, DONE, 2, 0), (120, STATE, 1, 0),
    ]  # fmt: skip
    lds, mm = operation("LoadStationary", base=3).word, operation("MultiplyMoving", base=4).word
    return np.array(rows, EVENT), Program(config_hash=0, queues={"tensor": [lds, mm, lds, mm]})


def test_intervals_of_states_and_instructions() -> None:
    events = rebased(_events()[0])
    states = [(item.track, item.name, item.start, item.end) for item in state_intervals(events, 30)]
    assert states == [("tensor", "busy", 0, 5), ("tensor", "memory", 5, 9), ("tensor", "busy", 9, 20)]
    found = sorted((item.name, item.index, item.start, item.end) for item in instruction_intervals(events))
    assert found == [
        ("load_stationary", 0, 0, 9),
        ("load_stationary", 1, 8, 18),
        ("multiply_moving", 0, 3, 16),
        ("multiply_moving", 1, 11, 20),
    ]


def test_trace_file_is_what_viewers_read(tmp_path: Path) -> None:
    events, program = _events()
    write_trace(tmp_path / "t" / "trace.json", rebased(events), program, end=30, title="test")
    items = json.loads((tmp_path / "t" / "trace.json").read_text())["traceEvents"]
    begins = [item for item in items if item["ph"] == "b"]
    assert len(begins) == len([item for item in items if item["ph"] == "e"]) == 4
    assert begins[0]["args"]["instruction"].startswith("lds") and len({item["id"] for item in begins}) == 4
    slices = [item for item in items if item["ph"] == "X"]
    assert [item["dur"] for item in slices] == [5, 4, 11]
    named = {item["tid"] for item in items if item["ph"] == "M" and item["name"] == "thread_name"}
    assert {item["tid"] for item in slices + begins} <= named


def test_occupancy_and_picture(tmp_path: Path) -> None:
    events = rebased(_events()[0])
    shares = occupancy(state_intervals(events, 20), 20, 4)
    assert shares["tensor"]["busy"].tolist() == [1, 0.2, 1, 1] and shares["tensor"]["memory"].tolist() == [0, 0.8, 0, 0]
    assert not shares["load"]["busy"].any()
    write_timeline(tmp_path / "timeline.png", events, end=20, title="test")
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("damage", [b"", b"garbage", None], ids=["empty", "garbage", "missing"])
def test_a_damaged_library_is_built_again_once(tmp_path: Path, capsys: pytest.CaptureFixture, damage: bytes | None) -> None:
    entries = []

    def build() -> Path:
        # The first entry is damaged; then comes a whole library, any will do.
        entry = tmp_path / f"entry{len(entries)}"
        entry.mkdir()
        entries.append(entry)
        if len(entries) > 1:
            return Path(_ctypes.__file__)
        if damage is not None:
            (entry / "model.so").write_bytes(damage)
        return entry / "model.so"

    assert library.load_or_rebuild(build) is not None
    assert len(entries) == 2 and not entries[0].exists() and "is damaged and is built again" in capsys.readouterr().err
