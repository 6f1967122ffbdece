"""The loader: reads a stationary block from SBUF and gives it to the array, a row a cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..memory.ports import SbufPort
from .operand import delay_line, is_float_code, operand_layout, operands
from .rows import TURN_BITS, RowWalker, multiply, row_command_layout


class StationaryRow(wiring.Signature):
    """A stationary row on its way into the array, seen from the loader: a pulse."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"valid": Out(1), "row": Out(range(config.rows)), "data": Out(operand_layout(config, config.cols))})


class Loader(wiring.Component):
    """Executes LoadStationary: the k rows of a block, one a cycle without a gap, row r of the pattern to array row r.

    Latency: the first row is requested in the cycle after the command's transfer at `i`, or as soon as `i_may_load` allows; a row is at `o`
    `sbuf_latency` cycles after its request. Throughput: a row a cycle, blocks follow each other without a bubble. The port must
    always accept: the array uses row r a fixed time after row 0, whether or not it has come. Reset drops commands and rows on
    their way.

    Parameters
    ----------
    config : ChipConfig
        with `rows` at most `cols`.

    Members
    -------
    i : In(stream of the LoadStationary command and its turn)
        The sizes multiply to 1..rows.
    sbuf : Out(SbufPort)
    o : Out(StationaryRow)
    o_turn : Out(TURN_BITS)
        Turn of the command that would begin.
    i_may_load : In(1)
        The command may begin (`Interlock.o_may_load`).
    o_begun : Out(1)
        Pulse: the first row of a block is requested.
    o_lanes : Out(range(rows + 1))
        k of the newest block begun, from the cycle after `o_begun`.
    i_start : In(1)
        A job starts: `o_lanes` becomes 0.
    o_waiting : Out(1)
        A command is held by `i_may_load`.
    o_issued : Out(1)
        A row is requested in this cycle.
    o_flight : Out(1)
        A row is requested and not back.
    done : Out(1)
        Pulse: the last row of a command is back.

    Raises
    ------
    ValueError
        if `config.rows` is above `config.cols`.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        check_rows(config)
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(row_command_layout("LoadStationary"))),
                "sbuf": Out(SbufPort(config)),
                "o": Out(StationaryRow(config)),
                "o_turn": Out(TURN_BITS),
                "i_may_load": In(1),
                "o_begun": Out(1),
                "o_lanes": Out(range(config.rows + 1)),
                "i_start": In(1),
                "o_waiting": Out(1),
                "o_issued": Out(1),
                "o_flight": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.walker = walker = RowWalker(config=config, instruction="LoadStationary", limit=config.rows)
        wiring.connect(m, wiring.flipped(self.i), walker.i)
        step, request = walker.o.payload, self.sbuf.request
        held = step.first & ~self.i_may_load
        m.d.comb += [
            self.o_turn.eq(step.command.turn),
            request.valid.eq(walker.o.valid & ~held),
            request.payload.address.eq(step.address),
            walker.o.ready.eq(request.ready & ~held),
            self.o_waiting.eq(walker.o.valid & held),
            self.o_issued.eq(request.valid & request.ready),
            self.o_begun.eq(self.o_issued & step.first),
        ]
        row = Signal(range(config.rows))
        with m.If(self.o_issued):
            m.d.sync += row.eq(0)
            with m.If(~step.last):
                m.d.sync += row.eq(row + 1)
        # k, the product of the sizes. Neither it nor a partial product exceeds `rows`, so few bits are enough.
        with m.If(self.o_begun):
            m.d.sync += self.o_lanes.eq(multiply(step.products[0], step.products[1]))
        with m.If(self.i_start):
            m.d.sync += self.o_lanes.eq(0)
        asked: dict[str, Value] = {
            "asked": self.o_issued, "row": row, "last": step.last, "is_float": is_float_code(step.command.dtype),
        }  # fmt: skip
        flights: list[Value] = []
        for _ in range(config.sbuf_latency):
            asked = dict(delay_line(m, asked, 1, valid="asked", name=f"flight{len(flights)}"))
            flights.append(asked["asked"])
        m.d.comb += [
            self.o_flight.eq(Cat(flights).any()),
            self.o.valid.eq(asked["asked"]),
            self.o.row.eq(asked["row"]),
            Value.cast(self.o.data).eq(operands(config, config.cols, self.sbuf.response.data, asked["is_float"])),
            self.done.eq(asked["asked"] & asked["last"]),
        ]
        return m


def check_rows(config: ChipConfig) -> None:
    """Raises `ValueError` where a moving row does not fit into an SBUF word."""
    if config.rows > config.cols:
        raise ValueError(f"rows must be at most cols ({config.cols}) for a moving row to fit into an SBUF word, not {config.rows!r}")
