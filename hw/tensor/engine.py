# amaranth: UnusedElaboratable=no
# (a Tile that is only asked for its latency is never elaborated)
"""The tensor engine: loader, streamer, tile and the way to PSUM, wired."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..control.command import EngineState, command_layout
from ..memory.ports import PsumWrite, SbufPort
from ..memory.psum import psum_write_latency
from .interlock import Interlock
from .loader import Loader, check_rows
from .streamer import Streamer
from .tile import Tile
from .writeback import Writeback


def tensor_latency(config: ChipConfig) -> int:
    """Cycles from accepting a LoadStationary to writing the first row of its MultiplyMoving into PSUM: 3 from acceptance to the request of
    that row, then SBUF, the tile, and PSUM."""
    return 3 + config.sbuf_latency + Tile(config=config).latency + psum_write_latency(config)


def tensor_block_cycles(config: ChipConfig, *, rows: int, k: int) -> int:
    """Cycles that each of many pairs (LoadStationary of `k` rows, MultiplyMoving of `rows` rows) takes, nothing in the way.

    Both stream a row a cycle at the same time; a block begins one cycle before its swap and `Tile.reload_cycles` after the swap before.
    """
    return max(rows, k, Tile(config=config).reload_cycles + 1)


class TensorEngine(wiring.Component):
    """Executes LoadStationary and MultiplyMoving: moving rows from SBUF, times the stationary block, into PSUM.

    ::

        i_load_stationary --> loader ---(SBUF)---+
                                |  interlock     v
        i_multiply_moving --> streamer -(SBUF)-> tile --> writeback --> psum
                                |                            ^
                                +---- destination of a row --+

    Both instructions come in program order, one in a cycle at most over the two streams, and are accepted early: each stream
    takes an instruction while the one before it runs. A block is used while it is still being loaded: its first moving row
    follows its first stationary row after one cycle.

    Latency: LoadStationary accepted in cycle 0 and its MultiplyMoving in cycle 1, with nothing in the way, row m is written to
    PSUM in cycle `latency` + m and `done_multiply_moving` of M rows is in cycle `latency` + M. Throughput: a moving row a cycle;
    consecutive pairs of a LoadStationary of k rows and a MultiplyMoving of M rows take `block_cycles(rows=M, k=k)` cycles each.
    Reset drops every instruction and row on its way; the stationary block is lost.

    Parameters
    ----------
    config : ChipConfig
        with `rows` at most `cols`.

    Members
    -------
    i_load_stationary : In(stream of command_layout("LoadStationary"))
    i_multiply_moving : In(stream of command_layout("MultiplyMoving"))
        `swap` is set if a LoadStationary came between it and the MultiplyMoving before.
    i_start : In(1)
        Pulse while idle: a job starts, the stationary block of the job before is forgotten.
    done_load_stationary, done_multiply_moving : Out(1)
        Pulses, one an instruction, in order: its last row has been read from SBUF; its last row can be read from PSUM.
    sbuf_stationary : Out(SbufPort)
        Reads; must accept every request in its cycle.
    sbuf_moving : Out(SbufPort)
        Reads; may refuse.
    psum : Out(PsumWrite)
    o_state : Out(EngineState)
        Of the cycle before: BUSY if a row was requested in it; else MEMORY if SBUF refused a moving row; else HAZARD if an instruction was held
        (its turn had not come, or its PSUM row was not written yet); else BUSY if one was taken or rows were on their way; else IDLE.
    o_row : Out(1)
        Pulse: a moving row is requested.
    o_lanes : Out(range(rows + 1))
        With `o_row`: k, how many lanes take part.

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
                "i_load_stationary": In(stream.Signature(command_layout("LoadStationary"))),
                "i_multiply_moving": In(stream.Signature(command_layout("MultiplyMoving"))),
                "i_start": In(1),
                "done_load_stationary": Out(1),
                "done_multiply_moving": Out(1),
                "sbuf_stationary": Out(SbufPort(config)),
                "sbuf_moving": Out(SbufPort(config)),
                "psum": Out(PsumWrite(config)),
                "o_state": Out(EngineState),
                "o_row": Out(1),
                "o_lanes": Out(range(config.rows + 1)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from accepting a LoadStationary to writing the first row of its MultiplyMoving into PSUM (`tensor_latency`)."""
        return tensor_latency(self._config)

    def block_cycles(self, *, rows: int, k: int) -> int:
        """Cycles of each of many blocks of `k` stationary and `rows` moving rows (`tensor_block_cycles`)."""
        return tensor_block_cycles(self._config, rows=rows, k=k)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.loader = loader = Loader(config=config)
        m.submodules.streamer = streamer = Streamer(config=config)
        m.submodules.tile = tile = Tile(config=config)
        m.submodules.interlock = interlock = Interlock(reload_cycles=tile.reload_cycles)
        m.submodules.writeback = writeback = Writeback(config=config, delay=config.sbuf_latency + tile.latency)
        wiring.connect(m, loader.sbuf, wiring.flipped(self.sbuf_stationary))
        wiring.connect(m, streamer.sbuf, wiring.flipped(self.sbuf_moving))
        wiring.connect(m, loader.o, tile.i_stationary)
        wiring.connect(m, streamer.o, tile.i_moving)
        wiring.connect(m, tile.o, writeback.i)
        wiring.connect(m, writeback.psum, wiring.flipped(self.psum))
        self._order(m, loader, streamer, interlock)
        m.d.comb += [
            loader.i_start.eq(self.i_start),
            streamer.i_start.eq(self.i_start),
            streamer.i_lanes.eq(loader.o_lanes),
            writeback.i_row.eq(streamer.o_row),
            writeback.i_destination.eq(streamer.o_destination),
            self.done_load_stationary.eq(loader.done),
            self.done_multiply_moving.eq(writeback.done),
            self.o_row.eq(streamer.o_row),
            self.o_lanes.eq(streamer.o_lanes),
        ]
        self._state(m, loader, streamer, writeback)
        return m

    def _state(self, m: Module, loader: Any, streamer: Any, writeback: Any) -> None:
        """What there was in a cycle, and one later its name: it is told all over the chip."""
        moved, refused, held, flying = Signal(), Signal(), Signal(), Signal()
        taken = Cat(command.valid & command.ready for command in (self.i_load_stationary, self.i_multiply_moving)).any()
        m.d.sync += [
            moved.eq(loader.o_issued | streamer.o_row),
            refused.eq(streamer.o_refused),
            held.eq(loader.o_waiting | streamer.o_hazard),
            flying.eq(taken | loader.o_flight | streamer.o_flight | writeback.o_flight),
        ]
        with m.If(moved):
            m.d.comb += self.o_state.eq(EngineState.BUSY)
        with m.Elif(refused):
            m.d.comb += self.o_state.eq(EngineState.MEMORY)
        with m.Elif(held):
            m.d.comb += self.o_state.eq(EngineState.HAZARD)
        with m.Elif(flying):
            m.d.comb += self.o_state.eq(EngineState.BUSY)

    def _order(self, m: Module, loader: Any, streamer: Any, interlock: Any) -> None:
        """Gives each instruction its turn on the way in and lets it begin when the turn has come."""
        moving = self.i_multiply_moving
        for command, part, turn in (
            (self.i_load_stationary, loader, interlock.o_load_turn),
            (moving, streamer, interlock.o_swap_turn),
        ):
            m.d.comb += [part.i.valid.eq(command.valid), command.ready.eq(part.i.ready), part.i.payload.turn.eq(turn)]
            m.d.comb += [part.i.payload[key].eq(command.payload[key]) for key, _ in command.payload.shape()]
        m.d.comb += [
            interlock.i_start.eq(self.i_start),
            interlock.i_load_accepted.eq(loader.i.valid & loader.i.ready),
            interlock.i_swap_accepted.eq(moving.valid & moving.ready & moving.payload.swap),
            interlock.i_load_begun.eq(loader.o_begun),
            interlock.i_swap_begun.eq(streamer.o_swapped),
            interlock.i_load_turn.eq(loader.o_turn),
            interlock.i_swap_turn.eq(streamer.o_turn),
            interlock.i_swap_moves.eq(streamer.o_moves),
            interlock.i_next_swap_turn.eq(streamer.o_next_turn),
            loader.i_may_load.eq(interlock.o_may_load),
            streamer.i_may_swap.eq(interlock.o_may_swap),
        ]
