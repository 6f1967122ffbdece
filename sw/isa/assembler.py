"""Assembler and disassembler, made from the instruction table of `hw.common.isa`.

One instruction a line: a mnemonic, then `key=value` operands in any order; `#` starts a comment. Fields that are not
written are 0, dimensions that are not written have size 1 and stride 0::

    load  base=0 dram=0x1000 ap=64:1:16,8:64:256 post0=3:1     # ap = size:sbuf stride:dram stride, dimension 0 first
    lds   dtype=int8 base=512 ap=16:8 wait0=3:1                # ap = size:stride
    mm    dtype=int8 accumulate=1 base=0 ap=128:8 psum_bank=2 post0=4:1
    evict mode=raw base=1024 ap=128:4 psum_bank=2 wait0=4:1    # waits and posts = semaphore:count
    .word load 0x...                                           # any word at all, legal or not

The text of a word assembles to exactly that word again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hw.common.dtypes import DTYPES
from hw.common.isa import BY_OPCODE, DIMENSIONS, ENGINES, INSTRUCTIONS, Instruction, OutputMode, pack, unpack

_SLOTS = ("wait0", "wait1", "post0", "post1")
_BY_MNEMONIC = {item.mnemonic: item for item in INSTRUCTIONS.values()}
_NAMES = {
    "dtype": {item.name: item.code for item in DTYPES.values()},
    "mode": {mode.name.lower(): int(mode) for mode in OutputMode},
}


class AssemblyError(ValueError):
    """Text that is not an instruction, or a field outside its limits: the message names line, field, value and limits."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One instruction of one engine, as the word that the chip reads."""

    engine: str
    word: int

    @property
    def instruction(self) -> Instruction | None:
        """Its row of the instruction table; None if no legal instruction of the engine has this opcode."""
        return BY_OPCODE.get((self.engine, self.word & 0xFF))

    @property
    def values(self) -> dict[str, int]:
        """Its fields by name, opcode included; empty if the opcode is illegal."""
        instruction = self.instruction
        return {} if instruction is None else unpack(instruction, self.word)

    def to_bytes(self) -> bytes:
        """The bytes as they lie in a queue."""
        return self.word.to_bytes(ENGINES[self.engine].instruction_bytes, "little")

    def __str__(self) -> str:
        return format_word(self.engine, self.word)


def strides_of(instruction: Instruction) -> tuple[str, ...]:
    """Names of the strides that follow each size in an access pattern of `instruction`; empty if it has no pattern."""
    names = {item.name for item in instruction.fields}
    if "size0" not in names:
        return ()
    return ("stride", "dram_stride") if "dram_stride0" in names else ("stride",)


def operation(name: str, /, *, ap: Sequence[Sequence[int]] = (), **fields: int | tuple[int, int]) -> Operation:
    """The operation `name` (of the instruction table) with the given fields.

    Parameters
    ----------
    name : str
        `Load`, `Store`, `LoadStationary`, `MultiplyMoving`, `LoadChannel` or `Evict`.
    ap : sequence of (size, stride) or, for Load and Store, (size, stride, dram_stride)
        Up to four dimensions, innermost first; those left out have size 1.
    fields
        Further fields by name; `wait0`, `wait1`, `post0`, `post1` take (semaphore, count).

    Raises
    ------
    AssemblyError
        naming the field, the value and its limits.
    """
    instruction = INSTRUCTIONS[name]
    values: dict[str, int] = {}
    strides = strides_of(instruction)
    if len(ap) > (DIMENSIONS if strides else 0):
        raise AssemblyError(f"{name}: ap must have at most {DIMENSIONS if strides else 0} dimensions, not {len(ap)}")
    for dim in range(DIMENSIONS if strides else 0):
        steps = tuple(ap[dim]) if dim < len(ap) else (1,) + (0,) * len(strides)
        if len(steps) != 1 + len(strides):
            raise AssemblyError(f"{name}: dimension {dim} of ap must be size:{':'.join(strides)}, not {':'.join(map(str, steps))}")
        values |= {f"{key}{dim}": value for key, value in zip(("size", *strides), steps, strict=True)}
    for key, value in fields.items():
        if isinstance(value, tuple):
            if key not in _SLOTS:
                raise AssemblyError(f"{name}: {key} must be one number, not {value!r}")
            values |= {f"{key}_semaphore": value[0], f"{key}_count": value[1]}
        else:
            values[key] = value
    try:
        return Operation(engine=instruction.engine, word=pack(instruction, values))
    except ValueError as error:
        raise AssemblyError(str(error)) from None


