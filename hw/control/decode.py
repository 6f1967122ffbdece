"""Decoding of instruction words from the table of `hw.common.isa`: no bit position is written down anywhere else."""

import re

from amaranth.hdl import Cat, Const, Mux, Value
from amaranth.lib import data

from ..common.isa import ENGINES, Field, Instruction, instructions_of

#: Bits of a `hw.common.isa.Cause` in hardware.
CAUSE_WIDTH = 5

#: Bits of an instruction index and of ADDRESS.
INDEX_WIDTH, ADDRESS_WIDTH = 32, 64


def snake(name: str) -> str:
    """`LoadStationary` as `load_stationary`: the spelling of an instruction in the names of ports."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def channels(engine: str) -> list[str]:
    """The instructions of `engine` in snake case, in table order: the order of its command streams and done pulses.

    Raises
    ------
    ValueError
        if there is no such engine.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    return [snake(item.name) for item in instructions_of(engine)]


def fetched_layout(engine: str) -> data.StructLayout:
    """An instruction as it was fetched. With `error` set, the low `ADDRESS_WIDTH` bits of `word` are the address of the failed fetch, the others undefined."""
    return data.StructLayout({"word": ENGINES[engine].bits, "error": 1})


def checked_layout(engine: str) -> data.StructLayout:
    """An instruction with its verdict, and what `word` says early: its `kind`, one-hot in table order, and which `waits` it has.

    With a `cause` other than NONE, `address` is ADDRESS and `word`, `kind` and `waits` are undefined; else `address` is.
    """
    return data.StructLayout(
        {"word": ENGINES[engine].bits, "cause": CAUSE_WIDTH, "address": ADDRESS_WIDTH, "kind": len(channels(engine)), "waits": 2}
    )


def field_value(word: Value, item: Field) -> Value:
    """The bits of `item` in `word`, signed if the field is."""
    bits = word[item.offset : item.offset + item.width]
    return bits.as_signed() if item.signed else bits


class Decoder:
    """Reads the fields of the instruction word `word` of `engine` (a view: it makes expressions, no hardware of its own)."""

    def __init__(self, engine: str, word: Value) -> None:
        self.instructions: list[Instruction] = list(instructions_of(engine))
        self.word = word

    def is_a(self, instruction: Instruction) -> Value:
        """Whether the opcode is that of `instruction`."""
        return field_value(self.word, instruction.field("opcode")) == instruction.opcode

    def header(self, name: str) -> Value:
        """A field that every instruction has."""
        return field_value(self.word, self.instructions[0].field(name))

    def having(self, name: str) -> list[Instruction]:
        """The instructions that have the field `name`."""
        return [item for item in self.instructions if any(part.name == name for part in item.fields)]

    def has(self, name: str) -> Value:
        """Whether the instruction has the field `name`."""
        return Cat(self.is_a(item) for item in self.having(name)).any()

    def select(self, name: str) -> Value:
        """The field `name` of whichever instruction it is; means nothing where `has(name)` is false.

        One wire slice where all instructions keep the field in one place.
        """
        value: Value | None = None
        places: set[tuple[int, int, bool]] = set()
        for item in self.having(name):
            part = item.field(name)
            place = (part.offset, part.width, part.signed)
            if place in places:
                continue
            places.add(place)
            here = field_value(self.word, part)
            value = here if value is None else Mux(self.is_a(item), here, value)
        return Const(0) if value is None else value
