"""Program files keep everything, and every kind of damage is refused with a reason."""

from pathlib import Path

import numpy as np
import pytest

from hw.common.config import ChipConfig
from sw.isa.assembler import operation
from sw.isa.program import Buffer, Program, ProgramError

CONFIG = ChipConfig.named("small")


def _program(**changes: object) -> Program:
    fields: dict = {
        "config_hash": CONFIG.hash,
        "queues": {"load": [operation("Load", base=3).word], "tensor": [operation("LoadStationary", base=i).word for i in range(3)]},
        "buffers": {"a": Buffer(address=0, size=5, data=b"12345"), "out": Buffer(address=64, size=16)},
        "queue_base": 128,
        "note": "test",
    }
    return Program(**{**fields, **changes})


def test_file_goes_round(tmp_path: Path) -> None:
    program = _program()
    path = tmp_path / "deep" / "job.mesh"
    program.save(path)
    assert Program.load(path, config=CONFIG) == program
    assert [item.name for item in path.parent.iterdir()] == ["job.mesh"]


def test_layout_of_the_queues() -> None:
    program = _program()
    assert program.queue_addresses == {"load": 128, "store": 192, "tensor": 192, "output": 288}
    assert program.queue_bytes == 64 + 3 * 32 and program.dram_bytes == 288
    assert program.queue_data("tensor") == b"".join(operation("LoadStationary", base=i).to_bytes() for i in range(3))


def test_other_config_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.mesh"
    _program().save(path)
    base = ChipConfig.named("base")
    with pytest.raises(ProgramError, match=f"compiled for config hash {CONFIG.hash:#010x}, but config 'base' has {base.hash:#010x}"):
        Program.load(path, config=base)


@pytest.mark.parametrize("seed", range(20))
def test_any_flipped_bit_is_noticed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = bytearray(_program().to_bytes())
    raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
    with pytest.raises(ProgramError, match=r"damaged|not a Meshium program|file version"):
        Program.from_bytes(bytes(raw), source=f"seed {seed}")


@pytest.mark.parametrize("length", [0, 3, 8, 20, 51, 60, -1])
def test_any_cut_is_noticed(length: int) -> None:
    with pytest.raises(ProgramError, match=r"damaged|not a Meshium program"):
        Program.from_bytes(_program().to_bytes()[:length])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queues": {"vector": []}}, "engine must be one of load, tensor, output, store, not 'vector'"),
        ({"queues": {"tensor": [1 << 256]}}, "word 0 of tensor must fit 256 bits"),
        ({"queue_base": 32}, "queue_base must be a multiple of 64, not 32"),
        ({"queue_base": 64}, "buffers must not overlap"),
        ({"buffers": {"a": Buffer(address=0, size=8), "b": Buffer(address=7, size=1)}}, "b at 0x7 begins before a ends at 0x8"),
    ],
)
def test_refusals(changes: dict, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        _program(**changes)


def test_buffer_refusals() -> None:
    with pytest.raises(ProgramError, match="must not be negative, not -1"):
        Buffer(address=-1, size=0)
    with pytest.raises(ProgramError, match="must have size 3, not 2 bytes"):
        Buffer(address=0, size=3, data=b"ab")
