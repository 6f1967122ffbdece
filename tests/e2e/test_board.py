"""`--device board:PORT` from the command line: what is right, and every way in which a board can be wrong or go away.

Most of it runs on a golden board, whose chip takes no time; the last tests run on the simulated one, which is the hardware.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from hw.common.config import CONFIGS
from scripts.meshium import main
from sim.golden.board import GoldenBoard
from sim.verilated.board import LineFaults, SimulatedBoard, simulated_board
from sw.models.digits import digits
from sw.runtime.board import BoardTransport

KEYS = {
    "ok", "max_abs_err", "cycles", "macs", "utilisation", "sim_seconds", "sim_khz", "config_hash", "config", "device", "images", "logits",
    "logits_equal", "accuracy_float", "accuracy_golden", "accuracy_rtl", "files", "batches",
}  # fmt: skip


@pytest.fixture
def board() -> Iterator[GoldenBoard]:
    with GoldenBoard(CONFIGS["small"], memory_bytes=128 << 10) as golden:
        yield golden


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[int, dict, str]:
    status = main([*arguments, "--json"])
    captured = capsys.readouterr()
    return status, json.loads(captured.out), captured.err


@pytest.mark.parametrize(("name", "memory", "batches"), [("small", 128 << 10, 1), ("small", 64 << 10, 2), ("nano", 64 << 10, 3)])
def test_digits_in_batches_that_fit(capsys: pytest.CaptureFixture, name: str, memory: int, batches: int) -> None:
    with GoldenBoard(CONFIGS[name], memory_bytes=memory) as golden:
        status, values, err = run(capsys, "run", "digits", "--device", f"board:{golden.port}")
    assert status == 0 and values["ok"] and values.keys() == KEYS
    assert (values["config"], values["batches"], values["logits_equal"], values["files"]) == (name, batches, 3600, [])
    assert values["accuracy_rtl"] == values["accuracy_golden"] >= 0.95 and values["macs"] == 360 * (64 * 32 + 32 * 10)
    assert "board 9" in err and (f"in {batches} batches" in err) == (batches > 1)


@pytest.mark.parametrize("source", ["sbuf", "dram"])
def test_a_product(capsys: pytest.CaptureFixture, board: GoldenBoard, source: str) -> None:
    device = f"board:{board.port}?baud=1000000"
    status, values, _ = run(
        capsys, "matmul", "--device", device, "--config", "small", "--m", "33", "--k", "20", "--n", "9", "--source", source
    )
    assert status == 0 and values["ok"] and (values["config"], values["device"], values["max_abs_err"]) == ("small", device, 0)


def test_a_bit_rate_as_an_option(capsys: pytest.CaptureFixture, board: GoldenBoard) -> None:
    product = ("matmul", "--m", "3", "--k", "4", "--n", "5")
    for options in (["--device", f"board:{board.port}", "--baud", "1000000"], ["--baud", "1000000", "--device", f"board:{board.port}"]):
        status, values, _ = run(capsys, *product, *options)
        assert status == 0 and values["ok"] and values["device"] == f"board:{board.port}?baud=1000000"


@pytest.mark.parametrize("command", [["run", "digits"], ["matmul"], ["bringup"], ["analyse"]])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device", "board:X", "--baud", "0"], "with a rate of at least 1, not 'board:X?baud=0'"),
        (["--device", "board:X", "--baud", "fast"], "with a rate of at least 1, not 'board:X?baud=fast'"),
        (["--baud", "-1", "--device", "board:X"], "with a rate of at least 1, not 'board:X?baud=-1'"),
        (["--device", "board:X?baud=9600", "--baud", "9600"], "must be given once, not by --device board:X?baud=9600 and by --baud 9600"),
        (["--device", "golden", "--baud", "9600"], "--baud must come with --device board:PORT, not 'golden'"),
        (["--baud", "9600"], "--baud must come with --device board:PORT, not "),
    ],
)
def test_bad_bit_rates(capsys: pytest.CaptureFixture, command: list[str], options: list[str], words: str) -> None:
    assert words in _fails(capsys, *command, *options, status=2)


def test_a_wrong_result_is_not_ok(capsys: pytest.CaptureFixture, board: GoldenBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that loses bit 7 of a word on its way to the host."""
    read = BoardTransport.read_memory

    def wrong(self: BoardTransport, address: int, size: int) -> np.ndarray:
        data = read(self, address, size)
        data[0] ^= 0x80
        return data

    monkeypatch.setattr(BoardTransport, "read_memory", wrong)
    status, values, err = run(capsys, "run", "digits", "--device", f"board:{board.port}")
    assert status == 1 and not values["ok"] and values["logits_equal"] == 3599 and "1 logits differ from the integer reference" in err
    status, values, err = run(capsys, "matmul", "--device", f"board:{board.port}", "--m", "4", "--k", "4", "--n", "4")
    assert status == 1 and not values["ok"] and "result is off by up to 128" in err


