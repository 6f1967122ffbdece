"""Lattice iCE40: its PLL and the top of its boards."""

from __future__ import annotations

from fractions import Fraction

from amaranth.hdl import Const, Instance, Module, Signal

from .clocking import FamilyTop
from .pll import Limits, PllSettings, choose

LIMITS = Limits(
    source="Lattice FPGA-DS-02008 (iCE40 UltraPlus data sheet), sysCLOCK PLL timing",
    input_hz=(10e6, 133e6),
    detector_hz=(10e6, 133e6),
    vco_hz=(533e6, 1066e6),
    output_hz=(16e6, 275e6),
)
#: FILTER_RANGE for a phase detector of less than so many Hz.
FILTER_RANGES = {17e6: 1, 26e6: 2, 44e6: 3, 66e6: 4, 101e6: 5, float("inf"): 6}


def pll(input_hz: int, output_hz: int) -> PllSettings:
    """Settings of an SB_PLL40 with simple feedback; `ConfigError` if there are none."""
    candidates = (
        PllSettings(
            input_hz=input_hz,
            detector_hz=Fraction(input_hz, reference),
            vco_hz=Fraction(input_hz * (feedback + 1), reference),
            output_hz=Fraction(input_hz * (feedback + 1), (reference) << output),
            dividers={"DIVR": reference - 1, "DIVF": feedback, "DIVQ": output},
        )
        for reference in LIMITS.references(input_hz, 16)
        for feedback in range(128)
        for output in range(1, 7)
    )
    return choose(candidates, limits=LIMITS, input_hz=input_hz, output_hz=output_hz)


def filter_range(settings: PllSettings) -> int:
    """FILTER_RANGE: the loop filter, by the frequency of the phase detector."""
    return next(value for below, value in FILTER_RANGES.items() if settings.detector_hz < below)


class Ice40Top(FamilyTop):
    """Top of the iCE40 UP5K boards; parameters and members as in `FamilyTop`. The oscillator's pin has to be the PLL's own."""

    FAMILY = "ice40"

    def clock(self, m: Module, clock: Signal, locked: Signal) -> None:
        """An SB_PLL40_PAD on a global net."""
        settings = pll(self._board.oscillator_hz, self._board.chip_hz)
        widths = {"DIVR": 4, "DIVF": 7, "DIVQ": 3}
        m.submodules.pll = Instance(
            "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_PLLOUT_SELECT="GENCLK",
            p_FILTER_RANGE=Const(filter_range(settings), 3),
            **{f"p_{name}": Const(settings.dividers[name], width) for name, width in widths.items()},
            i_PACKAGEPIN=self.oscillator,
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=clock,
            o_LOCK=locked,
        )
