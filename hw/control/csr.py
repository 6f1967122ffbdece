"""The register file: storage and read multiplexer of every register of a table, the chip's or another."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.registers import REGISTERS, Access, Register
from .axil import RegisterBus


class RegisterFile(wiring.Component):
    """Registers behind a `RegisterBus`, one set of members a register, named in lower case.

    Writes take effect at the end of the cycle of the `write` pulse, byte by byte under the strobe. Reads are combinational. Holes read 0.
    Reset gives every register its table value.

    Parameters
    ----------
    registers : mapping from name to Register

    Members
    -------
    bus : In(RegisterBus)
    r_<name>
        RO: In(32), the value to read. RW: Out(32), the value held. W1S: Out(32), a pulse, the ones written. W1C: Out(32), the bits pending.
    set_<name> : In(32) for W1C
        Bits to set; a bit set and cleared in one cycle stays set.
    """

    def __init__(self, *, registers: Mapping[str, Register] = REGISTERS) -> None:
        self._registers = dict(registers)
        members: dict[str, Any] = {"bus": In(RegisterBus())}
        for register in self._registers.values():
            name = register.name.lower()
            members[f"r_{name}"] = In(32) if register.access is Access.RO else Out(32, init=register.reset)
            if register.access is Access.W1C:
                members[f"set_{name}"] = In(32)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        strobe = Cat(bit.replicate(8) for bit in self.bus.write_strobe)
        written = Signal(32)
        m.d.comb += written.eq(self.bus.write_data & strobe)
        with m.Switch(self.bus.address[2:]):
            for register in self._registers.values():
                with m.Case(register.address >> 2):
                    value = getattr(self, f"r_{register.name.lower()}")
                    if register.access is Access.W1S:
                        with m.If(self.bus.write):
                            m.d.comb += value.eq(written)
                    else:
                        m.d.comb += self.bus.read_data.eq(value)
                    if register.access is Access.RW:
                        with m.If(self.bus.write):
                            m.d.sync += value.eq((value & ~strobe) | written)
        for register in self._registers.values():
            if register.access is Access.W1C:
                value = getattr(self, f"r_{register.name.lower()}")
                cleared = Signal(32, name=f"clear_{register.name.lower()}")
                with m.If(self.bus.write & (self.bus.address[2:] == register.address >> 2)):
                    m.d.comb += cleared.eq(written)
                m.d.sync += value.eq((value & ~cleared) | getattr(self, f"set_{register.name.lower()}"))
        return m
