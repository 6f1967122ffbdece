"""The front of a DMA engine: one command becomes a DRAM pattern for the burst splitter and an SBUF pattern for a line walker."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import AP_STRIDE_BITS, DIMENSIONS, DMA_SIZE_BITS
from ..common.streams import Fifo, connect_streams
from ..control.command import command_layout
from ..memory.pattern import PatternWalker
from .bursts import Burst, BurstSplitter, line_shift


class DmaWalk(wiring.Component):
    """Walks a command twice: bursts of DRAM at one side, SBUF lines at the other, in the same order but each at its own pace.

    One side leads: the bursts of a Load, whose lines wait for DRAM, and the lines of a Store, whose bursts wait for SBUF. Up to `ahead`
    commands wait before the other side, so the leading one goes on with later commands meanwhile.

    Latency: the first line is at `lines` two cycles after the command's transfer (the walker, then a queue that keeps it out of SBUF's paths), the
    first burst at `bursts` two (`BurstSplitter`), and one more at the side that does not lead. Throughput: one line and one burst a cycle, over
    consecutive commands too. Reset drops everything.

    Parameters
    ----------
    config : ChipConfig
    name : str
        "Load" or "Store": the instruction.

    Members
    -------
    i : In(stream of command_layout(name))
    bursts : Out(stream of Burst)
    lines : Out(stream of {address, last})
        SBUF line addresses; `last` of the command.
    busy : Out(1)
        A line or a burst of a command taken before has not left yet.

    Raises
    ------
    ValueError
        if `name` is not the name of a DMA instruction.
    """

    def __init__(self, *, config: ChipConfig, name: str) -> None:
        if name not in ("Load", "Store"):
            raise ValueError(f"name must be Load or Store, not {name!r}")
        self._config = config
        self._is_load = name == "Load"
        line = data.StructLayout({"address": config.sbuf_address_width, "last": 1})
        super().__init__(
            {
                "i": In(stream.Signature(command_layout(name))),
                "bursts": Out(stream.Signature(Burst(config))),
                "lines": Out(stream.Signature(line)),
                "busy": Out(1),
            }
        )

    @property
    def ahead(self) -> int:
        """Commands that may wait before the side that does not lead."""
        return max(2, min(8, self._config.dma_outstanding))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, shift = self._config, line_shift(self._config)
        m.submodules.splitter = splitter = BurstSplitter(config=config)
        addresses = {"sbuf": (config.sbuf_address_width, AP_STRIDE_BITS)}
        m.submodules.walker = walker = PatternWalker(size_width=DMA_SIZE_BITS, addresses=addresses)
        follower = walker.i if self._is_load else splitter.i
        m.submodules.patterns = patterns = Fifo(shape=follower.payload.shape(), depth=self.ahead)
        connect_streams(m, patterns.o, follower)
        connect_streams(m, splitter.o, wiring.flipped(self.bursts))

        # Both sides take the command in the same cycle.
        to_bursts, to_lines = (splitter.i, patterns.i) if self._is_load else (patterns.i, walker.i)
        m.d.comb += [
            self.i.ready.eq(to_bursts.ready & to_lines.ready),
            to_bursts.valid.eq(self.i.valid & to_lines.ready),
            to_lines.valid.eq(self.i.valid & to_bursts.ready),
        ]
        self._fields(m, to_bursts.payload, to_lines.payload, shift)
        m.submodules.steps = steps = Fifo(shape=self.lines.payload.shape(), depth=2)
        connect_streams(m, steps.o, wiring.flipped(self.lines))
        is_walking = Signal()
        m.d.comb += [
            steps.i.valid.eq(walker.o.valid),
            steps.i.payload.address.eq(walker.o.payload.sbuf),
            steps.i.payload.last.eq(walker.o.payload.last),
            walker.o.ready.eq(steps.i.ready),
            is_walking.eq(walker.o.valid | patterns.o.valid | steps.o.valid),
            self.busy.eq(is_walking | splitter.busy),
        ]
        return m

    def _fields(self, m: Module, dram: Any, sbuf: Any, shift: int) -> None:
        """The two patterns of a command; that of DRAM in lines."""
        command = self.i.payload
        m.d.comb += [dram.base.eq(command.dram[shift:]), sbuf.sbuf.base.eq(command.base)]
        for dim in range(DIMENSIONS):
            m.d.comb += [
                dram.sizes[dim].eq(command[f"size{dim}"]),
                dram.strides[dim].eq(command[f"dram_stride{dim}"] >> shift),
                sbuf.sizes[dim].eq(command[f"size{dim}"]),
                sbuf.sbuf.strides[dim].eq(command[f"stride{dim}"]),
            ]
