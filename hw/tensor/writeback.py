"""Joins the rows that leave the array with the places they go to, and says when an instruction's last row has arrived."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..memory.ports import PsumWrite, psum_row_layout
from ..memory.psum import psum_write_latency
from .streamer import destination_layout


class ResultRow(wiring.Signature):
    """A row of sums, seen from the array: a pulse."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"valid": Out(1), "is_float": Out(1), "data": Out(psum_row_layout(config))})


class Writeback(wiring.Component):
    """Remembers the destination of every row on its way through SBUF and the array, and writes the rows to PSUM.

    Rows leave the array in the order in which they were requested, so a queue in a memory replaces a shift register as long as the array.
    Latency: 0 cycles from `i` to `psum`; `done` comes in the cycle in which the last row of an instruction can first be read from PSUM,
    `psum_write_latency` + 1 cycles after its pulse. Throughput: a row a cycle. Reset forgets every row.

    Parameters
    ----------
    config : ChipConfig
    delay : int
        Cycles from the request of a row (`i_row`) to its sums (`i`), at least 2; so many rows fit into the queue.

    Members
    -------
    i_row : In(1)
        Pulse: a row is requested.
    i_destination : In(destination_layout)
        Where it will go.
    i : In(ResultRow)
    psum : Out(PsumWrite)
    done : Out(1)
        Pulse: an instruction has completed.
    o_flight : Out(1)
        Rows are on their way.

    Raises
    ------
    ValueError
        if `delay` is below 2.
    """

    def __init__(self, *, config: ChipConfig, delay: int) -> None:
        if not isinstance(delay, int) or delay < 2:
            raise ValueError(f"delay must be an integer from 2, not {delay!r}")
        self._config = config
        # One place more than rows, so that equal pointers mean an empty queue.
        self._depth = 1 << delay.bit_length()
        super().__init__(
            {
                "i_row": In(1),
                "i_destination": In(destination_layout(config)),
                "i": In(ResultRow(config)),
                "psum": Out(PsumWrite(config)),
                "done": Out(1),
                "o_flight": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        layout = destination_layout(self._config)
        m.submodules.queue = queue = memory.Memory(shape=layout, depth=self._depth, init=[])
        write, read = queue.write_port(), queue.read_port()
        push, pop, following = (Signal(range(self._depth), name=name) for name in ("push", "pop", "following"))
        # The read port always fetches the entry of the next row to come. It was written long before: the array is deeper than two cycles.
        m.d.comb += [
            write.en.eq(self.i_row),
            write.addr.eq(push),
            write.data.eq(self.i_destination),
            following.eq(Mux(self.i.valid, pop + 1, pop)),
            read.addr.eq(following),
        ]
        m.d.sync += pop.eq(following)
        with m.If(self.i_row):
            m.d.sync += push.eq(push + 1)

        here: Any = read.data
        m.d.comb += [
            self.psum.valid.eq(self.i.valid),
            self.psum.is_float.eq(self.i.is_float),
            self.psum.data.eq(self.i.data),
            self.psum.bank.eq(here.bank),
            self.psum.row.eq(here.row),
            self.psum.accumulate.eq(here.accumulate),
        ]
        # Cycles since a row left for PSUM: bit n is n + 1 cycles ago.
        cycles = psum_write_latency(self._config) + 1
        rows, lasts = Signal(cycles), Signal(cycles)
        m.d.sync += [rows.eq(_shift(rows, self.i.valid)), lasts.eq(_shift(lasts, self.i.valid & here.last))]
        m.d.comb += [self.done.eq(lasts[-1]), self.o_flight.eq((push != pop) | rows.any())]
        return m


def _shift(history: Signal, now: Value) -> Value:
    return (history << 1) | now
