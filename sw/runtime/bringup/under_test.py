"""The device under test: its link if it has one, a golden chip beside it, its registers, and jobs that need no interrupt."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from hw.common.config import ChipConfig
from hw.common.isa import ENGINES, Cause
from hw.common.registers import REGISTERS, engine_register
from hw.host.protocol import MAX_WORDS, WORD_BYTES, Space
from sim.golden.chip import GoldenChip

from ...isa.assembler import assemble
from ...isa.program import Buffer, Program
from ..board import board_link
from ..device import BOARD_PREFIX, Device, open_device
from ..link import Link

#: Where the buffers of jobs begin: queues are below.
BUFFERS = 4096
#: DRAM of devices that are no boards.
DRAM_BYTES = 1 << 20
#: Seconds a job of a rung may take; cycles of a simulated chip between two looks.
JOB_SECONDS, LOOK_CYCLES = 60.0, 200
#: Seconds between two looks at a board.
LOOK_SECONDS = 0.001
#: Bytes a second below which a link is slow: rungs then move samples, and let the board sum up the rest. A simulated board moves about one thousand.
SLOW_LINK = 20_000


class Fault(Exception):
    """A rung has found something: the message names the culprit."""


class NotHere(Exception):
    """A rung cannot be tried on this device: the message says why."""


class DeviceUnderTest:
    """What is tested: jobs run on it without its interrupt.

    Parameters
    ----------
    name : str
        Of the device: "golden", "rtl", "board:PORT".
    config : ChipConfig or None
        What it must have; None takes what a board has.
    seed : int
        Of all that is random.

    Members
    -------
    rng : random.Random
    """

    def __init__(self, name: str, config: ChipConfig | None, *, seed: int = 0) -> None:
        self.name = name
        self.is_board = name.startswith(BOARD_PREFIX)
        self.seed = seed
        self.rng = random.Random(seed)
        self._config = config
        self._stack = ExitStack()
        self._link: Link | None = None
        self._device: Device | None = None
        self._slow: bool | None = None

    def close(self) -> None:
        """Gives the port back."""
        self._stack.close()
        self._link = self._device = None

    @property
    def link(self) -> Link:
        """The link to the board, whatever chip is on it; `NotHere` where there is none."""
        if not self.is_board:
            raise NotHere(f"device {self.name} has no link")
        if self._device is not None:
            link: Link = self._device.transport.link
            return link
        if self._link is None:
            self._link = self._stack.enter_context(board_link(self.name))
        return self._link

    @property
    def device(self) -> Device:
        """The open device; a port is opened again for it."""
        if self._device is None:
            self.close()
            options = {} if self.is_board else {"dram_bytes": DRAM_BYTES, "seed": self.seed}
            self._device = self._stack.enter_context(open_device(self.name, self._config, **options))
        return self._device

    @property
    def config(self) -> ChipConfig:
        """Of the device."""
        return self.device.config

    @property
    def slow(self) -> bool:
        """Whether the link is too slow to move whole memories."""
        if self._slow is None:
            begin = time.monotonic()
            if self.is_board:
                self.link.read(Space.MEMORY, 0, MAX_WORDS)
            self._slow = self.is_board and WORD_BYTES * MAX_WORDS < SLOW_LINK * (time.monotonic() - begin)
        return self._slow

    @property
    def interrupt(self) -> bool:
        """The interrupt pin."""
        if self.is_board:
            return bool(self.link.board("STATUS") & 1)
        return bool(self.device.transport.interrupt)

    def golden(self) -> GoldenChip:
        """A golden chip of the same configuration and memory."""
        return GoldenChip(self.config, dram_bytes=self.device.memory_bytes)

    def bytes(self, count: int) -> np.ndarray:
        """So many random bytes."""
        return np.frombuffer(self.rng.randbytes(count), np.uint8)

    def write_register(self, name: str, value: int) -> None:
        """Writes a register of the chip by its name."""
        self.device.transport.write_register(REGISTERS[name].address, value & 0xFFFFFFFF)

    def program(self, text: str, buffers: Mapping[str, tuple[int, int]] | None = None) -> Program:
        """The program of assembler `text`; buffers are (address, size)."""
        found = {name: Buffer(address=address, size=size) for name, (address, size) in (buffers or {}).items()}
        program = Program(config_hash=self.config.hash, queues=assemble(text), buffers=found)
        if program.queue_bytes > BUFFERS:
            raise ValueError(f"queues must have at most {BUFFERS} bytes, not {program.queue_bytes}: use fewer instructions")
        return program

    def run_text(
        self, text: str, inputs: Mapping[str, tuple[int, np.ndarray]] | None = None, *, exchange: tuple[int, int] | None = None
    ) -> None:
        """Runs assembler `text` with bytes put into memory before; `Fault` if it does not end well."""
        buffers = {name: (address, len(data)) for name, (address, data) in (inputs or {}).items()}
        self.run(self.program(text, buffers), {name: data for name, (_, data) in (inputs or {}).items()}, exchange=exchange)

    def run(self, program: Program, inputs: Mapping[str, Any] | None = None, *, exchange: tuple[int, int] | None = None) -> None:
        """Runs a program without its interrupt: the status register says when it has ended. With `exchange`, two byte lanes of queues and inputs are
        exchanged in memory first: what a chip needs whose lanes are swapped."""
        self.device.load(program, inputs)
        if exchange is not None:
            places = [
                (program.queue_base, program.queue_bytes),
                *((program.buffers[name].address, program.buffers[name].size) for name in inputs or {}),
            ]
            for address, size in places:
                lines = self.device.transport.read_memory(address, size).reshape(-1, self.config.line_bytes)
                lines[:, list(exchange)] = lines[:, list(exchange[::-1])]
                self.device.transport.write_memory(address, lines)
        self.write_register("IRQ_ENABLE", 0)
        self.write_register("IRQ_STATUS", 3)
        self.write_register("CONTROL", 1)
        self.wait(lambda: not self.device.register("STATUS") & 1, self._where)
        if not self.device.register("STATUS") & 2:
            raise Fault("a job was started and STATUS shows neither running nor done: the doorbell does not ring")
        first = self.device.register("ERROR_ENGINE")
        if first >> 31:
            engine = list(ENGINES)[first & 3]
            cause = Cause(self.device.register(engine_register(engine, "CAUSE")))
            address = self.device.register(engine_register(engine, "ADDRESS_LO"))
            raise Fault(f"the {engine} engine halted with {cause.name} at address {address:#x} in a job that is right")

    def _where(self) -> str:
        """Which engines have not finished, in words."""
        status = self.device.register("STATUS")
        left = [name for name, engine in ENGINES.items() if not status >> 12 + engine.index & 1]
        waiting = [name for name, engine in ENGINES.items() if status >> 16 + engine.index & 1]
        text = f"a job has not ended: engines {', '.join(left) or 'none'} have not finished"
        return text + (f", {', '.join(waiting)} wait on a semaphore" if waiting else "")

    def wait(self, ended: Callable[[], bool], where: Callable[[], str], *, seconds: float = JOB_SECONDS) -> None:
        """Waits until `ended`; `Fault` with what `where` says if that takes longer than `seconds`."""
        begin = time.monotonic()
        while not ended():
            if time.monotonic() - begin > seconds:
                raise Fault(f"{where()} after {seconds:g} s")
            if self.is_board:
                time.sleep(LOOK_SECONDS)
            elif hasattr(self.device.transport, "run"):
                self.device.transport.run(LOOK_CYCLES)
