"""What rungs work on: the device under test, with ways to its SBUF that suit it, and its self-test."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from hw.common.config import ChipConfig
from hw.debug.lfsr import signature
from hw.debug.self_test import CONTROL, PATTERN, STATUS, Command
from hw.host.protocol import BLOCK_BYTES, SELF_TEST_BASE, WORD_BYTES, Space

from .under_test import BUFFERS, DeviceUnderTest, Fault, NotHere

__all__ = ["BUFFERS", "Fault", "NotHere", "Session", "require_int8"]

#: Most lines of one Load or Store: what fits its size field.
MOST_LINES = 1 << 15
#: Seconds after which a self-test that stays at its line is given up.
STILL_SECONDS = 4.0


class Session(DeviceUnderTest):
    """One walk up the ladder.

    Parameters
    ----------
    name, config, seed :
        As of `DeviceUnderTest`.
    stress_seconds : float
        How long the stress rung works.
    """

    def __init__(self, name: str, config: ChipConfig | None, *, seed: int = 0, stress_seconds: float = 2.0) -> None:
        super().__init__(name, config, seed=seed)
        self.stress_seconds = stress_seconds

    def write_sbuf(self, line: int, contents: np.ndarray) -> None:
        """Puts bytes into SBUF: through the link, or with a Load."""
        if self.is_board:
            self.link.write(Space.SBUF, line * self.config.line_bytes, contents.view("<u4"))
            return
        size = self.config.line_bytes
        for at in range(0, len(contents) // size, self._burst_lines):
            part = contents[at * size : (at + self._burst_lines) * size]
            text = f"load base={line + at} dram={BUFFERS} ap={len(part) // size}:1:{size}"
            self.run_text(text, {"in": (BUFFERS, part)})

    def read_sbuf(self, line: int, lines: int) -> np.ndarray:
        """Bytes of SBUF: through the link, or with a Store."""
        size = self.config.line_bytes
        if self.is_board:
            words = self.link.read(Space.SBUF, line * size, lines * size // WORD_BYTES)
            return words.astype("<u4").view(np.uint8)
        parts = []
        for at in range(0, lines, self._burst_lines):
            count = min(self._burst_lines, lines - at)
            self.run_text(f"store base={line + at} dram={BUFFERS} ap={count}:1:{size}")
            parts.append(self.device.transport.read_memory(BUFFERS, count * size))
        return np.concatenate(parts)

    @property
    def _burst_lines(self) -> int:
        return min((self.device.memory_bytes - BUFFERS) // self.config.line_bytes, MOST_LINES)

    def differing_sbuf(self, line: int, expected: np.ndarray) -> np.ndarray | None:
        """What SBUF holds from `line` on, uint8 [lines, line bytes], if it is not `expected`; None if it is.

        Over a slow link the board makes a signature, and lines are fetched only if it is wrong.
        """
        lines, words = len(expected), self.config.line_bytes // WORD_BYTES
        if self.slow and self.has_self_test:
            start = [0x600DF00D + word for word in range(words)]
            found = self.run_self_test(Command.SIGNATURE, line, line + lines - 1, pattern=start)
            columns = np.ascontiguousarray(expected).view("<u4").T.tolist()
            if found == [signature(column, state) for column, state in zip(columns, start, strict=True)]:
                return None
        contents = self.read_sbuf(line, lines).reshape(expected.shape)
        return None if np.array_equal(contents, expected) else contents

    # The self-test block -------------------------------------------------------------------------------------

    @property
    def has_self_test(self) -> bool:
        """Whether the device has the block."""
        return self.is_board and bool(self.device.transport.identity.self_test)

    def self_test_registers(self, number: int, count: int = 1) -> list[int]:
        """Registers of the self-test block from `number` on; `NotHere` if it was not built."""
        self._require_self_test()
        found: list[int] = self.link.read(Space.BOARD, SELF_TEST_BASE + WORD_BYTES * number, count).tolist()
        return found

    def run_self_test(
        self, command: Command, first: int, last: int, *, pattern: Sequence[int], alternate: bool = False, rows: bool = False
    ) -> list[int]:
        """Runs a command of the self-test over lines; the pattern it leaves. `Fault` if SBUF does not answer it."""
        self._require_self_test()
        fields = {"command": int(command), "alternate": int(alternate), "rows": int(rows)}
        for number, values in (
            (PATTERN, pattern),
            (1, (first, last)),
            (0, (sum(value << CONTROL[name][0] for name, value in fields.items()),)),
        ):
            self.link.write(Space.BOARD, SELF_TEST_BASE + WORD_BYTES * number, values)
        place, since = -1, time.monotonic()

        def ended() -> bool:
            nonlocal place, since
            (status,) = self.self_test_registers(0)
            if status >> 2 != place:
                place, since = status >> 2, time.monotonic()
            if status & 1 and time.monotonic() - since > STILL_SECONDS:
                raise Fault(
                    f"the self-test stands at SBUF line {status >> STATUS['line'][0]}: SBUF does not answer on the chip's debug port"
                )
            return not status & 1

        self.wait(ended, lambda: "the self-test has not ended", seconds=600)
        return self.self_test_registers(PATTERN, len(pattern))

    def _require_self_test(self) -> None:
        if not self.has_self_test:
            raise NotHere(f"device {self.name} has no self-test block of {BLOCK_BYTES} bytes at {SELF_TEST_BASE:#x}")


def require_int8(session: Session) -> None:
    """`NotHere` unless the device multiplies int8."""
    if "int8" not in session.config.dtypes:
        raise NotHere(f"config {session.config.name!r} has no int8")
