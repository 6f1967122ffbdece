"""A processing element's multiplier in a MULT18X18D of Lattice ECP5, with its own registers.

Source: Lattice FPGA-TN-02205, "ECP5 and ECP5-5G sysDSP Usage Guide": input registers A and B each with a clock enable, a pipeline register behind the
partial products, an output register. Parameters and ports are spelt as in Project Trellis and Yosys (`ecp5/cells_bb.v`).
"""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .generic import delayed, foreground
from .port import OPERAND_BITS, PRODUCT_BITS, MultiplierPort

#: Bits of the primitive's operands and of its product.
WIDTH, PRODUCT_WIDTH = 18, 36


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
        product = Signal(PRODUCT_WIDTH)
        moving: Value = delayed(m, port.moving, int(stages == 4), "moving")
        stationary, enable = port.background, port.swap
        if stages in (1, 4):
            stationary, enable = foreground(m, port.background, port.swap, stages=stages), Const(1)
        inputs = "CLK0" if stages > 1 else "NONE"
        m.submodules.mult = Instance(
            "MULT18X18D",
            p_REG_INPUTA_CLK=inputs, p_REG_INPUTA_CE="CE0", p_REG_INPUTB_CLK=inputs, p_REG_INPUTB_CE="CE1", p_REG_INPUTC_CLK="NONE",
            p_REG_PIPELINE_CLK="NONE", p_REG_PIPELINE_CE="CE0",
            p_REG_OUTPUT_CLK="CLK0", p_REG_OUTPUT_CE="CE0",
            p_SOURCEB_MODE="B_SHIFT", p_MULT_BYPASS="DISABLED", p_RESETMODE="SYNC", p_GSR="DISABLED",
            i_SIGNEDA=Const(1), i_SIGNEDB=Const(1), i_SOURCEA=Const(0), i_SOURCEB=Const(0),
            i_CLK0=ClockSignal(), i_CE0=Const(1), i_CE1=enable, i_RST0=Const(0),
            **_bits("i_A", _extended(moving)), **_bits("i_B", _extended(stationary)), **_bits("o_P", product),
        )  # fmt: skip
        result = Signal(signed(PRODUCT_BITS))
        m.d.comb += [result.eq(product), port.product.eq(delayed(m, result, int(stages > 2), "fabric"))]
        return m


def _extended(operand: Value) -> Value:
    """An int8 operand, as wide as the primitive's."""
    return Cat(operand, operand[OPERAND_BITS - 1].replicate(WIDTH - OPERAND_BITS))


def _bits(prefix: str, value: Value) -> dict[str, Value]:
    """Single-bit ports `prefix`0, `prefix`1, ... of an instance."""
    return {f"{prefix}{bit}": value[bit] for bit in range(len(value))}
