"""The register file: storage and read multiplexer of every register of a table, the chip's or another."""

from collections.abc import Collection, Mapping
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.registers import REGISTERS, Access, Register
from .axil import RegisterBus

#: Registers that the first half of the read multiplexer puts together: what two levels of 4-input tables do.
BLOCK = 8


class RegisterFile(wiring.Component):
    """Registers behind a `RegisterBus`, one set of members a register, named in lower case.

    An access is answered two cycles after its pulse. It is decoded in the cycle of the pulse; in the next a write takes effect at the end of the cycle,
    byte by byte under the strobe, and a read takes the value. Holes read 0. Reset gives every register its table value.

    Parameters
    ----------
    registers : mapping from name to Register
    elsewhere : collection of names
        Of read-only registers that another subordinate on the bus reads: they have no members here and their reads no answer.

    Members
    -------
    bus : In(RegisterBus)
    r_<name>
        RO: In(32), the value to read, which may come late in the cycle. RW: Out(32), the value held. W1S: Out(32), a pulse, the ones written. W1C:
        Out(32), the bits pending. All outputs are flip-flops.
    set_<name> : In(32) for W1C
        Bits to set; a bit set and cleared in one cycle stays set.

    Raises
    ------
    ValueError
        if a register elsewhere is not a read-only one of the table.
    """

    def __init__(self, *, registers: Mapping[str, Register] = REGISTERS, elsewhere: Collection[str] = ()) -> None:
        for name in elsewhere:
            if name not in registers or registers[name].access is not Access.RO:
                raise ValueError(f"registers elsewhere must be read-only ones of the table, not {name!r}")
        self._registers = {name: register for name, register in registers.items() if name not in elsewhere}
        self._elsewhere = sorted(registers[name].address for name in elsewhere)
        members: dict[str, Any] = {"bus": In(RegisterBus())}
        for register in self._registers.values():
            name = register.name.lower()
            members[f"r_{name}"] = In(32) if register.access is Access.RO else Out(32, init=register.reset)
            if register.access is Access.W1C:
                members[f"set_{name}"] = In(32)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bus = self.bus
        here = {register.name: Signal(name=f"here_{register.name.lower()}") for register in self._registers.values()}
        writes, reads = Signal(), Signal()
        m.d.sync += [here[register.name].eq(self._is_at(register.address)) for register in self._registers.values()]
        m.d.sync += [
            writes.eq(bus.write),
            reads.eq(bus.read & ~Cat(self._is_at(address) for address in self._elsewhere).any()),
            bus.answered.eq(writes | reads),
        ]
        self._read(m, here)
        self._write(m, {name: writes & signal for name, signal in here.items()})
        return m

    def _is_at(self, address: int) -> Value:
        return self.bus.address[2:] == address >> 2

    def _read(self, m: Module, here: dict[str, Signal]) -> None:
        """The register there is, with all others as 0, the OR of them: a table of 4 inputs takes two of them."""
        values = [
            getattr(self, f"r_{register.name.lower()}") & here[register.name].replicate(32)
            for register in self._registers.values()
            if register.access is not Access.W1S
        ]
        parts = []
        for first in range(0, len(values), BLOCK):
            part = Signal(32, name=f"part{first // BLOCK}", reset_less=True)
            m.d.sync += part.eq(reduce(or_, values[first : first + BLOCK]))
            parts.append(part)
        m.d.comb += self.bus.read_data.eq(reduce(or_, parts))

    def _write(self, m: Module, written: dict[str, Value]) -> None:
        strobe = Cat(bit.replicate(8) for bit in self.bus.write_strobe)
        ones = Signal(32)
        m.d.comb += ones.eq(self.bus.write_data & strobe)
        for register in self._registers.values():
            value, is_written = getattr(self, f"r_{register.name.lower()}"), written[register.name]
            match register.access:
                case Access.RW:
                    for byte in range(4):
                        with m.If(is_written & self.bus.write_strobe[byte]):
                            m.d.sync += value.word_select(byte, 8).eq(self.bus.write_data.word_select(byte, 8))
                case Access.W1S:
                    m.d.sync += value.eq(ones & is_written.replicate(32))
                case Access.W1C:
                    m.d.sync += value.eq((value & ~(ones & is_written.replicate(32))) | getattr(self, f"set_{register.name.lower()}"))
