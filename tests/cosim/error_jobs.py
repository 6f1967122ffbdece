"""Hand-made jobs for the whole chip: short queues of which one instruction may be wrong, run on golden chip and RTL alike."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hw.common.config import ChipConfig
from hw.common.isa import ENGINES, INSTRUCTIONS, Cause, OutputMode, pack
from hw.common.registers import REGISTERS, engine_register

DRAM_BYTES = 1 << 17
#: Queue of each engine, 16 KiB apart; data below.
QUEUE_BASE = {engine: (4 + item.index) << 14 for engine, item in ENGINES.items()}
NAMES = tuple(ENGINES)
BIT = {engine: 1 << item.index for engine, item in ENGINES.items()}
#: What must not depend on timing, engine by engine and of the chip.
PER_ENGINE = ("CAUSE", "INDEX", "ADDRESS_LO", "ADDRESS_HI", "RETIRED")
WHOLE = ("STATUS", "IRQ_STATUS", "TENSOR_ROWS", "TENSOR_MACS_LO", "TENSOR_MACS_HI")

Words = dict[str, list[int]]


@dataclass(kw_only=True)
class Job:
    """Queues and the registers to start them with; `registers` overrides what follows from the queues."""

    queues: Words
    registers: dict[str, int] = field(default_factory=dict)


def write(chip: Any, name: str, value: int) -> None:
    chip.write_register(REGISTERS[name].address, value & 0xFFFFFFFF)


def read(chip: Any, name: str) -> int:
    return chip.read_register(REGISTERS[name].address)


def prepare(chip: Any, job: Job) -> None:
    """Puts the queues into DRAM and sets the registers; the doorbell is left to the caller."""
    values = {"DRAM_BASE_LO": 0, "DRAM_SIZE_LO": DRAM_BYTES, "WATCHDOG": 1 << 20, "IRQ_ENABLE": 1}
    for engine, words in job.queues.items():
        raw = b"".join(word.to_bytes(ENGINES[engine].instruction_bytes, "little") for word in words)
        if raw:
            chip.write_memory(QUEUE_BASE[engine], raw)
    for engine in ENGINES:
        values[engine_register(engine, "QUEUE_BASE_LO")] = QUEUE_BASE[engine]
        values[engine_register(engine, "QUEUE_BASE_HI")] = 0
        values[engine_register(engine, "QUEUE_COUNT")] = len(job.queues.get(engine, ()))
    for name, value in (values | job.registers).items():
        write(chip, name, value)


def finish(chip: Any) -> dict[str, int]:
    """Waits for the end, reads what is comparable and takes the interrupt back."""
    chip.wait_interrupt(500_000)
    chip.read_register(0)  # the error bit of IRQ_STATUS follows the end of a deadlocked job by a cycle
    found = {name: read(chip, name) for name in (*WHOLE, *(engine_register(e, n) for e in ENGINES for n in PER_ENGINE))}
    write(chip, "IRQ_STATUS", 3)
    return found


def execute(chip: Any, job: Job) -> dict[str, int]:
    """Runs a job without a reset before it."""
    prepare(chip, job)
    write(chip, "CONTROL", 1)
    return finish(chip)


def fill(golden: Any, rtl: Any, seed: int) -> None:
    """The same random contents in all memories of both chips."""
    rng = np.random.default_rng(seed)
    golden.write_memory(0, rng.integers(0, 256, DRAM_BYTES, np.uint8))
    rtl.write_memory(0, golden.read_memory(0, DRAM_BYTES))
    for number, bank in enumerate(rtl.sbuf_banks):
        bank[:] = golden.sbuf.reshape(len(rtl.sbuf_banks), *bank.shape)[number]
    rtl.write_psum(golden.psum)


def assert_same_memories(golden: Any, rtl: Any, label: str) -> None:
    assert np.array_equal(rtl.read_memory(0, DRAM_BYTES), golden.read_memory(0, DRAM_BYTES)), f"{label}: DRAM differs"
    assert np.array_equal(rtl.sbuf, golden.sbuf), f"{label}: SBUF differs"
    assert np.array_equal(rtl.psum, golden.psum), f"{label}: PSUM differs"


def both(pair: tuple[Any, Any], job: Job, label: str) -> dict[str, int]:
    """Runs the job on golden chip and RTL, without a reset; the registers, which must agree, as must all memories."""
    expected, found = execute(pair[0], job), execute(pair[1], job)
    assert found == expected, label
    assert_same_memories(*pair, label)
    return found


# Good instructions, each of which changes memory ------------------------------------------------------------

_ONES = {f"size{dim}": 1 for dim in range(4)}


def word(name: str, **values: int) -> int:
    """A legal instruction of four rows with some fields changed."""
    rows = {"stride0": 1, **_ONES, "size0": 4}
    usual: dict[str, dict[str, int]] = {
        "Load": {"base": 8, "dram": 64, "dram_stride0": 4, **rows},
        "Store": {"base": 40, "dram": 1024, "dram_stride0": 4, **rows},
        "LoadStationary": {"base": 16, **rows},
        "MultiplyMoving": {"base": 24, "psum_bank": 1, "psum_row": 2, **rows},
        "LoadChannel": {"base": 32},
        "Evict": {"base": 64, "mode": OutputMode.RAW, "psum_row": 8, **rows, "stride0": 4},
    }
    return pack(INSTRUCTIONS[name], usual[name] | values)


def good(engine: str, **header: int) -> list[int]:
    """Legal instructions of the engine, `header` in the last: posts and waits."""
    first = {"load": "Load", "tensor": "LoadStationary", "output": "LoadChannel", "store": "Store"}[engine]
    last = {"load": "Load", "tensor": "MultiplyMoving", "output": "Evict", "store": "Store"}[engine]
    moved = {"dram": 2048} if engine == "store" else {}
    return [word(first), word(last, **moved, **header)]


#: Instructions of two engines that run through.
GOOD_JOB = Job(queues={engine: good(engine) for engine in ("load", "tensor")})

# Bad ones ---------------------------------------------------------------------------------------------------

Bad = tuple[str, str, int, Cause, int]


def bad_words(config: ChipConfig) -> Iterator[Bad]:
    """(description, engine, word, cause, ADDRESS): every check of every instruction, at its limits."""
    for name, instruction in INSTRUCTIONS.items():
        plain, mask = word(name), instruction.reserved_mask

        def bad(what: str, cause: Cause, address: int, made: int | None = None, name: str = name, **values: int) -> Bad:
            return f"{name}: {what}", INSTRUCTIONS[name].engine, word(name, **values) if made is None else made, cause, address

        yield bad("opcode 0", Cause.ILLEGAL_OPCODE, 0, plain & ~0xFF)
        yield bad("opcode of none", Cause.ILLEGAL_OPCODE, 0xFF, plain | 0xFF)
        yield bad("lowest reserved bit", Cause.RESERVED, 0, plain | (mask & -mask))
        yield bad("highest reserved bit", Cause.RESERVED, 0, plain | 1 << mask.bit_length() - 1)
        last: dict[str, Any] = {"post1_semaphore": config.semaphores + 1, "post1_count": 1}
        for slot in ("wait0", "wait1", "post0"):
            first: dict[str, Any] = {f"{slot}_semaphore": config.semaphores, f"{slot}_count": 1}
            yield bad(f"semaphore of {slot}", Cause.SEMAPHORE, config.semaphores, **first, **last)
        yield bad("semaphore of post1", Cause.SEMAPHORE, config.semaphores + 1, **last)
        yield bad("base behind the end", Cause.SBUF_RANGE, config.sbuf_lines, base=config.sbuf_lines)
        yield from _bad_patterns(config, name, bad)
    # Another operand type than the stationary block's, where there is one.
    other_type, cause = word("MultiplyMoving", dtype=1, stride0=2), Cause.NO_STATIONARY if config.has_float else Cause.MODE
    yield "MultiplyMoving: other operand type", "tensor", other_type, cause, 0


def _bad_patterns(config: ChipConfig, name: str, bad: Callable[..., Bad]) -> Iterator[Bad]:
    """Cases of the instructions that have the fields."""
    fields = {item.name for item in INSTRUCTIONS[name].fields}
    unit, over = {"LoadChannel": 8, "Evict": 4}.get(name, 1), config.sbuf_lines
    if unit > 1:
        yield bad("base unaligned", Cause.ALIGNMENT, 66, base=66)
    if "size0" in fields:
        # One row above the limit; 2**20 + 1 = 17 * 61681.
        size0, size1 = {"LoadStationary": (config.rows + 1, 1), "Load": (61681, 17), "Store": (61681, 17)}.get(
            name, (config.psum_rows + 1, 1)
        )
        yield bad("size 0", Cause.SIZE, 0, size3=0)
        yield bad("product of sizes", Cause.SIZE, 0, size0=size0, size1=size1, stride0=0)
        yield bad("one row behind the end", Cause.SBUF_RANGE, over - 3 * unit, base=over - 3 * unit)
        yield bad("one row below 0", Cause.SBUF_RANGE, 2 * unit, base=2 * unit, stride0=-unit)
    if "mode" in fields:
        yield bad("stride unaligned", Cause.ALIGNMENT, 64, stride1=2)
        for mode in (5, 6, 7):
            yield bad(f"mode {mode}", Cause.MODE, 0, mode=mode)
        yield bad("RAW with bias", Cause.MODE, 0, bias=1)
        yield bad("RAW with ReLU", Cause.MODE, 0, relu=1)
    if "dtype" in fields:
        yield bad("dtype 2", Cause.MODE, 0, dtype=2)
    if "dtype" in fields and config.has_float:
        yield bad("bf16 at an odd line", Cause.ALIGNMENT, 25, dtype=1, base=25, stride0=2)
        yield bad("bf16 with an odd stride", Cause.ALIGNMENT, 24, dtype=1, base=24, stride2=1)
    if "psum_row" in fields:
        row = config.psum_rows - 3
        yield bad("PSUM bank", Cause.PSUM_RANGE, config.psum_banks << 16 | 2, psum_bank=config.psum_banks, psum_row=2)
        yield bad("PSUM row", Cause.PSUM_RANGE, 1 << 16 | row, psum_bank=1, psum_row=row)
    if "dram" in fields:
        yield bad("DRAM unaligned", Cause.ALIGNMENT, 8, base=8, dram=66)
        yield bad("DRAM stride unaligned", Cause.ALIGNMENT, 8, base=8, dram_stride3=2)
        yield bad("one line behind the window", Cause.DRAM_RANGE, DRAM_BYTES - 12, dram=DRAM_BYTES - 12)
        yield bad("one line below the window", Cause.DRAM_RANGE, 8, dram=8, dram_stride0=-4)
