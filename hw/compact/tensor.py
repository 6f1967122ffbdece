"""Rows from SBUF into the array, sums from the array into PSUM."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..memory.ports import psum_row_layout
from ..tensor.tile import Tile
from .parameters import Active


class CompactTensor(wiring.Component):
    """Runs LOAD_STATIONARY and MULTIPLY on a `Tile`, and the reads of LOAD_CHANNEL: one line of SBUF a cycle, without a gap.

    Latency: COUNT + 1 cycles for LOAD_STATIONARY and LOAD_CHANNEL, COUNT + 2 + `Tile.latency` for MULTIPLY; the array is empty after it, so
    that commands need no interlock. Throughput: one moving row a cycle. Reset as `Tile`.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_active : In(Active)
    i_last : In(1)
        COUNT is 1.
    i_row, i_swap, i_lanes : In
        Parameters of the command.
    i_data : In(line)
        Of SBUF: the line read in the cycle before.
    o_read : Out(1)
        SBUF is read in this cycle; COUNT and SBUF step.
    o_hold : Out(1)
        Lines follow each other.
    o_step_row, o_swapped : Out(1)
        A stationary row, the first moving row is in the array.
    o_channel : Out(1)
        `i_data` is the next line of LOAD_CHANNEL.
    o_valid : Out(1), o_sums : Out(psum_row_layout)
        A row of sums.
    o_done : Out(1)
        In the last cycle of a command.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        names = ("read", "hold", "step_row", "swapped", "channel", "valid", "done")
        super().__init__(
            {
                "i_active": In(Active()), "i_last": In(1), "i_row": In(range(config.rows)), "i_swap": In(1), "i_lanes": In(config.rows),
                "i_data": In(8 * config.line_bytes), "o_sums": Out(psum_row_layout(config)),
            }
            | {f"o_{name}": Out(1) for name in names}
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.tile = tile = Tile(config=self._config)
        runs, is_read, is_drained, was_valid = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            runs.eq(self.i_active.load_stationary | self.i_active.multiply | self.i_active.load_channel),
            self.o_hold.eq(runs),
            self.o_read.eq(runs & ~is_drained),
            tile.i_stationary.valid.eq(is_read & self.i_active.load_stationary),
            tile.i_stationary.row.eq(self.i_row),
            tile.i_stationary.data.eq(self.i_data),
            self.o_step_row.eq(tile.i_stationary.valid),
            tile.i_moving.valid.eq(is_read & self.i_active.multiply),
            tile.i_moving.swap.eq(self.i_swap),
            tile.i_moving.lanes.eq(self.i_lanes),
            tile.i_moving.data.eq(self.i_data),
            self.o_swapped.eq(tile.i_moving.valid),
            self.o_channel.eq(is_read & self.i_active.load_channel),
            self.o_valid.eq(tile.o.valid),
            self.o_sums.eq(tile.o.data),
        ]
        # Rows of a MULTIPLY come out as they went in, without a gap: the last has come once none follows.
        m.d.comb += self.o_done.eq(is_drained & (~self.i_active.multiply | (was_valid & ~tile.o.valid)))
        m.d.sync += [
            is_read.eq(self.o_read),
            was_valid.eq(tile.o.valid),
            is_drained.eq((is_drained | (self.o_read & self.i_last)) & ~self.o_done),
        ]
        return m
