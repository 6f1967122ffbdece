"""AXI4-Lite subordinate: turns the five channels into one register bus."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.registers import SPACE_BYTES


def axil_signature(address_width: int) -> wiring.Signature:
    """The pins of an AXI4-Lite subordinate with 32-bit data, seen from the manager (IHI 0022, chapter B1), lower-case AXI names."""
    return wiring.Signature(
        {
            "awaddr": Out(address_width), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
            "wdata": Out(32), "wstrb": Out(4), "wvalid": Out(1), "wready": In(1),
            "bresp": In(2), "bvalid": In(1), "bready": Out(1),
            "araddr": Out(address_width), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
            "rdata": In(32), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
        }
    )  # fmt: skip


class RegisterBus(wiring.Signature):
    """Register accesses, seen from the manager: `write` and `read` are one-cycle pulses. `read_data` answers the `address` of the cycle before, which
    is that of the pulse."""

    def __init__(self) -> None:
        width = (SPACE_BYTES - 1).bit_length()
        super().__init__(
            {
                "address": Out(width), "write": Out(1), "write_data": Out(32), "write_strobe": Out(4),
                "read": Out(1), "read_data": In(32),
            }
        )  # fmt: skip


class AxiLite(wiring.Component):
    """AXI4-Lite subordinate port of the register file.

    One access at a time, writes before reads when both wait, but a read whose address the registers have seen goes first. A write takes effect in
    the cycle after both its address and data are held and is answered OKAY in the next; a read is answered three cycles after its address. Every
    response is OKAY: holes read 0. `awprot` and `arprot` are ignored. Reset drops what is held.

    Members
    -------
    axil : In(axil_signature)
    bus : Out(RegisterBus)
    """

    def __init__(self) -> None:
        width = (SPACE_BYTES - 1).bit_length()
        super().__init__({"axil": In(axil_signature(width)), "bus": Out(RegisterBus())})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        axil, bus = self.axil, self.bus
        write_address, write_data, write_strobe = Signal.like(axil.awaddr), Signal(32), Signal(4)
        read_address = Signal.like(axil.araddr)
        address_held, data_held, read_held = Signal(), Signal(), Signal()
        do_write, do_read, is_seen = Signal(), Signal(), Signal()
        m.d.comb += [
            axil.awready.eq(~address_held),
            axil.wready.eq(~data_held),
            axil.arready.eq(~read_held),
            do_read.eq(is_seen & ~axil.rvalid),
            do_write.eq(address_held & data_held & ~axil.bvalid & ~do_read),
            bus.address.eq(read_address),
            bus.write.eq(do_write),
            bus.write_data.eq(write_data),
            bus.write_strobe.eq(write_strobe),
            bus.read.eq(do_read),
        ]
        m.d.sync += is_seen.eq(read_held & ~do_write & ~do_read)
        with m.If(do_write):
            m.d.comb += bus.address.eq(write_address)
            m.d.sync += [address_held.eq(0), data_held.eq(0), axil.bvalid.eq(1)]
        with m.If(axil.awvalid & axil.awready):
            m.d.sync += [write_address.eq(axil.awaddr), address_held.eq(1)]
        with m.If(axil.wvalid & axil.wready):
            m.d.sync += [write_data.eq(axil.wdata), write_strobe.eq(axil.wstrb), data_held.eq(1)]
        with m.If(axil.bvalid & axil.bready):
            m.d.sync += axil.bvalid.eq(0)
        with m.If(axil.arvalid & axil.arready):
            m.d.sync += [read_address.eq(axil.araddr), read_held.eq(1)]
        with m.If(do_read):
            m.d.sync += [read_held.eq(0), axil.rvalid.eq(1), axil.rdata.eq(bus.read_data)]
        with m.If(axil.rvalid & axil.rready):
            m.d.sync += axil.rvalid.eq(0)
        return m
