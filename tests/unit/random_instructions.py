"""Random instructions for tests: legal ones, ones just over an edge, and corrupt ones."""

from math import prod

from hw.common.config import ChipConfig
from hw.common.dtypes import DTYPES
from hw.common.isa import COUNT_BITS, DIMENSIONS, ENGINES, OutputMode, instructions_of, pack, row_lines, rows_limit


def legal_values(rng, instruction, config: ChipConfig, window: tuple[int, int]) -> dict[str, int]:
    """Fields of an instruction that passes every check, often touching the very first or last line allowed."""
    values = {}
    names = {item.name for item in instruction.fields}
    for slot in ("wait0", "wait1", "post0", "post1"):
        values[f"{slot}_semaphore"] = int(rng.integers(config.semaphores))
        values[f"{slot}_count"] = int(rng.integers(1 << COUNT_BITS)) if rng.random() < 0.5 else 0
    if "dtype" in names:
        values["dtype"] = DTYPES[str(rng.choice(config.dtypes))].code
    if "accumulate" in names:
        values["accumulate"] = int(rng.integers(2))
    if "mode" in names:
        modes = (
            [OutputMode.RAW] + [OutputMode.INT8, OutputMode.INT32] * config.has_int + [OutputMode.BF16, OutputMode.FP32] * config.has_float
        )
        values["mode"] = int(rng.choice(modes))
        if values["mode"] != OutputMode.RAW:
            values |= {"bias": int(rng.integers(2)), "relu": int(rng.integers(2))}
    lines = row_lines(instruction, values)
    sizes = [1] * DIMENSIONS
    if "size0" in names:
        for dim in rng.permutation(DIMENSIONS):
            room = rows_limit(instruction, config) // prod(sizes)
            field = instruction.field(f"size{dim}")
            top = min(room, field.high)
            sizes[dim] = int(rng.choice([1, top, rng.integers(1, top + 1), rng.integers(1, min(top, 8) + 1)]))
        values |= {f"size{dim}": sizes[dim] for dim in range(DIMENSIONS)}
        values |= _pattern(rng, values, sizes, "base", "stride", lines, 0, config.sbuf_lines, 1 << 15)
    else:
        values["base"] = int(rng.integers((config.sbuf_lines - lines) // lines + 1)) * lines
    if "dram" in names:
        unit = config.line_bytes
        low, high = window[0], min(window[0] + window[1], 1 << config.axi_address_width)
        values |= _pattern(rng, values, sizes, "dram", "dram_stride", unit, -(-low // unit) * unit, high // unit * unit, 1 << 31)
    if "psum_row" in names:
        rows = prod(sizes)
        values["psum_bank"] = int(rng.integers(config.psum_banks))
        values["psum_row"] = int(rng.choice([0, config.psum_rows - rows, rng.integers(config.psum_rows - rows + 1)]))
    return values


def _pattern(rng, values, sizes, base, stride, unit, low, high, stride_limit):
    """Strides in units of `unit` and a base, such that the pattern stays in [low, high)."""
    steps = (high - low) // unit - 1
    result, reach = {}, [0, 0]
    for dim, size in enumerate(sizes):
        left = steps - (reach[1] - reach[0])
        top = min(left // max(size - 1, 1), stride_limit // unit - 1)
        step = int(rng.choice([0, 1 if top else 0, top, rng.integers(0, top + 1)])) * int(rng.choice([-1, 1]))
        result[f"{stride}{dim}"] = step * unit
        reach[step > 0] += (size - 1) * step
    first, last = -reach[0], steps - reach[1]
    result[base] = low + int(rng.choice([first, last, rng.integers(first, last + 1)])) * unit
    return result


def random_word(rng, engine: str, config: ChipConfig, window: tuple[int, int]) -> int:
    """An instruction word: legal, over an edge by one step, with a field at an extreme, with bits flipped, or noise."""
    instruction = rng.choice(list(instructions_of(engine)))
    values = legal_values(rng, instruction, config, window)
    word = pack(instruction, values)
    kind = rng.integers(10)
    field = rng.choice(list(instruction.all_fields))
    mask = (1 << field.width) - 1
    if kind < 4:
        return word
    if kind < 6:
        step = int(rng.choice([1, -1, 2, -2, 4, -4, 8, -8, config.line_bytes, -config.line_bytes]))
        return word & ~(mask << field.offset) | (((word >> field.offset) + step) & mask) << field.offset
    if kind < 8:
        extreme = int(rng.choice([0, 1, 1 << (field.width - 1), mask >> 1, mask]))
        return word & ~(mask << field.offset) | extreme << field.offset
    if kind < 9:
        for _ in range(int(rng.integers(1, 4))):
            word ^= 1 << int(rng.integers(ENGINES[engine].bits))
        return word
    return int.from_bytes(rng.bytes(ENGINES[engine].instruction_bytes - 1), "little") << 8 | instruction.opcode
