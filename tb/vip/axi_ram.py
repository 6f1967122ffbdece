"""A strict AXI4 memory as plain Python, one call a clock cycle: it serves any simulator and raises on the first broken rule.

`ReadRam` is the AR/R side, `WriteRam` the AW/W/B side. After each clock edge the owner calls `step` with what the master's outputs were before
the edge; the attributes are then what the memory drives until the next edge. Rules: IHI 0022, chapter A3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.common.config import ChipConfig

PAGE_BYTES = 4096


class AxiRuleError(AssertionError):
    """The master broke a rule of AXI4; the message names it."""


@dataclass(kw_only=True)
class Timing:
    """How a memory answers: shares are probabilities a cycle, latencies cycles (lowest and highest, drawn at random)."""

    ready: float = 1.0
    valid: float = 1.0
    latency: tuple[int, int] = (1, 1)


class Hold:
    """Checks that a channel's valid and payload hold until ready (A3.2.1)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: Any = None

    def check(self, valid: bool, ready: bool, payload: Any) -> bool:
        """One cycle; whether a transfer happened."""
        if self._waiting is not None:
            if not valid:
                raise AxiRuleError(f"{self._name}: valid must hold until ready")
            if payload != self._waiting:
                raise AxiRuleError(f"{self._name}: payload must hold until ready, but changed from {self._waiting} to {payload}")
        self._waiting = payload if valid and not ready else None
        return valid and ready


def check_burst(config: ChipConfig, address: int, length: int) -> None:
    """Raises `AxiRuleError` unless an INCR burst of `length` + 1 full beats at `address` is legal and within the configuration's limits."""
    size = (length + 1) * config.line_bytes
    if address % config.line_bytes:
        raise AxiRuleError(f"address must be a multiple of {config.line_bytes}, not {address:#x}")
    if address // PAGE_BYTES != (address + size - 1) // PAGE_BYTES:
        raise AxiRuleError(f"a burst must not cross 4 KiB, but {length + 1} beats at {address:#x} do")
    if not 0 <= length < min(256, config.dma_burst_lines):
        raise AxiRuleError(f"a burst must have 1 to {min(256, config.dma_burst_lines)} beats, not {length + 1}")


@dataclass(kw_only=True)
class _Pending:
    id: int
    address: int
    beats: int
    due: int
    done: int = 0


class ReadRam:
    """AR and R channels: bursts answered in order after a latency, one beat a cycle at most.

    Members
    -------
    request_ready, response_valid, response : driven to the master; `response` is (id, data, resp, last)
    requests, beats : lists of (cycle, address, beats) and of cycles
    most_in_flight : int
    """

    def __init__(
        self, *, config: ChipConfig, memory: NDArray[np.uint8], rng: np.random.Generator, timing: Timing | None = None,
        fault: Callable[[int], int] = lambda address: 0,
    ) -> None:  # fmt: skip
        self._config, self._memory, self._rng, self._timing, self._fault = config, memory, rng, timing or Timing(), fault
        self._hold = Hold("AR")
        self._queue: deque[_Pending] = deque()
        self._now = 0
        self.request_ready, self.response_valid = False, False
        self.response = (0, 0, 0, 0)
        self.requests: list[tuple[int, int, int]] = []
        self.beats: list[int] = []
        self.most_in_flight = 0

    @property
    def is_idle(self) -> bool:
        """No burst is in flight."""
        return not self._queue

    def step(self, valid: bool, payload: tuple[int, int, int], ready: bool) -> None:
        """One clock edge: AR `valid` and (id, address, length), R `ready`."""
        self._now += 1
        if self._hold.check(valid, self.request_ready, payload):
            request_id, address, length = payload
            check_burst(self._config, address, length)
            due = self._now + int(self._rng.integers(self._timing.latency[0], self._timing.latency[1] + 1)) - 1
            self._queue.append(_Pending(id=request_id, address=address, beats=length + 1, due=due))
            self.requests.append((self._now, address, length + 1))
            self.most_in_flight = max(self.most_in_flight, len(self._queue))
        if self.response_valid and ready:
            self.beats.append(self._now)
            self.response_valid = False
            if self._queue[0].done == self._queue[0].beats:
                self._queue.popleft()
        if not self.response_valid and self._queue and self._queue[0].due <= self._now and self._rng.random() < self._timing.valid:
            self.response_valid = True
            self.response = self._beat(self._queue[0])
        self.request_ready = bool(self._rng.random() < self._timing.ready)

    def _beat(self, burst: _Pending) -> tuple[int, int, int, int]:
        address = burst.address + burst.done * self._config.line_bytes
        burst.done += 1
        resp = self._fault(address)
        # An error beat carries garbage: nothing may depend on it.
        line = self._memory[address : address + self._config.line_bytes] if not resp & 2 else self._rng.bytes(self._config.line_bytes)
        return burst.id, int.from_bytes(bytes(line), "little"), resp, int(burst.done == burst.beats)


