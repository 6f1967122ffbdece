"""The device: loads programs into a chip, runs them, and turns what went wrong into words.

A `Device` drives a *transport*: the golden chip, the verilated chip, or a board. All have the same few methods (`Transport`), so
whatever runs on one runs on all, and leaves the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from hw.common.config import ChipConfig
from hw.common.isa import ENGINES, Cause
from hw.common.registers import MAGIC, REGISTERS, engine_register

from ..isa.assembler import format_word
from ..isa.program import Program
from .errors import ChipError, DeviceError, JobTimeout
from .result import RunResult, read_result

#: Names `open_device` knows, beside those that begin with `BOARD_PREFIX`.
DEVICES = ("golden", "rtl")
#: What the name of a board's device begins with: `board:/dev/ttyUSB1`, `board:/dev/ttyUSB1?baud=1000000`.
BOARD_PREFIX = "board:"
#: Cycles after which `run` gives up unless told otherwise.
DEFAULT_LIMIT = 50_000_000


class Transport(Protocol):
    """How a device reaches its chip."""

    config: ChipConfig
    name: str

    @property
    def memory_bytes(self) -> int:
        """Bytes of DRAM."""

    def reset(self) -> None:
        """The reset pin."""

    def write_memory(self, address: int, data: Any) -> None:
        """Host write to DRAM."""

    def read_memory(self, address: int, size: int) -> np.ndarray:
        """Host read of DRAM, uint8."""

    def write_register(self, address: int, value: int) -> None:
        """Host write to a register."""

    def read_register(self, address: int) -> int:
        """Host read of a register."""

    def wait_interrupt(self, limit_cycles: int, progress: Callable[[int], None] | None = None) -> Any:
        """Returns once the interrupt pin is high; raises a TimeoutError after `limit_cycles`. `progress` is told the cycles so far."""

    def close(self) -> None:
        """Gives back what it holds."""


class Device:
    """A chip that runs programs.

    Parameters
    ----------
    transport : Transport

    Raises
    ------
    DeviceError
        if no Meshium chip answers, or one of another configuration.
    """

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.config: ChipConfig = transport.config
        transport.reset()
        found = self.register("MAGIC")
        if found != MAGIC:
            raise DeviceError(f"register MAGIC must read {MAGIC:#010x}, not {found:#010x}: no Meshium chip answers on {transport.name}")
        found = self.register("CONFIG_HASH")
        if found != self.config.hash:
            raise DeviceError(
                f"the chip on {transport.name} has config hash {found:#010x}, config {self.config.name!r} has {self.config.hash:#010x}: "
                "open the device with the configuration the chip was built from"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Gives the transport back."""
        self.transport.close()

    @property
    def name(self) -> str:
        """Of the transport: "golden", "rtl", "board:PORT"."""
        return str(self.transport.name)

    @property
    def memory_bytes(self) -> int:
        """Bytes of DRAM."""
        return int(self.transport.memory_bytes)

    @property
    def _more_memory(self) -> str:
        return "use smaller sizes or batches" if self.name.startswith(BOARD_PREFIX) else "open it with more"

    def register(self, name: str) -> int:
        """Value of a register by its name in the table."""
        return int(self.transport.read_register(REGISTERS[name].address))

    def _write(self, name: str, value: int) -> None:
        self.transport.write_register(REGISTERS[name].address, value & 0xFFFFFFFF)

    def _write_pair(self, name: str, value: int) -> None:
        self._write(f"{name}_LO", value)
        self._write(f"{name}_HI", value >> 32)

    # Jobs ----------------------------------------------------------------------------------------------------

    def load(self, program: Program, inputs: Mapping[str, Any] | None = None) -> None:
        """Writes queues and buffers to DRAM and points the chip at them.

        Parameters
        ----------
        program : Program
        inputs : mapping of buffer name to bytes or array
            Contents of buffers, in place of (or beside) what the program brings.

        Raises
        ------
        ProgramError, DeviceError
            if it was made for another configuration, needs more DRAM than there is, or an input does not fit its buffer.
        """
        program.require(self.config)
        if program.dram_bytes > self.memory_bytes:
            raise DeviceError(f"program needs {program.dram_bytes} bytes of DRAM, the device has {self.memory_bytes}: {self._more_memory}")
        contents: dict[str, Any] = {name: item.data for name, item in program.buffers.items() if item.data is not None}
        for name, data in (inputs or {}).items():
            if name not in program.buffers:
                raise DeviceError(f"input must be one of {', '.join(program.buffers) or 'no buffers'}, not {name!r}")
            contents[name] = data
        for name, data in contents.items():
            raw = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else np.ascontiguousarray(data).view(np.uint8).reshape(-1)
            if len(raw) != program.buffers[name].size:
                raise DeviceError(f"buffer {name!r} must be given {program.buffers[name].size} bytes, not {len(raw)}")
            self.transport.write_memory(program.buffers[name].address, raw)
        self._write_pair("DRAM_BASE", 0)
        self._write_pair("DRAM_SIZE", self.memory_bytes)
        for engine, address in program.queue_addresses.items():
            if program.queues[engine]:
                self.transport.write_memory(address, np.frombuffer(program.queue_data(engine), np.uint8))
            self._write_pair(engine_register(engine, "QUEUE_BASE"), address)
            self._write(engine_register(engine, "QUEUE_COUNT"), len(program.queues[engine]))

    def run(
        self,
        program: Program,
        inputs: Mapping[str, Any] | None = None,
        *,
        limit_cycles: int = DEFAULT_LIMIT,
        progress: Callable[[int], None] | None = None,
    ) -> RunResult:
        """Loads `program`, rings the doorbell, waits for the end and reads the counters.

        Raises
        ------
        ChipError
            if an engine halted.
        JobTimeout
            if the job did not end within `limit_cycles`.
        """
        self.load(program, inputs)
        self._write("IRQ_STATUS", 3)
        self._write("IRQ_ENABLE", 1)
        self._write("CONTROL", 1)
        try:
            self.transport.wait_interrupt(limit_cycles, progress)
        except TimeoutError as error:
            raise JobTimeout(
                f"job did not end within {limit_cycles} cycles: {error}; raise the limit or look for the engine that waits"
            ) from error
        self._write("IRQ_STATUS", 3)
        self._raise_error(program)
        return read_result(self.config, self.register)

    def read(self, program: Program, name: str) -> np.ndarray:
        """Contents of a buffer now, uint8; `DeviceError` if the program has none of that name."""
        if name not in program.buffers:
            raise DeviceError(f"buffer must be one of {', '.join(program.buffers) or 'no buffers'}, not {name!r}")
        item = program.buffers[name]
        return self.transport.read_memory(item.address, item.size)

    def _raise_error(self, program: Program) -> None:
        first = self.register("ERROR_ENGINE")
        if not first >> 31:
            return
        engine = list(ENGINES)[first & 0xF]
        index = self.register(engine_register(engine, "INDEX"))
        words = program.queues[engine]
        raise ChipError(
            engine=engine,
            cause=Cause(self.register(engine_register(engine, "CAUSE"))),
            index=index,
            address=self.register(engine_register(engine, "ADDRESS_LO")) | self.register(engine_register(engine, "ADDRESS_HI")) << 32,
            instruction=format_word(engine, words[index]) if index < len(words) else "beyond its queue",
        )


