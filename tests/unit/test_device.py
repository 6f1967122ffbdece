"""The device: identity, loading, waiting and errors in words, on the golden transport and on one that misbehaves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hw.common.config import ChipConfig
from hw.common.isa import Cause
from hw.common.registers import REGISTERS
from sim.golden.chip import GoldenChip
from sw.isa.assembler import assemble
from sw.isa.program import Buffer, Program, ProgramError
from sw.runtime.device import Device, open_device
from sw.runtime.errors import REMEDIES, ChipError, DeviceError, JobTimeout

CONFIG = ChipConfig.named("small")


def program(text: str, **changes: Any) -> Program:
    fields: dict[str, Any] = {"config_hash": CONFIG.hash, "queues": assemble(text), "queue_base": 4096, **changes}
    return Program(**fields)


class Broken(GoldenChip):
    """Answers one register wrongly, or never raises its interrupt."""

    def __init__(self, *, register: str = "", value: int = 0, silent: bool = False) -> None:
        super().__init__(CONFIG, dram_bytes=1 << 16)
        self.wrong = (REGISTERS[register].address, value) if register else (-1, 0)
        self.silent = silent

    def read_register(self, address: int) -> int:
        return self.wrong[1] if address == self.wrong[0] else super().read_register(address)

    def wait_interrupt(self, limit_cycles: int, progress: Callable[[int], None] | None = None) -> None:
        if self.silent:
            raise TimeoutError("load engine fetch")


def test_buffers_go_in_and_come_out() -> None:
    copy = program(
        "load base=0 dram=0 ap=2:1:8 post0=0:1\nstore base=0 dram=0x40 ap=2:1:8 wait0=0:1",
        buffers={"in": Buffer(address=0, size=16), "fixed": Buffer(address=16, size=2, data=b"ab"), "out": Buffer(address=64, size=16)},
    )
    with open_device("golden", CONFIG, dram_bytes=1 << 16) as device:
        result = device.run(copy, {"in": np.arange(8, dtype=np.uint16)})
        assert np.array_equal(device.read(copy, "out").view(np.uint16), np.arange(8))
        assert bytes(device.read(copy, "fixed")) == b"ab"
        assert (device.name, device.memory_bytes, device.register("STATUS") & 7) == ("golden", 1 << 16, 2)
    assert result.engines["load"].retired == result.engines["store"].retired == 1 and result.cycles == 0
    assert result.utilisation(100) == 0 and result.utilisation(640, 20) == 0.5


@pytest.mark.parametrize(
    ("text", "engine", "cause", "index", "words"),
    [
        ("mm base=3", "tensor", Cause.NO_STATIONARY, 0, "mm    dtype=int8 base=3"),
        (
            "lds base=0\nlds base=9000",
            "tensor",
            Cause.SBUF_RANGE,
            1,
            "instruction 1 (lds   dtype=int8 base=9000): SBUF_RANGE, address 0x2328",
        ),
        ("ldc base=0 wait0=5:1", "output", Cause.DEADLOCK, 0, "DEADLOCK, address 0x5"),
        (".word store 0xff", "store", Cause.ILLEGAL_OPCODE, 0, "(.word store 0xff): ILLEGAL_OPCODE, address 0xff"),
    ],
)
def test_errors_say_what_where_and_what_to_do(text: str, engine: str, cause: Cause, index: int, words: str) -> None:
    with open_device("golden", CONFIG, dram_bytes=1 << 16) as device, pytest.raises(ChipError) as caught:
        device.run(program(text))
    error = caught.value
    assert (error.engine, error.cause, error.index) == (engine, cause, index)
    assert words in str(error) and REMEDIES[cause] in str(error)


def test_a_device_runs_on_after_an_error() -> None:
    with open_device("golden", CONFIG, dram_bytes=1 << 16) as device:
        with pytest.raises(ChipError):
            device.run(program("mm base=3"))
        assert device.run(program("lds base=0")).engines["tensor"].retired == 1


def test_every_cause_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Cause) - {Cause.NONE}


def test_only_the_right_chip_is_accepted() -> None:
    with pytest.raises(DeviceError, match="MAGIC must read 0x4853454d, not 0x0000007b: no Meshium chip answers on golden"):
        Device(Broken(register="MAGIC", value=123))
    with pytest.raises(DeviceError, match=r"has config hash 0x00000001, config 'small' has 0x.*: open the device with the configuration"):
        Device(Broken(register="CONFIG_HASH", value=1))
    with pytest.raises(DeviceError, match="device must be one of golden, rtl, board:PORT, not 'board'"):
        open_device("board", CONFIG)


def test_a_silent_chip_is_given_up() -> None:
    with pytest.raises(JobTimeout, match="did not end within 77 cycles: load engine fetch; raise the limit"):
        Device(Broken(silent=True)).run(program("lds base=0"), limit_cycles=77)


def test_refusals_before_anything_runs() -> None:
    buffers = {"in": Buffer(address=0, size=16)}
    with open_device("golden", CONFIG, dram_bytes=8192) as device:
        with pytest.raises(ProgramError, match="compile it again for this configuration"):
            device.run(program("lds base=0", config_hash=1))
        with pytest.raises(DeviceError, match="program needs 8224 bytes of DRAM, the device has 8192: open it with more"):
            device.run(program("lds base=0", queue_base=8192))
        with pytest.raises(DeviceError, match="input must be one of in, not 'on'"):
            device.run(program("lds base=0", buffers=buffers), {"on": b""})
        with pytest.raises(DeviceError, match="buffer 'in' must be given 16 bytes, not 3"):
            device.run(program("lds base=0", buffers=buffers), {"in": b"abc"})
