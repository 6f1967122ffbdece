"""SBUF seen through one port, as plain Python, one call a clock cycle (contract: docs/interfaces.md, "SBUF port")."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from hw.common.config import ChipConfig


class SbufMemory:
    """One SBUF port with random refusals; raises when the requester breaks the stream rules.

    `lines` is the content, (lines, line_bytes) bytes. After each clock edge `step` takes what the request was before the edge; the attributes
    are then what SBUF drives until the next edge.

    Members
    -------
    request_ready, response_valid, response : driven to the requester
    accesses : list of (cycle, address, write)
    """

    def __init__(self, *, config: ChipConfig, lines: NDArray[np.uint8], rng: np.random.Generator, ready: float = 1.0) -> None:
        self._config, self._lines, self._rng, self._share = config, lines, rng, ready
        self._pipe: deque[int | None] = deque([None] * (config.sbuf_latency - 1))
        self._waiting: tuple[int, int, int, int] | None = None
        self._now = 0
        self.request_ready, self.response_valid, self.response = False, False, 0
        self.accesses: list[tuple[int, int, int]] = []

    def step(self, valid: bool, address: int, write: int, mask: int, data: int) -> None:
        """One clock edge."""
        self._now += 1
        payload = (address, write, mask if write else 0, data if write else 0)
        if self._waiting is not None and (not valid or payload != self._waiting):
            raise AssertionError(f"SBUF request must hold until ready, but {self._waiting} became {payload if valid else 'invalid'}")
        accepted = valid and self.request_ready
        self._waiting = payload if valid and not accepted else None
        read: int | None = None
        if accepted:
            self.accesses.append((self._now, address, write))
            if write:
                self._write(address, mask, data)
            else:
                read = self._read(address)
        self._pipe.append(read)
        oldest = self._pipe.popleft()
        self.response_valid = oldest is not None
        width = 8 * self._config.word_bytes
        self.response = oldest if oldest is not None else int.from_bytes(self._rng.bytes(width // 8), "little")
        self.request_ready = bool(self._rng.random() < self._share)

    def _write(self, address: int, mask: int, data: int) -> None:
        per_word, size = self._config.element_bytes, self._config.line_bytes
        value = data.to_bytes(self._config.word_bytes, "little")
        for lane in range(per_word):
            if mask >> lane & 1:
                line = address // per_word * per_word + lane
                self._lines[line] = np.frombuffer(value[lane * size : (lane + 1) * size], dtype=np.uint8)

    def _read(self, address: int) -> int:
        per_word = self._config.element_bytes
        first = address // per_word * per_word
        rotated = [first + (address + lane) % per_word for lane in range(per_word)]
        return int.from_bytes(self._lines[rotated].tobytes(), "little")