def _open_golden(config: ChipConfig, **options: Any) -> Any:
    from sim.golden.chip import GoldenChip

    return GoldenChip(config, **options)


def _open_rtl(config: ChipConfig, **options: Any) -> Any:
    # Imported when asked for: the golden device needs neither Verilator nor a compiler.
    from sim.verilated.chip import VerilatedChip

    return VerilatedChip(config, **options)


def _open_board(config: ChipConfig | None, name: str) -> Any:
    # Imported when asked for: the other devices need no serial port.
    from .board import BoardAddress, BoardTransport

    address = BoardAddress.parse(name)
    return BoardTransport(config, port=address.port, baud=address.baud)


_OPENERS: dict[str, Callable[..., Any]] = {"golden": _open_golden, "rtl": _open_rtl}


def open_device(name: str, config: ChipConfig | None, **options: Any) -> Device:
    """The device called `name`: "golden" (numpy, no time), "rtl" (the verilated chip, cycle-accurate) or "board:PORT" (sw/runtime/board.py).

    A board may be opened without a configuration: the device then has the one the board has. Further options go to the transport: `dram_bytes`,
    `seed`; for "rtl" also `dram` (a DramModel); a board takes none.

    Raises
    ------
    DeviceError
        if there is no such device, or no board answers.
    """
    if name.startswith(BOARD_PREFIX):
        return Device(_open_board(config, name))
    if name not in _OPENERS:
        raise DeviceError(f"device must be one of {', '.join(_OPENERS)}, {BOARD_PREFIX}PORT, not {name!r}")
    return Device(_OPENERS[name](config, **options))
