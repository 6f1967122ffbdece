"""Multipliers of two processing elements in one SB_MAC16 of Lattice iCE40 UltraPlus, as two independent 8x8 ones.

Source: Lattice FPGA-TN-02007, "DSP Function Usage Guide for iCE40 Devices": with `MODE_8x8` the upper and lower octets of A and B are multiplied by themselves,
each product in a register of its own. Parameters are spelt as in Yosys (`ice40/cells_sim.v`), whose model the simulations use.
"""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .generic import delayed, foreground
from .port import PRODUCT_BITS, MultiplierPort

#: Multipliers in a block.
LANES = 2


class Ice40MultiplierPair(wiring.Component):
    """One SB_MAC16: lane 0 in its lower half, lane 1 in its upper.

    The register behind each product is the block's. Its operand registers hold both lanes or none, and neighbours swap a cycle apart: so from two
    stages on the operands stand in flip-flops, of which the moving operand's is the one that passes it east. Further stages are flip-flops.

    Parameters
    ----------
    stages : int
        `multiplier_stages`, 1 to 4.

    Members
    -------
    ports : array of 2 In(MultiplierPort)

    Raises
    ------
    ValueError
        if `stages` is not 1 to 4.
    """

    def __init__(self, *, stages: int) -> None:
        if stages not in range(1, 5):
            raise ValueError(f"stages must be 1 to 4, not {stages!r}")
        self._stages = stages
        super().__init__({"ports": In(MultiplierPort()).array(LANES)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        moving: list[Value] = []
        stationary: list[Value] = []
        for port in self.ports:
            moving.append(delayed(m, port.moving, int(self._stages > 1), "moving"))
            stationary.append(foreground(m, port.background, port.swap, stages=self._stages))
        product = Signal(LANES * PRODUCT_BITS)
        halves: dict[str, Any] = {}
        for half in ("TOP", "BOT"):
            # Output 2 is the product behind its register; the adder behind that is not used.
            halves |= {
                f"p_{half}_8x8_MULT_REG": Const(1, 1),
                f"p_{half}OUTPUT_SELECT": Const(2, 2),
                f"p_{half}ADDSUB_LOWERINPUT": Const(0, 2),
            }
            halves |= {f"p_{half}ADDSUB_UPPERINPUT": Const(0, 1), f"p_{half}ADDSUB_CARRYSELECT": Const(0, 2)}
            halves |= {f"i_{name}{half}": Const(0, 1) for name in ("IRST", "ORST", "OLOAD", "ADDSUB", "OHOLD")}
        m.submodules.mac = Instance(
            "SB_MAC16",
            **{f"p_{name}": Const(0, 1) for name in ("A_REG", "B_REG", "C_REG", "D_REG", "NEG_TRIGGER")},
            **{f"p_PIPELINE_16x16_MULT_REG{number}": Const(0, 1) for number in (1, 2)},
            **{f"p_{name}": Const(1, 1) for name in ("MODE_8x8", "A_SIGNED", "B_SIGNED")},
            **{f"i_{name}": Const(0, 1) for name in ("AHOLD", "BHOLD", "CHOLD", "DHOLD", "CI", "ACCUMCI", "SIGNEXTIN")},
            **halves,
            i_CLK=ClockSignal(), i_CE=Const(1, 1), i_A=Cat(moving), i_B=Cat(stationary), i_C=Const(0, 16), i_D=Const(0, 16), o_O=product,
        )  # fmt: skip
        for lane, port in enumerate(self.ports):
            result = product.word_select(lane, PRODUCT_BITS).as_signed()
            m.d.comb += port.product.eq(delayed(m, result, max(self._stages - 2, 0), f"fabric{lane}"))
        return m
