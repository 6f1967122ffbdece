"""Performance counters: what every engine did in every cycle of the job."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import ENGINES
from .sequencer import TraceState

#: The state that each per-engine counter register counts.
COUNTED: dict[str, TraceState] = {
    "BUSY": TraceState.BUSY,
    "STALL_MEMORY": TraceState.MEMORY,
    "STALL_HAZARD": TraceState.HAZARD,
    "STALL_FETCH": TraceState.FETCH,
    "STALL_SEMAPHORE": TraceState.SEMAPHORE,
}


def _saturating_add(m: Module, counter: Signal, amount: Value) -> None:
    total = Signal(len(counter) + 1, name=f"{counter.name}_next")
    m.d.comb += total.eq(counter + amount)
    m.d.sync += counter.eq(Mux(total[-1], ~0, total))


class Counters(wiring.Component):
    """The counters behind the CSRs. All are cleared by `i_start` and count while `i_running`; they saturate, they never wrap.

    Parameters
    ----------
    config : ChipConfig
        `cols` (macs = lanes * cols).

    Members
    -------
    i_start, i_running : In(1)
    i_state : In(TraceState).array(4)
    i_tensor_start : In(1)
        A tensor instruction is dispatched.
    i_tensor_done : In(1)
        A MultiplyMoving completed: its last PSUM row was written in the cycle before.
    i_row : In(1), i_lanes : In
        A moving row is issued; the rows of the stationary block that take part.
    i_conflicts : In(3)
        SBUF requests that wait in this cycle.
    cycles, tensor_span, tensor_rows, sbuf_conflicts : Out(32); tensor_macs : Out(64)
    engine_<name>_<counter> : Out(32)
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        members: dict[str, Any] = {
            "i_start": In(1), "i_running": In(1), "i_state": In(TraceState).array(len(ENGINES)),
            "i_tensor_start": In(1), "i_tensor_done": In(1), "i_row": In(1), "i_lanes": In(range(config.rows + 1)), "i_conflicts": In(3),
            "cycles": Out(32), "tensor_span": Out(32), "tensor_rows": Out(32), "sbuf_conflicts": Out(32), "tensor_macs": Out(64),
        }  # fmt: skip
        for engine in ENGINES:
            for counter in COUNTED:
                members[f"engine_{engine}_{counter.lower()}"] = Out(32)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # `age` is the number of cycles since the first tensor instruction was dispatched, 0 before: when a completion is seen, the last
        # PSUM write was one cycle ago, so both ends included the span is `age` of now.
        age, lane_sum = Signal(32), Signal(48)
        clear = [self.cycles, self.tensor_span, self.tensor_rows, self.sbuf_conflicts, age, lane_sum]
        clear += [getattr(self, f"engine_{engine}_{counter.lower()}") for engine in ENGINES for counter in COUNTED]
        m.d.comb += self.tensor_macs.eq(lane_sum << (self._config.cols.bit_length() - 1))
        with m.If(self.i_start):
            m.d.sync += [counter.eq(0) for counter in clear]
        with m.Elif(self.i_running):
            _saturating_add(m, self.cycles, Value.cast(1))
            _saturating_add(m, self.tensor_rows, self.i_row)
            _saturating_add(m, self.sbuf_conflicts, self.i_conflicts)
            _saturating_add(m, lane_sum, Mux(self.i_row, self.i_lanes, 0))
            with m.If((age != 0) | self.i_tensor_start):
                _saturating_add(m, age, Value.cast(1))
            with m.If(self.i_tensor_done):
                m.d.sync += self.tensor_span.eq(age)
            for index, engine in enumerate(ENGINES):
                for counter, state in COUNTED.items():
                    _saturating_add(m, getattr(self, f"engine_{engine}_{counter.lower()}"), self.i_state[index] == state)
        return m
