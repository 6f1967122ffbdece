"""What each instruction does to the memories: numpy, vectorised, bit-exact. The checks have been made before (`check.py`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.common.config import ChipConfig
from hw.common.dtypes import DTYPES
from hw.common.isa import DIMENSIONS, OUTPUT_LINES, Cause, OutputMode

from .dma import bursts, pattern_addresses
from .output import output_rows
from .tile import accumulate, matmul

_DTYPE_NAMES = {item.code: item.name for item in DTYPES.values()}


@dataclass(frozen=True, kw_only=True)
class BusError(Exception):
    """AXI answered with an error: the cause and the address of the burst."""

    cause: Cause
    address: int


class Memory:
    """DRAM as the bus shows it: a memory from address 0, whose poisoned ranges and everything beyond its end answer with errors.

    Parameters
    ----------
    size : int
        Bytes, a positive number.
    """

    def __init__(self, *, size: int) -> None:
        if size <= 0:
            raise ValueError(f"size must be positive, not {size!r}")
        self.data = np.zeros(size, np.uint8)
        self._poisoned: list[tuple[int, int]] = []

    def poison(self, address: int, size: int) -> None:
        """Every beat that touches these bytes is answered with an error from now on."""
        self._poisoned.append((address, address + size))

    def bad(self, address: int, size: int) -> bool:
        """Whether a beat or burst of `size` bytes at `address` is answered with an error."""
        end = address + size
        return address < 0 or end > len(self.data) or any(low < end and address < high for low, high in self._poisoned)

    def has_bad(self, low: int, high: int) -> bool:
        """Whether anything in [low, high) may be answered with an error: a quick test before the slow one."""
        return self.bad(low, max(high - low, 1))


class Datapath:
    """SBUF, PSUM, the stationary block and the channel registers, and the instructions that change them.

    Parameters
    ----------
    config : ChipConfig
    memory : Memory
    seed : int
        SBUF and PSUM power up with undefined contents: with random bytes from this seed.
    """

    def __init__(self, *, config: ChipConfig, memory: Memory, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.config = config
        self.memory = memory
        self.sbuf = rng.integers(0, 256, (config.sbuf_lines, config.line_bytes), np.uint8)
        self.psum = rng.integers(0, 1 << 32, (config.psum_banks, config.psum_rows, config.cols), np.uint32)
        self._bias = np.zeros(config.cols, np.uint32)
        self._scale = np.zeros(config.cols, np.uint32)
        self.start()

    def start(self) -> None:
        """Start of a job: the stationary block is forgotten, the row counters begin at 0."""
        self._stationary: np.ndarray = np.zeros((0, self.config.cols))
        self.rows = 0
        self.macs = 0

    def execute(self, name: str, values: dict[str, int]) -> None:
        """Carries out one instruction; `BusError` from Load and Store."""
        method = {
            "Load": self._load, "Store": self._store, "LoadStationary": self._load_stationary,
            "MultiplyMoving": self._multiply_moving, "LoadChannel": self._load_channel, "Evict": self._evict,
        }[name]  # fmt: skip
        method(values)

    def _lines(self, values: dict[str, int]) -> np.ndarray:
        sizes = [values[f"size{dim}"] for dim in range(DIMENSIONS)]
        return pattern_addresses(values["base"], sizes, [values[f"stride{dim}"] for dim in range(DIMENSIONS)])

    def _transfer(self, values: dict[str, int], cause: Cause) -> tuple[np.ndarray, np.ndarray, BusError | None]:
        """SBUF lines and DRAM line numbers up to the first beat that errs, and the error."""
        lines = self._lines(values)
        sizes = [values[f"size{dim}"] for dim in range(DIMENSIONS)]
        strides = [values[f"dram_stride{dim}"] for dim in range(DIMENSIONS)]
        dram = pattern_addresses(values["dram"], sizes, strides)
        size = self.config.line_bytes
        error = None
        if self.memory.has_bad(int(dram.min()), int(dram.max()) + size):
            done = 0
            for address, beats in bursts(dram, config=self.config).tolist():
                # A read stops at the beat that errs; a write is answered, and kept or refused, as a whole burst.
                span = [(address + beat * size, size) for beat in range(beats)] if cause is Cause.READ_ERROR else [(address, beats * size)]
                good = next((index for index, part in enumerate(span) if self.memory.bad(*part)), None)
                if good is not None:
                    error, done = BusError(cause=cause, address=address), done + good
                    break
                done += beats
            lines, dram = lines[:done], dram[:done]
        return lines, dram // size, error

    def _dram_lines(self) -> np.ndarray:
        size = self.config.line_bytes
        return self.memory.data[: len(self.memory.data) // size * size].reshape(-1, size)

    def _load(self, values: dict[str, int]) -> None:
        lines, dram, error = self._transfer(values, Cause.READ_ERROR)
        self.sbuf[lines] = self._dram_lines()[dram]
        if error:
            raise error

    def _store(self, values: dict[str, int]) -> None:
        lines, dram, error = self._transfer(values, Cause.WRITE_ERROR)
        self._dram_lines()[dram] = self.sbuf[lines]
        if error:
            raise error

    def _operand(self, values: dict[str, int]) -> tuple[np.ndarray, str]:
        """Rows of `cols` elements: int8, or bf16 as its uint16 bits."""
        name = _DTYPE_NAMES[values["dtype"]]
        lines = self._lines(values)
        if name == "int8":
            return self.sbuf[lines].view(np.int8), name
        pair = np.stack([self.sbuf[lines], self.sbuf[lines + 1]], axis=1)
        return pair.reshape(len(lines), -1).view("<u2"), name

    def _load_stationary(self, values: dict[str, int]) -> None:
        self._stationary, _ = self._operand(values)

    def _multiply_moving(self, values: dict[str, int]) -> None:
        moving, name = self._operand(values)
        k = len(self._stationary)
        result = matmul(moving[:, :k], self._stationary, name)
        first = values["psum_row"]
        target = self.psum[values["psum_bank"], first : first + len(moving)]
        target[:] = accumulate(target, result, name) if values["accumulate"] else result
        self.rows += len(moving)
        self.macs += len(moving) * k * self.config.cols

    def _load_channel(self, values: dict[str, int]) -> None:
        words = self.sbuf[values["base"] : values["base"] + 8].reshape(-1).view("<u4").astype(np.uint32)
        self._bias, self._scale = words[: self.config.cols], words[self.config.cols :]

    def _evict(self, values: dict[str, int]) -> None:
        mode = OutputMode(values["mode"])
        lines = self._lines(values)
        first = values["psum_row"]
        bits = self.psum[values["psum_bank"], first : first + len(lines)]
        rows = output_rows(bits, mode, self._bias if values["bias"] else None, bool(values["relu"]), self._scale)
        count = OUTPUT_LINES[mode]
        spread = (lines[:, None] + np.arange(count)).reshape(-1)
        self.sbuf[spread] = rows.reshape(len(lines) * count, self.config.line_bytes)
