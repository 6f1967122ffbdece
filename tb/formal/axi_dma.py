"""Proofs of the DMA: what it puts on AXI4 is legal whatever the patterns, the bus and SBUF do."""

from __future__ import annotations

from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring

from hw.common.config import ChipConfig
from hw.dma.axi import PAGE_BYTES, burst_limit
from hw.dma.bursts import BurstSplitter
from hw.dma.load import LoadDma
from hw.dma.read_mux import READERS, ReadMux
from hw.dma.sender import BeatSender
from hw.dma.store import StoreDma
from hw.dma.tracker import BurstTracker
from tb.formal.runner import Proof

CONFIG = ChipConfig(
    name="formal", rows=4, cols=4, output_lanes=1, sbuf_banks=2, sbuf_bank_lines=16, sbuf_latency=1, psum_rows=8, axi_address_width=20,
    dma_outstanding=2, dma_burst_lines=4,
)  # fmt: skip


def held(m: Module, port: Any, *, name: str, rule: Any = Assert) -> None:
    """`rule` (Assert or Assume): valid and payload of a stream hold until ready."""
    payload = Value.cast(port.payload)
    waiting, before = Signal(name=f"{name}_waiting"), Signal(len(payload), name=f"{name}_before")
    m.d.sync += [waiting.eq(port.valid & ~port.ready), before.eq(payload)]
    m.d.comb += rule(~waiting | (port.valid & (payload == before)))


def free(m: Module, *signals: Any) -> None:
    """Drives signals with anything, another in every cycle."""
    for signal in signals:
        value = Value.cast(signal)
        m.d.comb += value.eq(AnySeq(len(value)))


def legal(m: Module, config: ChipConfig, request: Any) -> None:
    """A burst on an address channel is aligned, inside a page and not too long."""
    payload = request.payload
    size = (payload.length + 1) * config.line_bytes
    m.d.comb += [
        Assert(~request.valid | (payload.address % config.line_bytes == 0)),
        Assert(~request.valid | (payload.address % PAGE_BYTES + size <= PAGE_BYTES)),
        Assert(~request.valid | (payload.length < burst_limit(config))),
    ]


def small(m: Module, command: Any) -> None:
    """Keeps the solver to short commands of two dimensions: within the depth of these proofs no longer one ends."""
    m.d.comb += [Assume((command[f"size{dim}"] >= 1) & (command[f"size{dim}"] <= limit)) for dim, limit in enumerate((6, 2, 1, 1))]
    m.d.comb += [Assume(command[f"{name}{dim}"] == 0) for name in ("stride", "dram_stride") for dim in (2, 3)]


class AddressSpec(wiring.Component):
    """Splitter and tracker under every pattern, sizes of zero included, and every bus that answers only what it has taken."""

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.splitter = splitter = BurstSplitter(config=config)
        m.submodules.tracker = tracker = BurstTracker(config=config)
        wiring.connect(m, splitter.o, tracker.i)
        request, oldest = tracker.request, tracker.oldest
        free(m, splitter.i.valid, splitter.i.payload, request.ready, oldest.ready)
        held(m, splitter.o, name="burst")
        held(m, request, name="request")
        legal(m, config, request)

        taken = Signal(range(config.dma_outstanding + 2))
        m.d.sync += taken.eq(taken + (request.valid & request.ready) - (oldest.valid & oldest.ready))
        m.d.comb += [
            Assume(~oldest.ready | (taken != 0)),
            Assert(tracker.in_flight == taken + request.valid),
            Assert(tracker.in_flight <= config.dma_outstanding),
            Assert(oldest.valid == (tracker.in_flight != 0)),
            Cover(request.valid & (request.payload.length == burst_limit(config) - 1)),
            Cover(request.valid & (request.payload.length == 1) & (request.payload.address % PAGE_BYTES == PAGE_BYTES - 2 * config.line_bytes)),
            Cover(taken == config.dma_outstanding),
        ]
        return m


