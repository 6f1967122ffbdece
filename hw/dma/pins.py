"""The flat AXI4 master pins of a chip."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.streams import Stage, connect_streams
from .axi import ID_WIDTH, RESP_WIDTH, BurstRequest, ReadBus, TaggedBeat, TaggedRequest, WriteBeat, WritePort

#: AxBURST: incrementing (IHI 0022, A3.4.1). AxCACHE: modifiable and bufferable, not cached (A4.4).
BURST_INCR, CACHE_NORMAL = 1, 0b0011


def axi_pin_members(config: ChipConfig) -> dict[str, Any]:
    """Members of a component that is an AXI4 master: every pin, named `m_axi_<signal>` as the AXI specification names it, in lower case."""

    def address(prefix: str) -> dict[str, Any]:
        return {
            f"{prefix}id": Out(ID_WIDTH), f"{prefix}addr": Out(config.axi_address_width), f"{prefix}len": Out(8), f"{prefix}size": Out(3),
            f"{prefix}burst": Out(2), f"{prefix}lock": Out(1), f"{prefix}cache": Out(4), f"{prefix}prot": Out(3), f"{prefix}qos": Out(4),
            f"{prefix}valid": Out(1), f"{prefix}ready": In(1),
        }  # fmt: skip

    pins = {
        **address("aw"),
        "wdata": Out(config.axi_data_width), "wstrb": Out(config.line_bytes), "wlast": Out(1), "wvalid": Out(1), "wready": In(1),
        "bid": In(ID_WIDTH), "bresp": In(RESP_WIDTH), "bvalid": In(1), "bready": Out(1),
        **address("ar"),
        "rid": In(ID_WIDTH), "rdata": In(config.axi_data_width), "rresp": In(RESP_WIDTH), "rlast": In(1), "rvalid": In(1), "rready": Out(1),
    }  # fmt: skip
    return {f"m_axi_{name}": member for name, member in pins.items()}


def connect_axi_pins(m: Module, top: Any, pins: Any, config: ChipConfig) -> None:
    """Connects the pins of `pins` to the members of the same names of `top` (made with `axi_pin_members`)."""
    for name, member in axi_pin_members(config).items():
        inner, outer = getattr(pins, name), getattr(top, name)
        m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)


class AxiPins(wiring.Component):
    """Turns the read bus and the write port into flat AXI4 pins.

    Every channel passes a register stage: every pin and every member this drives comes from a flip-flop, so no output pin depends combinationally
    on an input pin (IHI 0022, A3.2.1). Writes have ID 0; BID is ignored, as there is one ID.

    Latency: one cycle on every channel. Throughput: one transfer a cycle on every channel. Reset empties the stages: all valids are low.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    read : In(ReadBus)
        `request` and `response` of `ReadMux`.
    write : In(WritePort)
    m_axi_... : the pins, see `axi_pin_members`
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({"read": In(ReadBus(config)), "write": In(WritePort(config)), **axi_pin_members(config)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.aw = aw = Stage(shape=BurstRequest(config))
        m.submodules.w = w = Stage(shape=WriteBeat(config))
        m.submodules.b = b = Stage(shape=RESP_WIDTH)
        m.submodules.ar = ar = Stage(shape=TaggedRequest(config))
        m.submodules.r = r = Stage(shape=TaggedBeat(config))
        connect_streams(m, self.write.request, aw.i)
        connect_streams(m, self.write.data, w.i)
        connect_streams(m, b.o, self.write.response)
        connect_streams(m, self.read.request, ar.i)
        connect_streams(m, r.o, self.read.response)
        self._address(m, "aw", aw)
        self._address(m, "ar", ar)
        m.d.comb += [
            self.m_axi_awid.eq(0),
            self.m_axi_arid.eq(ar.o.payload.id),
            self.m_axi_wdata.eq(w.o.payload.data),
            self.m_axi_wstrb.eq((1 << config.line_bytes) - 1),
            self.m_axi_wlast.eq(w.o.payload.last),
            self.m_axi_wvalid.eq(w.o.valid),
            w.o.ready.eq(self.m_axi_wready),
            b.i.valid.eq(self.m_axi_bvalid),
            b.i.payload.eq(self.m_axi_bresp),
            self.m_axi_bready.eq(b.i.ready),
            r.i.valid.eq(self.m_axi_rvalid),
            r.i.payload.id.eq(self.m_axi_rid),
            r.i.payload.data.eq(self.m_axi_rdata),
            r.i.payload.resp.eq(self.m_axi_rresp),
            r.i.payload.last.eq(self.m_axi_rlast),
            self.m_axi_rready.eq(r.i.ready),
        ]
        return m

    def _address(self, m: Module, prefix: str, queue: Stage) -> None:
        """Drives an address channel from its register stage."""

        def pin(name: str) -> Any:
            return getattr(self, f"m_axi_{prefix}{name}")

        m.d.comb += [
            pin("addr").eq(queue.o.payload.address),
            pin("len").eq(queue.o.payload.length),
            pin("size").eq((self._config.line_bytes - 1).bit_length()),
            pin("burst").eq(BURST_INCR),
            pin("cache").eq(CACHE_NORMAL),
            pin("valid").eq(queue.o.valid),
            queue.o.ready.eq(pin("ready")),
        ]
