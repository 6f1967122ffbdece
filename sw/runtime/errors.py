"""What a device reports when a job did not end well, in words."""

from __future__ import annotations

from hw.common.isa import Cause
from hw.host.protocol import Status

#: What each cause means for the person who reads it, and what to do about it.
REMEDIES: dict[Cause, str] = {
    Cause.ILLEGAL_OPCODE: "the word is no instruction of this engine: the queue is damaged or its count too large; load the program again",
    Cause.RESERVED: "a bit that must be zero is set: the queue is damaged, or was made for a newer architecture; compile the program again",
    Cause.MODE: "this configuration does not build that operand type or output mode: compile for another config or type",
    Cause.SEMAPHORE: "this configuration has fewer semaphores: compile the program for it",
    Cause.SIZE: "sizes must be at least 1 and their product within the limit of the instruction: split it",
    Cause.ALIGNMENT: "SBUF base and strides must be multiples of the lines of a row, DRAM ones of the line size",
    Cause.SBUF_RANGE: "a line is outside SBUF: use smaller tiles or a config with more SBUF",
    Cause.PSUM_RANGE: "a PSUM bank or row does not exist: use fewer rows or banks",
    Cause.DRAM_RANGE: "a byte is outside the DRAM window: give the device more DRAM or correct the address",
    Cause.NO_STATIONARY: "put a LoadStationary of the same operand type before this MultiplyMoving",
    Cause.SEMAPHORE_OVERFLOW: "more was posted than the counter holds: wait for the semaphore more often",
    Cause.FETCH_ERROR: "the queue is misaligned, outside the DRAM window, or DRAM answered with an error",
    Cause.READ_ERROR: "DRAM answered a read with an error: check the address and the memory",
    Cause.WRITE_ERROR: "DRAM answered a write with an error: check the address and the memory",
    Cause.WATCHDOG: "nothing moved for the cycles in WATCHDOG: the memory does not answer, or the limit is too small",
    Cause.DEADLOCK: "every engine waits on a semaphore that nobody posts: correct the waits and posts of the program",
}


class DeviceError(RuntimeError):
    """The device cannot be used as asked: the message names the value, the limit and the remedy."""


class ChipError(DeviceError):
    """An engine halted.

    Members
    -------
    engine : str
    cause : Cause
    index : int
        Instruction it halted at.
    address : int
        The offending address or number (table of causes).
    instruction : str
        That instruction, disassembled.
    """

    def __init__(self, *, engine: str, cause: Cause, index: int, address: int, instruction: str) -> None:
        self.engine = engine
        self.cause = cause
        self.index = index
        self.address = address
        self.instruction = instruction
        super().__init__(
            f"{engine} engine halted at instruction {index} ({instruction}): {cause.name}, address {address:#x}; {REMEDIES.get(cause, 'unknown cause')}"
        )


class JobTimeout(DeviceError):
    """The job did not end within the cycle limit; the message says where each engine stands."""


class LinkError(DeviceError):
    """The link to a board fails: the message says what was sent, what came, and how long that took."""


class AccessError(DeviceError):
    """A board refuses an access, or what is accessed does not answer.

    Members
    -------
    status : Status
        How the request ended (`hw.host.protocol`).
    """

    def __init__(self, message: str, status: Status) -> None:
        self.status = status
        super().__init__(message)