def _fails(capsys: pytest.CaptureFixture, *arguments: str, status: int = 1) -> str:
    begin = time.monotonic()
    assert main([*arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and time.monotonic() - begin < 30
    return str(captured.err)


def test_bad_boards_are_one_line_and_a_status(capsys: pytest.CaptureFixture, board: GoldenBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    digits_on = ("run", "digits", "--device", f"board:{board.port}")
    assert "config hash" in (text := _fails(capsys, *digits_on, "--config", "base")) and "use --config small, or leave it out" in text
    assert "needs DRAM up to byte" in _fails(capsys, "matmul", "--device", f"board:{board.port}", "--m", "4096", "--source", "dram")
    board.registers["CONFIG_HASH"] = 1
    assert "has config hash 0x00000001, which is no config known here: program it" in _fails(capsys, *digits_on)
    board.registers["PROTOCOL"] = 2
    assert "speaks version 2 of the link's protocol, this host version 1" in _fails(capsys, *digits_on)
    board.registers["MAGIC"] = 2
    assert "what answers on" in _fails(capsys, *digits_on)
    monkeypatch.setattr("sw.runtime.board.CONNECT_SECONDS", 0.3)
    board.deaf = True
    assert "heard nothing; at 1000000 bits a second: heard nothing. Is it powered and programmed" in _fails(capsys, *digits_on)
    board.unplug()
    assert "there is no such port; ports of this machine" in _fails(capsys, *digits_on)
    assert "device must be board:PORT" in _fails(capsys, "run", "digits", "--device", "board:", status=2)


def test_a_chip_that_is_not_the_one_the_board_says(capsys: pytest.CaptureFixture, board: GoldenBoard) -> None:
    board.registers["CONFIG_HASH"] = CONFIGS["nano"].hash
    text = _fails(capsys, "run", "digits", "--device", f"board:{board.port}")
    assert f"has config hash {CONFIGS['small'].hash:#010x}, config 'nano' has" in text


def test_unplugged_in_the_middle(capsys: pytest.CaptureFixture, board: GoldenBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    write = BoardTransport.write_memory

    def and_unplug(self: BoardTransport, address: int, data: object) -> None:
        threading.Timer(0.01, board.unplug).start()
        while True:
            write(self, address, data)

    monkeypatch.setattr(BoardTransport, "write_memory", and_unplug)
    assert "was the board unplugged, or did the simulated board end" in _fails(capsys, "run", "digits", "--device", f"board:{board.port}")


# The simulated board -----------------------------------------------------------------------------------------


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the images: what goes over the line takes a simulation long."""
    model = digits()
    few = replace(model, images=model.images[:36], labels=model.labels[:36], inputs=model.inputs[:36])
    monkeypatch.setattr("scripts.cmd_run.digits", lambda: few)


@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize("name", ["small", "nano"])
def test_digits_on_the_hardware(capsys: pytest.CaptureFixture, name: str) -> None:
    with SimulatedBoard(simulated_board(name), seed=3) as simulated:
        status, values, _ = run(capsys, "run", "digits", "--device", f"board:{simulated.port}")
        assert not simulated.failure
    assert status == 0 and values["logits_equal"] == 360 and values["config"] == name and values["cycles"] > 36 * (64 * 32 + 32 * 10) / 64


def test_products_on_the_hardware_over_a_bad_line(capsys: pytest.CaptureFixture) -> None:
    faults = LineFaults(drop=1e-3, corrupt=1e-3, duplicate=1e-3, seed=1)
    with SimulatedBoard(simulated_board("nano"), faults=faults) as simulated:
        for seed in ("0", "1"):
            status, values, err = run(
                capsys, "matmul", "--device", f"board:{simulated.port}", "--m", "17", "--k", "24", "--n", "9", "--seed", seed
            )
            assert status == 0 and values["ok"], err
        counters = simulated.counters
    assert min(counters[name] for name in ("dropped", "corrupted", "duplicated")) > 0
    assert "frames sent again: " in err


@pytest.mark.parametrize("kind", ["golden", "simulated"])
def test_a_host_that_was_killed_leaves_the_board_usable(capsys: pytest.CaptureFixture, kind: str) -> None:
    with GoldenBoard(CONFIGS["nano"]) if kind == "golden" else SimulatedBoard(simulated_board("nano")) as any_board:
        _kill_a_host(f"board:{any_board.port}")
        status, values, _ = run(capsys, "matmul", "--device", f"board:{any_board.port}", "--m", "9", "--k", "9", "--n", "9")
    assert status == 0 and values["ok"]


def _kill_a_host(device: str) -> None:
    """In the middle of what it writes."""
    code = f"""
from sw.runtime.device import open_device
device = open_device({device!r}, None)
print("on", flush=True)
while True:
    device.transport.write_memory(0, bytes(9999))
"""
    victim = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None and victim.stdout.readline() == "on\n"
    time.sleep(0.2)
    victim.kill()
    victim.wait(10)
    victim.stdout.close()


def test_simboard_serves_until_it_is_told_to_end(capsys: pytest.CaptureFixture) -> None:
    command = [sys.executable, "-m", "scripts.meshium", "simboard", "--config", "nano", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            started = json.loads(process.stdout.readline())
            status, values, _ = run(capsys, "matmul", "--device", started["device"], "--m", "8", "--k", "8", "--n", "8")
            assert status == 0 and values["ok"] and started["config_hash"] == CONFIGS["nano"].hash
            assert any(_used_in_half_a_second(process.pid) < 0.1 for _ in range(40)), "it does not come to rest"
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, out) == (0, "") and f"--device {started['device']}" in err and "ended after" in err
    assert "there is no such port" in _fails(capsys, "run", "digits", "--device", started["device"])


def _used_in_half_a_second(pid: int) -> float:
    """Processor seconds."""
    before = _seconds_used(pid)
    time.sleep(0.5)
    return _seconds_used(pid) - before


def _seconds_used(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_simboard_ends_when_nobody_comes() -> None:
    assert main(["simboard", "--config", "nano", "--idle-exit", "0.2"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (["--config", "huge"], "config must be one of", 1),
        (["--memory-kib", "100"], "memory_bytes must be a power of two of at least 4096, not 102400", 1),
        (["--drop-octets", "2"], "is not in the range 0", 2),
    ],
)
def test_bad_simulated_boards(capsys: pytest.CaptureFixture, arguments: list[str], words: str, status: int) -> None:
    assert words in _fails(capsys, "simboard", *arguments, status=status)
