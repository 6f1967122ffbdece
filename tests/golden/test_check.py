"""The instruction checks: each cause by hand, ranges against enumeration of every address, order of the causes."""

from itertools import product

import numpy as np
import pytest

from hw.common.config import ChipConfig
from hw.common.isa import INSTRUCTIONS, Cause, pack, row_lines
from sim.golden.check import first_cause
from sw.isa.assembler import operation

SMALL = ChipConfig.named("small")
BASE = ChipConfig.named("base")
FLOAT_ONLY = ChipConfig(name="float", rows=4, cols=4, output_lanes=4, dtypes=("bf16",), adder_stages=2, accumulator_stages=2)


def check(
    word: int, engine: str, *, config: ChipConfig = SMALL, base: int = 0, size: int = 4096, stationary: int | None = 0
) -> tuple[Cause, int]:
    return first_cause(word, engine, config, base, size, stationary)


@pytest.mark.parametrize(
    ("name", "fields", "cause", "address"),
    [
        ("MultiplyMoving", {}, Cause.NONE, 0),
        ("MultiplyMoving", {"dtype": 1}, Cause.MODE, 0),
        ("LoadStationary", {"dtype": 3}, Cause.MODE, 0),
        ("Evict", {"mode": 5}, Cause.MODE, 0),
        ("Evict", {"mode": 2}, Cause.MODE, 0),
        ("Evict", {"mode": 4}, Cause.MODE, 0),
        ("Evict", {"mode": 1, "bias": 1}, Cause.MODE, 0),
        ("Evict", {"mode": 1, "relu": 1}, Cause.MODE, 0),
        ("Evict", {"mode": 3, "relu": 1, "bias": 1}, Cause.NONE, 0),
        ("Load", {"ap": [(0, 1, 8)]}, Cause.SIZE, 0),
        ("Load", {"ap": [(1, 1, 8), (1, 1, 8), (1, 1, 8), (0, 1, 8)]}, Cause.SIZE, 0),
        ("Load", {"ap": [(1024, 0, 0), (1024, 0, 0)]}, Cause.NONE, 0),
        ("Load", {"ap": [(1024, 0, 0), (1025, 0, 0)]}, Cause.SIZE, 0),
        ("LoadStationary", {"ap": [(3, 1), (3, 1)]}, Cause.SIZE, 0),
        ("LoadStationary", {"ap": [(8, 1)]}, Cause.NONE, 0),
        ("MultiplyMoving", {"ap": [(64, 1)]}, Cause.NONE, 0),
        ("MultiplyMoving", {"ap": [(65, 1)]}, Cause.SIZE, 0),
        ("Evict", {"mode": 1, "base": 6}, Cause.ALIGNMENT, 6),
        ("Evict", {"mode": 1, "ap": [(1, 2)]}, Cause.ALIGNMENT, 0),
        ("LoadChannel", {"base": 12}, Cause.ALIGNMENT, 12),
        ("Load", {"dram": 4, "base": 9}, Cause.ALIGNMENT, 9),
        ("Store", {"ap": [(1, 1, 4)]}, Cause.ALIGNMENT, 0),
        ("Load", {"base": SMALL.sbuf_lines}, Cause.SBUF_RANGE, SMALL.sbuf_lines),
        ("LoadStationary", {"base": 1, "ap": [(3, -1)]}, Cause.SBUF_RANGE, 1),
        ("LoadStationary", {"base": 2, "ap": [(3, -1)]}, Cause.NONE, 0),
        ("Evict", {"mode": 1, "base": SMALL.sbuf_lines - 4}, Cause.NONE, 0),
        ("LoadChannel", {"base": SMALL.sbuf_lines - 8}, Cause.NONE, 0),
        ("LoadChannel", {"base": SMALL.sbuf_lines}, Cause.SBUF_RANGE, SMALL.sbuf_lines),
        ("MultiplyMoving", {"psum_bank": 8}, Cause.PSUM_RANGE, 8 << 16),
        ("Evict", {"psum_bank": 3, "psum_row": 60, "ap": [(5, 1)]}, Cause.PSUM_RANGE, 3 << 16 | 60),
        ("Evict", {"psum_bank": 7, "psum_row": 59, "ap": [(5, 1)]}, Cause.NONE, 0),
        ("Load", {"dram": 4096}, Cause.DRAM_RANGE, 4096),
        ("Load", {"dram": 4088}, Cause.NONE, 0),
        ("Store", {"dram": 8, "ap": [(3, 0, -8)]}, Cause.DRAM_RANGE, 8),
    ],
)
def test_each_cause(name: str, fields: dict, cause: Cause, address: int) -> None:
    op = operation(name, **fields)
    assert check(op.word, op.engine) == (cause, address)


def test_opcode_reserved_and_stationary() -> None:
    assert check(0x11, "load") == (Cause.ILLEGAL_OPCODE, 0x11)
    assert check(0, "tensor") == (Cause.ILLEGAL_OPCODE, 0)
    word = operation("LoadChannel").word
    assert check(word | 1 << 8, "output") == (Cause.RESERVED, 0)
    moving = operation("MultiplyMoving").word
    assert check(moving, "tensor", stationary=None) == (Cause.NO_STATIONARY, 0)
    assert check(moving, "tensor", config=BASE, stationary=1) == (Cause.NO_STATIONARY, 0)


