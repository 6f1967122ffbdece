"""Proofs of what bursts are made of: pieces stay in their pages, join only what they go on from, and no line is lost or added on the way to bursts."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal
from amaranth.lib import wiring

from hw.common.config import ChipConfig
from hw.dma.bursts import BurstMerger
from hw.dma.pieces import PieceCutter, line_shift, page_bits

from .axi_bursts import CONFIG, legal
from .rules import free, held
from .runner import Proof


def follow(m: Module, config: ChipConfig, pieces: Any) -> tuple[Signal, Signal]:
    """(line behind the piece transferred last, whether another of its pattern follows)."""
    behind, goes_on = Signal.like(pieces.payload.line, name="behind"), Signal(name="goes_on")
    with m.If(pieces.valid & pieces.ready):
        m.d.sync += [behind.eq(pieces.payload.line + pieces.payload.rest + 1), goes_on.eq(~pieces.payload.last)]
    return behind, goes_on


def proper(config: ChipConfig, piece: Any, behind: Signal, goes_on: Signal) -> Any:
    """A piece is inside a page and joins only what is before it in the same page and pattern."""
    low = page_bits(config)
    inside = piece.line[:low] + piece.rest < (1 << low)
    return inside & (~piece.joins | (goes_on & (piece.line == behind) & (piece.line[:low] != 0)))


class PieceSpec(wiring.Component):
    """The cutter under every pattern, sizes of zero included."""

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, low = self._config, page_bits(self._config)
        m.submodules.dut = dut = PieceCutter(config=config)
        free(m, dut.i.valid, dut.i.payload, dut.o.ready)
        held(m, dut.o, name="piece")
        behind, goes_on = follow(m, config, dut.o)
        piece = dut.o.payload
        width = len(piece.line)
        ends_at = Mux(dut.more, Cat(dut.tail, piece.line[low:] + dut.pages)[:width], (piece.line + piece.rest)[:width])
        m.d.comb += [
            Assert(~dut.o.valid | proper(config, piece, behind, goes_on)),
            # What makes the induction close: what is behind the piece, and where its run ends.
            Assert(~dut.more | (dut.o.valid & (dut.pages != 0) & (piece.rest == ~piece.line[:low]))),
            Assert(~dut.o.valid | (dut.end == (ends_at + 1)[:width])),
            Assert(dut.o.valid | (~piece.last == goes_on)),
            Assert(dut.o.valid | ~goes_on | (dut.end == behind)),
            Cover(dut.o.valid & dut.o.ready & piece.joins & ~piece.last),
            Cover(dut.o.valid & dut.more & (dut.pages == 2)),
        ]
        return m


class MergerSpec(wiring.Component):
    """The merger under all proper pieces: legal bursts, which hold, of all the lines of the pieces in their order."""

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, low = self._config, page_bits(self._config)
        m.submodules.dut = dut = BurstMerger(config=config)
        free(m, dut.i.valid, dut.i.payload, dut.o.ready)
        held(m, dut.i, name="piece", rule=Assume)
        held(m, dut.o, name="burst")
        legal(m, config, dut.o)
        behind, goes_on = follow(m, config, dut.i)
        line = dut.o.payload.address[line_shift(config) :]
        # Lines taken less lines left in bursts.
        lines = Signal(low + 1)
        taken = Mux(dut.i.valid & dut.i.ready, dut.i.payload.rest + 1, 0)
        left = Mux(dut.o.valid & dut.o.ready, dut.o.payload.length + 1, 0)
        m.d.sync += lines.eq(lines + taken - left)
        m.d.comb += [
            Assume(~dut.i.valid | proper(config, dut.i.payload, behind, goes_on)),
            Assert(lines == Mux(dut.busy, dut.rest + 1, 0)),
            Assert(~dut.busy | (line[:low] + dut.rest < (1 << low))),
            Assert(~dut.busy | ((line + dut.rest + 1)[: len(line)] == behind)),
            Assert(~dut.busy | (dut.last == ~goes_on)),
            Assert(~dut.o.valid | ~dut.o.payload.last | (~goes_on & (lines == dut.o.payload.length + 1))),
            Cover(dut.o.valid & dut.o.ready & (dut.o.payload.length == 2) & dut.i.valid & ~dut.i.payload.joins),
            Cover(dut.i.valid & dut.i.ready & dut.i.payload.joins & dut.busy),
            Cover(dut.o.valid & dut.o.payload.last),
        ]
        return m


PROOFS = (
    Proof(name="axi_pieces", doc="pieces of DRAM patterns: inside a page, joining only what they go on from, held",
          spec=lambda: PieceSpec(config=CONFIG), depth=2, cover_depth=10),
    Proof(name="axi_merge", doc="bursts of pieces: legal, held, every line in one of them and in its order", spec=lambda: MergerSpec(config=CONFIG),
          depth=2, cover_depth=10),
)  # fmt: skip
