"""Model of PSUM that knows each cycle: when a row that was sent can be read."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hw.common.config import ChipConfig

from .formats import U32
from .tile import accumulate as accumulated


class PsumModel:
    """PSUM of `config`, all zero at first. Within a cycle: `write` and `read` in any order, then `end_cycle` once.

    `rows` holds the memory, uint32 [bank, row, column]. A row written in a cycle is in the memory at the end of the cycle
    `write_latency` cycles later; reads and accumulations before then meet the row as it was.
    """

    def __init__(self, config: ChipConfig, *, write_latency: int) -> None:
        self._config = config
        self._write_latency = write_latency
        self._cycle = 0
        self._due: dict[int, tuple[int, int, U32]] = {}
        self.rows: U32 = np.zeros((config.psum_banks, config.psum_rows, config.cols), np.uint32)

    @property
    def cycle(self) -> int:
        """Cycles that have ended."""
        return self._cycle

    def write(self, *, bank: int, row: int, accumulate: bool, is_float: bool, data: ArrayLike) -> None:
        """The write pulse of this cycle; at most one."""
        words = np.asarray(data, np.uint32)
        if accumulate:
            as_float = self._config.has_float and (is_float or not self._config.has_int)
            words = accumulated(self.rows[bank, row], words, "bf16" if as_float else "int8")
        self._due[self._cycle + self._write_latency] = (bank, row, words)

    def read(self, *, bank: int, row: int) -> U32:
        """What a read accepted in this cycle answers."""
        return self.rows[bank, row].copy()

    def end_cycle(self) -> None:
        """The clock edge that ends this cycle."""
        if self._cycle in self._due:
            bank, row, words = self._due.pop(self._cycle)
            self.rows[bank, row] = words
        self._cycle += 1
