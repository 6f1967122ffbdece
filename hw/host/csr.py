"""From the bridge to the chip's registers."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.registers import SPACE_BYTES
from ..control.axil import axil_signature
from .bus import HostBus


class CsrAccess(wiring.Component):
    """An AXI4-Lite manager for a `HostBus`: one access at a time, all strobes set. SLVERR, DECERR and addresses from `SPACE_BYTES` on are errors.

    Latency: that of the subordinate; an address that does not exist is answered in the cycle after. Reset forgets the access: the subordinate must be
    reset with it.

    Members
    -------
    bus : In(HostBus)
    axil : Out(axil_signature)
    """

    def __init__(self) -> None:
        super().__init__({"bus": In(HostBus()), "axil": Out(axil_signature((SPACE_BYTES - 1).bit_length()))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        axil, request, response = self.axil, self.bus.request, self.bus.response
        address = request.payload.address
        width = len(axil.awaddr)
        missing, asks = Signal(), Signal()
        # Address and data go separately; the request is taken when both have gone.
        address_sent, data_sent, waits = Signal(), Signal(), Signal()
        address_goes, data_goes = axil.awvalid & axil.awready, axil.wvalid & axil.wready
        m.d.comb += [
            missing.eq(address[width:] != 0),
            asks.eq(request.valid & ~missing & ~waits),
            axil.awaddr.eq(address),
            axil.araddr.eq(address),
            axil.wdata.eq(request.payload.data),
            axil.wstrb.eq(-1),
            axil.awvalid.eq(asks & request.payload.write & ~address_sent),
            axil.wvalid.eq(asks & request.payload.write & ~data_sent),
            axil.arvalid.eq(asks & ~request.payload.write),
            axil.bready.eq(waits),
            axil.rready.eq(waits),
        ]
        refused = Signal()
        m.d.sync += refused.eq(request.valid & request.ready & missing)
        with m.If(request.payload.write):
            m.d.comb += request.ready.eq(~waits & (missing | ((address_sent | address_goes) & (data_sent | data_goes))))
        with m.Else():
            m.d.comb += request.ready.eq(~waits & (missing | axil.arready))
        with m.If(request.valid & request.ready):
            m.d.sync += [address_sent.eq(0), data_sent.eq(0), waits.eq(~missing)]
        with m.Else():
            m.d.sync += [address_sent.eq(address_sent | address_goes), data_sent.eq(data_sent | data_goes)]
        done = Signal()
        m.d.comb += [
            done.eq(waits & (axil.bvalid | axil.rvalid)),
            response.valid.eq(done | refused),
            response.data.eq(axil.rdata),
            response.error.eq(refused | (axil.bvalid & axil.bresp[1]) | (axil.rvalid & axil.rresp[1])),
        ]
        with m.If(done):
            m.d.sync += waits.eq(0)
        return m
