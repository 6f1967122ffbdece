"""The golden chip as a machine: results, semaphores, every way to halt, registers."""

import numpy as np
import pytest

from hw.common.config import ARCHITECTURE_VERSION, ChipConfig, ConfigError
from hw.common.isa import ENGINES, Cause
from hw.common.registers import MAGIC, REGISTERS, engine_register
from sim.golden.chip import GoldenChip, NoInterrupt
from sw.isa.assembler import Operation, assemble, operation

CONFIG = ChipConfig.named("small")
QUEUES = {"load": 0x4000, "tensor": 0x5000, "output": 0x6000, "store": 0x7000}


def read(chip: GoldenChip, name: str) -> int:
    return chip.read_register(REGISTERS[name].address)


def write(chip: GoldenChip, name: str, value: int) -> None:
    chip.write_register(REGISTERS[name].address, value)


def engine(chip: GoldenChip, name: str) -> tuple[Cause, int, int, int]:
    """(cause, index, address, retired)."""
    cause, index, address, retired = (read(chip, engine_register(name, field)) for field in ("CAUSE", "INDEX", "ADDRESS_LO", "RETIRED"))
    return Cause(cause), index, address, retired


def start(chip: GoldenChip, text: str | dict[str, list[int]], *, size: int = 1 << 16, counts: dict[str, int] | None = None) -> None:
    queues = assemble(text) if isinstance(text, str) else text
    write(chip, "DRAM_SIZE_LO", size)
    for name, words in queues.items():
        for index, word in enumerate(words):
            chip.write_memory(QUEUES[name] + index * ENGINES[name].instruction_bytes, Operation(engine=name, word=word).to_bytes())
        write(chip, engine_register(name, "QUEUE_BASE_LO"), QUEUES[name])
        write(chip, engine_register(name, "QUEUE_COUNT"), (counts or {}).get(name, len(words)))
    write(chip, "CONTROL", 1)


@pytest.fixture
def chip() -> GoldenChip:
    return GoldenChip(CONFIG, dram_bytes=1 << 16)


GEMM = """
load  base=0 dram=0 ap=16:1:8 post0=0:1
lds   base=0 ap=8:1 wait0=0:1
mm    base=8 ap=8:1 psum_bank=1
mm    base=8 ap=8:1 psum_bank=1 accumulate=1 post0=1:1
evict mode=int32 relu=1 base=16 ap=8:4 psum_bank=1 wait0=1:1 post0=2:1
store base=16 dram=256 ap=32:1:8 wait0=2:1
"""


@pytest.mark.parametrize("seed", [0, 1])
def test_a_whole_job_whatever_the_memories_power_up_with(seed: int) -> None:
    rng = np.random.default_rng(5)
    b, a = rng.integers(-128, 128, (2, 8, 8), np.int8)
    with GoldenChip(CONFIG, dram_bytes=1 << 16, seed=seed) as chip:
        chip.write_memory(0, b)
        chip.write_memory(64, a.tobytes())
        start(chip, GEMM)
        expected = np.maximum(2 * (a.astype(np.int32) @ b.astype(np.int32)), 0)
        assert np.array_equal(chip.read_memory(256, 256).view("<i4").reshape(8, 8), expected)
        assert np.array_equal(chip.memory[256:512], chip.sbuf[16:48].reshape(-1))
        assert read(chip, "STATUS") == 0b010 | 0b1111 << 12
        assert [engine(chip, name) for name in ENGINES] == [(Cause.NONE, 0, 0, count) for count in (1, 3, 1, 1)]
        assert (read(chip, "TENSOR_ROWS"), read(chip, "TENSOR_MACS_LO")) == (16, 2 * 8 * 8 * 8)
        assert read(chip, "CYCLES") == 0 and read(chip, "ERROR_ENGINE") == 0


def test_only_loaded_rows_take_part(chip: GoldenChip) -> None:
    start(chip, "lds base=0 ap=3:1\nmm base=8 ap=2:5")
    expected = chip.sbuf[[8, 13], :3].view(np.int8).astype(np.int32) @ chip.sbuf[:3].view(np.int8).astype(np.int32)
    assert np.array_equal(chip.psum[0, :2].view(np.int32), expected)
    assert read(chip, "TENSOR_MACS_LO") == 2 * 3 * 8


