"""The burst splitter: a DRAM access pattern becomes legal AXI bursts, contiguous lines merged whatever dimension they come from."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.streams import Stage, connect_streams
from .axi import burst_limit
from .pieces import DramPattern, Piece, PieceCutter, line_shift, page_bits


class Burst(data.StructLayout):
    """A burst: byte `address`, `length` in beats less one, `last` of its pattern."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"address": config.axi_address_width, "length": 8, "last": 1})


class BurstMerger(wiring.Component):
    """Adds pieces that join to the one that is pending until it holds a burst that cannot grow.

    Latency: a burst is at `o` in the cycle after the transfer of its last piece at `i` if it is as long as it may be or that piece is the last of its
    pattern, else as soon as a piece that does not join is at `i`. Throughput: a burst or a piece that joins each cycle. `i.ready` is three
    gates behind flip-flops and `o.ready`. Reset drops everything.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i : In(stream of Piece)
    o : Out(stream of Burst)
    busy : Out(1)
        Lines are pending.
    rest, last : Out
        Pending lines less one, and whether they are the last of their pattern. For proofs.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(Piece(config))),
                "o": Out(stream.Signature(Burst(config))),
                "busy": Out(1),
                "rest": Out(page_bits(config)),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, piece, rest, last = self._config, self.i.payload, self.rest, self.last
        # The pending lines, all of one page. All counts are less one, as AxLEN is: none can be zero.
        page, most = page_bits(config), (burst_limit(config) - 1).bit_length()
        occupied = Signal()
        line = Signal.like(piece.line, reset_less=True)
        full, joins, merge, issue, drained = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            drained.eq(rest[most:] == 0),
            full.eq(~drained | rest[:most].all()),
            joins.eq(self.i.valid & piece.joins),
            merge.eq(occupied & joins & ~full),
            self.o.valid.eq(occupied & (full | last | (self.i.valid & ~piece.joins))),
            self.o.payload.address.eq(line << line_shift(config)),
            self.o.payload.length.eq(Mux(drained, rest[:most], burst_limit(config) - 1)),
            self.o.payload.last.eq(last & drained),
            issue.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(merge | ~occupied | (issue & drained)),
            self.busy.eq(occupied),
        ]
        with m.If(issue):
            # Behind a burst that is as long as it may be the rest of the page goes on.
            m.d.sync += [line[most:page].eq(line[most:page] + 1), rest[most:].eq(rest[most:] - 1), occupied.eq(~drained)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += last.eq(piece.last)
            with m.If(merge):
                # The ones at the low end carry: the sum and one, in one chain.
                m.d.sync += rest.eq((Cat(1, rest) + Cat(1, piece.rest)) >> 1)
            with m.Else():
                m.d.sync += [occupied.eq(1), line.eq(piece.line), rest.eq(piece.rest)]
        return m


class BurstSplitter(wiring.Component):
    """Cuts a DRAM access pattern into INCR bursts, greedily: a burst takes every following line of the walk that is contiguous with it,
    up to `burst_limit(config)` beats, and ends at a 4 KiB boundary. Lines of different patterns never share a burst.

    Latency: the first burst is at `o` four cycles after the pattern's transfer at `i` if it is as long as it may be or its piece is the last,
    else as soon as the next piece that does not join it is known. Throughput: one burst a cycle where pieces do not join, over consecutive
    patterns too; pieces that do are merged at one a cycle. The bursts depend on the pattern alone, not on timing. `o.ready` may come late.
    Reset drops everything.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i : In(stream of DramPattern)
    o : Out(stream of Burst)
    busy : Out(1)
        A burst of a pattern taken before has not left yet.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({"i": In(stream.Signature(DramPattern(config))), "o": Out(stream.Signature(Burst(config))), "busy": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.cutter = cutter = PieceCutter(config=config)
        m.submodules.merger = merger = BurstMerger(config=config)
        # Cuts the path from the bursts' ready to the walker.
        m.submodules.stage = stage = Stage(shape=Piece(config))
        connect_streams(m, wiring.flipped(self).i, cutter.i)
        connect_streams(m, cutter.o, stage.i)
        connect_streams(m, stage.o, merger.i)
        connect_streams(m, merger.o, wiring.flipped(self).o)
        m.d.comb += self.busy.eq(cutter.busy | stage.o.valid | merger.busy)
        return m
