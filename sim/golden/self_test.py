"""Model of the memory self-test: which accesses a command makes, and what its registers say afterwards (hw/debug/self_test.py)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from hw.common.config import ChipConfig
from hw.debug.lfsr import step
from hw.debug.march import MARCH_C_MINUS
from hw.debug.self_test import CONTROL, FOUND, MAX_FAILURES, PATTERN, RESULT, STATUS, Command


class Lines(Protocol):
    """A memory of lines, each an integer, lane 0 lowest."""

    def read(self, line: int) -> int:
        """The line."""

    def write(self, line: int, data: int) -> None:
        """Replaces it."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """One access: `data` is what is written, or was read."""

    line: int
    write: bool
    data: int


def packed(words: Sequence[int]) -> int:
    """A line of 32-bit words, the first lowest."""
    return sum(int(word) << 32 * index for index, word in enumerate(words))


def unpacked(line: int, words: int) -> list[int]:
    """The words of a line."""
    return [line >> 32 * index & 0xFFFFFFFF for index in range(words)]


class SelfTestModel:
    """The registers of a self-test over a memory. A command runs whole within the write that starts it.

    Parameters
    ----------
    config : ChipConfig
    memory : Lines

    Members
    -------
    accesses : list of Access
        Those of the last command, in order.
    """

    def __init__(self, config: ChipConfig, memory: Lines) -> None:
        self._config = config
        self._memory = memory
        self._words = config.line_bytes // 4
        self._first = self._last = self._line = self._failing_line = 0
        self._pattern, self._found = [0] * self._words, [0] * self._words
        self._failures = self._element = self._failing_element = self._ones = 0
        self.accesses: list[Access] = []

    def write(self, number: int, value: int) -> None:
        """The host writes a register."""
        if number == 0 and value & 3:
            self._run(value)
        elif number == 1:
            self._first = value % self._config.sbuf_lines
        elif number == 2:
            self._last = value % self._config.sbuf_lines
        elif PATTERN <= number < PATTERN + self._words:
            self._pattern[number - PATTERN] = value

    def read(self, number: int) -> int:
        """The host reads a register; undefined ones are 0 here."""
        if number == 0:
            values = {
                "failed": int(self._failures > 0), "element": self._element % 8, "failing_element": self._failing_element, "ones": self._ones,
                "line": self._line,
            }  # fmt: skip
            return sum(value << STATUS[name][0] for name, value in values.items())
        if number == 1:
            return self._failing_line << RESULT["line"][0] | self._failures << RESULT["failures"][0]
        for base, words in ((PATTERN, self._pattern), (FOUND, self._found)):
            if base <= number < base + self._words:
                return words[number - base]
        return 0

    def _run(self, control: int) -> None:
        fields = {name: control >> offset & (1 << width) - 1 for name, (offset, width) in CONTROL.items()}
        self.accesses, self._failures, self._element = [], 0, 0
        lines = list(self._range(4 if fields["rows"] else 1))
        if fields["command"] == Command.MARCH:
            self._march(lines, alternate=bool(fields["alternate"]))
        else:
            for line in lines:
                self._move(line, fill=fields["command"] == Command.FILL)
            self._element = 1
        self._line = self._first

    def _range(self, stride: int) -> Iterator[int]:
        """The lines of a command; `ValueError` if the steps never meet the last one."""
        line = self._first
        yield line
        while line != self._last:
            line = (line + stride) % self._config.sbuf_lines
            if line == self._first:
                raise ValueError(f"last must be reached from line {self._first} by steps of {stride}, not {self._last}")
            yield line

    def _access(self, line: int, write: bool, data: int = 0) -> int:
        if write:
            self._memory.write(line, data)
        else:
            data = self._memory.read(line)
        self.accesses.append(Access(line=line, write=write, data=data))
        return data

    def _march(self, lines: list[int], *, alternate: bool) -> None:
        ones = (1 << 32 * self._words) - 1
        for index, element in enumerate(MARCH_C_MINUS):
            for line in reversed(lines) if element.down else lines:
                background = packed(self._pattern) ^ (ones if alternate and line & 1 else 0)
                if element.read is not None:
                    self._compare(index, line, background, background ^ (ones if element.read else 0))
                if element.write is not None:
                    self._access(line, True, background ^ (ones if element.write else 0))
        self._element = len(MARCH_C_MINUS)

    def _compare(self, element: int, line: int, background: int, expected: int) -> None:
        data = self._access(line, False)
        if not self._failures:
            self._found, self._failing_line, self._failing_element = unpacked(data, self._words), line, element
            self._ones = int(expected != packed(self._pattern))
        self._failures = min(self._failures + (data != expected), MAX_FAILURES)

    def _move(self, line: int, *, fill: bool) -> None:
        words = [0] * self._words
        if fill:
            self._access(line, True, packed(self._pattern))
        else:
            words = unpacked(self._access(line, False), self._words)
        self._pattern = [step(state) ^ word for state, word in zip(self._pattern, words, strict=True)]


def fill_lines(pattern: Sequence[int], count: int) -> Generator[list[int], None, None]:
    """The words of `count` lines that a fill writes, from the first pattern on."""
    words = list(pattern)
    for _ in range(count):
        yield list(words)
        words = [step(word) for word in words]
