"""The transport of `board:PORT`, over a pseudo-terminal to a golden board: jobs, memory to the byte, and every refusal in words."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hw.boards.boards import BOARDS
from hw.common.config import CONFIGS, ChipConfig
from hw.host.protocol import Space
from sim.golden.board import CLOCK_HZ, GoldenBoard
from sw.isa.assembler import assemble
from sw.isa.program import Buffer, Program
from sw.runtime.board import BAUDS, BoardAddress, BoardTransport, board_link, known_config
from sw.runtime.device import Device, open_device
from sw.runtime.errors import ChipError, DeviceError, JobTimeout, LinkError
from sw.runtime.matmul import reference, run_matmul

SMALL = CONFIGS["small"]


@pytest.fixture
def board() -> Iterator[GoldenBoard]:
    with GoldenBoard(SMALL, memory_bytes=1 << 16, seed=5) as golden:
        yield golden


@pytest.fixture
def device(board: GoldenBoard) -> Iterator[Device]:
    with open_device(f"board:{board.port}", SMALL) as opened:
        yield opened


def test_a_product_of_the_board_is_right(device: Device) -> None:
    rng = np.random.default_rng(2)
    a, b = (rng.integers(-128, 128, shape, np.int8) for shape in ((9, 17), (17, 11)))
    assert np.array_equal(run_matmul(device, a, b).c, reference(a, b)[0])
    assert device.name.startswith("board:/dev/") and device.memory_bytes == 1 << 16


def test_identity_and_spaces(board: GoldenBoard) -> None:
    with open_device(f"board:{board.port}", None) as device:
        transport = device.transport
        assert device.config is CONFIGS["small"] and transport.identity.clock_hz == CLOCK_HZ
        assert (transport.identity.sbuf_bytes, transport.identity.self_test, transport.identity.analyser) == (
            SMALL.sbuf_bytes,
            False,
            False,
        )
        transport.link.write(Space.SBUF, 16, [0x03020100, 0x07060504])
    assert board.chip.sbuf.reshape(-1)[16:24].tolist() == list(range(8))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 1001])
@pytest.mark.parametrize("first", [0, 1, 2, 3, 4097])
def test_memory_to_the_byte(board: GoldenBoard, device: Device, first: int, size: int) -> None:
    memory = board.chip.memory
    memory[:] = 0xA5
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    device.transport.write_memory(first, data if size % 2 else data.tobytes())
    assert np.array_equal(memory[first : first + size], data)
    assert (memory[:first] == 0xA5).all() and (memory[first + size :] == 0xA5).all()
    assert np.array_equal(device.transport.read_memory(first, size), data)


def test_arrays_of_other_types_and_ranges(device: Device) -> None:
    device.transport.write_memory(8, np.array([[1, -1]], np.int32))
    assert device.transport.read_memory(8, 8).tolist() == [1, 0, 0, 0, 255, 255, 255, 255]
    for address, size in ((-4, 4), (65532, 5), (0, 65537)):
        with pytest.raises(ValueError, match=f"within the 65536 bytes of the board, not {size} bytes at .*: use smaller sizes"):
            device.transport.write_memory(address, bytes(size))
        with pytest.raises(ValueError, match="within the 65536 bytes of the board"):
            device.transport.read_memory(address, size)


def test_errors_of_the_chip_come_through(device: Device) -> None:
    wrong = Program(config_hash=SMALL.hash, queues=assemble("mm base=3"), queue_base=4096)
    with pytest.raises(ChipError, match="NO_STATIONARY"):
        device.run(wrong)
    right = Program(config_hash=SMALL.hash, queues=assemble("lds base=0"), queue_base=4096)
    assert device.run(right).engines["tensor"].retired == 1


def test_a_program_that_needs_more_memory(device: Device) -> None:
    big = Program(config_hash=SMALL.hash, queues={}, queue_base=4096, buffers={"x": Buffer(address=1 << 16, size=8)})
    with pytest.raises(DeviceError, match=r"program needs \d+ bytes of DRAM, the device has 65536: use smaller sizes or batches"):
        device.run(big)


def test_a_job_that_does_not_end(board: GoldenBoard, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(config_hash=SMALL.hash, queues=assemble("lds base=0"), queue_base=4096)
    monkeypatch.setattr(GoldenBoard, "interrupt", False)
    with pytest.raises(
        JobTimeout, match=r"did not end within 77 cycles: no job is running on board:.* and no enabled interrupt is pending: was"
    ):
        device.run(program, limit_cycles=77)
    # A chip that says it runs, by the same bit of its status, and counts.
    cycles = iter(range(0, 10_000, 10))
    monkeypatch.setattr(BoardTransport, "read_register", lambda self, address: 1 if address == 0x14 else next(cycles))
    seen: list[int] = []
    with pytest.raises(TimeoutError, match=r"no interrupt of board:.* within 80 cycles, \d+\.\d s"):
        device.transport.wait_interrupt(77, seen.append)
    assert seen == list(range(0, 80, 10))


def test_a_clock_that_stands_still(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sw.runtime.board.SPARE_SECONDS", 0.2)
    monkeypatch.setattr(BoardTransport, "read_register", lambda self, address: 1 if address == 0x14 else 5)
    with pytest.raises(TimeoutError, match=r"no interrupt of board:.* within 5 cycles, \d+\.\d s"):
        device.transport.wait_interrupt(100)


# Refusals ----------------------------------------------------------------------------------------------------


def test_ports_that_cannot_be_opened(board: GoldenBoard, tmp_path: Path) -> None:
    with pytest.raises(
        DeviceError, match=r"port /dev/ttyNONE cannot be opened: there is no such port; ports of this machine: .*is the board plugged"
    ):
        open_device("board:/dev/ttyNONE", SMALL)
    plain = tmp_path / "plain"
    plain.write_text("")
    with pytest.raises(DeviceError, match=f"port {plain} cannot be opened: .*; is it a serial port"):
        open_device(f"board:{plain}", SMALL)
    with open_device(f"board:{board.port}", SMALL), pytest.raises(DeviceError, match="it is in use by another program; close that first"):
        open_device(f"board:{board.port}", SMALL)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied"), r"no permission; join its group \(sudo usermod -aG \w+ \$USER\) and log in again"),
        (OSError(16, "Device or resource busy"), "it is in use by another program"),
        (ValueError("Failed to set custom baud rate (12345678)"), "it does not take 2000000 bits a second: Failed to set custom"),
    ],
)
def test_what_the_system_refuses(monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("sw.runtime.serial_port.Serial", refuse)
    with pytest.raises(DeviceError, match=f"port /dev/ttyUSB1 cannot be opened: {words}"):
        open_device("board:/dev/ttyUSB1", None)


def test_nothing_answers(board: GoldenBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sw.runtime.board.CONNECT_SECONDS", 0.3)
    board.deaf = True
    tries = "; ".join(f"at {baud} bits a second: heard nothing" for baud in BAUDS)
    both = rf"within 0\.3 s {tries}\. Is it powered and programmed"
    with pytest.raises(LinkError, match=rf"no Meshium board answers on {board.port} {both}"):
        open_device(f"board:{board.port}", SMALL)
    with pytest.raises(LinkError, match=r"at 921600 bits a second: heard nothing\. Is"), board_link(f"board:{board.port}?baud=921600"):
        pass


def test_other_protocol_other_magic(board: GoldenBoard) -> None:
    board.registers["PROTOCOL"] = 7
    with pytest.raises(
        DeviceError, match=r"speaks version 7 of the link's protocol, this host version 1: program the board with the bitstream"
    ):
        open_device(f"board:{board.port}", SMALL)
    board.registers["MAGIC"] = 1
    with pytest.raises(LinkError, match=r"MAGIC must read 0x4452424d, not 0x00000001: what answers on .* is no Meshium board"):
        open_device(f"board:{board.port}", SMALL)


def test_other_configurations(board: GoldenBoard) -> None:
    known = (
        rf"has config hash {SMALL.hash:#010x}, which is config 'small', config 'nano' has {CONFIGS['nano'].hash:#010x}: use --config small"
    )
    with pytest.raises(DeviceError, match=known):
        open_device(f"board:{board.port}", CONFIGS["nano"])
    board.registers["CONFIG_HASH"] = 0x123
    unknown = (
        r"has config hash 0x00000123, which is no config known here, config 'small' has .*: program it with a bitstream of this version"
    )
    with pytest.raises(DeviceError, match=unknown):
        open_device(f"board:{board.port}", SMALL)
    with pytest.raises(DeviceError, match="which is no config known here: program it"):
        open_device(f"board:{board.port}", None)


def test_every_board_is_known() -> None:
    for item in BOARDS.values():
        found = known_config(item.config.hash)
        assert found is not None and found.hash == item.config.hash and item.baud in BAUDS


@pytest.mark.parametrize(
    "name", ["board:", "board:?baud=9600", "board:x?baud=", "board:x?baud=0", "board:x?speed=9", "board:x?", "board:x?baud=²"]
)
def test_bad_names(name: str) -> None:
    with pytest.raises(DeviceError, match=r"device must be board:PORT.*, not 'board:"):
        open_device(name, SMALL)


def test_names() -> None:
    assert BoardAddress.parse("board:COM3") == BoardAddress(port="COM3", baud=None)
    assert BoardAddress.parse("board:/dev/ttyUSB1?baud=115200") == BoardAddress(port="/dev/ttyUSB1", baud=115200)


# What goes wrong on the way ----------------------------------------------------------------------------------


def test_unplugged_while_something_is_written(board: GoldenBoard, device: Device) -> None:
    timer = threading.Timer(0.05, board.unplug)
    timer.start()
    start = time.monotonic()
    with pytest.raises(LinkError, match="was the board unplugged, or did the simulated board end"):
        for _ in range(10_000):
            device.transport.write_memory(0, bytes(1000))
    assert time.monotonic() - start < 15
    timer.join()


def test_a_failed_opening_gives_the_port_back(board: GoldenBoard) -> None:
    count = len(os.listdir("/proc/self/fd"))
    kept = []
    for _ in range(3):
        with pytest.raises(DeviceError, match="use --config small") as caught:
            open_device(f"board:{board.port}", ChipConfig.named("base"))
        # An error that is kept keeps what was on the stack.
        kept.append(caught)
    assert len(os.listdir("/proc/self/fd")) == count
    open_device(f"board:{board.port}", None).close()