class WriteRam:
    """AW, W and B channels. Data may come before its address; a burst is written when both are complete, unless it is answered with an error.

    Parameters
    ----------
    order : str
        "free": readies are independent. "data_first": AWREADY waits for WVALID. "address_first": WREADY waits for the address.

    Members
    -------
    request_ready, data_ready, response_valid, response : driven to the master
    requests, beats : lists of (cycle, address, beats) and of cycles
    most_in_flight : int
        Bursts accepted and not yet answered.
    """

    def __init__(
        self, *, config: ChipConfig, memory: NDArray[np.uint8], rng: np.random.Generator, timing: Timing | None = None,
        fault: Callable[[int], int] = lambda address: 0, order: str = "free",
    ) -> None:  # fmt: skip
        if order not in ("free", "data_first", "address_first"):
            raise ValueError(f"order must be free, data_first or address_first, not {order!r}")
        self._config, self._memory, self._rng, self._timing, self._fault = config, memory, rng, timing or Timing(), fault
        self._order = order
        self._holds = Hold("AW"), Hold("W")
        self._bursts: deque[_Pending] = deque()
        self._lines: deque[tuple[int, int]] = deque()
        self._answers: deque[tuple[int, int]] = deque()
        self._now = 0
        self.request_ready, self.data_ready, self.response_valid, self.response = False, False, False, 0
        self.requests: list[tuple[int, int, int]] = []
        self.beats: list[int] = []
        self.most_in_flight = 0

    @property
    def is_idle(self) -> bool:
        """No burst, beat or answer is in flight."""
        return not (self._bursts or self._lines or self._answers or self.response_valid)

    def step(self, valid: bool, payload: tuple[int, int], data_valid: bool, data: tuple[int, int], ready: bool) -> None:
        """One clock edge: AW `valid` and (address, length), W `data_valid` and (data, last), B `ready`."""
        self._now += 1
        if self._holds[0].check(valid, self.request_ready, payload):
            check_burst(self._config, *payload)
            self._bursts.append(_Pending(id=0, address=payload[0], beats=payload[1] + 1, due=0))
            self.requests.append((self._now, payload[0], payload[1] + 1))
        if self._holds[1].check(data_valid, self.data_ready, data):
            self._lines.append(data)
            self.beats.append(self._now)
        if self.response_valid and ready:
            self.response_valid = False
        self._complete()
        in_flight = len(self._bursts) + len(self._answers) + self.response_valid
        self.most_in_flight = max(self.most_in_flight, in_flight)
        if not self.response_valid and self._answers and self._answers[0][0] <= self._now and self._rng.random() < self._timing.valid:
            self.response_valid = True
            self.response = self._answers.popleft()[1]
        may_request = self._order != "data_first" or (data_valid and not self.data_ready) or bool(self._lines)
        owed = sum(burst.beats for burst in self._bursts) - len(self._lines)
        may_send = self._order != "address_first" or owed > 0
        self.request_ready = may_request and bool(self._rng.random() < self._timing.ready)
        self.data_ready = may_send and bool(self._rng.random() < self._timing.ready)

    def _complete(self) -> None:
        """Writes the oldest burst and queues its answer once all its beats are there."""
        size = self._config.line_bytes
        while self._bursts and len(self._lines) >= self._bursts[0].beats:
            burst = self._bursts.popleft()
            lines = [self._lines.popleft() for _ in range(burst.beats)]
            lasts = [last for _, last in lines]
            if lasts != [0] * (burst.beats - 1) + [1]:
                raise AxiRuleError(f"WLAST must mark the last of {burst.beats} beats at {burst.address:#x} alone, not {lasts}")
            resp = self._fault(burst.address)
            if not resp & 2:
                block = b"".join(value.to_bytes(size, "little") for value, _ in lines)
                self._memory[burst.address : burst.address + len(block)] = np.frombuffer(block, dtype=np.uint8)
            delay = int(self._rng.integers(self._timing.latency[0], self._timing.latency[1] + 1))
            self._answers.append((self._now + delay - 1, resp))
