"""Model of the logic analyser: which samples a capture keeps (hw/debug/analyser.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hw.debug.analyser import STAMP_BITS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a capture was asked for: as the registers have it."""

    value: int = 0
    mask: int = 0
    after: int = 0
    count: int = 1
    rising: bool = False
    change: bool = False
    compress: bool = False


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a capture keeps: (cycle, sample) in order, and which of them triggered; None if nothing has."""

    samples: list[tuple[int, int]]
    trigger: int | None
    done: bool


def capture(before: Sequence[int], samples: Sequence[int], depth: int, settings: Settings, *, force: int | None = None) -> Kept:
    """The capture of `samples`, one a cycle from that of the write to CONTROL on; `before` are the two before it.

    `force` is the cycle of the write that triggers.
    """
    history = [*before[-2:], *samples]
    kept: list[tuple[int, int]] = []
    matches, trigger, left = 0, None, 0
    for cycle, sample in enumerate(samples):
        previous = history[cycle + 1]
        hit, hit_before = ((item ^ settings.value) & settings.mask == 0 for item in (sample, previous))
        match = bool((sample ^ previous) & settings.mask) if settings.change else hit and not (settings.rising and hit_before)
        fires = False
        if trigger is None:
            matches += match
            fires = (match and matches >= max(1, settings.count)) or (force is not None and cycle >= force)
        aged = bool(kept) and cycle - kept[-1][0] == (1 << STAMP_BITS) - 1
        if not settings.compress or fires or aged or not kept or sample != previous:
            kept.append((cycle, sample))
            left -= trigger is not None
        if fires:
            trigger, left = len(kept) - 1, settings.after
        if trigger is not None and left == 0:
            break
    lost = max(0, len(kept) - depth)
    return Kept(samples=kept[lost:], trigger=None if trigger is None else trigger - lost, done=trigger is not None and left == 0)
