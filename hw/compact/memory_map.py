"""What lies where in the data memory of the compact processor: 256 words of 32 bits."""

from __future__ import annotations

from ..common.isa import ENGINES
from ..common.registers import ENGINE_STRIDE, REGISTERS, engine_register
from .assembler import Cell

#: The register space lies at the bottom, word for word. Its hole at these words holds the semaphores, which the host does not see.
SEMAPHORES = 32
#: Words of the register space.
REGISTER_WORDS = 128
#: Words from one engine's registers to the next one's: X of engine e is `ENGINE_STEP * e`.
ENGINE_STEP = ENGINE_STRIDE // 4
#: First instruction buffer; each engine has one of `ENGINE_STEP` words.
BUFFERS = 128
#: First of what the firmware remembers of an engine, `ENGINE_STEP` words apart.
PRIVATE = 192

#: Of PRIVATE: address of the current instruction; instructions left; state; when the engine began to wait; on which semaphore; 1 << index;
#: bytes of an instruction.
PRIVATE_WORDS = ("pointer", "left", "state", "since", "semaphore", "bit", "bytes")

#: States of an engine: its next instruction is not fetched; it waits on its first or second semaphore; it has halted.
FETCH, WAIT0, WAIT1, HALTED = 0, 1, 2, 1 << 31


def register(name: str) -> Cell:
    """A register of the whole chip."""
    return Cell(REGISTERS[name].address // 4)


def engine(name: str) -> Cell:
    """A register of the engine that X names."""
    first = engine_register(next(iter(ENGINES)), name)
    return Cell(REGISTERS[first].address // 4, indexed=True)


def private(name: str) -> Cell:
    """What the firmware remembers of the engine that X names."""
    return Cell(PRIVATE + PRIVATE_WORDS.index(name), indexed=True)


def is_hole(word: int) -> bool:
    """Whether the host reads 0 there, whatever the data memory holds: semaphores, and the last three words of every 16."""
    return word // SEMAPHORES == 1 or word % 16 > 12


def spare() -> list[int]:
    """Words for variables and constants: behind the short instructions and what is remembered of each engine, then in the holes."""
    result: list[int] = []
    for item in ENGINES.values():
        step = ENGINE_STEP * item.index
        result += range(BUFFERS + step + item.instruction_bytes // 4, BUFFERS + step + ENGINE_STEP)
        result += range(PRIVATE + step + len(PRIVATE_WORDS), PRIVATE + step + ENGINE_STEP)
    holes = [word for word in range(REGISTER_WORDS) if is_hole(word) and word // SEMAPHORES != 1]
    return sorted(result) + holes
