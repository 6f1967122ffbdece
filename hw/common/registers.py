"""The control and status registers: one table, from which the RTL, driver, docs and SystemRDL export are made.

All registers are 32 bits wide at multiples of 4; a quantity of up to 64 bits takes a `_LO`/`_HI` pair. Counters
saturate at their largest value, they never wrap. The register file is 4 KiB; reads of holes give 0, writes to holes
or to read-only registers are answered OKAY and change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .isa import ENGINES

#: "MESH" in ASCII, little-endian: what register MAGIC reads.
MAGIC = 0x4853454D

#: Bytes of the register space.
SPACE_BYTES = 4096


class Access(Enum):
    """Who may change a register."""

    RO = "ro"
    """The hardware only."""
    RW = "rw"
    """The host only."""
    W1S = "w1s"
    """Writing a 1 triggers an action; reads give 0."""
    W1C = "w1c"
    """The hardware sets bits; the host clears them by writing 1."""


@dataclass(frozen=True, kw_only=True)
class Bits:
    """A named bit field of a register."""

    name: str
    offset: int
    width: int
    doc: str


@dataclass(frozen=True, kw_only=True)
class Register:
    """One 32-bit register."""

    name: str
    address: int
    access: Access
    doc: str
    reset: int = 0
    bits: tuple[Bits, ...] = ()


#: First address and spacing of the per-engine blocks.
ENGINE_BASE, ENGINE_STRIDE = 0x100, 0x40


def _global_registers() -> list[Register]:
    ro, rw = Access.RO, Access.RW
    return [
        Register(name="MAGIC", address=0x000, access=ro, reset=MAGIC, doc='"MESH" in ASCII: a Meshium chip answers here'),
        Register(name="VERSION", address=0x004, access=ro, doc="ARCHITECTURE_VERSION of the hardware"),
        Register(name="CONFIG_HASH", address=0x008, access=ro, doc="ChipConfig.hash: programs are refused when theirs differs"),
        Register(
            name="GEOMETRY", address=0x00C, access=ro, doc="shape of the array",
            bits=(
                Bits(name="rows", offset=0, width=8, doc="R"),
                Bits(name="cols", offset=8, width=8, doc="C"),
                Bits(name="element_bytes", offset=16, width=8, doc="E, bytes of the widest operand"),
                Bits(name="dtypes", offset=24, width=8, doc="one bit per operand type code"),
            ),
        ),
        Register(
            name="CONTROL", address=0x010, access=Access.W1S, doc="doorbell",
            bits=(Bits(name="start", offset=0, width=1, doc="starts the job; ignored while one is running. Clears counters, semaphores and errors first"),),
        ),
        Register(
            name="STATUS", address=0x014, access=ro, doc="what the chip is doing; error is set as soon as one engine halts, done when no engine can go on",
            bits=(
                Bits(name="running", offset=0, width=1, doc="a job has started and not ended"),
                Bits(name="done", offset=1, width=1, doc="the last job has ended, in success or error"),
                Bits(name="error", offset=2, width=1, doc="an engine has halted"),
                Bits(name="stuck", offset=3, width=1, doc="the watchdog ended the job with transfers in flight: starts are ignored until a reset"),
                Bits(name="halted", offset=8, width=4, doc="one bit an engine: stopped by an error"),
                Bits(name="finished", offset=12, width=4, doc="one bit an engine: all instructions completed"),
                Bits(name="waiting", offset=16, width=4, doc="one bit an engine: waiting on a semaphore now"),
            ),
        ),
        Register(
            name="IRQ_ENABLE", address=0x018, access=rw, doc="which causes drive the interrupt pin",
            bits=(Bits(name="done", offset=0, width=1, doc="job ended"), Bits(name="error", offset=1, width=1, doc="an engine halted")),
        ),
        Register(
            name="IRQ_STATUS", address=0x01C, access=Access.W1C, doc="pending interrupt causes",
            bits=(Bits(name="done", offset=0, width=1, doc="job ended"), Bits(name="error", offset=1, width=1, doc="an engine halted")),
        ),
        Register(
            name="ERROR_ENGINE", address=0x020, access=ro, doc="the first engine that halted (the lowest if several did at once)",
            bits=(
                Bits(name="engine", offset=0, width=4, doc="its index"),
                Bits(name="valid", offset=31, width=1, doc="an engine has halted"),
            ),
        ),
        Register(name="DRAM_BASE_LO", address=0x040, access=rw, doc="first byte address the chip may touch, low half"),
        Register(name="DRAM_BASE_HI", address=0x044, access=rw, doc="high half"),
        Register(name="DRAM_SIZE_LO", address=0x048, access=rw, doc="bytes the chip may touch, low half; 0 forbids all"),
        Register(name="DRAM_SIZE_HI", address=0x04C, access=rw, doc="high half"),
        Register(name="WATCHDOG", address=0x050, access=rw, reset=1 << 20, doc="cycles without any progress before the job is halted; 0 disables"),
        Register(name="CYCLES", address=0x054, access=ro, doc="cycles from the doorbell to the end of the job"),
        Register(name="TENSOR_SPAN", address=0x058, access=ro, doc="cycles from the start of the first tensor instruction to the last PSUM write, both included"),
        Register(name="TENSOR_ROWS", address=0x05C, access=ro, doc="moving rows streamed"),
        Register(name="TENSOR_MACS_LO", address=0x060, access=ro, doc="multiply-accumulates asked for: sum over moving rows of k * cols, low half"),
        Register(name="TENSOR_MACS_HI", address=0x064, access=ro, doc="high half"),
        Register(name="SBUF_CONFLICTS", address=0x068, access=ro, doc="SBUF requests that had to wait a cycle for another port of their bank"),
    ]  # fmt: skip


#: Registers of one engine: (name, offset, access, doc).
ENGINE_REGISTERS: tuple[tuple[str, int, Access, str], ...] = (
    ("QUEUE_BASE_LO", 0x00, Access.RW, "byte address of the first instruction, a multiple of the instruction size, low half"),
    ("QUEUE_BASE_HI", 0x04, Access.RW, "high half"),
    ("QUEUE_COUNT", 0x08, Access.RW, "instructions to run"),
    ("RETIRED", 0x0C, Access.RO, "instructions completed"),
    ("CAUSE", 0x10, Access.RO, "why the engine halted (table of causes), 0 if it did not"),
    ("INDEX", 0x14, Access.RO, "instruction it halted at, counted from 0"),
    ("ADDRESS_LO", 0x18, Access.RO, "the offending address or number (table of causes), low half"),
    ("ADDRESS_HI", 0x1C, Access.RO, "high half"),
    ("BUSY", 0x20, Access.RO, "cycles with an instruction executing and moving data"),
    ("STALL_FETCH", 0x24, Access.RO, "cycles idle with instructions left but none fetched and checked"),
    ("STALL_SEMAPHORE", 0x28, Access.RO, "cycles idle, waiting on a semaphore"),
    ("STALL_MEMORY", 0x2C, Access.RO, "cycles executing but stopped by SBUF, PSUM or AXI"),
    (
        "STALL_HAZARD",
        0x30,
        Access.RO,
        "cycles executing but stopped by the engine's own pipeline (stationary not loaded yet, PSUM row in flight)",
    ),
)


def engine_register(engine: str, name: str) -> str:
    """Full name of a per-engine register: `engine_register("load", "CAUSE")` is `LOAD_CAUSE`."""
    return f"{engine.upper()}_{name}"


def _engine_registers() -> list[Register]:
    return [
        Register(
            name=engine_register(engine.name, name),
            address=ENGINE_BASE + ENGINE_STRIDE * engine.index + offset,
            access=access,
            doc=f"{engine.name} engine: {doc}",
        )
        for engine in ENGINES.values()
        for name, offset, access, doc in ENGINE_REGISTERS
    ]


#: Every register by name, in address order.
REGISTERS: dict[str, Register] = {item.name: item for item in _global_registers() + _engine_registers()}
