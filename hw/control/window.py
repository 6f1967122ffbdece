"""The part of DRAM that a job may touch."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from .decode import ADDRESS_WIDTH


def window_layout(config: ChipConfig) -> data.StructLayout:
    """The DRAM the chip may touch: bytes `low` up to but not including `high`, both at most 2**axi_address_width."""
    width = config.axi_address_width + 1
    return data.StructLayout({"low": width, "high": width})


class Window(wiring.Component):
    """Keeps the window of a job, cut to what the address bus reaches.

    Latency: base and size of the last cycle without `i_hold` are in `o.low` from the cycle after it, in `o.high` from the cycle after that. Both come
    from flip-flops. Reset: undefined until then.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_hold : In(1)
        A job is running: `o` stays.
    i_base, i_size : In(64)
        Bytes.
    o : Out(window_layout)
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({"i_hold": In(1), "i_base": In(ADDRESS_WIDTH), "i_size": In(ADDRESS_WIDTH), "o": Out(window_layout(config))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = self._config.axi_address_width

        def cut(address: Value) -> Value:
            return Mux(address[width:].any(), 1 << width, address[:width])

        end = Signal(ADDRESS_WIDTH + 1)
        with m.If(~self.i_hold):
            m.d.sync += [self.o.low.eq(cut(self.i_base)), end.eq(self.i_base + self.i_size)]
        m.d.sync += self.o.high.eq(cut(end))
        return m
