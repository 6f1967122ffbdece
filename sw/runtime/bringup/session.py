"""What rungs work on: the device under test, its link if it has one, a golden chip beside it, and jobs that need no interrupt."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from hw.common.config import ChipConfig
from hw.common.isa import ENGINES, Cause
from hw.common.registers import REGISTERS, engine_register
from hw.debug.lfsr import signature
from hw.debug.self_test import CONTROL, PATTERN, STATUS, Command
from hw.host.protocol import BLOCK_BYTES, MAX_WORDS, SELF_TEST_BASE, WORD_BYTES, Space
from sim.golden.chip import GoldenChip

from ...isa.assembler import assemble
from ...isa.program import Buffer, Program
from ..board import board_link
from ..device import BOARD_PREFIX, Device, open_device
from ..link import Link

#: Where the buffers of jobs begin: queues are below.
BUFFERS = 4096
#: Most lines of one Load or Store: what fits its size field.
MOST_LINES = 1 << 15
#: DRAM of devices that are no boards.
DRAM_BYTES = 1 << 20
#: Seconds a job of a rung, or a run of the self-test, may take; cycles of a simulated chip between two looks.
JOB_SECONDS, LOOK_CYCLES = 60.0, 200
#: Seconds between two looks at a board; and after which a self-test that stays at its line is given up.
LOOK_SECONDS, STILL_SECONDS = 0.001, 4.0
#: Bytes a second below which a link is slow: rungs then move samples, and let the board sum up the rest. A simulated board moves about one thousand.
SLOW_LINK = 20_000


class Fault(Exception):
    """A rung has found something: the message names the culprit."""


class NotHere(Exception):
    """A rung cannot be tried on this device: the message says why."""


class Session:
    """One walk up the ladder.

    Parameters
    ----------
    name : str
        Of the device: "golden", "rtl", "board:PORT".
    config : ChipConfig or None
        What it must have; None takes what a board has.
    seed : int
        Of all that is random.
    stress_seconds : float
        How long the stress rung works.

    Members
    -------
    rng : random.Random
    """

    def __init__(self, name: str, config: ChipConfig | None, *, seed: int = 0, stress_seconds: float = 2.0) -> None:
        self.name = name
        self.is_board = name.startswith(BOARD_PREFIX)
        self.stress_seconds = stress_seconds
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

    # Registers -----------------------------------------------------------------------------------------------

    def write_register(self, name: str, value: int) -> None:
        """Writes a register of the chip by its name."""
        self.device.transport.write_register(REGISTERS[name].address, value & 0xFFFFFFFF)

    # SBUF ----------------------------------------------------------------------------------------------------

    def write_sbuf(self, line: int, contents: np.ndarray) -> None:
        """Puts bytes into SBUF: through the link, or with a Load."""
        if self.is_board:
            self.link.write(Space.SBUF, line * self.config.line_bytes, contents.view("<u4"))
            return
        size = self.config.line_bytes
        for at in range(0, len(contents) // size, self._burst_lines):
            part = contents[at * size : (at + self._burst_lines) * size]
            text = f"load base={line + at} dram={BUFFERS} ap={len(part) // size}:1:{size}"
            self.run_text(text, {"in": (BUFFERS, part)})

    def read_sbuf(self, line: int, lines: int) -> np.ndarray:
        """Bytes of SBUF: through the link, or with a Store."""
        size = self.config.line_bytes
        if self.is_board:
            words = self.link.read(Space.SBUF, line * size, lines * size // WORD_BYTES)
            return words.astype("<u4").view(np.uint8)
        parts = []
        for at in range(0, lines, self._burst_lines):
            count = min(self._burst_lines, lines - at)
            self.run_text(f"store base={line + at} dram={BUFFERS} ap={count}:1:{size}")
            parts.append(self.device.transport.read_memory(BUFFERS, count * size))
        return np.concatenate(parts)

    @property
    def _burst_lines(self) -> int:
        return min((self.device.memory_bytes - BUFFERS) // self.config.line_bytes, MOST_LINES)

    def differing_sbuf(self, line: int, expected: np.ndarray) -> np.ndarray | None:
        """What SBUF holds from `line` on, uint8 [lines, line bytes], if it is not `expected`; None if it is.

        Over a slow link the board makes a signature, and lines are fetched only if it is wrong.
        """
        lines, words = len(expected), self.config.line_bytes // WORD_BYTES
        if self.slow and self.has_self_test:
            start = [0x600DF00D + word for word in range(words)]
            found = self.run_self_test(Command.SIGNATURE, line, line + lines - 1, pattern=start)
            columns = np.ascontiguousarray(expected).view("<u4").T.tolist()
            if found == [signature(column, state) for column, state in zip(columns, start, strict=True)]:
                return None
        contents = self.read_sbuf(line, lines).reshape(expected.shape)
        return None if np.array_equal(contents, expected) else contents

    # The self-test block -------------------------------------------------------------------------------------

    @property
    def has_self_test(self) -> bool:
        """Whether the device has the block."""
        return self.is_board and bool(self.device.transport.identity.self_test)

    def self_test_registers(self, number: int, count: int = 1) -> list[int]:
        """Registers of the self-test block from `number` on; `NotHere` if it was not built."""
        self._require_self_test()
        found: list[int] = self.link.read(Space.BOARD, SELF_TEST_BASE + WORD_BYTES * number, count).tolist()
        return found

    def run_self_test(
        self, command: Command, first: int, last: int, *, pattern: Sequence[int], alternate: bool = False, rows: bool = False
    ) -> list[int]:
        """Runs a command of the self-test over lines; the pattern it leaves. `Fault` if SBUF does not answer it."""
        self._require_self_test()
        fields = {"command": int(command), "alternate": int(alternate), "rows": int(rows)}
        for number, values in (
            (PATTERN, pattern),
            (1, (first, last)),
            (0, (sum(value << CONTROL[name][0] for name, value in fields.items()),)),
        ):
            self.link.write(Space.BOARD, SELF_TEST_BASE + WORD_BYTES * number, values)
        place, since = -1, time.monotonic()

        def ended() -> bool:
            nonlocal place, since
            (status,) = self.self_test_registers(0)
            if status >> 2 != place:
                place, since = status >> 2, time.monotonic()
            if status & 1 and time.monotonic() - since > STILL_SECONDS:
                raise Fault(
                    f"the self-test stands at SBUF line {status >> STATUS['line'][0]}: SBUF does not answer on the chip's debug port"
                )
            return not status & 1

        self.wait(ended, lambda: "the self-test has not ended", seconds=600)
        return self.self_test_registers(PATTERN, len(pattern))

    def _require_self_test(self) -> None:
        if not self.has_self_test:
            raise NotHere(f"device {self.name} has no self-test block of {BLOCK_BYTES} bytes at {SELF_TEST_BASE:#x}")

    # Jobs ----------------------------------------------------------------------------------------------------

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

    def _where(self) -> str:
        """Which engines have not finished, in words."""
        status = self.device.register("STATUS")
        left = [name for name, engine in ENGINES.items() if not status >> 12 + engine.index & 1]
        waiting = [name for name, engine in ENGINES.items() if status >> 16 + engine.index & 1]
        text = f"a job has not ended: engines {', '.join(left) or 'none'} have not finished"
        return text + (f", {', '.join(waiting)} wait on a semaphore" if waiting else "")


def require_int8(session: Session) -> None:
    """`NotHere` unless the device multiplies int8."""
    if "int8" not in session.config.dtypes:
        raise NotHere(f"config {session.config.name!r} has no int8")
