"""AXI4-Lite subordinate of the compact chip: registers that live in the processor's data memory."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.isa import ENGINES
from ..common.registers import ENGINE_BASE, ENGINE_REGISTERS, REGISTERS, SPACE_BYTES, Access
from ..control.axil import axil_signature
from .memory_map import REGISTER_WORDS, is_hole
from .processor import RegisterAccess


def _writable(word: int) -> bool:
    return any(item.address == 4 * word and item.access is Access.RW for item in REGISTERS.values())


class RegisterPort(wiring.Component):
    """The host's view of the registers: an AXI4-Lite port, the doorbell and the interrupt.

    One access at a time in each direction. While `i_up` is low or the doorbell is pending, no access is taken: until the firmware has written
    the registers after a reset (`program.BOOT_CYCLES`), and until it has read the queues after a doorbell, so that the host neither sees
    the end of the job before nor changes what the job begins with. Every response is OKAY. Holes read 0. IRQ_STATUS lives here, the doorbell
    is never stored, and a copy of IRQ_ENABLE drives the interrupt.

    Latency: a read that is taken at once ends (response valid) two or three cycles after its address, a write three or four cycles after address and data:
    the processor uses its memory every other cycle. Addresses are decoded a cycle before they are used. Reset drops the access, the doorbell and the interrupt.

    Members
    -------
    axil : In(axil_signature)
    registers : Out(RegisterAccess)
    i_up : In(1)
        Accesses may be taken.
    i_idle : In(1)
        The doorbell may ring; a start written while it is low changes nothing.
    i_answer : In(1)
        Takes the doorbell back.
    o_doorbell : Out(1)
    o_ring : Out(1)
        Pulse, a flip-flop, in the cycle before `o_doorbell` rises: the doorbell is pressed.
    i_raise : In(2)
        Bits of IRQ_STATUS to set; a bit set and cleared in one cycle stays set.
    o_irq : Out(1)
    """

    def __init__(self) -> None:
        width = (SPACE_BYTES - 1).bit_length()
        super().__init__(
            {
                "axil": In(axil_signature(width)), "registers": Out(RegisterAccess()), "i_up": In(1), "i_idle": In(1), "i_answer": In(1),
                "o_doorbell": Out(1), "o_ring": Out(1), "i_raise": In(2), "o_irq": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        is_open = Signal()
        m.d.comb += is_open.eq(self.i_up & ~self.o_doorbell & ~self.o_ring)
        self._read(m, is_open, self._write(m, is_open))
        return m

    def _write(self, m: Module, is_open: Signal) -> Signal:
        """Taken when address and data are both there, answered after both have been. Returns IRQ_STATUS."""
        axil, port = self.axil, self.registers
        asked, taken, ends = Signal(), Signal(), Signal()
        word = axil.awaddr[2:]
        m.d.comb += [
            taken.eq(asked & is_open & port.written),
            axil.awready.eq(ends),
            axil.wready.eq(ends),
            port.write_address.eq(word),
            port.write_data.eq(axil.wdata),
            port.write_strobe.eq(axil.wstrb),
        ]
        m.d.sync += [asked.eq(is_open & axil.awvalid & axil.wvalid & ~taken & ~ends & ~axil.bvalid), ends.eq(taken)]
        with m.If(ends):
            m.d.sync += axil.bvalid.eq(1)
        with m.If(axil.bvalid & axil.bready):
            m.d.sync += axil.bvalid.eq(0)
        # Writable words repeat from engine to engine.
        step = REGISTER_WORDS // 2 // len(ENGINES)
        plain = [place for place in range(ENGINE_BASE // 4) if _writable(place)]
        inside = [offset // 4 for _, offset, access, _ in ENGINE_REGISTERS if access is Access.RW]
        allowed = Signal()
        with m.If(word[: (REGISTER_WORDS // 2 - 1).bit_length() + 1][-1]):
            m.d.comb += allowed.eq(Cat(word[: (step - 1).bit_length()] == place for place in inside).any())
        with m.Else():
            m.d.comb += allowed.eq(Cat(word[: (REGISTER_WORDS // 2 - 1).bit_length()] == place for place in plain).any())
        here, stored = Signal(), Signal()
        m.d.comb += [here.eq(word[(REGISTER_WORDS - 1).bit_length() :] == 0), port.write.eq(taken & stored)]
        m.d.sync += stored.eq(allowed & here)

        def written(name: str) -> Signal:
            """Whether bits 0 and 1 of what is taken go into this register."""
            is_it = Signal(name=f"to_{name.lower()}")
            m.d.sync += is_it.eq(here & axil.wstrb[0] & (word[: (REGISTER_WORDS - 1).bit_length()] == REGISTERS[name].address // 4))
            return is_it

        status, enable, data = Signal(2), Signal(2), axil.wdata[:2]
        controls, clears, enables = (written(name) for name in ("CONTROL", "IRQ_STATUS", "IRQ_ENABLE"))
        m.d.comb += self.o_irq.eq((status & enable).any())
        m.d.sync += [
            self.o_ring.eq(taken & controls & data[0] & self.i_idle),
            status.eq((status & ~(data & (taken & clears).replicate(2))) | self.i_raise),
        ]
        with m.If(taken & enables):
            m.d.sync += enable.eq(data)
        with m.If(self.i_answer):
            m.d.sync += self.o_doorbell.eq(0)
        with m.If(self.o_ring):
            m.d.sync += self.o_doorbell.eq(1)
        return status

    def _read(self, m: Module, is_open: Signal, status: Signal) -> None:
        axil, port = self.axil, self.registers
        ends = Signal()
        word = axil.araddr[2:]
        inside = (REGISTER_WORDS - 1).bit_length()
        m.d.comb += [
            port.read.eq(is_open & axil.arvalid & ~ends & ~axil.rvalid),
            port.read_address.eq(word),
            axil.arready.eq(ends),
        ]
        m.d.sync += ends.eq(port.read & port.taken)
        is_hole_here, hole, is_status = Signal(), Signal(), Signal()
        with m.Switch(word[:inside]):
            for place in range(REGISTER_WORDS):
                if is_hole(place):
                    with m.Case(place):
                        m.d.comb += is_hole_here.eq(1)
        beyond = word[inside:] != 0
        m.d.sync += [hole.eq(is_hole_here | beyond), is_status.eq((word[:inside] == REGISTERS["IRQ_STATUS"].address // 4) & ~beyond)]
        with m.If(ends):
            m.d.sync += [axil.rvalid.eq(1), axil.rdata.eq(Mux(hole, 0, port.read_data))]
            with m.If(is_status):
                m.d.sync += axil.rdata[:2].eq(status)
        with m.If(axil.rvalid & axil.rready):
            m.d.sync += axil.rvalid.eq(0)
