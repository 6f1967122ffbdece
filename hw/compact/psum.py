"""PSUM of the compact chip: all banks in one memory, with an adder a column."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..memory.bank import NO_CHECK
from ..memory.ports import psum_row_layout


class CompactPsum(wiring.Component):
    """The rows of all banks, bank after bank, in one memory of a read and a write port. The row to be used next is read ahead.

    Latency: the row named by `i_next` in a cycle is at `o` in the next; a row written can be read in the next cycle. Throughput: one row a
    cycle, accumulated or not. In a cycle with `i_valid`, `i_next` must not be the row that is written: `o` is undefined then. Reset: none; the
    memory is undefined until written.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_next : In
        Bank * `psum_rows` + row of the next cycle.
    o : Out(psum_row_layout)
        The row that `i_next` named in the cycle before.
    i_valid : In(1), i_row : In, i_accumulate : In(1), i_data : In(psum_row_layout)
        Writes the row: `i_data`, or its sum with `o`, which must be that row then.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        address, row = config.psum_bank_width + config.psum_row_width, psum_row_layout(config)
        super().__init__(
            {"i_next": In(address), "o": Out(row), "i_valid": In(1), "i_row": In(address), "i_accumulate": In(1), "i_data": In(row)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.memory = memory = Memory(
            shape=unsigned(32 * config.cols), depth=config.psum_banks * config.psum_rows, init=[], attrs=NO_CHECK
        )
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(self.i_next),
            self.o.eq(read.data),
            write.addr.eq(self.i_row),
            write.en.eq(self.i_valid),
            # A multiplexer behind the adder fits into the adder's LUT, one before it does not.
            write.data.eq(
                Cat(Mux(self.i_accumulate, (self.o[col] + self.i_data[col])[:32], self.i_data[col]) for col in range(config.cols))
            ),
        ]
        return m