@pytest.mark.parametrize("slot", ["wait0", "wait1", "post0", "post1"])
def test_semaphores_count_only_where_the_count_is_above_zero(slot: str) -> None:
    few = ChipConfig(name="few", rows=4, cols=4, output_lanes=4, semaphores=4)
    for semaphore, count, expected in ((4, 1, (Cause.SEMAPHORE, 4)), (31, 0, (Cause.NONE, 0)), (3, 9, (Cause.NONE, 0))):
        assert check(operation("LoadChannel", **{slot: (semaphore, count)}).word, "output", config=few) == expected


def test_first_offending_slot_is_named() -> None:
    few = ChipConfig(name="few", rows=4, cols=4, output_lanes=4, semaphores=4)
    word = operation("LoadChannel", wait1=(9, 1), post0=(8, 1), post1=(7, 1)).word
    assert check(word, "output", config=few) == (Cause.SEMAPHORE, 9)


def test_modes_follow_the_types_that_are_built() -> None:
    for config, built in ((SMALL, {0, 1, 3}), (FLOAT_ONLY, {1, 2, 4}), (BASE, {0, 1, 2, 3, 4})):
        legal = {mode for mode in range(8) if check(operation("Evict", mode=mode).word, "output", config=config)[0] is Cause.NONE}
        assert legal == built


def test_window_moves_and_ends_at_the_address_width() -> None:
    word = operation("Load", dram=256).word
    assert check(word, "load", base=256, size=8)[0] is Cause.NONE
    assert check(word, "load", base=264, size=64)[0] is Cause.DRAM_RANGE
    assert check(word, "load", base=0, size=0)[0] is Cause.DRAM_RANGE
    top = operation("Load", dram=(1 << 32) - 8).word
    assert check(top, "load", size=1 << 40)[0] is Cause.NONE
    assert check(operation("Load", dram=1 << 32).word, "load", size=1 << 40)[0] is Cause.DRAM_RANGE


@pytest.mark.parametrize("seed", range(4))
def test_ranges_against_enumeration(seed: int) -> None:
    """Every line of the pattern inside SBUF and DRAM or not, by listing them all."""
    rng = np.random.default_rng(seed)
    config = ChipConfig(name="tiny", rows=4, cols=4, output_lanes=4, sbuf_banks=2, sbuf_bank_lines=16)
    seen = set()
    for _ in range(300):
        sizes = rng.integers(1, 5, 4).tolist()
        strides, dram_strides = rng.integers(-6, 7, 4).tolist(), (4 * rng.integers(-6, 7, 4)).tolist()
        base, dram = int(rng.integers(0, 32)), int(4 * rng.integers(0, 40))
        word = operation("Load", base=base, dram=dram, ap=list(zip(sizes, strides, dram_strides, strict=True))).word
        steps = [tuple(step) for step in product(*map(range, sizes))]
        lines = [base + int(np.dot(step, strides)) for step in steps]
        bytes_ = [dram + int(np.dot(step, dram_strides)) for step in steps]
        if not all(0 <= line < 32 for line in lines):
            expected = (Cause.SBUF_RANGE, base)
        elif not all(32 <= address < 132 for address in bytes_):
            expected = (Cause.DRAM_RANGE, dram)
        else:
            expected = (Cause.NONE, 0)
        seen.add(expected[0])
        assert check(word, "load", config=config, base=32, size=100) == expected, (seed, word)
    assert len(seen) == 3


def test_order_of_the_causes() -> None:
    """A word with every fault; each repair uncovers the next in the order of the table."""
    config = BASE
    fields = {
        "dtype": 3, "wait0_semaphore": 31, "wait0_count": 1, "base": config.sbuf_lines + 1, "psum_bank": 15, "psum_row": 4095,
        **{f"size{dim}": 0 for dim in range(4)}, **{f"stride{dim}": 1 for dim in range(4)},
    }  # fmt: skip
    instruction = INSTRUCTIONS["MultiplyMoving"]
    few = ChipConfig(**{**config.to_dict(), "semaphores": 16})
    repairs: list[tuple[dict, Cause]] = [
        ({}, Cause.MODE), ({"dtype": 1}, Cause.SEMAPHORE), ({"wait0_semaphore": 15}, Cause.SIZE),
        ({f"size{dim}": 1 for dim in range(4)}, Cause.ALIGNMENT),
        ({"base": config.sbuf_lines, **{f"stride{dim}": 0 for dim in range(4)}}, Cause.SBUF_RANGE),
        ({"base": 0}, Cause.PSUM_RANGE), ({"psum_bank": 0, "psum_row": 0}, Cause.NO_STATIONARY),
    ]  # fmt: skip
    for change, expected in repairs:
        fields |= change
        assert row_lines(instruction, fields) == (2 if fields["dtype"] == 1 else 1)
        assert check(pack(instruction, fields), "tensor", config=few)[0] is expected, expected
    assert check(pack(instruction, fields), "tensor", config=few, stationary=1)[0] is Cause.NONE
