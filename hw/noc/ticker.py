"""The time packets are stamped with."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.common.noc import NocConfig


class Ticker(wiring.Component):
    """Counts steps of `age_tick` cycles, modulo 2**`age_bits`; one serves a whole mesh.

    Latency: after reset `now` is 0 for `age_tick` cycles, then 1, and so on. Errors: none. Reset: 0.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    now : Out(age_bits)

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    ValueError
        if `arbitration` is not `age`.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        if config.arbitration != "age":
            raise ValueError(f"arbitration must be age where there is a ticker, not {config.arbitration!r}: leave the ticker out")
        self._config = config
        super().__init__({"now": Out(config.age_bits)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        cycle = Signal(range(self._config.age_tick))
        step = cycle == self._config.age_tick - 1
        m.d.sync += [cycle.eq(Mux(step, 0, cycle + 1)), self.now.eq(self.now + step)]
        return m
