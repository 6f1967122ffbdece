"""Driver and monitor of an `amaranth.lib.stream` port, paced by handshake patterns that print.

A pattern is a string of "1" and "0", one a cycle, repeated for ever: "1" offers (driver) or accepts (monitor), "0" pauses. It stands in
the log, so a failing back-pressure is replayed by writing it down. `patterns(rng)` makes the usual set: always, never twice, bursts, random.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Event

from .clock import sample


def steps(text: str) -> Iterator[bool]:
    """The endless cycle of a pattern. `ValueError` unless `text` is of "0" and "1" with at least one "1": all zeros would hang."""
    if not text or set(text) - {"0", "1"} or "1" not in text:
        raise ValueError(f'pattern must be a string of "0" and "1" with at least one "1", not {text!r}')
    return cycle(item == "1" for item in text)


def random_pattern(rng: np.random.Generator, *, share: float, length: int = 61) -> str:
    """A random pattern in which a cycle is "1" with probability `share`. The length is prime, so two patterns drift past each other."""
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, not {share!r}")
    bits = rng.random(length) < share
    bits[rng.integers(length)] = True
    return "".join("1" if bit else "0" for bit in bits)


def patterns(rng: np.random.Generator) -> list[str]:
    """Full rate, half rate, one in seven, bursts, and random ones dense and sparse."""
    return ["1", "10", "1000000", "11111110000", random_pattern(rng, share=0.8), random_pattern(rng, share=0.25)]


class _Port:
    """The signals `<prefix>__valid`, `<prefix>__ready` and the payload (one signal or one a field) of a stream port of `dut`."""

    def __init__(self, dut: Any, prefix: str) -> None:
        self.dut = dut
        self.prefix = prefix
        self.valid = getattr(dut, f"{prefix}__valid")
        self.ready = getattr(dut, f"{prefix}__ready")
        self.payload = getattr(dut, f"{prefix}__payload")


class StreamDriver:
    """Drives an input stream of the device, `prefix` as in its signature ("i", "o_load"...): payloads are integers, the raw bits.

    Keeps valid and payload until ready. Offers the next payload only in cycles in which `pattern` says "1"; while it does not, the payload
    lines hold garbage, which the device must not look at.

    Parameters
    ----------
    dut : cocotb handle
    prefix : str
    pattern : str
    rng : numpy Generator
        Makes the garbage.

    Members
    -------
    sent : int
        Transfers done.
    """

    def __init__(self, dut: Any, prefix: str, *, pattern: str = "1", rng: np.random.Generator) -> None:
        self._port = _Port(dut, prefix)
        self._pattern = steps(pattern)
        self._rng = rng
        self._queue: deque[int] = deque()
        self._empty = Event()
        self._empty.set()
        self.sent = 0
        cocotb.log.info("%s: driver pattern %s", prefix, pattern)
        self._port.valid.value = 0
        self._port.payload.value = 0
        self._task = cocotb.start_soon(self._run())

    def send(self, *payloads: int) -> None:
        """Queues payloads."""
        if payloads:
            self._queue.extend(int(payload) for payload in payloads)
            self._empty.clear()

    async def drained(self) -> None:
        """Waits until everything queued has been transferred."""
        await self._empty.wait()

    async def _run(self) -> None:
        port, offering = self._port, False
        width = len(port.payload)
        while True:
            await sample(port.dut)
            if port.dut.rst.value == 1:
                continue
            if offering and port.ready.value == 1:
                offering = False
                self._queue.popleft()
                self.sent += 1
                if not self._queue:
                    self._empty.set()
            if not offering:
                offering = next(self._pattern) and bool(self._queue)
                port.valid.value = int(offering)
                port.payload.value = (
                    self._queue[0] if offering else int.from_bytes(self._rng.bytes((width + 7) // 8), "little") & ((1 << width) - 1)
                )


class StreamMonitor:
    """Accepts from an output stream of the device and hands each payload (raw bits) to `sink`; checks that valid holds until ready.

    Parameters
    ----------
    dut : cocotb handle
    prefix : str
    sink : callable
        Called with each payload, for instance `Scoreboard.observe`.
    pattern : str

    Members
    -------
    received : int
        Transfers seen.
    cycles : list of int
        The cycle, counted from the end of reset, of each transfer: latency and throughput are read from it.
    """

    def __init__(self, dut: Any, prefix: str, *, sink: Callable[[int], Any], pattern: str = "1") -> None:
        self._port = _Port(dut, prefix)
        self._pattern = steps(pattern)
        self._sink = sink
        self.received = 0
        self.cycles: list[int] = []
        cocotb.log.info("%s: monitor pattern %s", prefix, pattern)
        self._port.ready.value = 0
        self._task = cocotb.start_soon(self._run())

    async def _run(self) -> None:
        port, ready, waiting, now = self._port, False, None, -1
        while True:
            await sample(port.dut)
            if port.dut.rst.value == 1:
                continue
            now += 1
            valid = port.valid.value == 1
            payload = int(port.payload.value) if valid else None
            if waiting is not None:
                assert valid, f"{port.prefix}: valid must hold until ready, but fell after {self.received} transfers"
                assert payload == waiting, f"{port.prefix}: payload must hold until ready, but changed from {waiting:#x} to {payload:#x}"
            waiting = payload if valid and not ready else None
            if payload is not None and ready:
                self.received += 1
                self.cycles.append(now)
                self._sink(payload)
            ready = next(self._pattern)
            port.ready.value = int(ready)
