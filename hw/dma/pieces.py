"""Pieces of a DRAM access pattern: its contiguous runs, cut at the page boundaries that no burst may cross."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import DIMENSIONS, DMA_SIZE_BITS, DRAM_STRIDE_BITS
from ..memory.pattern import PatternWalker
from .axi import PAGE_BYTES


def line_shift(config: ChipConfig) -> int:
    """Low bits of a byte address that are zero at a line."""
    return (config.line_bytes - 1).bit_length()


def page_bits(config: ChipConfig) -> int:
    """Bits of a line's number in its page."""
    return (PAGE_BYTES // config.line_bytes - 1).bit_length()


class DramPattern(data.StructLayout):
    """A pattern of DRAM lines: `base` and signed `strides` in lines, `sizes` from 1; `is_contiguous`: the stride of dimension 0 is one line.

    A stride is as wide as an address at most: what is above does not change any address.
    """

    def __init__(self, config: ChipConfig) -> None:
        shift = line_shift(config)
        width = config.axi_address_width - shift
        super().__init__(
            {
                "base": unsigned(width),
                "sizes": data.ArrayLayout(unsigned(DMA_SIZE_BITS), DIMENSIONS),
                "strides": data.ArrayLayout(signed(min(width, DRAM_STRIDE_BITS - shift)), DIMENSIONS),
                "is_contiguous": 1,
            }
        )


class Piece(data.StructLayout):
    """`rest` + 1 lines of one page from `line` on; `joins`: they go on where the piece before ended, in its page and pattern; `last` of it."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"line": config.axi_address_width - line_shift(config), "rest": page_bits(config), "joins": 1, "last": 1})


class PieceCutter(wiring.Component):
    """Walks the runs of a DRAM pattern and cuts them at page boundaries.

    A *run* is all of dimension 0 where its stride is one line, else a single line.

    Latency: the first piece is at `o` two cycles after the pattern's transfer at `i`. Throughput: one piece a cycle, over consecutive patterns
    too. `o` comes from flip-flops. Reset drops everything.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i : In(stream of DramPattern)
    o : Out(stream of Piece)
    busy : Out(1)
        A piece of a pattern taken before has not left yet.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({"i": In(stream.Signature(DramPattern(config))), "o": Out(stream.Signature(Piece(config))), "busy": Out(1)})
        low = page_bits(config)
        # Public for proofs: whether more of the run is behind the piece at `o`: on so many pages, of which the last has `tail` + 1 lines. Where the run ends.
        self.more, self.tail = Signal(), Signal(low, reset_less=True)
        self.pages = Signal(max(DMA_SIZE_BITS, low) + 1 - low, reset_less=True)
        self.end = Signal(config.axi_address_width - line_shift(config), reset_less=True)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        low, pattern, piece = page_bits(self._config), self.i.payload, self.o.payload
        width = piece.line.shape().width
        stride_width = pattern.strides[0].shape().width
        m.submodules.walker = walker = PatternWalker(size_width=DMA_SIZE_BITS, addresses={"dram": (width, stride_width)})
        m.d.comb += [
            walker.i.valid.eq(self.i.valid),
            self.i.ready.eq(walker.i.ready),
            walker.i.payload.dram.base.eq(pattern.base),
        ]
        for dim in range(DIMENSIONS):
            size = Mux(pattern.is_contiguous, 1, pattern.sizes[0]) if dim == 0 else pattern.sizes[dim]
            m.d.comb += [walker.i.payload.sizes[dim].eq(size), walker.i.payload.dram.strides[dim].eq(pattern.strides[dim])]
        # Lines less one of every run of the pattern being walked.
        run_rest = Signal(DMA_SIZE_BITS, reset_less=True)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += run_rest.eq(Mux(pattern.is_contiguous, pattern.sizes[0] - 1, 0))

        more, pages, tail, end = self.more, self.pages, self.tail, self.end
        run, occupied, take = walker.o.payload.dram, Signal(), Signal()
        line, rest = Signal(width, reset_less=True), Signal(low, reset_less=True)
        joins, last = Signal(), Signal(init=1)
        reach, distance = Signal(low + len(pages)), Signal(signed(DMA_SIZE_BITS + 1))
        m.d.comb += [
            take.eq(~occupied | (self.o.ready & ~more)),
            walker.o.ready.eq(take),
            reach.eq(run_rest + run[:low]),
            distance.eq(Cat(~run_rest, 1)),
            self.o.valid.eq(occupied),
            piece.line.eq(line),
            piece.rest.eq(rest),
            piece.joins.eq(joins),
            piece.last.eq(last & ~more),
            self.busy.eq(occupied | walker.o.valid),
        ]
        with m.If(occupied & self.o.ready):
            m.d.sync += [
                line.eq((line[low:] + 1) << low),
                rest.eq(Mux(pages == 1, tail, ~0)),
                pages.eq(pages - 1),
                more.eq(more & (pages != 1)),
                joins.eq(0),
                occupied.eq(more),
            ]
        with m.If(take & walker.o.valid):
            m.d.sync += [
                line.eq(run),
                rest.eq(Mux(reach[low:] != 0, ~run[:low], run_rest[:low])),
                pages.eq(reach[low:]),
                tail.eq(reach[:low]),
                more.eq(reach[low:] != 0),
                # Not at the beginning of a page: there no burst goes on.
                joins.eq(~last & (run == end) & (run[:low] != 0)),
                last.eq(walker.o.payload.last),
                # One carry chain: the end is behind the last line.
                end.eq(run - distance),
                occupied.eq(1),
            ]
        return m
