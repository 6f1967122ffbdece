"""Proofs of what lies between the DMA and the bus: the read multiplexer, its turns, and the flat pins."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Assert, Assume, Cat, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.common.config import ChipConfig
from hw.dma.axi import ID_WIDTH
from hw.dma.pins import AxiPins
from hw.dma.read_mux import READERS, ReadMux

from .axi_bursts import CONFIG
from .rules import free, held
from .runner import Proof


def one_granted(m: Module, dut: ReadMux) -> None:
    """Asserts that one reader is granted, and a fetcher only while it asks; without it an induction begins where the multiplexer never is."""
    asking = Cat(port.request.valid for port in dut.ports[1:])
    m.d.comb += [Assert(dut.granted.any() & ((dut.granted & (dut.granted - 1)[:READERS]) == 0)), Assert((dut.granted[1:] & ~asking) == 0)]


class MuxSpec(wiring.Component):
    """The read multiplexer: the request holds, one reader at a time is served, the DMA behind fetchers that asked before it, and each beat
    goes to its reader alone. The fetchers hold their requests."""

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = ReadMux(config=self._config)
        free(m, dut.request.ready, dut.response.valid, dut.response.payload)
        granted, pending, got = Signal(READERS), Signal(READERS), Signal(READERS)
        taken = Signal(3)
        for index, port in enumerate(dut.ports):
            free(m, port.request.valid, port.request.payload, port.response.ready)
            if index:
                held(m, port.request, name=f"port{index}", rule=Assume)
            m.d.comb += [
                pending[index].eq(port.request.valid),
                granted[index].eq(port.request.valid & port.request.ready),
                got[index].eq(port.response.valid),
                Assert(port.response.valid == (dut.response.valid & (dut.response.payload.id == index))),
            ]
            with m.If(granted[index]):
                m.d.sync += taken.eq(index)
                m.d.comb += Cover(granted[index])
        held(m, dut.request, name="request")
        one_granted(m, dut)
        # A fetcher asked in the cycle before and was not served.
        was_granted, waiting = Signal(), Signal()
        m.d.sync += [was_granted.eq(granted.any()), waiting.eq((pending[1:] & ~granted[1:]).any())]
        m.d.comb += [
            Assert((granted & (granted - 1)[:READERS]) == 0),
            Assert(~granted[0] | ~waiting),
            # Never idle while a fetcher has asked before or the DMA asks and the output is free.
            Assert(granted.any() == ((waiting | pending[0]) & (~dut.request.valid | dut.request.ready))),
            Assert(dut.granted[0] == ~waiting),
            Assert(~was_granted | (dut.request.valid & (dut.request.payload.id == taken))),
            Assert((got & (got - 1)[:READERS]) == 0),
            Assert(~dut.response.valid | (got.any() == (dut.response.payload.id < READERS))),
        ]
        return m


class TurnSpec(wiring.Component):
    """A fetcher, any one, that asks until it is served sees at most the three others served before, each once, and the DMA in the first cycle at most.

    The output is refused for at most one cycle in a row: whose turn it is does not change while it is refused, but an induction that may wait
    there for ever never sees the turn.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({"any_fetcher": In(2)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = ReadMux(config=self._config)
        free(m, dut.request.ready, dut.response.valid, dut.response.payload)
        for index, port in enumerate(dut.ports):
            free(m, port.request.valid, port.request.payload, port.response.ready)
            held(m, port.request, name=f"port{index}", rule=Assume)
        one_granted(m, dut)
        # Chosen in the first cycle and kept.
        started, kept, watched = Signal(), Signal(2), Signal(2)
        m.d.sync += [started.eq(1), kept.eq(watched)]
        m.d.comb += watched.eq(self.any_fetcher)
        with m.If(started):
            m.d.comb += watched.eq(kept)

        fetchers = dut.ports[1:]
        asking = Array(port.request.valid for port in fetchers)[watched]
        granted = Signal(READERS)
        m.d.comb += granted.eq(Cat(port.request.valid & port.request.ready for port in dut.ports))
        served = Array(granted[1:])[watched]
        before, refused, waited = Signal(READERS), Signal(), Signal(4)
        m.d.sync += [before.eq(before | granted), waited.eq(waited + 1), refused.eq(dut.request.valid & ~dut.request.ready)]
        with m.If(~asking | served):
            m.d.sync += [before.eq(0), waited.eq(0)]
        m.d.comb += [
            Assume(~refused | dut.request.ready),
            Assert(~asking | ((before & granted) == 0)),
            Assert(~asking | ~granted[0] | (waited == 0)),
            # The cycle until the grant knows of it; the one before it in the register, three others, each refused for a cycle.
            Assert(waited <= 2 * len(fetchers)),
            Cover(served & (waited == 2 * len(fetchers))),
            Cover(asking & granted[0]),
        ]
        return m


class PinsSpec(wiring.Component):
    """AW, W and AR hold valid and everything beside it until ready, whatever comes from either side; so do the two streams inwards."""

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = AxiPins(config=self._config)
        for stream in (dut.read.request, dut.write.request, dut.write.data):
            free(m, stream.valid, stream.payload)
        free(m, dut.read.response.ready, dut.write.response.ready)
        for name in ("bid", "bresp", "bvalid", "rid", "rdata", "rresp", "rlast", "rvalid", "awready", "wready", "arready"):
            free(m, getattr(dut, f"m_axi_{name}"))
        held(m, dut.read.response, name="r")
        held(m, dut.write.response, name="b")
        address = ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos")
        for prefix, names in (("aw", address), ("w", ("data", "strb", "last")), ("ar", address)):
            self._held_pins(m, dut, prefix, names)
        m.d.comb += [
            Assert(dut.m_axi_awid == 0),
            Assert(~dut.m_axi_arvalid | (dut.m_axi_arsize == (self._config.line_bytes - 1).bit_length())),
            Cover(dut.m_axi_awvalid & dut.m_axi_wvalid & dut.m_axi_arvalid & (dut.m_axi_arid == (1 << ID_WIDTH) - 1)),
        ]
        return m

    @staticmethod
    def _held_pins(m: Module, dut: AxiPins, prefix: str, names: tuple[str, ...]) -> None:
        valid, ready = getattr(dut, f"m_axi_{prefix}valid"), getattr(dut, f"m_axi_{prefix}ready")
        pins = Cat(getattr(dut, f"m_axi_{prefix}{name}") for name in names)
        waiting, before = Signal(name=f"{prefix}_pins_waiting"), Signal(len(pins), name=f"{prefix}_pins_before")
        m.d.sync += [waiting.eq(valid & ~ready), before.eq(pins)]
        m.d.comb += [Assert(~waiting | (valid & (pins == before))), Cover(waiting & valid & ready)]


PROOFS = (
    Proof(name="axi_read_mux", doc="read multiplexer: one grant, fetchers that wait first, requests hold, beats routed by ID",
          spec=lambda: MuxSpec(config=CONFIG), depth=4),
    Proof(name="axi_read_turns", doc="read multiplexer: a fetcher that asks is served after each other one at most once, and before the DMA",
          spec=lambda: TurnSpec(config=CONFIG), depth=12),
    Proof(name="axi_pins", doc="flat pins: AW, W and AR hold valid and payload until ready", spec=lambda: PinsSpec(config=CONFIG), depth=2),
)  # fmt: skip
