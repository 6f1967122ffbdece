"""The instruction set: one table, from which the hardware decoder, assembler, golden model and docs are made.

An instruction is a fixed-size little-endian word: `ENGINES[engine].instruction_bytes` bytes. Bit 0 is bit 0 of
byte 0. Every bit that no field of the instruction covers is reserved and must be zero.

Every instruction begins with the same header:

==========  ======  ====================================================================================
bits        field   meaning
==========  ======  ====================================================================================
0..7        opcode  which instruction
8..15       flags   per-instruction fields
16..47      wait0/1 semaphore, count: before it starts, wait until semaphore >= count, then subtract count
48..79      post0/1 semaphore, count: once it has completed, add count to the semaphore
==========  ======  ====================================================================================

A count of 0 means no wait or no post. Both waits are satisfied (and subtracted) in wait0, wait1 order, each on its own.

Access patterns (AP) have four dimensions; dimension 0 is innermost::

    for i3 in range(size3):
      for i2 in range(size2):
        for i1 in range(size1):
          for i0 in range(size0):
            use line  base + i0*stride0 + i1*stride1 + i2*stride2 + i3*stride3

Sizes count from 1, strides are signed, addresses of SBUF are in lines of `cols` bytes, addresses of DRAM in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from .config import ChipConfig


@dataclass(frozen=True, kw_only=True)
class Field:
    """One bit field of an instruction."""

    name: str
    offset: int
    width: int
    doc: str
    signed: bool = False

    @property
    def low(self) -> int:
        """Smallest value that fits."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value that fits."""
        return (1 << (self.width - self.signed)) - 1


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine with an instruction queue of its own."""

    name: str
    index: int
    instruction_bytes: int
    doc: str

    @property
    def bits(self) -> int:
        """Bits of an instruction word."""
        return 8 * self.instruction_bytes


#: The engines, in the order of their index everywhere (CSRs, traces, masks).
ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(name="load", index=0, instruction_bytes=64, doc="DMA from DRAM to SBUF"),
        Engine(name="tensor", index=1, instruction_bytes=32, doc="systolic matmul from SBUF into PSUM"),
        Engine(name="output", index=2, instruction_bytes=32, doc="PSUM to SBUF with bias, ReLU and requantisation"),
        Engine(name="store", index=3, instruction_bytes=64, doc="DMA from SBUF to DRAM"),
    )
}

#: Bits of a semaphore number in a wait or post slot, and of the count beside it.
SEMAPHORE_BITS, COUNT_BITS = 5, 11


def _slot(name: str, offset: int, doc: str) -> tuple[Field, Field]:
    return (
        Field(name=f"{name}_semaphore", offset=offset, width=SEMAPHORE_BITS, doc=f"{doc}: semaphore number"),
        Field(name=f"{name}_count", offset=offset + SEMAPHORE_BITS, width=COUNT_BITS, doc=f"{doc}: count, 0 for none"),
    )


#: Fields that every instruction has.
HEADER: tuple[Field, ...] = (
    Field(name="opcode", offset=0, width=8, doc="which instruction"),
    *_slot("wait0", 16, "first wait"),
    *_slot("wait1", 32, "second wait"),
    *_slot("post0", 48, "first post"),
    *_slot("post1", 64, "second post"),
)

SBUF_BASE_BITS, AP_SIZE_BITS, AP_STRIDE_BITS = 24, 12, 16
DRAM_BASE_BITS, DMA_SIZE_BITS, DRAM_STRIDE_BITS = 48, 16, 32
#: Dimensions of an access pattern.
DIMENSIONS = 4


def _sbuf_pattern(offset: int, doc: str) -> tuple[Field, ...]:
    """24 + 4 * (12 + 16) = 136 bits."""
    result = [Field(name="base", offset=offset, width=SBUF_BASE_BITS, doc=f"{doc}: first line")]
    offset += SBUF_BASE_BITS
    for dim in range(DIMENSIONS):
        result.append(Field(name=f"size{dim}", offset=offset, width=AP_SIZE_BITS, doc=f"{doc}: steps in dimension {dim}, from 1"))
        offset += AP_SIZE_BITS
        result.append(
            Field(name=f"stride{dim}", offset=offset, width=AP_STRIDE_BITS, signed=True, doc=f"{doc}: lines per step in dimension {dim}")
        )
        offset += AP_STRIDE_BITS
    return tuple(result)


def _dma_pattern() -> tuple[Field, ...]:
    result = [
        Field(name="base", offset=80, width=SBUF_BASE_BITS, doc="first SBUF line"),
        Field(name="dram", offset=104, width=DRAM_BASE_BITS, doc="first DRAM byte address, a multiple of the line size"),
    ]
    offset = 152
    for dim in range(DIMENSIONS):
        result += [
            Field(name=f"size{dim}", offset=offset, width=DMA_SIZE_BITS, doc=f"steps in dimension {dim}, from 1"),
            Field(name=f"stride{dim}", offset=offset + 16, width=AP_STRIDE_BITS, signed=True, doc=f"SBUF lines per step in dimension {dim}"),
            Field(
                name=f"dram_stride{dim}", offset=offset + 32, width=DRAM_STRIDE_BITS, signed=True,
                doc=f"DRAM bytes per step in dimension {dim}, a multiple of the line size",
            ),
        ]  # fmt: skip
        offset += 64
    return tuple(result)


_DTYPE = Field(name="dtype", offset=8, width=2, doc="operand type code: 0 int8, 1 bf16")
_PSUM = (
    Field(name="psum_row", offset=216, width=12, doc="first PSUM row in the bank"),
    Field(name="psum_bank", offset=228, width=4, doc="PSUM bank"),
)


class OutputMode(IntEnum):
    """What `Evict` writes."""

    INT8 = 0
    """int32 + bias, ReLU, requantised to one line of int8 a row."""
    RAW = 1
    """The 32-bit words as they are, four lines a row; bias and ReLU must be off."""
    BF16 = 2
    """fp32 + bias, ReLU, rounded to bf16, two lines a row."""
    INT32 = 3
    """int32 + bias, ReLU, four lines a row."""
    FP32 = 4
    """fp32 + bias, ReLU, four lines a row."""


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One row of the instruction table."""

    name: str
    mnemonic: str
    opcode: int
    engine: str
    fields: tuple[Field, ...]
    doc: str

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """Header and own fields by offset."""
        return tuple(sorted(HEADER + self.fields, key=lambda item: item.offset))

    @property
    def reserved_mask(self) -> int:
        """Ones at the bits that must be zero."""
        mask = (1 << ENGINES[self.engine].bits) - 1
        for item in self.all_fields:
            mask &= ~(((1 << item.width) - 1) << item.offset)
        return mask

    def field(self, name: str) -> Field:
        """The field called `name`; KeyError if there is none."""
        for item in self.all_fields:
            if item.name == name:
                return item
        raise KeyError(f"{self.name} has no field {name!r}")


