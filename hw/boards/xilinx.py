"""Xilinx 7 series: its PLL and the top of its boards."""

from __future__ import annotations

from fractions import Fraction

from amaranth.hdl import Const, Instance, Module, Signal

from .clocking import FamilyTop
from .pll import Limits, PllSettings, choose

LIMITS = Limits(
    source="Xilinx DS181 (Artix-7 data sheet), MMCM specification, speed grade -1",
    input_hz=(10e6, 800e6),
    detector_hz=(10e6, 450e6),
    vco_hz=(600e6, 1200e6),
    output_hz=(4.69e6, 800e6),
)


def pll(input_hz: int, output_hz: int) -> PllSettings:
    """Settings of an MMCME2 with whole dividers; `ConfigError` if there are none."""
    candidates = (
        PllSettings(
            input_hz=input_hz,
            detector_hz=Fraction(input_hz, reference),
            vco_hz=Fraction(input_hz * feedback, reference),
            output_hz=Fraction(input_hz * feedback, reference * output),
            dividers={"DIVCLK_DIVIDE": reference, "CLKFBOUT_MULT_F": feedback, "CLKOUT0_DIVIDE_F": output},
        )
        for reference in LIMITS.references(input_hz, 10)
        for feedback in range(2, 65)
        if LIMITS.vco_hz[0] * reference <= input_hz * feedback <= LIMITS.vco_hz[1] * reference
        for output in range(1, 129)
    )
    return choose(candidates, limits=LIMITS, input_hz=input_hz, output_hz=output_hz)


class XilinxTop(FamilyTop):
    """Top of the Arty boards; parameters and members as in `FamilyTop`."""

    FAMILY = "xilinx"

    def clock(self, m: Module, clock: Signal, locked: Signal) -> None:
        """An MMCME2_BASE and the buffer of a global net."""
        settings = pll(self._board.oscillator_hz, self._board.chip_hz)
        made, feedback = Signal(), Signal()
        m.submodules.pll = Instance(
            "MMCME2_BASE",
            p_BANDWIDTH="OPTIMIZED",
            p_STARTUP_WAIT="FALSE",
            p_CLKIN1_PERIOD=1e9 / settings.input_hz,
            p_DIVCLK_DIVIDE=settings.dividers["DIVCLK_DIVIDE"],
            p_CLKFBOUT_MULT_F=float(settings.dividers["CLKFBOUT_MULT_F"]),
            p_CLKOUT0_DIVIDE_F=float(settings.dividers["CLKOUT0_DIVIDE_F"]),
            i_CLKIN1=self.oscillator,
            i_CLKFBIN=feedback,
            i_PWRDWN=Const(0),
            i_RST=Const(0),
            o_CLKFBOUT=feedback,
            o_CLKOUT0=made,
            o_LOCKED=locked,
        )
        m.submodules.buffer = Instance("BUFG", i_I=made, o_O=clock)
