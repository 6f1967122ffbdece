"""What commands do to the memories and parameters of the compact chip's datapath, from the golden models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.common.config import ChipConfig
from hw.common.isa import OutputMode
from hw.compact.bus import Command, Parameter
from sim.golden.output import output_rows
from sim.golden.tile import accumulate, matmul


@dataclass(frozen=True, kw_only=True)
class Step:
    """Parameters to write (a dict by `Parameter`), then a command."""

    command: Command
    parameters: dict[Parameter, int]


def step(command: Command, **parameters: int) -> Step:
    """A `Step` of parameters named in lower case."""
    return Step(command=command, parameters={Parameter[name.upper()]: value for name, value in parameters.items()})


class DatapathModel:
    """What commands do to memories and parameters. `fault(address)` is the AXI response at an address."""

    def __init__(self, config: ChipConfig, *, dram: Any, lines: Any, fault: Callable[[int], int] = lambda address: 0) -> None:
        self.config, self.dram, self.lines, self.fault = config, dram.copy(), lines.copy(), fault
        self.psum = np.zeros((config.psum_banks * config.psum_rows, config.cols), np.uint32)
        self.background, self.foreground = (np.zeros((config.rows, config.cols), np.int8) for _ in range(2))
        self.bias, self.scale = (np.zeros(config.cols, np.uint32) for _ in range(2))
        self.parameters = dict.fromkeys(Parameter, 0)
        self.words: list[int] = []
        self.error: int | None = None

    def run(self, item: Step) -> None:
        """One step."""
        self.parameters |= item.parameters
        self.error = None
        getattr(self, item.command.name.lower())()

    def _sbuf(self) -> int:
        """The SBUF line of this step; moves on."""
        line = self.parameters[Parameter.SBUF] % self.config.sbuf_lines
        self.parameters[Parameter.SBUF] = line + self.parameters[Parameter.SBUF_STRIDE]
        return line

    def _transfers(self) -> Any:
        """DRAM addresses up to the first that fails."""
        for _ in range(self.parameters[Parameter.COUNT]):
            address = self.parameters[Parameter.DRAM] % (1 << self.config.axi_address_width)
            if self.fault(address // self.config.line_bytes * self.config.line_bytes) & 2:
                self.error = address
                return
            yield address
            self.parameters[Parameter.DRAM] = address + self.parameters[Parameter.DRAM_STRIDE]

    def _stream(self) -> Any:
        return self.lines[[self._sbuf() for _ in range(self.parameters[Parameter.COUNT])]]

    def load(self) -> None:
        for address in self._transfers():
            self.lines[self._sbuf()] = self.dram[address : address + self.config.line_bytes]

    def store(self) -> None:
        for address in self._transfers():
            self.dram[address : address + self.config.line_bytes] = self.lines[self._sbuf()]

    def fetch(self) -> None:
        self.words += [int(self.dram[address : address + 4].view("<u4")[0]) for address in self._transfers()]

    def load_stationary(self) -> None:
        for line in self._stream():
            self.background[self.parameters[Parameter.ROW]] = line.view(np.int8)
            self.parameters[Parameter.ROW] = (self.parameters[Parameter.ROW] + 1) % self.config.rows

    def multiply(self) -> None:
        flags = self.parameters[Parameter.FLAGS]
        if flags & 2:
            self.foreground = self.background.copy()
            self.parameters[Parameter.FLAGS] = flags & ~2
        lanes = np.array([flags >> 8 + row & 1 for row in range(self.config.rows)], bool)
        moving = np.where(lanes, self._stream().view(np.int8), np.int8(0))
        for sums in matmul(moving, self.foreground, "int8"):
            row = self.parameters[Parameter.PSUM]
            self.psum[row] = accumulate(self.psum[row], sums, "int8") if flags & 1 else sums
            self.parameters[Parameter.PSUM] = (row + 1) % len(self.psum)

    def load_channel(self) -> None:
        words = self._stream().reshape(-1).view("<u4")
        self.bias, self.scale = words[: self.config.cols], words[self.config.cols :]

    def evict(self) -> None:
        flags = self.parameters[Parameter.FLAGS]
        bias = self.bias if flags & 8 else None
        for _ in range(self.parameters[Parameter.COUNT]):
            row, line = self.parameters[Parameter.PSUM], self._sbuf()
            out = output_rows(self.psum[row : row + 1], OutputMode(flags & 7), bias, bool(flags & 16), self.scale)
            out = out.reshape(-1, self.config.line_bytes)
            self.lines[line : line + len(out)] = out
            self.parameters[Parameter.PSUM] = (row + 1) % len(self.psum)