class SenderSpec(wiring.Component):
    """Every burst has as many beats as its length says, the last one marked alone; valid and payload hold."""

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = BeatSender(config=self._config)
        free(m, dut.i_length.valid, dut.i_length.payload, dut.i_line.valid, dut.i_line.payload, dut.o.ready)
        held(m, dut.i_length, name="length", rule=Assume)
        held(m, dut.i_line, name="line", rule=Assume)
        held(m, dut.o, name="beat")
        # Counted apart from the device: beats taken since the last one that was marked.
        count, bursts = Signal(8), Signal(2)
        sent = dut.o.valid & dut.o.ready
        ends = sent & dut.o.payload.last
        length = dut.i_length.payload
        with m.If(sent):
            m.d.sync += count.eq(Mux(dut.o.payload.last, 0, count + 1))
        with m.If(ends):
            m.d.sync += bursts.eq(bursts + 1)
        m.d.comb += [
            Assert(dut.index == count),
            Assert(~dut.i_length.valid | (count <= length)),
            Assert(~dut.o.valid | (dut.o.payload.last == (count == length))),
            Assert((dut.i_length.valid & dut.i_length.ready) == ends),
            Assert((dut.i_line.valid & dut.i_line.ready) == sent),
            Cover(ends & (length == 2)),
            Cover((bursts == 2) & sent),
        ]
        # A burst begun stays the one being sent: its length cannot go before its last beat.
        m.d.comb += Assert((count == 0) | dut.i_length.valid)
        return m


class StoreSpec(wiring.Component):
    """The whole store DMA: address and data hold and are legal, no beat without its burst, no burst without its beats, all answers counted."""

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.dut = dut = StoreDma(config=config)
        aw, w, b = dut.axi.request, dut.axi.data, dut.axi.response
        read = dut.sbuf.request
        free(m, dut.i_store.valid, dut.i_store.payload, dut.i_start, aw.ready, w.ready, b.valid, b.payload, read.ready, dut.sbuf.response.data)
        held(m, dut.i_store, name="command", rule=Assume)
        held(m, b, name="b", rule=Assume)
        held(m, aw, name="aw")
        held(m, w, name="w")
        held(m, read, name="sbuf")
        legal(m, config, aw)
        accepted = Signal()
        m.d.sync += accepted.eq(read.valid & read.ready)
        m.d.comb += [dut.sbuf.response.valid.eq(accepted), Assert(~read.valid | ~read.payload.write)]
        small(m, dut.i_store.payload)

        sent, answered = w.valid & w.ready, b.valid & b.ready
        addressed, complete, stopped = Signal(4), Signal(4), Signal()
        raised, beats, lines = Signal(8), Signal(8), Signal(8)
        new = Signal()
        is_up = Signal()
        m.d.sync += is_up.eq(aw.valid & ~aw.ready)
        m.d.comb += new.eq(aw.valid & ~is_up)
        m.d.sync += [
            addressed.eq(addressed + (aw.valid & aw.ready) - answered),
            complete.eq(complete + (sent & w.payload.last) - answered),
            raised.eq(raised + Mux(new, aw.payload.length + 1, 0)),
            beats.eq(beats + sent),
            lines.eq(lines + dut.sbuf.response.valid),
            stopped.eq((stopped | dut.error.valid) & ~dut.i_start),
        ]
        m.d.comb += [
            # A memory answers only bursts whose address and data it has all taken.
            Assume(~b.valid | ((addressed != 0) & (complete != 0))),
            Assert(addressed <= config.dma_outstanding),
            Assert(~b.valid | b.ready),
            # Beats belong to bursts that were raised, and what was raised is in the buffer.
            Assert(beats + w.valid <= raised + Mux(new, aw.payload.length + 1, 0)),
            Assert(raised + Mux(new, aw.payload.length + 1, 0) <= lines),
            Assert(~(dut.error.valid & dut.done_store)),
            Assert(~stopped | ~dut.done_store),
            Assert(~stopped | ~(dut.i_store.valid & dut.i_store.ready)),
            Cover(dut.done_store),
            Cover(dut.error.valid),
            Cover(sent & ~w.payload.last),
        ]
        return m


