"""The front of a DMA engine: one command becomes a DRAM pattern for the burst splitter and an SBUF pattern for a line walker."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import AP_STRIDE_BITS, DIMENSIONS, DMA_SIZE_BITS
from ..common.streams import Fifo, WideStage, connect_streams
from ..control.command import command_layout
from ..memory.pattern import PatternWalker
from ..memory.ports import SbufPlace
from .bursts import Burst, BurstSplitter
from .pieces import line_shift


class DmaWalk(wiring.Component):
    """Walks a command twice: bursts of DRAM at one side, SBUF lines at the other, in the same order but each at its own pace.

    One side leads: the bursts of a Load, whose lines wait for DRAM, and the lines of a Store, whose bursts wait for SBUF. Up to `ahead`
    commands wait before the other side, so the leading one goes on with later commands meanwhile.

    A command is taken into a register, then its pattern is looked at, then both sides take it: so one command in three cycles. `i.ready`
    and `lines` come from flip-flops, but for what is no bank of an address, from a small memory; `lines.ready` may come late.

    Latency: the first line is at `lines` four cycles after the command's transfer (the two above, the walker, a queue), the first burst
    at `bursts` six (the two above, then `BurstSplitter`), and two more at the side that does not lead. Throughput: one line and one burst a
    cycle, over consecutive commands of three lines or more too. Reset drops everything.

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
        # A stride is as wide as an address at most: what is above does not change any address.
        addresses = {"sbuf": (config.sbuf_address_width, min(AP_STRIDE_BITS, config.sbuf_address_width))}
        m.submodules.walker = walker = PatternWalker(size_width=DMA_SIZE_BITS, addresses=addresses)
        follower = walker.i if self._is_load else splitter.i
        m.submodules.patterns = patterns = Fifo(shape=follower.payload.shape(), depth=self.ahead)
        # A register between them: the walker looks at the sizes in the cycle in which it takes a pattern.
        waiting, is_waiting = Signal.like(follower.payload, reset_less=True), Signal()
        m.d.comb += [patterns.o.ready.eq(~is_waiting), follower.valid.eq(is_waiting), follower.payload.eq(waiting)]
        with m.If(~is_waiting):
            m.d.sync += [waiting.eq(patterns.o.payload), is_waiting.eq(patterns.o.valid)]
        with m.Elif(follower.ready):
            m.d.sync += is_waiting.eq(0)
        connect_streams(m, splitter.o, wiring.flipped(self.bursts))

        to_bursts, to_lines = (splitter.i, patterns.i) if self._is_load else (patterns.i, walker.i)
        command = Signal.like(self.i.payload, reset_less=True)
        is_taken, is_known, is_contiguous = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~is_taken),
            # Both sides take the command in the same cycle.
            to_bursts.valid.eq(is_known & to_lines.ready),
            to_lines.valid.eq(is_known & to_bursts.ready),
            to_bursts.payload.is_contiguous.eq(is_contiguous),
        ]
        m.d.sync += [is_known.eq(is_taken), is_contiguous.eq(to_bursts.payload.strides[0] == 1)]
        with m.If(~is_taken):
            m.d.sync += [command.eq(self.i.payload), is_taken.eq(self.i.valid)]
        with m.If(to_bursts.valid & to_bursts.ready):
            m.d.sync += [is_taken.eq(0), is_known.eq(0)]
        self._fields(m, command, to_bursts.payload, to_lines.payload, shift)
        # A ready that comes late must not be the enable of every bit; the bank is what SBUF looks at before.
        m.submodules.steps = steps = WideStage(shape=data.StructLayout(SbufPlace(config).members | {"last": 1}), early=("bank",))
        is_walking = Signal()
        m.d.comb += [
            steps.i.valid.eq(walker.o.valid),
            Cat(steps.i.payload.line, steps.i.payload.bank).eq(walker.o.payload.sbuf),
            steps.i.payload.last.eq(walker.o.payload.last),
            walker.o.ready.eq(steps.i.ready),
            self.lines.valid.eq(steps.o.valid),
            self.lines.payload.address.eq(Cat(steps.o.payload.line, steps.o.payload.bank)),
            self.lines.payload.last.eq(steps.o.payload.last),
            steps.o.ready.eq(self.lines.ready),
            is_walking.eq(is_taken | walker.o.valid | patterns.o.valid | is_waiting | steps.o.valid),
            self.busy.eq(is_walking | splitter.busy),
        ]
        return m

    @staticmethod
    def _fields(m: Module, command: Any, dram: Any, sbuf: Any, shift: int) -> None:
        """The two patterns of a command; that of DRAM in lines."""
        m.d.comb += [dram.base.eq(command.dram[shift:]), sbuf.sbuf.base.eq(command.base)]
        for dim in range(DIMENSIONS):
            m.d.comb += [
                dram.sizes[dim].eq(command[f"size{dim}"]),
                dram.strides[dim].eq(command[f"dram_stride{dim}"] >> shift),
                sbuf.sizes[dim].eq(command[f"size{dim}"]),
                sbuf.sbuf.strides[dim].eq(command[f"stride{dim}"]),
            ]
