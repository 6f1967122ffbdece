"""A device with the pins of a chip and nothing in it but a copy engine: what the harness is tried on."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import Out

from hw.chip import Chip
from hw.common.config import ChipConfig
from hw.common.registers import SPACE_BYTES
from hw.control.axil import AxiLite, axil_signature

#: Registers: byte addresses of source and destination, beats, action bits, OR of all responses.
SOURCE, TARGET, BEATS, ACTION, RESPONSES = 0x00, 0x04, 0x08, 0x0C, 0x10
#: Bits of ACTION: start; take ARVALID back when it is not taken at once; never raise the interrupt.
GO, TAKE_BACK, SILENT = 1, 2, 4


class Copier(wiring.Component):
    """Copies up to 16 beats with one read and one write burst, then raises the interrupt until the next start.

    Read (write) bursts show on the trace pins as channel 0 (4) and as states 1 of the engines load (store).
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__(dict(Chip(config=config).signature.members))

    def _registers(self, m: Module) -> dict[str, Any]:
        m.submodules.axil = axil = AxiLite()
        for name, member in axil_signature((SPACE_BYTES - 1).bit_length()).members.items():
            pin, inner = getattr(self, f"s_axil_{name}"), getattr(axil.axil, name)
            m.d.comb += inner.eq(pin) if member.flow is Out else pin.eq(inner)
        fields = {
            SOURCE: Signal(32, name="source"),
            TARGET: Signal(32, name="target"),
            BEATS: Signal(5, name="beats"),
            ACTION: Signal(3, name="action"),
        }
        responses = Signal(2)
        bus = axil.bus
        m.d.comb += bus.answered.eq(bus.read | bus.write)
        with m.Switch(bus.address):
            for address, register in fields.items():
                with m.Case(address):
                    m.d.comb += bus.read_data.eq(register)
                    with m.If(bus.write):
                        m.d.sync += register.eq(bus.write_data)
            with m.Case(RESPONSES):
                m.d.comb += bus.read_data.eq(responses)
        with m.If(fields[ACTION][0]):
            m.d.sync += fields[ACTION][0].eq(0)
        return {
            "source": fields[SOURCE],
            "target": fields[TARGET],
            "beats": fields[BEATS],
            "action": fields[ACTION],
            "responses": responses,
        }

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        registers = self._registers(m)
        beats, action, responses = registers["beats"], registers["action"], registers["responses"]
        m.submodules.buffer = buffer = memory.Memory(shape=self._config.axi_data_width, depth=16, init=[])
        write, read = buffer.write_port(), buffer.read_port(domain="comb")
        count = Signal(5)
        size = (self._config.line_bytes - 1).bit_length()
        for channel, address in (("ar", registers["source"]), ("aw", registers["target"])):
            pins = {name: getattr(self, f"m_axi_{channel}{name}") for name in ("addr", "len", "size", "burst")}
            m.d.comb += [pins["addr"].eq(address), pins["len"].eq(beats - 1), pins["size"].eq(size), pins["burst"].eq(1)]
        m.d.comb += [
            write.addr.eq(count), write.data.eq(self.m_axi_rdata), read.addr.eq(count), self.m_axi_wdata.eq(read.data),
            self.m_axi_wstrb.eq(~0), self.m_axi_wlast.eq(count == beats - 1),
        ]  # fmt: skip
        with m.FSM():
            with m.State("IDLE"):
                with m.If(action[0]):
                    m.d.comb += self.trace_start[0].eq(1)
                    m.d.sync += [self.irq.eq(0), responses.eq(0), count.eq(0)]
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.m_axi_arvalid.eq(1)
                with m.If(self.m_axi_arready):
                    m.next = "READ"
                with m.Elif(action[1]):
                    m.next = "PAUSE"
            with m.State("PAUSE"):
                m.next = "ASK"
            with m.State("READ"):
                m.d.comb += [self.m_axi_rready.eq(1), write.en.eq(self.m_axi_rvalid), self.trace_state_load.eq(1)]
                with m.If(self.m_axi_rvalid):
                    m.d.sync += [count.eq(count + 1), responses.eq(responses | self.m_axi_rresp)]
                    with m.If(self.m_axi_rlast):
                        m.d.comb += [self.trace_done[0].eq(1), self.trace_start[4].eq(1)]
                        m.d.sync += count.eq(0)
                        m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += self.m_axi_awvalid.eq(1)
                with m.If(self.m_axi_awready):
                    m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [self.m_axi_wvalid.eq(1), self.trace_state_store.eq(1)]
                with m.If(self.m_axi_wready):
                    m.d.sync += count.eq(count + 1)
                    with m.If(self.m_axi_wlast):
                        m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [self.m_axi_bready.eq(1), self.trace_state_store.eq(2)]
                with m.If(self.m_axi_bvalid):
                    m.d.comb += self.trace_done[4].eq(1)
                    m.d.sync += [responses.eq(responses | self.m_axi_bresp), self.irq.eq(~action[2])]
                    m.next = "IDLE"
        return m
