"""The streamer: reads moving rows from SBUF and gives them to the array, a row a cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.skid import SkidBuffer
from ..memory.ports import SbufPort
from ..memory.psum import psum_write_latency
from .loader import check_rows
from .operand import delay_line, is_float_code, operand_layout, operands
from .rows import TURN_BITS, RowWalker, row_command_layout


class MovingRow(wiring.Signature):
    """A moving row on its way into the array, seen from the streamer: a pulse. Lane r takes part if bit r of `lanes` is set."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__(
            {
                "valid": Out(1),
                "swap": Out(1),
                "is_float": Out(1),
                "lanes": Out(config.rows),
                "data": Out(operand_layout(config, config.rows)),
            }
        )


def destination_layout(config: ChipConfig) -> data.StructLayout:
    """Where in PSUM a row goes, and whether it is the last of its instruction."""
    return data.StructLayout({"bank": config.psum_bank_width, "row": config.psum_row_width, "accumulate": 1, "last": 1})


def _row_layout(config: ChipConfig) -> data.StructLayout:
    """A row on its way to SBUF; `swaps`: it is the first of a command that swaps."""
    members = {
        "address": config.sbuf_address_width,
        "swaps": 1,
        "is_float": 1,
        "turn": TURN_BITS,
        "destination": destination_layout(config),
    }
    return data.StructLayout(members)