INSTRUCTIONS: dict[str, Instruction] = {
    instruction.name: instruction
    for instruction in (
        Instruction(
            name="Load", mnemonic="load", opcode=0x01, engine="load", fields=_dma_pattern(),
            doc="Copies lines from DRAM to SBUF, in access-pattern order. Completes when the last line is in SBUF.",
        ),
        Instruction(
            name="Store", mnemonic="store", opcode=0x02, engine="store", fields=_dma_pattern(),
            doc="Copies lines from SBUF to DRAM. Completes when DRAM has acknowledged the last burst.",
        ),
        Instruction(
            name="LoadStationary", mnemonic="lds", opcode=0x10, engine="tensor",
            fields=(_DTYPE, *_sbuf_pattern(80, "stationary rows")),
            doc="Loads k rows (the product of the sizes, 1..R) of `cols` elements into the background buffer of the array: row r of the "
            "pattern goes to array row r. The next MultiplyMoving swaps it in. Completes when its last row has been read from SBUF.",
        ),
        Instruction(
            name="MultiplyMoving", mnemonic="mm", opcode=0x11, engine="tensor",
            fields=(
                _DTYPE,
                Field(name="accumulate", offset=10, width=1, doc="1 adds to PSUM, 0 overwrites it"),
                *_sbuf_pattern(80, "moving rows"),
                *_PSUM,
            ),
            doc="Streams M rows (the product of the sizes, 1..psum_rows) through the array and writes or accumulates M PSUM rows from "
            "psum_row on. Uses the newest stationary block; only its k loaded rows take part: PSUM[m] (+)= sum over r < k, in order of r, "
            "of moving[m][r] * stationary[r]. Completes when its last PSUM row has been written.",
        ),
        Instruction(
            name="LoadChannel", mnemonic="ldc", opcode=0x20, engine="output",
            fields=(Field(name="base", offset=80, width=SBUF_BASE_BITS, doc="first of 8 lines: `cols` 32-bit biases, then `cols` scale words"),),
            doc="Loads the per-channel bias (int32 or fp32) and scale (bits 0..15 multiplier, bits 16..21 right shift, 0..47) of the output stage.",
        ),
        Instruction(
            name="Evict", mnemonic="evict", opcode=0x21, engine="output",
            fields=(
                Field(name="mode", offset=8, width=3, doc="output format: 0 int8, 1 raw, 2 bf16, 3 int32, 4 fp32"),
                Field(name="bias", offset=11, width=1, doc="1 adds the per-channel bias"),
                Field(name="relu", offset=12, width=1, doc="1 replaces negative values by zero"),
                *_sbuf_pattern(80, "destination rows"),
                *_PSUM,
            ),
            doc="Moves M rows (the product of the sizes, 1..psum_rows) from PSUM to SBUF through the output stage. Row m goes to the m-th "
            "line address of the pattern and the lines after it (1, 2 or 4 by mode). Completes when its last line is in SBUF.",
        ),
    )
}  # fmt: skip

