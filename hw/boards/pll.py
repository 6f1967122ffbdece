"""Choice of PLL settings: what every family's search has in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from ..common.config import ConfigError


@dataclass(frozen=True, kw_only=True)
class PllSettings:
    """Settings of a PLL, and the frequencies they make.

    Parameters
    ----------
    input_hz : int
        Clock that comes in.
    detector_hz : Fraction
        Clock at the phase detector.
    vco_hz : Fraction
        Clock of the oscillator inside.
    output_hz : Fraction
        Clock that goes out.
    dividers : dict of str to int
        By the names the family's data sheet gives them.
    """

    input_hz: int
    detector_hz: Fraction
    vco_hz: Fraction
    output_hz: Fraction
    dividers: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Least and most Hz at a PLL's input, phase detector, oscillator and output."""

    source: str
    input_hz: tuple[float, float]
    detector_hz: tuple[float, float]
    vco_hz: tuple[float, float]
    output_hz: tuple[float, float]

    def hold(self, settings: PllSettings) -> bool:
        """Whether the settings stay inside."""
        frequencies = ("input_hz", "detector_hz", "vco_hz", "output_hz")
        return all(getattr(self, name)[0] <= getattr(settings, name) <= getattr(self, name)[1] for name in frequencies)

    def references(self, input_hz: int, most: int) -> list[int]:
        """Dividers in front of the phase detector, up to `most`, that keep it inside."""
        low, high = self.detector_hz
        return [divider for divider in range(1, most + 1) if low * divider <= input_hz <= high * divider]


def choose(candidates: Iterable[PllSettings], *, limits: Limits, input_hz: int, output_hz: int) -> PllSettings:
    """The settings that make `output_hz` exactly: of them the fastest phase detector (least jitter), then the oscillator farthest from its limits.

    Raises
    ------
    ConfigError
        if none does: with the frequencies beside it that can be made.
    """
    possible = [settings for settings in candidates if limits.hold(settings)]
    exact = [settings for settings in possible if settings.output_hz == output_hz]
    if exact:
        middle = sum(limits.vco_hz) / 2
        return max(exact, key=lambda settings: (settings.detector_hz, -abs(settings.vco_hz - middle)))
    beside = [
        chosen(found)
        for chosen, found in (
            (max, [float(item.output_hz) for item in possible if item.output_hz < output_hz]),
            (min, [float(item.output_hz) for item in possible if item.output_hz > output_hz]),
        )
        if found
    ]
    remedy = (
        f"{' and '.join(f'{hz:.0f}' for hz in beside)} can be" if beside else f"the oscillator must be {limits.input_hz[0]:.0f} Hz or more"
    )
    raise ConfigError(f"chip_hz must be a frequency that the PLL makes of {input_hz} Hz, not {output_hz!r}: {remedy}")
