"""The host's side of the logic analyser: triggers in words, captures over the link, waveforms with decoded names."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from vcd import VCDWriter

from hw.debug.analyser import (
    ANALYSER_REGISTERS,
    CONTROL,
    DATA_NUMBER,
    GEOMETRY,
    IDENTITY_NUMBER,
    MASK,
    STAMP_BITS,
    STATUS,
    VALUE,
    identity,
)
from hw.debug.probes import BOARD_PROBES, PROBE_VALUES
from hw.host.protocol import ANALYSER_BASE, WORD_BYTES, Space

from .errors import DeviceError
from .link import Link

_NUMBERS = {item.name: item.number for item in ANALYSER_REGISTERS}
#: Bit of FEATURES that says that there is an analyser.
FEATURE = 2
#: Most words of a burst after which the pointer is checked, and times it may be wrong in a row, with half the words each time.
CHUNK_WORDS, ATTEMPTS = 240, 16
#: Picoseconds in a second: the unit of time of a waveform.
PICOSECONDS = 10**12
_TERM = re.compile(r"\s*(!?)\s*(\w+)\s*(?:==\s*(\w+))?\s*")
_CHANGED = re.compile(r"\s*changed\s*\(([^()]*)\)\s*")


class AnalyserError(DeviceError):
    """The logic analyser cannot be used as asked: the message names the value, the limit and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """What a capture waits for: probes & `mask` equal to `value`, or, with `change`, any change of them."""

    value: int
    mask: int
    change: bool = False

    @classmethod
    def parse(cls, text: str, probes: Mapping[str, int] = BOARD_PROBES, values: Mapping[str, tuple[str, ...]] = PROBE_VALUES) -> Trigger:
        """From words: terms `name==value` (a number, or a name of a value), `name` and `!name` joined by `&`; or `changed(name, ...)`.

        Raises
        ------
        AnalyserError
            that names the term and what it could be.
        """
        change = _CHANGED.fullmatch(text)
        if change:
            mask = 0
            for name in change[1].split(","):
                low, width = _place(name.strip(), probes)
                mask |= (1 << width) - 1 << low
            return cls(value=0, mask=mask, change=True)
        value = mask = 0
        for term in text.split("&"):
            match = _TERM.fullmatch(term)
            if match is None or (match[1] and match[3]):
                raise AnalyserError(
                    f"trigger must be terms like irq, !irq or trace_state_tensor==busy joined by &, or changed(irq), not {term.strip()!r}"
                )
            low, width = _place(match[2], probes)
            wanted = _number(match[2], match[3], width, values) if match[3] else int(not match[1])
            if not match[3] and width > 1:
                raise AnalyserError(f"probe {match[2]} has {width} bits: compare it with a value, such as {match[2]}==1")
            mine = (1 << width) - 1 << low
            if mask & mine and (value ^ wanted << low) & mine:
                raise AnalyserError(f"trigger asks for two values of {match[2]} at once: {text!r}")
            value, mask = value | wanted << low, mask | mine
        return cls(value=value, mask=mask)


def _place(name: str, probes: Mapping[str, int]) -> tuple[int, int]:
    """Lowest bit and width of a probe."""
    low = 0
    for probe, width in probes.items():
        if probe == name:
            return low, width
        low += width
    raise AnalyserError(f"probe must be one of {', '.join(probes)}, not {name!r}")


def _number(name: str, text: str, width: int, values: Mapping[str, tuple[str, ...]]) -> int:
    known = values.get(name, ())
    if text in known:
        return known.index(text)
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << width:
        names = f"{', '.join(known)} or " if known else ""
        raise AnalyserError(f"value of {name} must be {names}0 to {(1 << width) - 1}, not {text!r}")
    return number


@dataclass(frozen=True, kw_only=True)
class Capture:
    """What was captured.

    Members
    -------
    probes : mapping of name to width
    cycles : list of int
        Of each sample; the trigger is at 0. With compress, what lies between two is as the first of them.
    samples : list of int
        Probes in their order, the first lowest.
    """

    probes: Mapping[str, int]
    cycles: list[int]
    samples: list[int]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def signal(self, name: str) -> list[int]:
        """Values of a probe, one a sample."""
        low, width = _place(name, self.probes)
        return [sample >> low & (1 << width) - 1 for sample in self.samples]

    def write_vcd(self, stream: TextIO, *, clock_hz: int) -> None:
        """Writes a waveform: probes with named values as text, `trigger` high in the cycle of the trigger; its time 0 is the first sample."""

        def stamp(cycle: int) -> int:
            return (cycle - self.cycles[0]) * PICOSECONDS // clock_hz

        with VCDWriter(stream, timescale="1 ps", date="", version="meshium analyse") as writer:
            trigger = writer.register_var("board", "trigger", "wire", size=1, init=0)
            variables: dict[str, Any] = {
                name: writer.register_var(
                    "board", name, "string" if name in self.values else "wire", size=None if name in self.values else width
                )
                for name, width in self.probes.items()
            }
            columns = {name: self.signal(name) for name in self.probes}
            edges = {0: 1, 1: 0}
            for index, cycle in enumerate(self.cycles):
                if cycle > 1 and 1 in edges:
                    writer.change(trigger, stamp(1), edges.pop(1))
                if cycle in edges:
                    writer.change(trigger, stamp(cycle), edges.pop(cycle))
                for name, variable in variables.items():
                    writer.change(variable, stamp(cycle), self._shown(name, columns[name][index]))
            if 1 in edges and 0 not in edges:
                writer.change(trigger, stamp(self.cycles[-1] + 1), 0)
            writer.close(stamp(self.cycles[-1] + 1))

    def _shown(self, name: str, value: int) -> int | str:
        known = self.values.get(name)
        if known is None:
            return value
        return known[value] if value < len(known) else str(value)


