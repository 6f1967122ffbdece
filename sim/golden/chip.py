"""The golden chip: the whole machine at instruction level, bit for bit what the hardware leaves behind.

It speaks the transport protocol of the verilated chip (memory and register access, wait for the interrupt), so whatever drives one drives the
other. It has no clock: a job runs to its end inside the write to CONTROL, every cycle counter reads 0, and the watchdog never expires. Engines
meet only in semaphores with blocking waits, so running each until it blocks reaches the same end as any interleaving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np

from hw.common.config import ARCHITECTURE_VERSION, ChipConfig
from hw.common.dtypes import DTYPES
from hw.common.isa import BY_OPCODE, ENGINES, Cause, unpack
from hw.common.registers import MAGIC, REGISTERS, SPACE_BYTES, Access, engine_register

from .check import first_cause
from .execute import BusError, Datapath, Memory

_MASK32 = 0xFFFFFFFF
_WAITS, _POSTS = ("wait0", "wait1"), ("post0", "post1")


class NoInterrupt(TimeoutError):
    """`wait_interrupt` was called, but no enabled interrupt is pending and no job can raise one any more."""


@dataclass(kw_only=True)
class _Engine:
    """Where one queue stands."""

    name: str
    base: int = 0
    count: int = 0
    retired: int = 0
    cause: Cause = Cause.NONE
    index: int = 0
    address: int = 0
    stationary_dtype: int | None = None
    waits: list[tuple[int, int]] | None = field(default=None)
    """Waits of the instruction at the head still to be served; None until it has passed its checks."""

    @property
    def halted(self) -> bool:
        return self.cause is not Cause.NONE

    @property
    def finished(self) -> bool:
        return not self.halted and self.retired == self.count

    def halt(self, cause: Cause, address: int) -> None:
        self.cause, self.index, self.address = cause, self.retired, address


class GoldenChip:
    """A chip made of numpy: executes programs exactly as the hardware does, without time.

    Parameters
    ----------
    config : ChipConfig
        Must be one a chip can be built of.
    dram_bytes : int
        Bytes of DRAM from address 0, a positive multiple of the line size; reads and writes beyond are answered with errors.
    seed : int
        SBUF and PSUM power up undefined: with random contents from this seed.

    Members
    -------
    config, name, memory_bytes
        The configuration, "golden", `dram_bytes`.
    sbuf, psum : numpy arrays
        The memories: uint8 [lines, cols] and uint32 [banks, rows, cols].

    Raises
    ------
    ConfigError, ValueError
        if no chip can be built of `config`, or `dram_bytes` is not a positive multiple of the line size.
    """

    name = "golden"

    def __init__(self, config: ChipConfig, *, dram_bytes: int = 1 << 24, seed: int = 0) -> None:
        config.require_chip()
        if dram_bytes <= 0 or dram_bytes % config.line_bytes:
            raise ValueError(f"dram_bytes must be a positive multiple of {config.line_bytes}, not {dram_bytes!r}")
        self.config = config
        self.memory_bytes = dram_bytes
        self._memory = Memory(size=dram_bytes)
        self._datapath = Datapath(config=config, memory=self._memory, seed=seed)
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held outside Python; here because every transport has it."""

    # Memories ------------------------------------------------------------------------------------------------

    @property
    def sbuf(self) -> np.ndarray:
        """uint8 [lines, cols], the live array."""
        return self._datapath.sbuf

    @property
    def psum(self) -> np.ndarray:
        """uint32 [banks, rows, cols], the live array."""
        return self._datapath.psum

    @property
    def memory(self) -> np.ndarray:
        """DRAM, the live array of bytes."""
        return self._memory.data

    def poison(self, address: int, size: int) -> None:
        """Bus accesses to these bytes of DRAM are answered with errors from now on."""
        self._memory.poison(address, size)

    def _range(self, address: int, size: int) -> slice:
        if address < 0 or address + size > self.memory_bytes:
            raise ValueError(f"DRAM range must be inside {self.memory_bytes} bytes, not {address:#x} to {address + size:#x}")
        return slice(address, address + size)

    def write_memory(self, address: int, data: Any) -> None:
        """Host write to DRAM: bytes or an array of uint8."""
        raw = (
            np.frombuffer(data, np.uint8)
            if isinstance(data, (bytes, bytearray, memoryview))
            else np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        )
        self._memory.data[self._range(address, len(raw))] = raw

    def read_memory(self, address: int, size: int) -> np.ndarray:
        """Host read of DRAM: a copy, uint8."""
        return self._memory.data[self._range(address, size)].copy()

    # Registers -----------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """As the reset pin: registers get their reset values; memories stay as they are."""
        self._registers = {item.address: item.reset for item in REGISTERS.values()}
        self._engines = {name: _Engine(name=name) for name in ENGINES}
        self._semaphores = [0] * self.config.semaphores
        self._first_error: int | None = None
        self._done = False
        identity = sum(1 << DTYPES[name].code for name in self.config.dtypes)
        self._set("VERSION", ARCHITECTURE_VERSION)
        self._set("MAGIC", MAGIC)
        self._set("CONFIG_HASH", self.config.hash)
        self._set("GEOMETRY", self.config.rows | self.config.cols << 8 | self.config.element_bytes << 16 | identity << 24)

    def _set(self, name: str, value: int) -> None:
        self._registers[REGISTERS[name].address] = value & _MASK32

    def _get(self, name: str) -> int:
        return self._registers[REGISTERS[name].address]

    def _pair(self, name: str) -> int:
        return self._get(f"{name}_LO") | self._get(f"{name}_HI") << 32

    def _set_pair(self, name: str, value: int) -> None:
        self._set(f"{name}_LO", value)
        self._set(f"{name}_HI", value >> 32)

    def read_register(self, address: int) -> int:
        """One 32-bit register; holes read 0."""
        self._check_register(address)
        return self._registers.get(address, 0)

    def write_register(self, address: int, value: int) -> None:
        """Writes one 32-bit register; starting a job runs it to its end."""
        self._check_register(address)
        register = next((item for item in REGISTERS.values() if item.address == address), None)
        if register is None or register.access is Access.RO:
            return
        if register.access is Access.RW:
            self._registers[address] = value & _MASK32
        elif register.access is Access.W1C:
            self._registers[address] &= ~value & _MASK32
        elif value & 1:
            self._run()

    @staticmethod
    def _check_register(address: int) -> None:
        if address % 4 or not 0 <= address < SPACE_BYTES:
            raise ValueError(f"register address must be a multiple of 4 below {SPACE_BYTES:#x}, not {address:#x}")

    @property
    def interrupt(self) -> bool:
        """The interrupt pin."""
        return bool(self._get("IRQ_ENABLE") & self._get("IRQ_STATUS"))

    def wait_interrupt(self, limit_cycles: int, progress: Callable[[int], None] | None = None) -> None:
        """Returns if an enabled interrupt is pending; `NoInterrupt` otherwise, for jobs end inside the write that starts them."""
        if not self.interrupt:
            raise NoInterrupt(f"no enabled interrupt is pending (IRQ_ENABLE {self._get('IRQ_ENABLE'):#x}, STATUS {self._get('STATUS'):#x})")

    # A job ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._datapath.start()
        self._semaphores = [0] * self.config.semaphores
        self._first_error = None
        self._window = (self._pair("DRAM_BASE"), self._pair("DRAM_SIZE"))
        self._engines = {}
        for name in ENGINES:
            engine = _Engine(
                name=name, base=self._pair(engine_register(name, "QUEUE_BASE")), count=self._get(engine_register(name, "QUEUE_COUNT"))
            )
            self._engines[name] = engine
            self._check_queue(engine)
        while any(self._advance(engine) for engine in self._engines.values()):
            pass
        blocked = [engine for engine in self._engines.values() if not engine.halted and not engine.finished]
        if blocked and self._first_error is None:
            for engine in blocked:
                assert engine.waits
                self._halt(engine, Cause.DEADLOCK, engine.waits[0][0])
        self._publish()

    def _halt(self, engine: _Engine, cause: Cause, address: int) -> None:
        engine.halt(cause, address)
        if self._first_error is None:
            self._first_error = ENGINES[engine.name].index

    def _check_queue(self, engine: _Engine) -> None:
        """The whole queue must lie in the window, aligned, before anything of it is fetched."""
        size = ENGINES[engine.name].instruction_bytes
        low, length = self._window
        end = min(low + length, 1 << self.config.axi_address_width)
        if engine.count and (engine.base % size or engine.base < low or engine.base + engine.count * size > end):
            self._halt(engine, Cause.FETCH_ERROR, engine.base)

    def _advance(self, engine: _Engine) -> bool:
        """Runs `engine` until it blocks, halts or finishes; whether it got anywhere."""
        moved = False
        while not engine.halted and not engine.finished:
            size = ENGINES[engine.name].instruction_bytes
            address = engine.base + engine.retired * size
            if self._memory.bad(address, size):
                self._halt(engine, Cause.FETCH_ERROR, address)
                return True
            word = int.from_bytes(self._memory.data[address : address + size].tobytes(), "little")
            if engine.waits is None:
                cause, number = first_cause(word, engine.name, self.config, *self._window, engine.stationary_dtype)
                if cause:
                    self._halt(engine, cause, number)
                    return True
            instruction = BY_OPCODE[engine.name, word & 0xFF]
            values = unpack(instruction, word)
            if engine.waits is None:
                engine.waits = [(values[f"{slot}_semaphore"], values[f"{slot}_count"]) for slot in _WAITS if values[f"{slot}_count"]]
            while engine.waits:
                number, count = engine.waits[0]
                if self._semaphores[number] < count:
                    return moved
                self._semaphores[number] -= count
                engine.waits.pop(0)
                moved = True
            engine.waits = None
            moved = True
            self._complete(engine, instruction.name, values)
        return moved

    def _complete(self, engine: _Engine, name: str, values: dict[str, int]) -> None:
        """Executes one instruction whose waits are served, then makes its posts."""
        if name == "LoadStationary":
            engine.stationary_dtype = values["dtype"]
        try:
            self._datapath.execute(name, values)
        except BusError as error:
            self._halt(engine, error.cause, error.address)
            return
        limit = 1 << self.config.semaphore_width
        overflow = None
        for slot in _POSTS:
            number, count = values[f"{slot}_semaphore"], values[f"{slot}_count"]
            if count and self._semaphores[number] + count >= limit:
                overflow = number if overflow is None else overflow
            elif count:
                self._semaphores[number] += count
        if overflow is not None:
            self._halt(engine, Cause.SEMAPHORE_OVERFLOW, overflow)
        engine.retired += 1

    def _publish(self) -> None:
        """Shows the end of the job in the registers."""
        halted = finished = waiting = 0
        for engine in self._engines.values():
            bit = 1 << ENGINES[engine.name].index
            halted |= bit * engine.halted
            finished |= bit * engine.finished
            waiting |= bit * (not engine.halted and not engine.finished)
            for name, value in (("RETIRED", engine.retired), ("CAUSE", engine.cause), ("INDEX", engine.index)):
                self._set(engine_register(engine.name, name), value)
            self._set_pair(engine_register(engine.name, "ADDRESS"), engine.address)
        error = self._first_error is not None
        self._set("STATUS", 0b010 | error << 2 | halted << 8 | finished << 12 | waiting << 16)
        self._set("ERROR_ENGINE", self._first_error | 1 << 31 if self._first_error is not None else 0)
        self._set("IRQ_STATUS", self._get("IRQ_STATUS") | 0b01 | error << 1)
        self._set("TENSOR_ROWS", min(self._datapath.rows, _MASK32))
        self._set_pair("TENSOR_MACS", min(self._datapath.macs, (1 << 64) - 1))
