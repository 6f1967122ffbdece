"""Gowin LittleBee: its PLL and the top of its boards."""

from __future__ import annotations

from fractions import Fraction

from amaranth.hdl import Const, Instance, Module, Signal

from .clocking import FamilyTop
from .pll import Limits, PllSettings, choose

LIMITS = Limits(
    source="Gowin DS117E (GW1NR data sheet), PLL parameters of GW1NR-9, speed grade C6/I5",
    input_hz=(3e6, 400e6),
    detector_hz=(3e6, 400e6),
    vco_hz=(400e6, 1200e6),
    output_hz=(3.125e6, 600e6),
)
#: What ODIV_SEL may be.
OUTPUT_DIVIDERS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)


def pll(input_hz: int, output_hz: int) -> PllSettings:
    """Settings of an rPLL; `ConfigError` if there are none."""
    candidates = (
        PllSettings(
            input_hz=input_hz,
            detector_hz=Fraction(input_hz, reference),
            vco_hz=Fraction(input_hz * (feedback + 1) * output, reference),
            output_hz=Fraction(input_hz * (feedback + 1), reference),
            dividers={"IDIV_SEL": reference - 1, "FBDIV_SEL": feedback, "ODIV_SEL": output},
        )
        for reference in LIMITS.references(input_hz, 64)
        for feedback in range(64)
        for output in OUTPUT_DIVIDERS
    )
    return choose(candidates, limits=LIMITS, input_hz=input_hz, output_hz=output_hz)


class GowinTop(FamilyTop):
    """Top of the Gowin boards; parameters and members as in `FamilyTop`."""

    FAMILY = "gowin"

    def clock(self, m: Module, clock: Signal, locked: Signal) -> None:
        """An rPLL; everything that could change while it runs is off."""
        settings = pll(self._board.oscillator_hz, self._board.chip_hz)
        m.submodules.pll = Instance(
            "rPLL",
            p_FCLKIN=f"{settings.input_hz / 1e6:g}",
            p_DEVICE=self._board.speed,
            p_CLKFB_SEL="internal",
            p_CLKOUTD_SRC="CLKOUT",
            p_CLKOUTD3_SRC="CLKOUT",
            p_DYN_SDIV_SEL=2,
            p_PSDA_SEL="0000",
            p_DUTYDA_SEL="1000",
            p_CLKOUT_FT_DIR=Const(1, 1),
            p_CLKOUTP_FT_DIR=Const(1, 1),
            p_CLKOUT_DLY_STEP=0,
            p_CLKOUTP_DLY_STEP=0,
            **{f"p_{name}": "false" for name in ("DYN_IDIV_SEL", "DYN_FBDIV_SEL", "DYN_ODIV_SEL", "DYN_DA_EN")},
            **{f"p_{name}_BYPASS": "false" for name in ("CLKOUT", "CLKOUTP", "CLKOUTD")},
            **{f"p_{name}": value for name, value in settings.dividers.items()},
            i_CLKIN=self.oscillator,
            i_CLKFB=Const(0),
            i_RESET=Const(0),
            i_RESET_P=Const(0),
            **{f"i_{name}": Const(0, 6) for name in ("FBDSEL", "IDSEL", "ODSEL")},
            **{f"i_{name}": Const(0, 4) for name in ("PSDA", "DUTYDA", "FDLY")},
            o_CLKOUT=clock,
            o_LOCK=locked,
        )
