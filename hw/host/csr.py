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

    Latency: a request is taken at once, its address and data are offered from the next cycle on, and answered with the subordinate's answer; an
    address that does not exist is answered in the next cycle. Reset forgets the access: the subordinate must be reset with it.

    Members
    -------
    bus : In(HostBus)
        `ready` is an inverted flip-flop.
    axil : Out(axil_signature)
        All valids and readies are flip-flops; addresses and data are those of the request.
    """

    def __init__(self) -> None:
        super().__init__({"bus": In(HostBus()), "axil": Out(axil_signature((SPACE_BYTES - 1).bit_length()))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        axil, request, response = self.axil, self.bus.request, self.bus.response
        address = request.payload.address
        width = len(axil.awaddr)
        busy, refused, missing, done = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            missing.eq(address[width:] != 0),
            request.ready.eq(~busy),
            # The request stays (`HostBus`).
            axil.awaddr.eq(address),
            axil.araddr.eq(address),
            axil.wdata.eq(request.payload.data),
            axil.wstrb.eq(-1),
            axil.bready.eq(busy),
            axil.rready.eq(busy),
            done.eq(refused | (busy & (axil.bvalid | axil.rvalid))),
            response.valid.eq(done),
            response.data.eq(axil.rdata),
            response.error.eq(refused | (axil.bvalid & axil.bresp[1]) | (axil.rvalid & axil.rresp[1])),
        ]
        m.d.sync += refused.eq(request.valid & ~busy & missing)
        for channel, kind in (("aw", request.payload.write), ("w", request.payload.write), ("ar", ~request.payload.write)):
            valid, ready = (getattr(axil, f"{channel}{wire}") for wire in ("valid", "ready"))
            with m.If(~busy):
                m.d.sync += valid.eq(request.valid & ~missing & kind)
            with m.Elif(ready):
                m.d.sync += valid.eq(0)
        with m.If(~busy):
            m.d.sync += busy.eq(request.valid)
        with m.Elif(done):
            m.d.sync += busy.eq(0)
        return m
