"""Two processing elements side by side: one with a family's multiplier, one with the generic, fed alike."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.common.config import ChipConfig
from hw.tensor.multiplier.ecp5 import Ecp5Multiplier
from hw.tensor.multiplier.generic import delayed, foreground, generic_product
from hw.tensor.multiplier.gowin import GowinMultiplier
from hw.tensor.multiplier.ice40 import Ice40MultiplierPair
from hw.tensor.multiplier.port import PRODUCT_BITS


class MultiplierTop(wiring.Component):
    """A primitive and its behavioural twin.

    Two lanes with operands of their own, of which only iCE40 has the second in the same block.

    Parameters
    ----------
    config : ChipConfig
        `multiplier`, `multiplier_stages`.

    Members
    -------
    i_moving, i_background : In(16)
        An octet a lane.
    i_swap : In(2)
    o_primitive, o_twin : Out(32)
        A product a lane, `multiplier_stages` cycles later.
    """

    i_moving: In(16)
    i_background: In(16)
    i_swap: In(2)
    o_primitive: Out(2 * PRODUCT_BITS)
    o_twin: Out(2 * PRODUCT_BITS)

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stages, family = self._config.multiplier_stages, self._config.multiplier
        if family == "ice40":
            m.submodules.block = block = Ice40MultiplierPair(stages=stages)
            ports = list(block.ports)
        else:
            ports = []
            for lane in range(2):
                m.submodules[f"block{lane}"] = single = {"ecp5": Ecp5Multiplier, "gowin": GowinMultiplier}[family](stages=stages)
                ports.append(single.port)
        for lane, port in enumerate(ports):
            moving, background, swap = self.i_moving.word_select(lane, 8), self.i_background.word_select(lane, 8), self.i_swap[lane]
            stationary = foreground(m, background, swap, stages=stages)
            front = delayed(m, moving, int(stages > 1), f"moving{lane}")
            m.d.comb += [
                port.moving.eq(moving),
                port.background.eq(background),
                port.swap.eq(swap),
                self.o_primitive.word_select(lane, PRODUCT_BITS).eq(port.product),
                self.o_twin.word_select(lane, PRODUCT_BITS).eq(generic_product(m, front, stationary, stages=max(stages - 1, 1))),
            ]
        return m
