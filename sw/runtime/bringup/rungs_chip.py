"""Rungs of the chip's registers and of its interrupt."""

from __future__ import annotations

from typing import Any

from hw.common.isa import ENGINES
from hw.common.registers import REGISTERS, Access

from .compare import bits_of, listed
from .session import Fault, Session

#: Bits of IRQ_STATUS and IRQ_ENABLE.
DONE, ERROR = 1, 2


def registers(session: Session) -> dict[str, Any]:
    """Every register against a golden chip, which gets the same writes: after reset, with walking ones and zeros, and after writes to what is read-only."""
    device, golden = session.device, session.golden()
    device.transport.reset()
    for name in REGISTERS:
        _same(session, golden, name, "after reset")
    written = 0
    for name, register in REGISTERS.items():
        patterns = [0xFFFFFFFF, 0, 0x55555555, 0xAAAAAAAA]
        if register.access is Access.RW:
            patterns += [1 << bit for bit in range(32)] + [0xFFFFFFFF ^ 1 << bit for bit in range(32)]
        if register.access is Access.W1S:
            # Ones in the bits that do nothing.
            patterns = [0xFFFFFFFF ^ sum(1 << item.offset for item in register.bits)]
        for pattern in patterns:
            session.write_register(name, pattern)
            golden.write_register(register.address, pattern)
            _same(session, golden, name, f"after {pattern:#010x} was written")
            written += 1
    # A different number in each, then all of them again: no two are one.
    kept = [name for name, register in REGISTERS.items() if register.access is Access.RW]
    for number, name in enumerate(kept):
        session.write_register(name, 0x01010101 * (number + 1))
        golden.write_register(REGISTERS[name].address, 0x01010101 * (number + 1))
    for name in REGISTERS:
        _same(session, golden, name, "after every register was written with a number of its own")
    device.transport.reset()
    golden.reset()
    for name in REGISTERS:
        _same(session, golden, name, "after reset")
    return {"registers": len(REGISTERS), "writes": written + len(kept)}


def _same(session: Session, golden: Any, name: str, when: str) -> None:
    found, expected = session.device.register(name), golden.read_register(REGISTERS[name].address)
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
        for enable in range(4):
            device.load(job)
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
