"""Proofs of the whole load and store DMA: they keep the rules of AXI4 and SBUF whatever the patterns, the bus and SBUF do."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal
from amaranth.lib import wiring

from hw.common.config import ChipConfig
from hw.control.command import EngineState
from hw.dma.axi import burst_limit
from hw.dma.load import LoadDma
from hw.dma.store import StoreDma

from .axi_bursts import CONFIG, legal
from .rules import free, held
from .runner import Proof


def small(m: Module, command: Any) -> None:
    """Keeps the solver to short commands of two dimensions: within the depth of these proofs no longer one ends."""
    m.d.comb += [Assume((command[f"size{dim}"] >= 1) & (command[f"size{dim}"] <= limit)) for dim, limit in enumerate((3, 2, 1, 1))]
    m.d.comb += [Assume(command[f"{name}{dim}"] == 0) for name in ("stride", "dram_stride") for dim in (2, 3)]


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
        free(
            m,
            dut.i_store.valid,
            dut.i_store.payload,
            dut.i_start,
            aw.ready,
            w.ready,
            b.valid,
            b.payload,
            read.ready,
            dut.sbuf.response.data,
        )
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
            # Beats belong to bursts that were raised, or to the one that waits behind an address that is refused; what was raised is in the buffer.
            Assert(beats + w.valid <= raised + Mux(new, aw.payload.length + 1, Mux(is_up, burst_limit(config), 0))),
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
    """The whole load DMA: addresses hold and are legal, SBUF requests hold, nothing is written from an error on until the next start.

    `good` counts the beats on their way to SBUF: taken from the bus, before any with an error, and not written yet.
    """

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
        good, spoiled, written = Signal(4), Signal(), Signal()
        m.d.comb += written.eq(write.valid & write.ready)
        m.d.sync += good.eq(good + (moved & ~spoiled & ~r.payload.resp[1]) - written)
        with m.If(moved & r.payload.resp[1]):
            m.d.sync += spoiled.eq(1)
        with m.Elif(spoiled & (dut.o_state == EngineState.IDLE)):
            m.d.sync += [spoiled.eq(0), good.eq(0)]
        m.d.sync += [flying.eq(flying + taken - ends), stopped.eq((stopped | dut.error.valid) & ~dut.i_start)]
        m.d.comb += [
            Assume(~r.valid | (flying != 0)),
            Assume(~r.valid | (r.payload.last == (beat == lengths[0]))),
            Assert(~taken | ends | (flying != depth)),
            Assert(~write.valid | ((good != 0) & write.payload.write)),
            Assert(~(stopped | dut.error.valid) | ~write.valid),
            Assert(~stopped | ~(dut.i_load.valid & dut.i_load.ready)),
            Assert(~stopped | ~dut.done_load),
            Cover(dut.done_load),
            Cover(dut.error.valid),
            Cover(stopped & moved),
        ]
        return m


PROOFS = (
    Proof(name="axi_store", doc="store DMA: AW, W and SBUF rules, data before its address, answers counted, silence after an error",
          spec=lambda: StoreSpec(config=CONFIG), mode="bmc", depth=13, cover_depth=24),
    Proof(name="axi_load", doc="load DMA: AR and SBUF rules, nothing written from an error until the next start",
          spec=lambda: LoadSpec(config=CONFIG), mode="bmc", depth=13, cover_depth=22),
)  # fmt: skip