class LoadSpec(wiring.Component):
    """The whole load DMA: addresses hold and are legal, SBUF requests hold, nothing is written from an error on until the next start."""

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.dut = dut = LoadDma(config=config)
        ar, r, write = dut.axi.request, dut.axi.response, dut.sbuf.request
        free(m, dut.i_load.valid, dut.i_load.payload, dut.i_start, ar.ready, r.valid, r.payload, write.ready)
        held(m, dut.i_load, name="command", rule=Assume)
        held(m, r, name="r", rule=Assume)
        held(m, ar, name="ar")
        held(m, write, name="sbuf")
        legal(m, config, ar)
        small(m, dut.i_load.payload)
        # The memory answers in order: beats of the oldest burst it has taken.
        depth = config.dma_outstanding
        lengths = [Signal(8, name=f"length{index}") for index in range(depth)]
        flying, beat, stopped = Signal(range(depth + 1)), Signal(8), Signal()
        taken, moved = ar.valid & ar.ready, r.valid & r.ready
        ends = moved & r.payload.last
        with m.If(moved):
            m.d.sync += beat.eq(Mux(r.payload.last, 0, beat + 1))
        with m.If(ends):
            m.d.sync += [lengths[index].eq(lengths[index + 1]) for index in range(depth - 1)]
        with m.If(taken):
            for index in range(depth):
                with m.If(flying - ends == index):
                    m.d.sync += lengths[index].eq(ar.payload.length)
        m.d.sync += [flying.eq(flying + taken - ends), stopped.eq((stopped | dut.error.valid) & ~dut.i_start)]
        m.d.comb += [
            Assume(~r.valid | (flying != 0)),
            Assume(~r.valid | (r.payload.last == (beat == lengths[0]))),
            Assert(~taken | ends | (flying != depth)),
            Assert(~write.valid | (r.valid & ~r.payload.resp[1] & write.payload.write)),
            Assert(~(stopped | dut.error.valid) | ~write.valid),
            Assert(~stopped | ~(dut.i_load.valid & dut.i_load.ready)),
            Assert(~stopped | ~dut.done_load),
            Cover(dut.done_load),
            Cover(dut.error.valid),
            Cover(stopped & moved),
        ]
        return m


class MuxSpec(wiring.Component):
    """The read multiplexer: the request holds, one reader at a time is granted, the DMA last, and each beat goes to its reader alone."""

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
        was_granted = Signal()
        m.d.sync += was_granted.eq(granted.any())
        m.d.comb += [
            Assert((granted & (granted - 1)[:READERS]) == 0),
            Assert(~granted[0] | (pending[1:] == 0)),
            # Never idle while one asks and the output is free.
            Assert(granted.any() == (pending.any() & (~dut.request.valid | dut.request.ready))),
            Assert(~was_granted | (dut.request.valid & (dut.request.payload.id == taken))),
            Assert((got & (got - 1)[:READERS]) == 0),
            Assert(~dut.response.valid | (got.any() == (dut.response.payload.id < READERS))),
        ]
        return m


PROOFS = (
    Proof(name="axi_address", doc="DMA bursts: legal, held on the address channel, never more in flight than allowed",
          spec=lambda: AddressSpec(config=CONFIG), depth=4, cover_depth=14),
    Proof(name="axi_beats", doc="write data: WLAST at the last beat of every burst alone, beats hold, none lost or added",
          spec=lambda: SenderSpec(config=CONFIG), depth=4),
    Proof(name="axi_store", doc="store DMA: AW, W and SBUF rules, data before its address, answers counted, silence after an error",
          spec=lambda: StoreSpec(config=CONFIG), mode="bmc", depth=9, cover_depth=12),
    Proof(name="axi_load", doc="load DMA: AR and SBUF rules, nothing written from an error until the next start",
          spec=lambda: LoadSpec(config=CONFIG), mode="bmc", depth=11, cover_depth=14),
    Proof(name="axi_read_mux", doc="read multiplexer: one grant, fetchers first, requests hold, beats routed by ID", spec=lambda: MuxSpec(config=CONFIG),
          depth=4),
)  # fmt: skip
