"""`Interlock`: loads of stationary blocks and the swaps that use them begin in program order, wavefronts apart (docs/interfaces.md, "Chasing")."""

from typing import Any

from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.tensor.interlock import Interlock
from hw.tensor.rows import TURN_BITS

from .runner import Proof

ROWS, ADDER_STAGES = 3, 2
#: From a swapping row to the earliest load: row r swaps r*ADDER_STAGES cycles later and may be loaded r cycles after the load began.
RELOAD_CYCLES = (ROWS - 1) * (ADDER_STAGES - 1) + 1
#: Instructions of a kind that are accepted and have not begun: one kept, one walking, two behind the walker of moving rows.
PLACES = 4
OTHER = {"load": "swap", "swap": "load"}


class InterlockSpec(wiring.Component):
    """Any program, accepted one instruction a cycle at most and begun, in the order of each kind, when it may and `begin` says so.

    Every waiting instruction has a count, which does not wrap, of those of the other kind accepted before it that have not begun. Whatever
    begins must have none; so no load overwrites what a swap before it still needs, and no swap uses what has not been asked for.
    """

    def __init__(self) -> None:
        super().__init__({"start": In(1), **{f"{kind}_{event}": In(1) for kind in OTHER for event in ("accept", "begin")}})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Interlock(reload_cycles=RELOAD_CYCLES)
        m.d.comb += [dut.i_start.eq(self.start), Assume(~(self.load_accept & self.swap_accept))]
        pending = {kind: Signal(range(PLACES + 1), name=f"{kind}s_pending") for kind in OTHER}
        ahead = {kind: [Signal(3, name=f"{kind}_ahead{place}") for place in range(PLACES)] for kind in OTHER}
        for kind in OTHER:
            self._kind(m, dut, kind, pending, ahead[kind])
        # Cycles since the swap begun last; none has begun at first.
        since = Signal(range(RELOAD_CYCLES + 1), init=RELOAD_CYCLES)
        m.d.sync += since.eq(Mux(since == RELOAD_CYCLES, since, since + 1))
        with m.If(dut.i_swap_begun):
            m.d.sync += since.eq(1)
        with m.If(self.start):
            m.d.sync += since.eq(RELOAD_CYCLES)
        since_before = Signal.like(since, init=RELOAD_CYCLES)
        m.d.sync += since_before.eq(since)
        may_load = (pending["load"] != 0) & dut.o_may_load
        may_swap = (pending["swap"] != 0) & dut.o_may_swap
        waiting = (pending["load"] != 0) | (pending["swap"] != 0)
        loads = Signal(range(2**TURN_BITS + 2))
        m.d.sync += loads.eq(Mux(self.start, 0, loads + (dut.i_load_begun & (loads <= 2**TURN_BITS))))
        m.d.comb += [
            Assert(~may_load | (since == RELOAD_CYCLES)),
            Assert(~may_load | (ahead["load"][0] == 0)),
            Assert(~may_swap | (ahead["swap"][0] == 0)),
            # Nothing waits for itself: what is first in the program may begin as soon as the wavefront is away.
            Assert((pending["load"] == 0) | (ahead["load"][0] != 0) | (since != RELOAD_CYCLES) | may_load),
            Assert((pending["swap"] == 0) | (ahead["swap"][0] != 0) | may_swap),
            Assert(~waiting | (since != RELOAD_CYCLES) | may_load | may_swap),
            Assert(~(may_load & may_swap)),
            Cover(may_load & (since_before != RELOAD_CYCLES)),
            Cover(dut.i_swap_begun & (loads != 0)),
            Cover((loads == 2**TURN_BITS) & dut.i_load_begun & (pending["swap"] != 0)),
            Cover((pending["load"] == PLACES) & (ahead["load"][0] != 0) & (since == RELOAD_CYCLES)),
        ]
        self._allowed(m, dut, may_load, may_swap)
        return m

    def _kind(self, m: Module, dut: Interlock, kind: str, pending: dict[str, Signal], ahead: list[Signal]) -> None:
        """The instructions of one kind that wait, with their turns; the device gets the first one's."""

        def pin(name: str) -> Any:
            return getattr(dut, name)

        accepted, begun, others_begun = pin(f"i_{kind}_accepted"), pin(f"i_{kind}_begun"), pin(f"i_{OTHER[kind]}_begun")
        count, other = pending[kind], pending[OTHER[kind]]
        turns = [Signal(TURN_BITS, name=f"{kind}_turn{place}") for place in range(PLACES)]
        m.d.comb += [
            accepted.eq(getattr(self, f"{kind}_accept") & (count != PLACES)),
            begun.eq(getattr(self, f"{kind}_begin") & (count != 0) & pin(f"o_may_{kind}")),
            pin(f"i_{kind}_turn").eq(turns[0]),
        ]
        if kind == "swap":
            # One that finds no other before it is the first in the next cycle.
            is_first = accepted & (count - begun == 0)
            m.d.comb += [dut.i_swap_moves.eq(begun | is_first), dut.i_next_swap_turn.eq(Mux(is_first, dut.o_swap_turn, turns[1]))]
        m.d.sync += count.eq(count + accepted - begun)
        # In the order of the lines: one of the other kind has begun, the first of this one leaves, a new one comes last.
        left = [Mux(value == 0, 0, value - others_begun) for value in ahead]
        m.d.sync += [value.eq(after) for value, after in zip(ahead, left, strict=True)]
        with m.If(begun):
            for place in range(PLACES - 1):
                m.d.sync += [ahead[place].eq(left[place + 1]), turns[place].eq(turns[place + 1])]
        for place in range(PLACES):
            with m.If(accepted & (count - begun == place)):
                m.d.sync += [ahead[place].eq(other - others_begun), turns[place].eq(pin(f"o_{kind}_turn"))]
        with m.If(self.start):
            m.d.sync += count.eq(0)

    @staticmethod
    def _allowed(m: Module, dut: Interlock, may_load: Any, may_swap: Any) -> None:
        """What may begin may do so in every later cycle until it has begun."""
        for kind, may in (("load", may_load), ("swap", may_swap)):
            was = Signal(name=f"{kind}_was_allowed")
            m.d.sync += was.eq(may & ~getattr(dut, f"i_{kind}_begun") & ~dut.i_start)
            m.d.comb += Assert(~was | may)


PROOFS = (
    Proof(
        name="interlock.order",
        doc="loads and swaps begin in program order, a load behind the wavefront of the swap before it, and one of them always may",
        spec=InterlockSpec,
        mode="bmc",
        depth=9,
        cover_depth=14,
    ),
)