#: By (engine, opcode).
BY_OPCODE: dict[tuple[str, int], Instruction] = {(i.engine, i.opcode): i for i in INSTRUCTIONS.values()}

#: Lines a row takes in SBUF, by output mode.
OUTPUT_LINES: dict[OutputMode, int] = {
    OutputMode.INT8: 1, OutputMode.RAW: 4, OutputMode.BF16: 2, OutputMode.INT32: 4, OutputMode.FP32: 4,
}  # fmt: skip

#: Largest number of lines one DMA instruction moves (the product of its sizes).
DMA_MAX_LINES = 1 << 20


class Cause(IntEnum):
    """Why an engine halted. Checks are made in this order: the first that fails is the cause."""

    NONE = 0
    ILLEGAL_OPCODE = 1
    """The opcode is not one of this engine's."""
    RESERVED = 2
    """A reserved bit is set."""
    MODE = 3
    """An operand type or output mode that this configuration does not build, or RAW with bias or ReLU."""
    SEMAPHORE = 4
    """A wait or post with a count above 0 names a semaphore this configuration does not have."""
    SIZE = 5
    """A size of zero, or a product of sizes above the instruction's limit."""
    ALIGNMENT = 6
    """An SBUF base or stride that is not a multiple of the lines of a row, or a DRAM one not of the line size."""
    SBUF_RANGE = 7
    """A line outside SBUF."""
    PSUM_RANGE = 8
    """A PSUM bank or row that does not exist."""
    DRAM_RANGE = 9
    """A byte outside the DRAM window of the CSRs."""
    NO_STATIONARY = 10
    """MultiplyMoving before any LoadStationary since the job began, or with another operand type than it."""
    SEMAPHORE_OVERFLOW = 11
    """A post would carry a semaphore beyond its width."""
    FETCH_ERROR = 12
    """AXI answered an instruction fetch with an error."""
    READ_ERROR = 13
    """AXI answered a DMA read with an error."""
    WRITE_ERROR = 14
    """AXI answered a DMA write with an error."""
    WATCHDOG = 15
    """Nothing moved for the number of cycles in the watchdog CSR."""
    DEADLOCK = 16
    """Every engine that has instructions left waits on a semaphore, so none can ever go on."""


def pack(instruction: Instruction, values: dict[str, int]) -> int:
    """The instruction word of `values` (missing fields are 0).

    Raises
    ------
    ValueError
        naming the field, the value and its limits.
    """
    word = instruction.opcode
    known = {item.name: item for item in instruction.all_fields}
    for name, value in values.items():
        if name == "opcode":
            raise ValueError(f"{instruction.name}: opcode follows from the instruction and cannot be set")
        item = known.get(name)
        if item is None:
            raise ValueError(f"{instruction.name} has no field {name!r}; it has {', '.join(key for key in known if key != 'opcode')}")
        if not item.low <= value <= item.high:
            raise ValueError(f"{instruction.name}.{name} must be {item.low} to {item.high}, not {value!r}")
        word |= (int(value) & ((1 << item.width) - 1)) << item.offset
    return word


def unpack(instruction: Instruction, word: int) -> dict[str, int]:
    """Field values of `word` by name, header included."""
    result = {}
    for item in instruction.all_fields:
        value = (word >> item.offset) & ((1 << item.width) - 1)
        if item.signed and value >> (item.width - 1):
            value -= 1 << item.width
        result[item.name] = value
    return result


def row_lines(instruction: Instruction, values: dict[str, int]) -> int:
    """SBUF lines that one step of the access pattern covers; base and strides must be multiples of it.

    1 or 2 for operands and DMA, 1, 2 or 4 for `Evict` (an unknown mode counts as 1), 8 for `LoadChannel`.
    """
    if instruction.name == "LoadChannel":
        return 8
    if instruction.name in ("LoadStationary", "MultiplyMoving"):
        return 2 if values["dtype"] == 1 else 1
    if instruction.name == "Evict":
        return {2: 2, 1: 4, 3: 4, 4: 4}.get(values["mode"], 1)
    return 1


def rows_limit(instruction: Instruction, config: ChipConfig) -> int:
    """Largest allowed product of the sizes."""
    if instruction.name == "LoadStationary":
        return config.rows
    if instruction.engine in ("load", "store"):
        return DMA_MAX_LINES
    return config.psum_rows


def instructions_of(engine: str) -> Iterable[Instruction]:
    """The instructions of one engine, in table order."""
    return (item for item in INSTRUCTIONS.values() if item.engine == engine)