def test_waits_subtract_and_counts_add_up(chip: GoldenChip) -> None:
    start(chip, "lds base=0 post0=4:3 post1=5:1\nldc base=0 wait0=4:1 wait1=5:1\nldc base=0 wait0=4:2\nldc base=0 wait0=4:1")
    assert engine(chip, "output") == (Cause.DEADLOCK, 2, 4, 2)
    assert read(chip, "STATUS") == 0b110 | 0b0100 << 8 | 0b1011 << 12


def test_deadlock_names_every_engine_and_the_semaphore_it_stands_on(chip: GoldenChip) -> None:
    start(chip, "lds base=0 wait0=1:1 post0=2:1\nldc base=0 wait0=3:1 wait1=2:1 post0=1:1\nload base=0 ap=1:0:0 post0=3:1")
    assert engine(chip, "tensor") == (Cause.DEADLOCK, 0, 1, 0)
    assert engine(chip, "output") == (Cause.DEADLOCK, 0, 2, 0)
    assert engine(chip, "load")[0] is Cause.NONE
    assert read(chip, "ERROR_ENGINE") == 1 << 31 | 1


def test_waiting_engines_are_left_alone_when_another_has_halted(chip: GoldenChip) -> None:
    start(chip, "mm base=0\nldc base=0 wait0=1:1")
    assert engine(chip, "tensor") == (Cause.NO_STATIONARY, 0, 0, 0)
    assert engine(chip, "output") == (Cause.NONE, 0, 0, 0)
    assert read(chip, "STATUS") == 0b110 | 0b0010 << 8 | 0b1001 << 12 | 0b0100 << 16


def test_a_bad_instruction_takes_no_waits_and_touches_nothing(chip: GoldenChip) -> None:
    before = chip.sbuf.copy(), chip.psum.copy()
    start(chip, "load base=0 ap=1:0:0 post0=1:1\n.word output 0x123456ff21\nldc base=0 wait0=1:1")
    assert engine(chip, "output") == (Cause.RESERVED, 0, 0, 0)
    before[0][0] = 0
    assert np.array_equal(chip.sbuf, before[0]) and np.array_equal(chip.psum, before[1])


def test_other_engines_finish_after_a_halt_and_index_counts(chip: GoldenChip) -> None:
    start(chip, "lds base=0\nlds base=0 ap=9:1\nload base=0 ap=1:0:0\nload base=1 dram=8 ap=1:0:0\nstore base=1 dram=64 ap=1:0:0")
    assert engine(chip, "tensor") == (Cause.SIZE, 1, 0, 1)
    assert engine(chip, "load")[3] == 2 and engine(chip, "store")[3] == 1


def test_semaphore_overflow_is_not_made_and_halts_the_poster() -> None:
    config = ChipConfig(**{**CONFIG.to_dict(), "semaphore_width": 4})
    with GoldenChip(config, dram_bytes=1 << 16) as chip:
        start(
            chip, "lds base=0 post0=1:15\nlds base=0 post0=1:1 post1=2:1\nlds base=0\nldc base=0 wait0=1:15 wait1=2:1\nldc base=0 wait0=1:1"
        )
        # The tensor engine runs first here, so the counter is still full at its second post.
        assert engine(chip, "tensor") == (Cause.SEMAPHORE_OVERFLOW, 1, 1, 2)
        assert engine(chip, "output") == (Cause.NONE, 0, 0, 1)


@pytest.mark.parametrize("count", [1, 2047])
def test_counters_hold_up_to_their_width(chip: GoldenChip, count: int) -> None:
    start(chip, f"lds base=0 post0=9:{count} post1=9:{count}\nldc base=0 wait0=9:{count} wait1=9:{count}")
    assert read(chip, "STATUS") == 0b010 | 0b1111 << 12


def test_queue_outside_the_window_is_not_fetched(chip: GoldenChip) -> None:
    start(chip, "lds base=0", size=QUEUES["tensor"] + 31)
    assert engine(chip, "tensor") == (Cause.FETCH_ERROR, 0, QUEUES["tensor"], 0)
    start(chip, "lds base=0", size=QUEUES["tensor"] + 32)
    assert engine(chip, "tensor") == (Cause.NONE, 0, 0, 1)
    start(chip, {"tensor": [operation("LoadStationary").word]}, counts={"tensor": 5}, size=QUEUES["tensor"] + 4 * 32)
    assert engine(chip, "tensor") == (Cause.FETCH_ERROR, 0, QUEUES["tensor"], 0)


def test_misaligned_queue(chip: GoldenChip) -> None:
    write(chip, "DRAM_SIZE_LO", 1 << 16)
    write(chip, "LOAD_QUEUE_BASE_LO", 0x4020)
    write(chip, "LOAD_QUEUE_COUNT", 1)
    write(chip, "CONTROL", 1)
    assert engine(chip, "load") == (Cause.FETCH_ERROR, 0, 0x4020, 0)


