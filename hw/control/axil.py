"""AXI4-Lite subordinate: turns the five channels into one register bus."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Module, Mux, Signal
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
    """Register accesses, seen from the manager, one at a time.

    `write` and `read` are one-cycle pulses, from flip-flops; `address`, `write_data` and `write_strobe` are there with them and stay until `answered`, a
    one-cycle pulse in the cycle of theirs at the earliest: the write has taken effect, or `read_data` is what was read.
    """

    def __init__(self) -> None:
        width = (SPACE_BYTES - 1).bit_length()
        super().__init__(
            {
                "address": Out(width), "write": Out(1), "write_data": Out(32), "write_strobe": Out(4),
                "read": Out(1), "read_data": In(32), "answered": In(1),
            }
        )  # fmt: skip


def share_bus(m: Module, manager: Any, *subordinates: Any) -> None:
    """Connects several to one `RegisterBus`. Each access is answered by one of them; when it is, the `read_data` of the others is 0."""
    for name in ("address", "write", "write_data", "write_strobe", "read"):
        m.d.comb += [getattr(subordinate, name).eq(getattr(manager, name)) for subordinate in subordinates]
    for name in ("read_data", "answered"):
        m.d.comb += getattr(manager, name).eq(reduce(or_, (getattr(subordinate, name) for subordinate in subordinates)))


class AxiLite(wiring.Component):
    """AXI4-Lite subordinate port of the register file.

    One access at a time: when a write (its address and data held) and a read both wait, the write first; while the response to one of a kind is not
    taken, those of the other kind go on. The access is on the bus from the cycle after it can be, and its response there in the cycle after the
    registers have answered. Every response is OKAY. `awprot` and `arprot` are ignored. Reset drops what is held.

    Members
    -------
    axil : In(axil_signature)
        All outputs but `awready`, `wready`, `arready`, which are inverted flip-flops, are flip-flops.
    bus : Out(RegisterBus)
    """

    def __init__(self) -> None:
        width = (SPACE_BYTES - 1).bit_length()
        super().__init__({"axil": In(axil_signature(width)), "bus": Out(RegisterBus())})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        axil, bus = self.axil, self.bus
        write_address, read_address = Signal.like(axil.awaddr), Signal.like(axil.araddr)
        address_held, data_held, read_held = Signal(), Signal(), Signal()
        busy, writing = Signal(), Signal()
        can_write, can_read = Signal(), Signal()
        m.d.comb += [
            axil.awready.eq(~address_held),
            axil.wready.eq(~data_held),
            axil.arready.eq(~read_held),
            can_write.eq(~busy & address_held & data_held & ~axil.bvalid),
            can_read.eq(~busy & read_held & ~axil.rvalid),
            bus.address.eq(Mux(writing, write_address, read_address)),
        ]
        m.d.sync += [bus.write.eq(can_write), bus.read.eq(can_read & ~can_write)]
        with m.If(can_write | can_read):
            m.d.sync += [busy.eq(1), writing.eq(can_write)]
        with m.If(axil.bvalid & axil.bready):
            m.d.sync += axil.bvalid.eq(0)
        with m.If(axil.rvalid & axil.rready):
            m.d.sync += axil.rvalid.eq(0)
        with m.If(bus.answered):
            m.d.sync += busy.eq(0)
            with m.If(writing):
                m.d.sync += [address_held.eq(0), data_held.eq(0), axil.bvalid.eq(1)]
            with m.Else():
                m.d.sync += [read_held.eq(0), axil.rvalid.eq(1), axil.rdata.eq(bus.read_data)]
        with m.If(axil.awvalid & axil.awready):
            m.d.sync += [write_address.eq(axil.awaddr), address_held.eq(1)]
        with m.If(axil.wvalid & axil.wready):
            m.d.sync += [bus.write_data.eq(axil.wdata), bus.write_strobe.eq(axil.wstrb), data_held.eq(1)]
        with m.If(axil.arvalid & axil.arready):
            m.d.sync += [read_address.eq(axil.araddr), read_held.eq(1)]
        return m
