"""The memories inside a Verilated chip: SBUF and PSUM, looked at and written past the hardware, for tests and tools."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from hw.common.config import ChipConfig

from .design import top_name
from .errors import SimulationError
from .library import Variable


class InnerMemories(ABC):
    """What a Verilated chip shows of its memories; no cycle passes. The arrays are gone once the chip is closed.

    Members
    -------
    config : ChipConfig
    """

    config: ChipConfig
    #: Public variables of the model, by scope and name; none once it is closed.
    _variables: Mapping[tuple[tuple[str, ...], str], Variable]

    @abstractmethod
    def _chip(self) -> int:
        """The model's handle; `SimulationError` if it is closed."""

    def _banks(self, component: str, pattern: str) -> list[Variable]:
        """Public memories below the component `sbuf` or `psum`, in order of bank numbers."""
        self._chip()
        found = []
        for (scope, name), variable in self._variables.items():
            path = ".".join((*scope[1:], name))
            match = re.fullmatch(pattern, path)
            if match:
                found.append((int(match[1] or 0), variable))
        if not found:
            raise SimulationError(f"{top_name(self.config)} has no memory {component}")
        return [variable for _, variable in sorted(found, key=lambda item: item[0])]

    @property
    def sbuf_banks(self) -> list[np.ndarray]:
        """The live banks of SBUF, each uint8 [lines, line bytes]."""
        memories = self._banks("sbuf", r"sbuf\.bank_?(\d+)\.storage|datapath\.sbuf\.memory()")
        return [item.array().view(np.uint8).reshape(-1, self.config.line_bytes) for item in memories]

    @property
    def psum_banks(self) -> list[np.ndarray]:
        """The banks of PSUM, each uint32 [rows, cols]; to be looked at (`write_psum` changes them)."""
        memories = self._banks("psum", r"psum\.bank_?(\d+)|datapath\.psum\.memory()")
        arrays = [item.array().view(np.uint32).reshape(-1, self.config.psum_rows, self.config.cols) for item in memories]
        return [bank for array in arrays for bank in array]

    def write_psum(self, values: np.ndarray) -> None:
        """Overwrites all of PSUM, uint32 [banks, rows, cols], in every memory that holds it."""
        for number, bank in enumerate(self.psum_banks):
            bank[:] = values[number]
        for (scope, name), variable in self._variables.items():
            if (*scope[-1:], name) == ("psum", "bank_copy"):
                variable.array().view(np.uint32).reshape(values.shape)[:] = values

    @property
    def sbuf(self) -> np.ndarray:
        """SBUF as it is now, uint8 [lines, line bytes]; a copy, as its banks lie apart."""
        return np.concatenate(self.sbuf_banks)

    @property
    def psum(self) -> np.ndarray:
        """PSUM as it is now, uint32 [banks, rows, cols]; a copy."""
        return np.stack(self.psum_banks)