def test_fetch_read_and_write_errors_of_the_bus(chip: GoldenChip) -> None:
    chip.poison(QUEUES["tensor"] + 32, 1)
    chip.poison(0x810, 1)
    chip.poison(0x1008, 8)
    chip.write_memory(0x800, bytes(range(32)))
    sbuf = chip.sbuf.copy()
    start(chip, "lds base=0\nlds base=0\nload base=100 dram=0x800 ap=4:1:8\nstore base=100 dram=0xff8 ap=4:1:8")
    assert engine(chip, "tensor") == (Cause.FETCH_ERROR, 1, QUEUES["tensor"] + 32, 1)
    # Lines before the beat that errs are there; it and those after it are not.
    assert engine(chip, "load") == (Cause.READ_ERROR, 0, 0x800, 0)
    sbuf[100:102] = np.arange(16, dtype=np.uint8).reshape(2, 8)
    assert np.array_equal(chip.sbuf, sbuf)
    # The burst that ends at the 4 KiB boundary is written; the one after it is refused.
    assert engine(chip, "store") == (Cause.WRITE_ERROR, 0, 0x1000, 0)
    assert np.array_equal(chip.memory[0xFF8:0x1000], chip.sbuf[100]) and not chip.memory[0x1000:0x1010].any()


def test_memory_ends_where_the_window_does_not(chip: GoldenChip) -> None:
    start(chip, "load base=0 dram=0x10000 ap=1:0:0", size=1 << 20)
    assert engine(chip, "load") == (Cause.READ_ERROR, 0, 0x10000, 0)


def test_restart_clears_errors_semaphores_and_the_stationary_block(chip: GoldenChip) -> None:
    start(chip, "lds base=0 post0=1:1\nmm base=0 ap=65:1")
    assert engine(chip, "tensor")[0] is Cause.SIZE
    start(chip, "mm base=0\nldc base=0 wait0=1:1")
    assert engine(chip, "tensor") == (Cause.NO_STATIONARY, 0, 0, 0)
    assert engine(chip, "output") == (Cause.NONE, 0, 0, 0)
    start(chip, {"tensor": [], "output": []})
    assert read(chip, "STATUS") == 0b010 | 0b1111 << 12 and read(chip, "ERROR_ENGINE") == 0


def test_interrupt_follows_enable_and_status(chip: GoldenChip) -> None:
    with pytest.raises(NoInterrupt, match="no enabled interrupt"):
        chip.wait_interrupt(10)
    start(chip, "mm base=0")
    assert read(chip, "IRQ_STATUS") == 0b11 and not chip.interrupt
    write(chip, "IRQ_ENABLE", 2)
    chip.wait_interrupt(10)
    write(chip, "IRQ_STATUS", 2)
    assert read(chip, "IRQ_STATUS") == 1 and not chip.interrupt


def test_registers(chip: GoldenChip) -> None:
    assert read(chip, "MAGIC") == MAGIC and read(chip, "VERSION") == ARCHITECTURE_VERSION and read(chip, "CONFIG_HASH") == CONFIG.hash
    assert read(chip, "GEOMETRY") == 8 | 8 << 8 | 1 << 16 | 1 << 24
    write(chip, "MAGIC", 0)
    write(chip, "DRAM_BASE_LO", 0x1_2345_6789)
    chip.write_register(0xFF0, 5)
    assert read(chip, "MAGIC") == MAGIC and read(chip, "DRAM_BASE_LO") == 0x2345_6789 and chip.read_register(0xFF0) == 0
    chip.reset()
    assert read(chip, "DRAM_BASE_LO") == 0 and read(chip, "WATCHDOG") == REGISTERS["WATCHDOG"].reset


def test_refusals(chip: GoldenChip) -> None:
    with pytest.raises(ValueError, match="dram_bytes must be a positive multiple of 8, not 12"):
        GoldenChip(CONFIG, dram_bytes=12)
    with pytest.raises(ConfigError, match="a chip needs rows == cols"):
        GoldenChip(ChipConfig(rows=4, cols=8, output_lanes=8))
    with pytest.raises(ValueError, match="inside 65536 bytes"):
        chip.read_memory(65536 - 4, 8)
    with pytest.raises(ValueError, match="multiple of 4 below 0x1000, not 0x1000"):
        chip.read_register(0x1000)
