"""Cycles the compact chip takes for an instruction beside those its data move: `python -m scripts.compact_cycles`.

A queue of `REPEATS` equal instructions is run on the Verilated chip, and one of twice as many; the difference is theirs alone.
"""

from __future__ import annotations

import json
import sys

from hw.common.config import CONFIGS
from hw.common.isa import ENGINES, INSTRUCTIONS, pack
from hw.common.registers import REGISTERS, engine_register
from sim.verilated.chip import VerilatedChip
from sim.verilated.dram import DramModel

from .markdown import table

REPEATS = 8
#: Cycles the memory takes to answer.
LATENCY = 1
_DRAM_BYTES, _QUEUES = 1 << 16, {engine: (4 + item.index) << 12 for engine, item in ENGINES.items()}
_ONES = {f"size{dim}": 1 for dim in range(4)}
_ROWS = {**_ONES, "size0": 16, "stride0": 1}

#: Instructions by what the table says of them.
CASES: dict[str, tuple[str, dict[str, int]]] = {
    "Load, one line": ("Load", _ONES),
    "Load, 4 x 4 lines": ("Load", {**_ONES, "size0": 4, "stride0": 1, "dram_stride0": 4, "size1": 4, "stride1": 16, "dram_stride1": 64}),
    "Store, one line": ("Store", _ONES),
    "LoadStationary, 4 rows": ("LoadStationary", {**_ONES, "size0": 4, "stride0": 1}),
    "MultiplyMoving, 16 rows": ("MultiplyMoving", _ROWS),
    "MultiplyMoving, 16 rows, a wait and a post": (
        "MultiplyMoving",
        {**_ROWS, "wait0_semaphore": 1, "wait0_count": 1, "post0_semaphore": 1, "post0_count": 1},
    ),
    "LoadChannel": ("LoadChannel", {}),
    "Evict, INT8, 16 rows": ("Evict", _ROWS),
}


def _run(chip: VerilatedChip, name: str, values: dict[str, int], repeats: int) -> tuple[int, int]:
    """Cycles and busy cycles of a job."""
    engine = INSTRUCTIONS[name].engine
    # What the waits take, and the block that is multiplied by.
    first = [pack(INSTRUCTIONS["LoadStationary"], {**_ONES, "post0_semaphore": 1, "post0_count": 1})] if engine == "tensor" else []
    words = [*first, *[pack(INSTRUCTIONS[name], values)] * repeats]
    chip.write_memory(_QUEUES[engine], b"".join(word.to_bytes(ENGINES[engine].instruction_bytes, "little") for word in words))
    registers = {"DRAM_SIZE_LO": _DRAM_BYTES, "IRQ_ENABLE": 1, "IRQ_STATUS": 3}
    for other in ENGINES:
        registers[engine_register(other, "QUEUE_BASE_LO")] = _QUEUES[other]
        registers[engine_register(other, "QUEUE_COUNT")] = len(words) if other == engine else 0
    for register, value in {**registers, "CONTROL": 1}.items():
        chip.write_register(REGISTERS[register].address, value)
    chip.wait_interrupt(1_000_000)
    names = ("STATUS", "CYCLES", engine_register(engine, "BUSY"))
    status, cycles, busy = (chip.read_register(REGISTERS[item].address) for item in names)
    if status != 0b10 | 0xF << 12:
        raise RuntimeError(f"job of {name} must end without an error, not with STATUS {status:#x}")
    return cycles, busy


def measure() -> dict[str, dict[str, float]]:
    """Of each case: cycles an instruction, and how many of them its engine was busy."""
    result = {}
    with VerilatedChip(CONFIGS["nano"], dram_bytes=_DRAM_BYTES, dram=DramModel(latency=LATENCY)) as chip:
        for label, (name, values) in CASES.items():
            few, many = (_run(chip, name, values, repeats) for repeats in (REPEATS, 2 * REPEATS))
            cycles, busy = ((after - before) / REPEATS for before, after in zip(few, many, strict=True))
            result[label] = {"cycles": round(cycles, 1), "busy": round(busy, 1)}
    return result


def main() -> int:
    """The table on standard error, JSON on standard output."""
    found = measure()
    print(
        table(
            ("instruction", "cycles", "of them busy"), [(name, f"{row['cycles']:.0f}", f"{row['busy']:.0f}") for name, row in found.items()]
        ),
        file=sys.stderr,
    )
    print(json.dumps({"config": "nano", "latency": LATENCY, "instructions": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
