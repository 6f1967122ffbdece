"""Rungs of the chip's registers and of its interrupt."""

from __future__ import annotations

from typing import Any

from hw.common.isa import ENGINES
from hw.common.registers import REGISTERS, Access
from hw.host.protocol import WORD_BYTES, Space

from .compare import bits_of, listed
from .session import Fault, Session

#: Bits of IRQ_STATUS and IRQ_ENABLE.
DONE, ERROR = 1, 2
#: Words that tell every bit of a register from every other (each pair differs in one of them), and from 0 and 1.
COUNTING = (0xFFFFFFFF, 0, 0x55555555, 0xAAAAAAAA, 0x33333333, 0x0F0F0F0F, 0x00FF00FF, 0x0000FFFF)
#: And, where the link is fast, walking ones and zeros.
WALKING = tuple(1 << bit for bit in range(32)) + tuple(0xFFFFFFFF ^ 1 << bit for bit in range(32))


def registers(session: Session) -> dict[str, Any]:
    """Every register against a golden chip, which gets the same writes: after reset, with patterns in all, and with a number of its own in each."""
    device, golden = session.device, session.golden()
    device.transport.reset()
    _same(session, golden, "after reset")
    kept = [name for name, register in REGISTERS.items() if register.access is Access.RW]
    others = [name for name in REGISTERS if name not in kept]
    patterns = COUNTING if session.slow else COUNTING + WALKING
    for pattern in patterns:
        for name in kept:
            _write(session, golden, name, pattern)
        _same(session, golden, f"after {pattern:#010x} was written to all that keep what is written")
    for number, name in enumerate(kept):
        _write(session, golden, name, 0x01010101 * (number + 1))
    _same(session, golden, "after a number of its own was written to each that keeps it")
    for name in others:
        register = REGISTERS[name]
        # No action is triggered: ones only in the bits that do nothing.
        actions = sum(1 << item.offset for item in register.bits) if register.access is Access.W1S else 0
        _write(session, golden, name, 0xFFFFFFFF ^ actions)
    _same(session, golden, "after 0xffffffff was written to all that must not keep it")
    device.transport.reset()
    golden.reset()
    _same(session, golden, "after reset")
    return {"registers": len(REGISTERS), "writes": len(kept) * (len(patterns) + 1) + len(others)}


def _write(session: Session, golden: Any, name: str, value: int) -> None:
    session.write_register(name, value)
    golden.write_register(REGISTERS[name].address, value)


def _same(session: Session, golden: Any, when: str) -> None:
    """All registers of device and golden chip."""
    if session.is_board:
        # Holes too: they read 0, and bursts are quicker than single reads.
        words = max(register.address for register in REGISTERS.values()) // WORD_BYTES + 1
        found = session.link.read(Space.CSR, 0, words).tolist()
        values = {name: found[register.address // WORD_BYTES] for name, register in REGISTERS.items()}
        used = {register.address // WORD_BYTES for register in REGISTERS.values()}
        hole = next((index for index in range(words) if index not in used and found[index]), None)
        if hole is not None:
            raise Fault(f"register address {WORD_BYTES * hole:#x}, where nothing is, reads {found[hole]:#010x} instead of 0 {when}")
    else:
        values = {name: session.device.register(name) for name in REGISTERS}
    for name, value in values.items():
        _compare(name, value, golden.read_register(REGISTERS[name].address), when)


def _compare(name: str, found: int, expected: int, when: str) -> None:
    if found == expected:
        return
    wrong = found ^ expected
    missing = [bit for bit in bits_of(wrong) if expected >> bit & 1]
    text = " and ".join(
        f"bit{'s' * (len(bits) > 1)} {listed(bits)} read{'s' * (len(bits) == 1)} {value}"
        for bits, value in ((missing, 0), ([bit for bit in bits_of(wrong) if bit not in missing], 1))
        if bits
    )
    raise Fault(f"register {name} reads {found:#010x} instead of {expected:#010x} {when}: {text}")


def interrupt(session: Session) -> dict[str, Any]:
    """A job that ends and one that fails, with either cause enabled, disabled, enabled late and cleared."""
    device = session.device
    device.transport.reset()
    _pin(session, False, "after reset")
    program = session.program(f"load base=0 dram=0 ap=1:1:{session.config.line_bytes}")
    bad = session.program(".word load 0xff")
    jobs = 0
    for job, causes in ((program, DONE), (bad, DONE | ERROR)):
        device.load(job)
        for enable in range(4):
            session.write_register("IRQ_STATUS", DONE | ERROR)
            session.write_register("IRQ_ENABLE", enable)
            _pin(session, False, "before the job")
            session.write_register("CONTROL", 1)
            jobs += 1
            session.wait(lambda: not device.register("STATUS") & 1, lambda: "a job of one instruction has not ended", seconds=10)
            _causes(session, causes)
            _pin(session, bool(causes & enable), f"with IRQ_STATUS {causes} and IRQ_ENABLE {enable}")
            for late in (DONE, ERROR, 0):
                session.write_register("IRQ_ENABLE", late)
                _pin(session, bool(causes & late), f"with IRQ_STATUS {causes} after IRQ_ENABLE was set to {late}")
            session.write_register("IRQ_ENABLE", DONE | ERROR)
            session.write_register("IRQ_STATUS", DONE)
            _causes(session, causes & ~DONE)
            _pin(session, bool(causes & ~DONE), "after the cause `done` was cleared")
            session.write_register("IRQ_STATUS", ERROR)
            _causes(session, 0)
            _pin(session, False, "after both causes were cleared")
        first = device.register("ERROR_ENGINE")
        expected = 1 << 31 | ENGINES["load"].index if causes & ERROR else 0
        if first != expected:
            raise Fault(
                f"ERROR_ENGINE reads {first:#010x}, not {expected:#010x}, after a job {'with an illegal opcode' if causes & ERROR else 'that is right'}"
            )
    device.transport.reset()
    return {"jobs": jobs}


def _causes(session: Session, expected: int) -> None:
    found = session.device.register("IRQ_STATUS")
    if found != expected:
        raise Fault(f"IRQ_STATUS reads {found}, not {expected}: bit 0 says that the job has ended, bit 1 that an engine has halted")


def _pin(session: Session, expected: bool, when: str) -> None:
    if session.interrupt == expected:
        return
    if expected:
        raise Fault(f"the interrupt line is dead, or not connected: it is low {when}")
    raise Fault(f"the interrupt line is stuck high: it is high {when}")
