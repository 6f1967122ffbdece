"""One column of PSUM's adder: an old word plus a new one, or the new one alone."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.fp32 import fp32_sum


class Accumulator(wiring.Component):
    """`o` is `memory + data` when accumulating, else exactly the bits of `data`, whatever `memory` holds.

    Integers wrap modulo 2**32; floats are `fp32_add(memory, data)`. Latency: `accumulator_stages` cycles, the same for overwriting and
    accumulating, for integers and floats. Throughput: one word a cycle, no stall. An integer adder of one stage has its register behind it;
    of two or more, also one in front, which takes the memory of PSUM out of the adder's path. Nothing needs a reset: what
    the registers hold at power-up leaves within `accumulator_stages` cycles.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    memory, data : In(32)
        The old word and the new one.
    accumulate : In(1)
        Add `memory`; 0 passes `data`.
    is_float : In(1)
        Add as fp32; ignored where only one kind of number is built.
    o : Out(32)

    Raises
    ------
    TypeError
        if `config` is not a ChipConfig.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        super().__init__({"memory": In(32), "data": In(32), "accumulate": In(1), "is_float": In(1), "o": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        stages = config.accumulator_stages
        if config.has_int:
            # The mask keeps an old word, undefined at power-up, out of an overwrite. No carry leaves bit 31: sums wrap.
            old, new, accumulate = self.memory, self.data, self.accumulate
            between = max(stages - 2, 0)
            if stages > 1:
                old, new, accumulate = _delay(m, old, 1, "old"), _delay(m, new, 1, "new"), _delay(m, accumulate, 1, "accumulate")
            word = _delay(m, ((old & accumulate.replicate(32)) + new)[:32], between, "sum")
        else:
            word = _delay(m, self.data, stages - 1, "new")
        if config.has_float:
            chosen = self.accumulate & self.is_float if config.has_int else self.accumulate
            use_float = _delay(m, chosen, stages - 1, "use_float")
            word = Mux(use_float, fp32_sum(m, self.memory, self.data, stages=stages), word)
        m.d.comb += self.o.eq(_delay(m, word, 1, "result"))
        return m


def _delay(m: Module, value: Any, cycles: int, name: str) -> Any:
    """`value`, `cycles` cycles later."""
    for index in range(cycles):
        register = Signal(len(value), name=f"{name}{index}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value
