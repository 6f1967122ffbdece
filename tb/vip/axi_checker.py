"""A strict watcher of a chip's AXI4 master pins: it drives nothing and raises on the first broken rule (IHI 0022, chapter A3)."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import cocotb

from hw.common.config import ChipConfig

from .axi_ram import AxiRuleError, Hold, check_burst
from .clock import sample

#: Pins that make up the payload of each channel.
_PAYLOADS = {
    "aw": ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos"),
    "w": ("data", "strb", "last"),
    "b": ("id", "resp"),
    "ar": ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos"),
    "r": ("id", "data", "resp", "last"),
}


class AxiChecker:
    """Watches `<prefix>_*` from reset on.

    Checks: valid and payload of every channel hold until ready; bursts are INCR, of full aligned beats, within a page and the configured
    length; all strobes set; WLAST at the last beat of each burst alone; RLAST likewise; no response without a burst; no ID that is not used;
    at most `dma_outstanding` bursts of the DMA in flight per direction.

    Parameters
    ----------
    dut : cocotb handle
    config : ChipConfig
    prefix : str
    ids : int
        IDs the master may use, from 0.

    Members
    -------
    reads : dict of id to list of (address, beats)
    writes : list of (address, beats)
    beats : dict of channel ("r", "w") to transfers
    most_reads, most_writes : int
        Most bursts of the DMA in flight at once.
    """

    def __init__(self, dut: Any, config: ChipConfig, *, prefix: str = "m_axi", ids: int = 5) -> None:
        self._dut, self._config, self._ids = dut, config, ids
        self._pins = {
            channel: (getattr(dut, f"{prefix}_{channel}valid"), getattr(dut, f"{prefix}_{channel}ready"),
                      [getattr(dut, f"{prefix}_{channel}{name}") for name in names])
            for channel, names in _PAYLOADS.items()
        }  # fmt: skip
        self._holds = {channel: Hold(channel.upper()) for channel in _PAYLOADS}
        self.reads: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.writes: list[tuple[int, int]] = []
        self.beats = {"r": 0, "w": 0}
        self.most_reads, self.most_writes = 0, 0
        self._reading: dict[int, deque[int]] = defaultdict(deque)
        self._writing: deque[int] = deque()
        # WLAST of each beat that has no address yet, beats of the burst being sent, bursts complete and not yet answered.
        self._early: deque[int] = deque()
        self._sent, self._unanswered = 0, 0
        self._task = cocotb.start_soon(self._run())

    @property
    def is_idle(self) -> bool:
        """Nothing is in flight."""
        return not (any(self._reading.values()) or self._writing or self._early or self._unanswered)

    def finish(self) -> None:
        """Everything asked for was answered, and there was something. Raises `AssertionError` otherwise."""
        assert self.is_idle, (
            f"bursts must all be answered, but {dict(self._reading)} reads, {self._writing} writes, {self._unanswered} answers are left"
        )
        assert self.writes or self.reads, "the master must have made at least one burst"

    async def _run(self) -> None:
        while True:
            await sample(self._dut)
            if self._dut.rst.value == 1:
                continue
            for channel, (valid, ready, pins) in self._pins.items():
                assert valid.value.is_resolvable and ready.value.is_resolvable, f"{channel.upper()}: valid and ready must be defined"
                is_valid = valid.value == 1
                payload = tuple(int(pin.value) for pin in pins) if is_valid else None
                if self._holds[channel].check(is_valid, ready.value == 1, payload):
                    # A transfer needs valid, so there is a payload here; the type checker cannot see that.
                    getattr(self, f"_on_{channel}")(*payload)  # type: ignore[misc]
            self._match_writes()

    def _address(self, burst_id: int, address: int, length: int, size: int, burst: int, lock: int) -> None:
        if burst_id >= self._ids:
            raise AxiRuleError(f"ID must be below {self._ids}, not {burst_id}")
        if 1 << size != self._config.line_bytes or burst != 1 or lock:
            raise AxiRuleError(
                f"bursts must be INCR of {self._config.line_bytes}-byte beats, not burst {burst}, size {1 << size}, lock {lock}"
            )
        check_burst(self._config, address, length)

    def _on_aw(self, burst_id: int, address: int, length: int, size: int, burst: int, lock: int, *_: int) -> None:
        self._address(burst_id, address, length, size, burst, lock)
        if burst_id:
            raise AxiRuleError(f"writes must have ID 0, not {burst_id}")
        self.writes.append((address, length + 1))
        self._writing.append(length + 1)
        self.most_writes = max(self.most_writes, len(self._writing) + self._unanswered)
        if self.most_writes > self._config.dma_outstanding:
            raise AxiRuleError(f"at most {self._config.dma_outstanding} writes may be in flight, not {self.most_writes}")

    def _on_w(self, data: int, strobes: int, last: int) -> None:
        if strobes != (1 << self._config.line_bytes) - 1:
            raise AxiRuleError(f"all strobes must be set, not {strobes:#b}")
        self.beats["w"] += 1
        self._early.append(last)

    def _match_writes(self) -> None:
        while self._writing and self._early:
            self._sent += 1
            is_last = self._sent == self._writing[0]
            if self._early.popleft() != is_last:
                raise AxiRuleError(f"WLAST must be {int(is_last)} at beat {self._sent} of {self._writing[0]}")
            if is_last:
                self._writing.popleft()
                self._sent, self._unanswered = 0, self._unanswered + 1

    def _on_b(self, burst_id: int, resp: int) -> None:
        if not self._unanswered or burst_id:
            raise AxiRuleError(f"a write response must answer a complete burst of ID 0, not ID {burst_id} with {self._unanswered} complete")
        self._unanswered -= 1

    def _on_ar(self, burst_id: int, address: int, length: int, size: int, burst: int, lock: int, *_: int) -> None:
        self._address(burst_id, address, length, size, burst, lock)
        self.reads[burst_id].append((address, length + 1))
        self._reading[burst_id].append(length + 1)
        self.most_reads = max(self.most_reads, len(self._reading[0]))
        if self.most_reads > self._config.dma_outstanding:
            raise AxiRuleError(f"at most {self._config.dma_outstanding} reads of the DMA may be in flight, not {self.most_reads}")

    def _on_r(self, burst_id: int, data: int, resp: int, last: int) -> None:
        self.beats["r"] += 1
        left = self._reading[burst_id]
        if not left:
            raise AxiRuleError(f"a read beat must answer a burst, but ID {burst_id} has none")
        left[0] -= 1
        if bool(last) != (left[0] == 0):
            raise AxiRuleError(f"RLAST must be {int(left[0] == 0)} with {left[0]} beats left")
        if last:
            left.popleft()
