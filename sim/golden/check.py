"""The checks an instruction passes before it starts, in the order of `Cause`: the model of the hardware checker."""

from __future__ import annotations

from math import prod

from hw.common.config import ChipConfig
from hw.common.dtypes import DTYPES
from hw.common.isa import BY_OPCODE, DIMENSIONS, OUTPUT_LINES, Cause, Instruction, OutputMode, row_lines, rows_limit, unpack

_SLOTS = ("wait0", "wait1", "post0", "post1")


def pattern_extent(base: int, sizes: list[int], strides: list[int]) -> tuple[int, int]:
    """Lowest and highest address of an access pattern with sizes above 0."""
    steps = [(size - 1) * stride for size, stride in zip(sizes, strides, strict=True)]
    return base + sum(step for step in steps if step < 0), base + sum(step for step in steps if step > 0)


def first_cause(
    word: int, engine: str, config: ChipConfig, dram_base: int, dram_size: int, stationary_dtype: int | None
) -> tuple[Cause, int]:
    """The first check that `word` fails on `engine`, and what ADDRESS then shows; (NONE, 0) for a legal instruction.

    Parameters
    ----------
    word : int
        Instruction word.
    engine : str
    config : ChipConfig
    dram_base, dram_size : int
        The window of the CSRs, in bytes.
    stationary_dtype : int or None
        Operand type code of the newest LoadStationary before it in the queue; None if there is none.
    """
    instruction = BY_OPCODE.get((engine, word & 0xFF))
    if instruction is None:
        return Cause.ILLEGAL_OPCODE, word & 0xFF
    if word & instruction.reserved_mask:
        return Cause.RESERVED, 0
    values = unpack(instruction, word)
    if not _mode_built(instruction, values, config):
        return Cause.MODE, 0
    for slot in _SLOTS:
        if values[f"{slot}_count"] and values[f"{slot}_semaphore"] >= config.semaphores:
            return Cause.SEMAPHORE, values[f"{slot}_semaphore"]
    has_pattern = "size0" in values
    sizes = [values[f"size{dim}"] for dim in range(DIMENSIONS)] if has_pattern else [1]
    strides = [values[f"stride{dim}"] for dim in range(DIMENSIONS)] if has_pattern else [0]
    if not 1 <= prod(sizes) <= (rows_limit(instruction, config) if has_pattern else 1):
        return Cause.SIZE, 0
    lines = row_lines(instruction, values)
    has_dram = "dram" in values
    dram_strides = [values[f"dram_stride{dim}"] for dim in range(DIMENSIONS)] if has_dram else []
    if any(value % lines for value in (values["base"], *strides)):
        return Cause.ALIGNMENT, values["base"]
    if has_dram and any(value % config.line_bytes for value in (values["dram"], *dram_strides)):
        return Cause.ALIGNMENT, values["base"]
    low, high = pattern_extent(values["base"], sizes, strides)
    if low < 0 or high + lines > config.sbuf_lines:
        return Cause.SBUF_RANGE, values["base"]
    if "psum_bank" in values and (values["psum_bank"] >= config.psum_banks or values["psum_row"] + prod(sizes) > config.psum_rows):
        return Cause.PSUM_RANGE, values["psum_bank"] << 16 | values["psum_row"]
    if has_dram:
        low, high = pattern_extent(values["dram"], sizes, dram_strides)
        end = min(dram_base + dram_size, 1 << config.axi_address_width)
        if low < dram_base or high + config.line_bytes > end:
            return Cause.DRAM_RANGE, values["dram"]
    if instruction.name == "MultiplyMoving" and values["dtype"] != stationary_dtype:
        return Cause.NO_STATIONARY, 0
    return Cause.NONE, 0


def _mode_built(instruction: Instruction, values: dict[str, int], config: ChipConfig) -> bool:
    """Whether `config` builds the operand type or output mode asked for."""
    if "dtype" in values:
        return values["dtype"] in {DTYPES[name].code for name in config.dtypes}
    if instruction.name != "Evict":
        return True
    if values["mode"] not in {int(mode) for mode in OUTPUT_LINES}:
        return False
    mode = OutputMode(values["mode"])
    if mode is OutputMode.RAW:
        return not (values["bias"] or values["relu"])
    return config.has_int if mode in (OutputMode.INT8, OutputMode.INT32) else config.has_float
