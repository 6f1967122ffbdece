"""Two requantisations side by side: one with a family's multiplier, one with the generic, fed alike."""

from typing import Any

from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.common.config import ChipConfig
from hw.vector.requantise import MULTIPLIER_BITS, SHIFT_BITS, Requantise


class RequantiseTop(wiring.Component):
    """`Requantise` on a primitive and its behavioural twin.

    Parameters
    ----------
    config : ChipConfig
        `multiplier`.

    Members
    -------
    i : In(signed(32))
    i_multiplier : In(16)
    i_shift : In(6)
    o_primitive, o_twin : Out(signed(8))
        `Requantise.LATENCY` cycles later.
    """

    i: In(signed(32))
    i_multiplier: In(MULTIPLIER_BITS)
    i_shift: In(SHIFT_BITS)
    o_primitive: Out(signed(8))
    o_twin: Out(signed(8))

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.primitive = primitive = Requantise(multiplier=self._config.multiplier)
        m.submodules.twin = twin = Requantise()
        for block, result in ((primitive, self.o_primitive), (twin, self.o_twin)):
            m.d.comb += [block.i.eq(self.i), block.i_multiplier.eq(self.i_multiplier), block.i_shift.eq(self.i_shift), result.eq(block.o)]
        return m
