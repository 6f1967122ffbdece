"""The register file: storage and read multiplexer of every register of a table, the chip's or another."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.registers import REGISTERS, Access, Register
from .axil import RegisterBus

#: Registers of a block of the read multiplexer, a power of two.
BLOCK = 16


class RegisterFile(wiring.Component):
    """Registers behind a `RegisterBus`, one set of members a register, named in lower case.

    Writes take effect at the end of the cycle of the `write` pulse, byte by byte under the strobe. Reads take a cycle: the register is chosen
    in its block of `BLOCK`, then the block. Holes read 0.
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
        for register in self._registers.values():
            value = getattr(self, f"r_{register.name.lower()}")
            if register.access in (Access.W1S, Access.RW):
                is_written = Signal(name=f"write_{register.name.lower()}")
                m.d.comb += is_written.eq(self.bus.write & (self.bus.address[2:] == register.address >> 2))
                with m.If(is_written):
                    if register.access is Access.W1S:
                        m.d.comb += value.eq(written)
                    else:
                        m.d.sync += value.eq((value & ~strobe) | written)
        self._read(m)
        for register in self._registers.values():
            if register.access is Access.W1C:
                value = getattr(self, f"r_{register.name.lower()}")
                cleared = Signal(32, name=f"clear_{register.name.lower()}")
                with m.If(self.bus.write & (self.bus.address[2:] == register.address >> 2)):
                    m.d.comb += cleared.eq(written)
                m.d.sync += value.eq((value & ~cleared) | getattr(self, f"set_{register.name.lower()}"))
        return m

    def _read(self, m: Module) -> None:
        bits = (BLOCK - 1).bit_length()
        word, block = self.bus.address[2 : 2 + bits], self.bus.address[2 + bits :]
        blocks: dict[int, dict[int, Any]] = {}
        for register in self._registers.values():
            if register.access is not Access.W1S:
                number = register.address >> 2
                blocks.setdefault(number >> bits, {})[number % BLOCK] = getattr(self, f"r_{register.name.lower()}")
        parts = []
        for number, values in blocks.items():
            part = Signal(32, name=f"block{number}", reset_less=True)
            chosen = Array(values.get(index, Const(0, 32)) for index in range(BLOCK))[word]
            m.d.sync += part.eq(Mux(block == number, chosen, 0))
            parts.append(part)
        m.d.comb += self.bus.read_data.eq(reduce(or_, parts))