class LogicAnalyser:
    """The logic analyser of a board.

    Parameters
    ----------
    link : Link
    probes : mapping of name to width
        What is expected to be on its inputs.

    Members
    -------
    depth : int
        Samples it holds.

    Raises
    ------
    AnalyserError
        if the board has no analyser, or one of other probes: names would not belong to the signals.
    """

    def __init__(self, link: Link, probes: Mapping[str, int] = BOARD_PROBES) -> None:
        self._link = link
        self._probes = dict(probes)
        if not link.board("FEATURES") & FEATURE:
            raise AnalyserError(f"the board on {link.name} has no logic analyser: build its bitstream with an analyser_depth above 0")
        geometry = self._read(_NUMBERS["GEOMETRY"])
        self.depth, self._bits, stamp = (geometry >> offset & (1 << width) - 1 for offset, width in GEOMETRY.values())
        found, expected = self._read(IDENTITY_NUMBER), identity(self._probes, self.depth)
        if found != expected or stamp != STAMP_BITS:
            raise AnalyserError(
                f"the analyser on {link.name} has {self._bits} bits of other probes (identity {found:#010x}, those of this host {expected:#010x}): "
                "program the board with the bitstream of this version (make program)"
            )

    def _read(self, number: int) -> int:
        return int(self._link.read(Space.BOARD, ANALYSER_BASE + WORD_BYTES * number, 1)[0])

    def _write(self, number: int, *values: int) -> None:
        self._link.write(Space.BOARD, ANALYSER_BASE + WORD_BYTES * number, values)

    def arm(self, trigger: Trigger, *, before: int, count: int = 1, rising: bool = False, compress: bool = False) -> None:
        """Begins a capture that keeps `before` samples before the trigger.

        Raises
        ------
        AnalyserError
            if there is no room for so many, or `count` does not fit.
        """
        if not 0 <= before < self.depth:
            raise AnalyserError(
                f"samples before the trigger must be 0 to {self.depth - 1}, as the analyser holds {self.depth}, not {before}"
            )
        if not 1 <= count < 1 << 16:
            raise AnalyserError(f"count must be 1 to {(1 << 16) - 1}, not {count}")
        words = -(-self._bits // 32)
        self._write(_NUMBERS["AFTER"], self.depth - 1 - before, count)
        for base, value in ((VALUE, trigger.value), (MASK, trigger.mask)):
            self._write(base, *(value >> 32 * word & 0xFFFFFFFF for word in range(words)))
        modes = {"arm": True, "rising": rising, "change": trigger.change, "compress": compress}
        self._write(0, sum(on << CONTROL[name][0] for name, on in modes.items()))

    def force(self) -> None:
        """Triggers now."""
        self._write(0, 1 << CONTROL["trigger"][0])

    def stop(self) -> None:
        """Ends the capture with what there is."""
        self._write(0, 1 << CONTROL["stop"][0])

    @property
    def status(self) -> dict[str, bool]:
        """`armed`, `triggered`, `done`, `full`."""
        value = self._read(0)
        return {name: bool(value >> offset & 1) for name, (offset, _) in STATUS.items()}

    def wait(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> bool:
        """Waits for the end of the capture; whether it has ended."""
        end = clock() + seconds
        while not self.status["done"]:
            if clock() > end:
                return False
            time.sleep(0.005)
        return True

    def fetch(self) -> Capture:
        """What a capture that has ended has kept.

        Raises
        ------
        AnalyserError
            if nothing has triggered, or the download pointer is never where it should be.
        """
        status = self.status
        if not status["triggered"]:
            raise AnalyserError("a capture can be fetched once it has triggered, not before")
        following, trigger = self._read(_NUMBERS["NEXT"]), self._read(_NUMBERS["TRIGGER"])
        first, count = (following, self.depth) if status["full"] else (0, following)
        raw = self._download(first, count)
        cycles: list[int] = []
        now = 0
        for entry in raw:
            now += (entry >> self._bits) if cycles else 0
            cycles.append(now)
        at = cycles[(trigger - first) % self.depth]
        return Capture(
            probes=self._probes,
            cycles=[cycle - at for cycle in cycles],
            samples=[entry & (1 << self._bits) - 1 for entry in raw],
            values=PROBE_VALUES,
        )

    def _download(self, first: int, count: int) -> list[int]:
        """`count` samples from place `first` on, each with its time stamp."""
        words = -(-(self._bits + STAMP_BITS) // 32)
        chunk = max(1, CHUNK_WORDS // words)
        raw: list[int] = []
        failures = 0
        while len(raw) < count:
            place, size = (first + len(raw)) % self.depth, min(chunk, count - len(raw))
            part, pointer = self._burst(place, size, words)
            if pointer == (place + size) % self.depth:
                raw, failures = raw + part, 0
                continue
            # An answer was lost, and its repeat has moved the pointer too far. Shorter bursts lose fewer.
            chunk, failures = max(1, size // 2), failures + 1
            if failures == ATTEMPTS:
                raise AnalyserError(
                    f"the analyser's pointer must be at {(place + size) % self.depth} after {size} from {place} were read, not at {pointer:#x}, "
                    f"and was wrong {ATTEMPTS} times in a row: the line loses too much"
                )
        return raw

    def _burst(self, place: int, count: int, words: int) -> tuple[list[int], int]:
        """`count` samples from `place` on, and where the pointer is then."""
        self._write(_NUMBERS["POINTER"], place)
        found = self._link.read(Space.BOARD, ANALYSER_BASE + WORD_BYTES * DATA_NUMBER, count * words, fixed=True).tolist()
        samples = [sum(found[index * words + word] << 32 * word for word in range(words)) for index in range(count)]
        return samples, self._read(_NUMBERS["POINTER"])
