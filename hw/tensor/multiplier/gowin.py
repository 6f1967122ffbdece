"""A processing element's multiplier in a MULT9X9 of Gowin, with its own registers.

Source: Gowin UG287, "Gowin DSP User Guide": registers for operands, behind the partial products and for the output, with one clock enable and one reset;
operands of 9 bits, signed where ASIGN and BSIGN say so. Parameters are spelt as in Yosys (`gowin/cells_xtra_gw1n.v`).
"""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .generic import delayed, foreground
from .port import OPERAND_BITS, PRODUCT_BITS, MultiplierPort

#: Bits of the primitive's operands.
WIDTH = 9


class GowinMultiplier(wiring.Component):
    """One MULT9X9. Where its registers are, by `stages`: 1: output. 2: input A, output. 3: pipeline register besides. 4: a flip-flop behind them.

    The foreground stationary operand is in flip-flops: the block's registers have one clock enable for all, and only this one holds.

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
        stationary = foreground(m, port.background, port.swap, stages=stages)
        product = Signal(2 * WIDTH)
        unused = {f"p_{name}": Const(0, 1) for name in ("BREG", "ASIGN_REG", "BSIGN_REG", "SOA_REG")}
        m.submodules.mult = Instance(
            "MULT9X9",
            p_AREG=Const(stages > 1, 1), p_PIPE_REG=Const(stages > 2, 1), p_OUT_REG=Const(1, 1), p_MULT_RESET_MODE="SYNC", **unused,
            i_A=_extended(port.moving), i_B=_extended(stationary), i_ASIGN=Const(1, 1), i_BSIGN=Const(1, 1),
            i_ASEL=Const(0, 1), i_BSEL=Const(0, 1), i_SIA=Const(0, WIDTH), i_SIB=Const(0, WIDTH),
            i_CLK=ClockSignal(), i_CE=Const(1, 1), i_RESET=Const(0, 1), o_DOUT=product,
        )  # fmt: skip
        result = Signal(signed(PRODUCT_BITS))
        m.d.comb += [result.eq(product), port.product.eq(delayed(m, result, int(stages == 4), "fabric"))]
        return m


def _extended(operand: Value) -> Value:
    """An int8 operand, as wide as the primitive's."""
    return Cat(operand, operand[OPERAND_BITS - 1])