class Streamer(wiring.Component):
    """Executes MultiplyMoving: its rows, one a cycle, each to the next PSUM row.

    A row is held while (HAZARD) it swaps and its block has not begun to load (`i_may_swap`), or it accumulates and a row for the
    same place in PSUM was requested at most `psum_write_latency` cycles ago, so that its sum is not yet readable; and (MEMORY)
    while SBUF refuses.

    Latency: the first row is requested two cycles after the command's transfer at `i`: it is walked to, then it stands in the register that asks
    SBUF, and rows in flight have been compared with it. A row is at `o` `sbuf_latency` cycles after its request. Throughput: a row a cycle,
    commands follow each other without a bubble. `sbuf.request` comes from flip-flops, its `valid` a gate behind them and `i_may_swap`; its
    `ready` goes no further than the next register. Reset drops commands and rows on their way.

    Parameters
    ----------
    config : ChipConfig
        with `rows` at most `cols`.

    Members
    -------
    i : In(stream of the MultiplyMoving command and its turn)
        The sizes multiply to 1..psum_rows.
    sbuf : Out(SbufPort)
    o : Out(MovingRow)
    o_turn : Out(TURN_BITS)
        Turn of the command that would begin.
    o_moves, o_next_turn : Out(1), Out(TURN_BITS)
        In the next cycle another row is asked for, or none; turn of its command.
    i_may_swap : In(1)
        The command may begin if it swaps (`Interlock.o_may_swap`).
    o_swapped : Out(1)
        Pulse: the first row of a command that swaps is requested.
    i_lanes : In(range(rows + 1))
        k of the block that a swap makes the active one.
    i_start : In(1)
        A job starts: no block is active.
    o_row : Out(1)
        Pulse: a row is requested from SBUF.
    o_lanes : Out(range(rows + 1))
        With `o_row`: how many lanes take part.
    o_destination : Out(destination_layout)
        With `o_row`: where it goes.
    o_hazard, o_refused : Out(1)
        A row is held by the engine, or by SBUF.
    o_flight : Out(1)
        A command is accepted and not all of its rows are requested.

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
                "i": In(stream.Signature(row_command_layout("MultiplyMoving"))),
                "sbuf": Out(SbufPort(config)),
                "o": Out(MovingRow(config)),
                "o_turn": Out(TURN_BITS),
                "o_moves": Out(1),
                "o_next_turn": Out(TURN_BITS),
                "i_may_swap": In(1),
                "o_swapped": Out(1),
                "i_lanes": In(range(config.rows + 1)),
                "i_start": In(1),
                "o_row": Out(1),
                "o_lanes": Out(range(config.rows + 1)),
                "o_destination": Out(destination_layout(config)),
                "o_hazard": Out(1),
                "o_refused": Out(1),
                "o_flight": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.walker = walker = RowWalker(config=config, instruction="MultiplyMoving", limit=config.psum_rows)
        wiring.connect(m, wiring.flipped(self.i), walker.i)
        m.submodules.next = queue = SkidBuffer(shape=_row_layout(config))
        m.d.comb += [queue.i.valid.eq(walker.o.valid), walker.o.ready.eq(queue.i.ready)]
        self._describe(m, walker, queue.i.payload)

        # The row that asks SBUF, and the one behind it.
        row, valid, offered = Signal(_row_layout(config), reset_less=True), Signal(), queue.o.payload
        request, held, in_flight = self.sbuf.request, Signal(), self._is_in_flight(m, row, valid, queue)
        m.d.comb += [
            held.eq((row.swaps & ~self.i_may_swap) | in_flight),
            self.o_turn.eq(row.turn),
            self.o_moves.eq(queue.o.ready),
            self.o_next_turn.eq(offered.turn),
            request.valid.eq(valid & ~held),
            request.payload.address.eq(row.address),
            self.o_hazard.eq(valid & held),
            self.o_refused.eq(request.valid & ~request.ready),
            self.o_row.eq(request.valid & request.ready),
            self.o_swapped.eq(self.o_row & row.swaps),
            self.o_destination.eq(row.destination),
            self.o_flight.eq(valid | queue.o.valid | walker.o.valid),
            queue.o.ready.eq(~valid | self.o_row),
        ]
        with m.If(queue.o.ready):
            m.d.sync += [valid.eq(queue.o.valid), row.eq(offered)]

        active = Signal.like(self.o_lanes)
        m.d.comb += self.o_lanes.eq(Mux(row.swaps, self.i_lanes, active))
        with m.If(self.o_row):
            m.d.sync += active.eq(self.o_lanes)
        with m.If(self.i_start):
            m.d.sync += active.eq(0)

        asked: dict[str, Value] = {
            "asked": self.o_row,
            "swap": row.swaps,
            "is_float": row.is_float,
            "lanes": Cat(self.o_lanes > lane for lane in range(config.rows)),
        }
        here = delay_line(m, asked, config.sbuf_latency, valid="asked", name="flight")
        m.d.comb += [
            self.o.valid.eq(here["asked"]),
            self.o.swap.eq(here["swap"]),
            self.o.is_float.eq(here["is_float"]),
            self.o.lanes.eq(here["lanes"]),
            Value.cast(self.o.data).eq(operands(config, config.rows, self.sbuf.response.data, here["is_float"])),
        ]
        return m

    def _describe(self, m: Module, walker: RowWalker, row: Any) -> None:
        """What is to be known of the row walked to. Its place in PSUM is the command's for the first row, then the next one."""
        step, place = walker.o.payload, row.destination
        following = Signal.like(place.row, reset_less=True)
        m.d.comb += [
            row.address.eq(step.address),
            row.swaps.eq(step.first & step.command.swap),
            row.is_float.eq(is_float_code(step.command.dtype)),
            row.turn.eq(step.command.turn),
            place.bank.eq(step.command.psum_bank),
            place.row.eq(Mux(step.first, step.command.psum_row, following)),
            place.accumulate.eq(step.command.accumulate),
            place.last.eq(step.last),
        ]
        with m.If(walker.o.valid & walker.o.ready):
            m.d.sync += following.eq(place.row + 1)

    def _is_in_flight(self, m: Module, row: Any, valid: Signal, queue: SkidBuffer) -> Signal:
        """Whether `row` accumulates and a row for the same place was requested so recently that PSUM would still read the old one. Every row takes
        equally long from request to PSUM, so distances there are distances here.

        Rows requested are compared with a row when it comes into the register; bit n of `near`: one requested n + 1 cycles ago is for the same place.
        The answer is a flip-flop: what SBUF says to its other ports hangs on it.
        """
        ages = psum_write_latency(self._config)
        coming, here = queue.o.payload.destination, row.destination
        place, coming_place = Cat(here.bank, here.row), Cat(coming.bank, coming.row)
        values: dict[str, Value] = {"recent": self.o_row, "place": place}
        matches: list[Value] = []
        for age in range(ages):
            # A row makes room for the next one by being requested, so its `recent` need not be waited for.
            recent = values["recent"] if age else valid
            matches.append(recent & (values["place"] == coming_place))
            values = dict(delay_line(m, values, 1, valid="recent", name=f"age{age}"))
        near, next_near, is_near = Signal(ages), Signal(ages), Signal()
        m.d.comb += next_near.eq(Mux(queue.o.ready, Mux(coming.accumulate, Cat(matches), 0), near << 1))
        m.d.sync += [near.eq(next_near), is_near.eq(next_near.any())]
        return is_near
