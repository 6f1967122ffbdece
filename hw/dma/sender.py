"""The beat sender: lines become the write data of bursts."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from .axi import WriteBeat


class BeatSender(wiring.Component):
    """Puts lines on the write data channel and marks the last beat of each burst.

    Latency: the first beat of a burst is at `o` in the cycle after the transfer of its length, lines pass in the same cycle. Throughput: one beat
    a cycle, over bursts too. `o` is one gate behind flip-flops and `i_line`. Reset forgets the burst.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_length : In(stream of beats less one)
        The bursts, in order; the next one is taken with the last beat.
    i_line : In(stream of line)
    o : Out(stream of WriteBeat)
    busy : Out(1)
        A burst is being sent.
    left : Out(8)
        Beats of it that have not left, less one.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        super().__init__(
            {
                "i_length": In(stream.Signature(8)),
                "i_line": In(stream.Signature(config.axi_data_width)),
                "o": Out(stream.Signature(WriteBeat(config))),
                "busy": Out(1),
                "left": Out(8),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        is_last, sent = Signal(), Signal()
        m.d.comb += [
            self.o.valid.eq(self.busy & self.i_line.valid),
            self.o.payload.data.eq(self.i_line.payload),
            self.o.payload.last.eq(is_last),
            self.i_line.ready.eq(self.busy & self.o.ready),
            sent.eq(self.o.valid & self.o.ready),
            self.i_length.ready.eq(~self.busy | (sent & is_last)),
        ]
        with m.If(sent):
            m.d.sync += [self.left.eq(self.left - 1), is_last.eq(self.left == 1)]
        with m.If(self.i_length.ready):
            m.d.sync += [self.left.eq(self.i_length.payload), is_last.eq(self.i_length.payload == 0), self.busy.eq(self.i_length.valid)]
        return m
