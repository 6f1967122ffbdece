"""A processing element's multiplier in a MULT18X18D of Lattice ECP5, with its own registers (hw/common/mult18x18d.py)."""

from typing import Any

from amaranth.hdl import Const, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...common.mult18x18d import mult18x18d
from .generic import delayed, foreground
from .port import OPERAND_BITS, PRODUCT_BITS, MultiplierPort


class Ecp5Multiplier(wiring.Component):
    """One MULT18X18D. Where its registers are, by `stages`:

    1: output. 2: inputs, output. 3: inputs, output, and a flip-flop of the fabric: the way out of the block is long. 4: flip-flops of the fabric on
    the way in, too.

    With two and three stages its B register is the foreground stationary operand: `swap` is its clock enable, which saves eight flip-flops. With
    four, the foreground stands in front of it, because the way of `swap` from element to element and into the blocks is then what limits the clock.

    Parameters
    ----------
    stages : int
        `multiplier_stages`, 1 to 4.

    Members
    -------
    port : In(MultiplierPort)

    Raises
    ------
    ValueError
        if `stages` is not 1 to 4.
    """

    def __init__(self, *, stages: int) -> None:
        if stages not in range(1, 5):
            raise ValueError(f"stages must be 1 to 4, not {stages!r}")
        self._stages = stages
        super().__init__({"port": In(MultiplierPort())})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        port, stages = self.port, self._stages
        moving: Value = delayed(m, port.moving, int(stages == 4), "moving")
        stationary, enable = port.background, port.swap
        if stages in (1, 4):
            stationary, enable = foreground(m, port.background, port.swap, stages=stages), Const(1)
        operands = moving[:OPERAND_BITS].as_signed(), stationary[:OPERAND_BITS].as_signed()
        product = mult18x18d(m, "mult", *operands, inputs=stages > 1, b_enable=enable)
        result = Signal(signed(PRODUCT_BITS))
        m.d.comb += [result.eq(product), port.product.eq(delayed(m, result, int(stages > 2), "fabric"))]
        return m