def format_word(engine: str, word: int) -> str:
    """The text of one instruction word; `.word` where it is not a legal encoding."""
    instruction = BY_OPCODE.get((engine, word & 0xFF))
    if instruction is None or word & instruction.reserved_mask:
        return f".word {engine} {word:#x}"
    values = unpack(instruction, word)
    strides = strides_of(instruction)
    parts = []
    for item in instruction.fields:
        if item.name in _NAMES:
            names = {code: name for name, code in _NAMES[item.name].items()}
            parts.append(f"{item.name}={names.get(values[item.name], values[item.name])}")
        elif not item.name.startswith(("size", "stride", "dram_stride")) and (values[item.name] or item.name == "base"):
            text = f"{values[item.name]:#x}" if item.name == "dram" else f"{values[item.name]}"
            parts.append(f"{item.name}={text}")
    if strides:
        dimensions = [tuple(values[f"{key}{dim}"] for key in ("size", *strides)) for dim in range(DIMENSIONS)]
        while dimensions and dimensions[-1] == (1,) + (0,) * len(strides):
            dimensions.pop()
        if dimensions:
            parts.append("ap=" + ",".join(":".join(map(str, steps)) for steps in dimensions))
    for slot in _SLOTS:
        semaphore, count = values[f"{slot}_semaphore"], values[f"{slot}_count"]
        if semaphore or count:
            parts.append(f"{slot}={semaphore}:{count}")
    return " ".join([f"{instruction.mnemonic:5}", *parts]).rstrip()


def parse_line(text: str) -> Operation:
    """The operation of one line of text (no comment, not empty).

    Raises
    ------
    AssemblyError
        naming what is wrong, the value and what is allowed.
    """
    mnemonic, *operands = text.split()
    if mnemonic == ".word":
        return _parse_raw(operands)
    instruction = _BY_MNEMONIC.get(mnemonic)
    if instruction is None:
        raise AssemblyError(f"mnemonic must be one of {', '.join(_BY_MNEMONIC)} or .word, not {mnemonic!r}")
    fields: dict[str, int | tuple[int, int]] = {}
    ap: list[list[int]] = []
    for operand in operands:
        key, equals, value = operand.partition("=")
        if not equals or not value:
            raise AssemblyError(f"{mnemonic}: operand must be key=value, not {operand!r}")
        if key in fields or (key == "ap" and ap):
            raise AssemblyError(f"{mnemonic}: {key} must be given once, not again as {operand!r}")
        if key == "ap":
            ap = [[_number(part, key) for part in steps.split(":")] for steps in value.split(",")]
        elif key in _SLOTS:
            pair = [_number(part, key) for part in value.split(":")]
            if len(pair) != 2:
                raise AssemblyError(f"{mnemonic}: {key} must be semaphore:count, not {value!r}")
            fields[key] = (pair[0], pair[1])
        else:
            fields[key] = _NAMES.get(key, {}).get(value.lower(), -1)
            if fields[key] == -1:
                fields[key] = _number(value, key)
    return operation(instruction.name, ap=ap, **fields)


def _parse_raw(operands: list[str]) -> Operation:
    if len(operands) != 2 or operands[0] not in ENGINES:
        raise AssemblyError(f".word must have an engine ({', '.join(ENGINES)}) and a number, not {' '.join(operands)!r}")
    word = _number(operands[1], "word")
    if not 0 <= word < 1 << ENGINES[operands[0]].bits:
        raise AssemblyError(f"word must fit {ENGINES[operands[0]].bits} bits of {operands[0]}, not {operands[1]}")
    return Operation(engine=operands[0], word=word)


def _number(text: str, key: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        names = f" or one of {', '.join(_NAMES[key])}" if key in _NAMES else ""
        raise AssemblyError(f"{key} must be a number{names}, not {text!r}") from None


def assemble(text: str) -> dict[str, list[int]]:
    """Queues of words by engine from a whole text; every mnemonic belongs to one engine, so the lines may be mixed.

    Raises
    ------
    AssemblyError
        as `parse_line`, with the line number in front.
    """
    queues: dict[str, list[int]] = {engine: [] for engine in ENGINES}
    for number, line in enumerate(text.splitlines(), start=1):
        code = line.partition("#")[0].strip()
        if not code:
            continue
        try:
            parsed = parse_line(code)
        except AssemblyError as error:
            raise AssemblyError(f"line {number}: {error}") from None
        queues[parsed.engine].append(parsed.word)
    return queues


def disassemble(queues: dict[str, Iterable[int]]) -> str:
    """Text of all queues, engine by engine, each instruction with its index; `assemble` gives the queues again."""
    lines = []
    for engine, words in queues.items():
        lines.append(f"# {engine}")
        lines += [f"{format_word(engine, word)}  # {index}" for index, word in enumerate(words)]
    return "\n".join(lines) + "\n"
