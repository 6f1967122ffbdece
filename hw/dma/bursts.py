"""The burst splitter: a DRAM access pattern becomes legal AXI bursts, contiguous lines merged whatever dimension they come from."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import DIMENSIONS, DMA_SIZE_BITS, DRAM_STRIDE_BITS
from ..memory.pattern import PatternWalker
from .axi import PAGE_BYTES, burst_limit


def line_shift(config: ChipConfig) -> int:
    """Low bits of a byte address that are zero at a line."""
    return (config.line_bytes - 1).bit_length()


class DramPattern(data.StructLayout):
    """A pattern of DRAM lines: `base` and signed `strides` in lines, `sizes` from 1."""

    def __init__(self, config: ChipConfig) -> None:
        shift = line_shift(config)
        super().__init__(
            {
                "base": unsigned(config.axi_address_width - shift),
                "sizes": data.ArrayLayout(unsigned(DMA_SIZE_BITS), DIMENSIONS),
                "strides": data.ArrayLayout(signed(DRAM_STRIDE_BITS - shift), DIMENSIONS),
            }
        )


class Burst(data.StructLayout):
    """A burst: byte `address`, `length` in beats less one, `last` of its pattern."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"address": config.axi_address_width, "length": 8, "last": 1})


class BurstSplitter(wiring.Component):
    """Cuts a DRAM access pattern into INCR bursts, greedily: a burst takes every following line of the walk that is contiguous with it,
    up to `burst_limit(config)` beats, and ends at a 4 KiB boundary. Lines of different patterns never share a burst.

    What is walked are *runs*: all of dimension 0 where its stride is one line, else single lines. One run is pending; runs that go on where
    it ends are added to it until it holds a burst that cannot grow.

    Latency: the first burst is at `o` two cycles after the pattern's transfer at `i` if it is as long as it may be or its run is the last,
    else as soon as the next run that does not continue it is known. Throughput: one burst a cycle where runs do not continue each other,
    over consecutive patterns too; runs that do are merged at one a cycle. The bursts depend on the pattern alone, not on timing.
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
        shift = line_shift(config)
        address_width = config.axi_address_width - shift
        addresses = {"dram": (address_width, DRAM_STRIDE_BITS - shift)}
        m.submodules.walker = walker = PatternWalker(size_width=DMA_SIZE_BITS, addresses=addresses)
        run_rest = self._walk_runs(m, walker)
        run = walker.o

        # The pending run: at most a burst that can still grow, and one whole run. All counts are less one, as AxLEN is: none can be zero.
        occupied, last = Signal(), Signal()
        start, end = Signal(address_width), Signal(address_width)
        rest = Signal(DMA_SIZE_BITS + 1)

        page_lines, most = PAGE_BYTES // config.line_bytes, burst_limit(config)
        room, limit, beats = Signal(range(page_lines)), Signal(range(most)), Signal(range(most))
        full, joins, merge, issue, drained = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            room.eq(~start[: page_lines.bit_length() - 1]),
            limit.eq(Mux(room < most - 1, room, most - 1)),
            full.eq(rest >= limit),
            beats.eq(Mux(full, limit, rest)),
            drained.eq(rest == beats),
            joins.eq(run.payload.dram == end),
            merge.eq(occupied & run.valid & joins & ~full & ~last),
            self.o.valid.eq(occupied & (full | last | (run.valid & ~joins))),
            self.o.payload.address.eq(start << shift),
            self.o.payload.length.eq(beats),
            self.o.payload.last.eq(last & drained),
            issue.eq(self.o.valid & self.o.ready),
            run.ready.eq(merge | ~occupied | (issue & drained)),
            self.busy.eq(occupied | run.valid),
        ]
        with m.If(issue):
            m.d.sync += [start.eq(start + beats + 1), rest.eq(rest - beats - 1), occupied.eq(~drained)]
        with m.If(run.valid & run.ready):
            m.d.sync += last.eq(run.payload.last)
            with m.If(merge):
                m.d.sync += [end.eq(end + run_rest + 1), rest.eq(rest + run_rest + 1)]
            with m.Else():
                m.d.sync += [occupied.eq(1), start.eq(run.payload.dram), end.eq(run.payload.dram + run_rest + 1), rest.eq(run_rest)]
        return m

    def _walk_runs(self, m: Module, walker: PatternWalker) -> Signal:
        """Feeds `walker` with the pattern of runs; gives the lines, less one, of each run of the pattern being walked."""
        pattern = self.i.payload
        is_contiguous, run_rest = Signal(), Signal(DMA_SIZE_BITS)
        m.d.comb += [
            is_contiguous.eq(pattern.strides[0] == 1),
            walker.i.valid.eq(self.i.valid),
            self.i.ready.eq(walker.i.ready),
            walker.i.payload.dram.base.eq(pattern.base),
        ]
        for dim in range(DIMENSIONS):
            size = Mux(is_contiguous, 1, pattern.sizes[0]) if dim == 0 else pattern.sizes[dim]
            m.d.comb += [walker.i.payload.sizes[dim].eq(size), walker.i.payload.dram.strides[dim].eq(pattern.strides[dim])]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += run_rest.eq(Mux(is_contiguous, pattern.sizes[0] - 1, 0))
        return run_rest
