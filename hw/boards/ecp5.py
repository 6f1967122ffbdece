"""Lattice ECP5: its PLL and the top of its boards."""

from __future__ import annotations

from fractions import Fraction

from amaranth.hdl import Const, Instance, Module, Signal
from amaranth.lib.wiring import Out

from .clocking import FamilyTop
from .pll import Limits, PllSettings, choose

LIMITS = Limits(
    source="Lattice FPGA-DS-02012 (ECP5 family data sheet), sysCLOCK PLL timing",
    input_hz=(8e6, 400e6),
    detector_hz=(10e6, 400e6),
    vco_hz=(400e6, 800e6),
    output_hz=(3.125e6, 400e6),
)


def pll(input_hz: int, output_hz: int) -> PllSettings:
    """Settings of an EHXPLLL whose output CLKOP is also its feedback; `ConfigError` if there are none."""
    candidates = (
        PllSettings(
            input_hz=input_hz,
            detector_hz=Fraction(input_hz, reference),
            vco_hz=Fraction(input_hz * feedback * output, reference),
            output_hz=Fraction(input_hz * feedback, reference),
            dividers={"CLKI_DIV": reference, "CLKFB_DIV": feedback, "CLKOP_DIV": output},
        )
        for reference in LIMITS.references(input_hz, 40)
        for feedback in range(1, 81)
        for output in range(1, 129)
    )
    return choose(candidates, limits=LIMITS, input_hz=input_hz, output_hz=output_hz)


class Ecp5Top(FamilyTop):
    """Top of the ULX3S boards; parameters and members as in `FamilyTop`.

    Members
    -------
    esp32_gpio0 : Out(1)
        High: low, it would hold the board's ESP32 in its boot loader.
    """

    FAMILY = "ecp5"
    EXTRA = {"esp32_gpio0": Out(1)}

    def clock(self, m: Module, clock: Signal, locked: Signal) -> None:
        """An EHXPLLL."""
        settings = pll(self._board.oscillator_hz, self._board.chip_hz)
        divider = settings.dividers["CLKOP_DIV"]
        m.submodules.pll = Instance(
            "EHXPLLL",
            # Charge pump and loop filter: what Lattice's own generator writes for every setting.
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_FREQUENCY_PIN_CLKI=f"{settings.input_hz / 1e6:g}",
            a_FREQUENCY_PIN_CLKOP=f"{float(settings.output_hz) / 1e6:g}",
            p_CLKOP_ENABLE="ENABLED",
            p_FEEDBK_PATH="CLKOP",
            p_OUTDIVIDER_MUXA="DIVA",
            # The output's phase is counted in cycles of the oscillator: this one is 0 degrees.
            p_CLKOP_CPHASE=divider - 1,
            p_CLKOP_FPHASE=0,
            p_PLLRST_ENA="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_INTFB_WAKE="DISABLED",
            **{f"p_{name}": value for name, value in settings.dividers.items()},
            i_CLKI=self.oscillator,
            i_CLKFB=clock,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_ENCLKOP=Const(0),
            i_PLLWAKESYNC=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(0),
            i_PHASESTEP=Const(0),
            i_PHASELOADREG=Const(0),
            o_CLKOP=clock,
            o_LOCK=locked,
        )
        m.d.comb += self.esp32_gpio0.eq(1)

    def spread(self, m: Module, reset: Signal) -> Signal:
        """A DCCA: one of the networks for clocks, which reach the reset inputs of flip-flops, too. As an ordinary net it is half of the router's work."""
        spread = Signal(init=1)
        m.submodules.chip_reset = Instance("DCCA", i_CLKI=reset, i_CE=Const(1), o_CLKO=spread)
        return spread
