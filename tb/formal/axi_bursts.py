"""Proofs of bursts: what the splitter, the tracker and the sender make of a command is legal AXI4; and the rules proofs of the DMA share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from amaranth.lib import wiring

from hw.common.config import ChipConfig
from hw.dma.axi import PAGE_BYTES, burst_limit
from hw.dma.bursts import BurstSplitter
from hw.dma.sender import BeatSender
from hw.dma.tracker import BurstTracker

from .rules import free, held
from .runner import Proof

CONFIG = ChipConfig(
    name="formal", rows=4, cols=4, output_lanes=1, sbuf_banks=2, sbuf_bank_lines=16, sbuf_latency=1, psum_rows=8, axi_address_width=20,
    dma_outstanding=2, dma_burst_lines=4,
)  # fmt: skip


def legal(m: Module, config: ChipConfig, request: Any) -> None:
    """A burst on an address channel is aligned, inside a page and not too long."""
    payload = request.payload
    size = (payload.length + 1) * config.line_bytes
    m.d.comb += [
        Assert(~request.valid | (payload.address % config.line_bytes == 0)),
        Assert(~request.valid | (payload.address % PAGE_BYTES + size <= PAGE_BYTES)),
        Assert(~request.valid | (payload.length < burst_limit(config))),
    ]


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
            Assert((tracker.in_flight >= taken) & (tracker.in_flight - taken <= 2)),
            Assert(request.valid == (tracker.in_flight != taken)),
            Assert(tracker.in_flight <= config.dma_outstanding),
            Assert(oldest.valid == (tracker.in_flight != 0)),
            Cover(request.valid & (request.payload.length == burst_limit(config) - 1)),
            Cover(
                request.valid & (request.payload.length == 1) & (request.payload.address % PAGE_BYTES == PAGE_BYTES - 2 * config.line_bytes)
            ),
            Cover(taken == config.dma_outstanding),
        ]
        return m


class TrackerSpec(wiring.Component):
    """The tracker under every burst, held or withdrawn, and every bus that answers only what it has taken."""

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self._config.dma_outstanding
        m.submodules.dut = dut = BurstTracker(config=self._config)
        free(m, dut.i.valid, dut.i.payload, dut.request.ready, dut.oldest.ready)
        held(m, dut.request, name="request")
        pushed, sent = dut.i.valid & dut.i.ready, dut.request.valid & dut.request.ready
        answered = dut.oldest.valid & dut.oldest.ready
        # Bursts before the address channel, and those the bus has taken.
        waiting, taken = Signal(range(depth + 2)), Signal(range(depth + 2))
        m.d.sync += [waiting.eq(waiting + pushed - sent), taken.eq(taken + sent - answered)]
        m.d.comb += [
            Assume(~dut.oldest.ready | (taken != 0)),
            Assert(waiting <= 2),
            Assert(dut.request.valid == (waiting != 0)),
            Assert(dut.in_flight == waiting + taken),
            Assert(dut.in_flight <= depth),
            Assert(dut.oldest.valid == (dut.in_flight != 0)),
            Assert(dut.i.ready == ((waiting != 2) & (dut.in_flight != depth))),
            Cover(taken == depth),
            Cover((waiting == 2) & answered),
            Cover(pushed & sent),
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
        # Counted apart from the device: the length taken last, and the beats sent since.
        count, length, active, bursts = Signal(8), Signal(8), Signal(), Signal(2)
        sent, begins = dut.o.valid & dut.o.ready, dut.i_length.valid & dut.i_length.ready
        ends = sent & dut.o.payload.last
        with m.If(sent):
            m.d.sync += count.eq(count + 1)
        with m.If(ends):
            m.d.sync += [bursts.eq(bursts + 1), active.eq(0)]
        with m.If(begins):
            m.d.sync += [length.eq(dut.i_length.payload), count.eq(0), active.eq(1)]
        m.d.comb += [
            Assert(dut.busy == active),
            Assert(~active | (count <= length)),
            Assert(~active | (dut.left == length - count)),
            Assert(~active | (dut.o.payload.last == (count == length))),
            Assert(dut.o.valid == (active & dut.i_line.valid)),
            Assert(dut.i_length.ready == (~active | ends)),
            Assert((dut.i_line.valid & dut.i_line.ready) == sent),
            Cover(ends & (length == 2)),
            Cover((bursts == 2) & sent),
        ]
        return m


PROOFS = (
    Proof(name="axi_address", doc="DMA bursts: legal, held on the address channel, never more in flight than allowed",
          spec=lambda: AddressSpec(config=CONFIG), mode="bmc", depth=10, cover_depth=16),
    Proof(name="axi_tracker", doc="bursts in flight: never more than allowed, counted exactly, each held on the address channel",
          spec=lambda: TrackerSpec(config=replace(CONFIG, dma_outstanding=4)), engine="abc pdr", depth=4, cover_depth=12),
    Proof(name="axi_beats", doc="write data: WLAST at the last beat of every burst alone, beats hold, none lost or added",
          spec=lambda: SenderSpec(config=CONFIG), depth=4),
)  # fmt: skip
