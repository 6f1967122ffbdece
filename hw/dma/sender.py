"""The beat sender: lines become the write data of bursts."""

from typing import Any

from amaranth.hdl import Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from .axi import WriteBeat


class BeatSender(wiring.Component):
    """Puts lines on the write data channel and marks the last beat of each burst.

    Latency: none, combinational. Throughput: one beat a cycle, over bursts too. Reset begins a new burst.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_length : In(stream of beats less one)
        The bursts, in order; taken with the last beat.
    i_line : In(stream of line)
    o : Out(stream of WriteBeat)
    index : Out(8)
        Number of the next beat in its burst, from 0.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        super().__init__(
            {
                "i_length": In(stream.Signature(8)),
                "i_line": In(stream.Signature(config.axi_data_width)),
                "o": Out(stream.Signature(WriteBeat(config))),
                "index": Out(8),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        is_last = self.index == self.i_length.payload
        m.d.comb += [
            self.o.valid.eq(self.i_length.valid & self.i_line.valid),
            self.o.payload.data.eq(self.i_line.payload),
            self.o.payload.last.eq(is_last),
            self.i_line.ready.eq(self.i_length.valid & self.o.ready),
            self.i_length.ready.eq(self.i_line.valid & self.o.ready & is_last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.index.eq(Mux(is_last, 0, self.index + 1))
        return m
