"""Keeps loads of stationary blocks and the swaps that use them in program order, and the wavefronts of a swap and of a load apart."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .rows import TURN_BITS


class Interlock(wiring.Component):
    """Says when a load of a stationary block may begin and when a swap may.

    The two kinds of instruction come in one program order (accepted in different cycles). Each takes a *turn* when it is
    accepted: a load the number of swaps accepted before it, a swap the number of loads, both modulo 2**TURN_BITS. A load may
    begin once that many swaps have begun, a swap once that many loads have. Later ones cannot have begun by then, since they wait
    for this one, so equality is enough.

    A swap goes down the array a row every `adder_stages` cycles, a load a row a cycle: begun right behind a swap, a load would
    overtake it in the lower rows. So a load begins at the earliest `reload_cycles` after the swap before it; a swap begins at the
    earliest in the cycle after its load. Reset and `i_start` forget every turn and the wavefront.

    Parameters
    ----------
    reload_cycles : int
        `Tile.reload_cycles`.

    Members
    -------
    i_start : In(1)
        A job starts.
    i_load_accepted, i_swap_accepted : In(1)
        Pulses: an instruction enters the engine, with turn `o_load_turn` or `o_swap_turn`.
    i_load_begun, i_swap_begun : In(1)
        Pulses: its first row is requested from SBUF.
    o_load_turn, o_swap_turn : Out(TURN_BITS)
    i_load_turn, i_swap_turn : In(TURN_BITS)
        Turn of the instruction that wants to begin.
    i_swap_moves, i_next_swap_turn : In(1), In(TURN_BITS)
        In the next cycle another instruction wants to begin with a swap, of this turn.
    o_may_load, o_may_swap : Out(1)
        It may, now and in every later cycle until it has begun. `o_may_swap` is a flip-flop: what SBUF says to all its ports hangs on it.

    Raises
    ------
    ValueError
        if `reload_cycles` is not a positive integer.
    """

    def __init__(self, *, reload_cycles: int) -> None:
        if not isinstance(reload_cycles, int) or reload_cycles < 1:
            raise ValueError(f"reload_cycles must be a positive integer, not {reload_cycles!r}")
        self._reload_cycles = reload_cycles
        members: dict[str, Any] = {"i_start": In(1), "i_swap_moves": In(1), "i_next_swap_turn": In(TURN_BITS)}
        for kind in ("load", "swap"):
            members |= {f"i_{kind}_accepted": In(1), f"i_{kind}_begun": In(1), f"i_{kind}_turn": In(TURN_BITS)}
            members |= {f"o_{kind}_turn": Out(TURN_BITS), f"o_may_{kind}": Out(1)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        counts = {name: Signal(TURN_BITS, name=name) for name in ("loads_accepted", "loads_begun", "swaps_accepted", "swaps_begun")}
        events = (self.i_load_accepted, self.i_load_begun, self.i_swap_accepted, self.i_swap_begun)
        for count, event in zip(counts.values(), events, strict=True):
            with m.If(event):
                m.d.sync += count.eq(count + 1)
        # The count of swaps is up to date, so a load may begin, one cycle after the swap: the guard counts the cycles beyond.
        guard = Signal(range(self._reload_cycles))
        with m.If(self.i_swap_begun):
            m.d.sync += guard.eq(self._reload_cycles - 1)
        with m.Elif(guard != 0):
            m.d.sync += guard.eq(guard - 1)
        m.d.comb += [
            self.o_load_turn.eq(counts["swaps_accepted"]),
            self.o_swap_turn.eq(counts["loads_accepted"]),
            self.o_may_load.eq((counts["swaps_begun"] == self.i_load_turn) & (guard == 0)),
        ]
        # Of the next cycle. What comes late, that a load begins and that an instruction moves on, only chooses.
        begun, after = counts["loads_begun"], Signal(TURN_BITS)
        m.d.comb += after.eq(begun + 1)
        turns = {"stays": self.i_swap_turn, "moves": self.i_next_swap_turn}
        may = {name: Mux(self.i_load_begun, after == turn, begun == turn) for name, turn in turns.items()}
        m.d.sync += self.o_may_swap.eq(Mux(self.i_swap_moves, may["moves"], may["stays"]))
        with m.If(self.i_start):
            m.d.sync += [count.eq(0) for count in counts.values()]
            m.d.sync += [guard.eq(0), self.o_may_swap.eq(0)]
        return m
