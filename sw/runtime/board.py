"""A board as a device: the transport behind `--device board:PORT`.

Everything goes over the link (link.py): memory and registers word by word, the interrupt by asking the board. There is no trace: a board has no `events()`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.common.config import CONFIGS, ChipConfig
from hw.common.registers import REGISTERS
from hw.host.protocol import PROTOCOL_VERSION, WORD_BYTES, Space

from .device import BOARD_PREFIX
from .errors import DeviceError, LinkError
from .link import CONNECT_SECONDS, Link
from .serial_port import open_port

#: Bit rates of the boards there are, most usual first: tried in turn where none is given.
BAUDS = (2_000_000, 1_500_000, 1_000_000)
#: Seconds between two looks at the interrupt: at first and at most.
FIRST_POLL, LONGEST_POLL = 0.0005, 0.02
#: Seconds a job may take besides its cycles, and the slowest a chip runs, simulated ones included.
SPARE_SECONDS, SLOWEST_HZ = 30.0, 2000
#: Bit of STATUS of the board and of the chip.
_INTERRUPT, _RUNNING = 1, 1


class NoInterrupt(TimeoutError):
    """A job does not end: the message says what the chip does."""


@dataclass(frozen=True, kw_only=True)
class BoardIdentity:
    """What a board says it is.

    Members
    -------
    config_hash, memory_bytes, sbuf_bytes, clock_hz
        As in the board registers of the same names.
    self_test, analyser : bool
        Whether these were built.
    """

    config_hash: int
    memory_bytes: int
    sbuf_bytes: int
    clock_hz: int
    self_test: bool
    analyser: bool


@dataclass(frozen=True, kw_only=True)
class BoardAddress:
    """What follows `BOARD_PREFIX`: a port, and its bit rate if it was given."""

    port: str
    baud: int | None

    @classmethod
    def parse(cls, name: str) -> BoardAddress:
        """From the name of a device; `DeviceError` says what is wrong with it."""
        port, mark, query = name.removeprefix(BOARD_PREFIX).partition("?")
        key, _, value = query.partition("=")
        if not port:
            raise DeviceError(f"device must be {BOARD_PREFIX}PORT, such as {BOARD_PREFIX}/dev/ttyUSB1, not {name!r}")
        if mark and (key != "baud" or not value.isascii() or not value.isdigit() or int(value) < 1):
            raise DeviceError(f"device must be {BOARD_PREFIX}PORT or {BOARD_PREFIX}PORT?baud=RATE with a rate of at least 1, not {name!r}")
        return cls(port=port, baud=int(value) if mark else None)


def identify(link: Link) -> BoardIdentity:
    """Reads what the board says it is; `DeviceError` if it speaks another version of the protocol."""
    version = link.board("PROTOCOL")
    if version != PROTOCOL_VERSION:
        raise DeviceError(
            f"the board on {link.name} speaks version {version} of the link's protocol, this host version {PROTOCOL_VERSION}: program the board with "
            "the bitstream of this version (make program), or use the host software of the bitstream"
        )
    features = link.board("FEATURES")
    return BoardIdentity(
        config_hash=link.board("CONFIG_HASH"), memory_bytes=link.board("MEMORY_BYTES"), sbuf_bytes=link.board("SBUF_BYTES"),
        clock_hz=link.board("CLOCK_HZ"), self_test=bool(features & 1), analyser=bool(features & 2),
    )  # fmt: skip


def known_config(config_hash: int) -> ChipConfig | None:
    """The configuration with that hash among the named ones and those of the boards; None if there is none."""
    for config in CONFIGS.values():
        if config.hash == config_hash:
            return config
    # Pulls in the language the hardware is written in, which takes a moment.
    from hw.boards.boards import BOARDS

    return next((board.config for board in BOARDS.values() if board.config.hash == config_hash), None)


def _matching(config: ChipConfig | None, found: int, port: str) -> ChipConfig:
    """`config` if the board has it; None means the one it has."""
    if config is not None and config.hash == found:
        return config
    known = known_config(found)
    if config is None and known is not None:
        return known
    has = f"config {known.name!r}" if known is not None else "no config known here"
    remedy = (
        f"use --config {known.name}, or leave it out" if known is not None else "program it with a bitstream of this version (make program)"
    )
    asked = f", config {config.name!r} has {config.hash:#010x}" if config is not None else ""
    raise DeviceError(f"the board on {port} has config hash {found:#010x}, which is {has}{asked}: {remedy}")


def connected(address: BoardAddress) -> tuple[Any, Link]:
    """The open port, and a link over it to a board that answers.

    Raises
    ------
    DeviceError
        if the port cannot be opened.
    LinkError
        if nothing answers: the message says what was tried and heard.
    """
    heard = []
    for baud in (address.baud,) if address.baud else BAUDS:
        port = open_port(address.port, baud=baud)
        try:
            port.reset_input_buffer()
            link = Link(port, name=address.port, baud=baud)
            link.connect(patience=CONNECT_SECONDS)
            return port, link
        except LinkError as error:
            port.close()
            heard.append(f"{baud} bits a second: {link.heard}")
            problem = error
        except BaseException:
            port.close()
            raise
    if "is no Meshium board" in str(problem):
        raise problem
    raise LinkError(
        f"no Meshium board answers on {address.port} within {CONNECT_SECONDS:g} s at {'; at '.join(heard)}. Is it powered and programmed, is this its UART, "
        f"and its bit rate ({BOARD_PREFIX}{address.port}?baud=RATE)?"
    )


class BoardTransport:
    """A chip on a board, through a serial port.

    Parameters
    ----------
    config : ChipConfig or None
        What the board must have; None takes the one it has.
    port : str
        Path or name of the serial port.
    baud : int or None
        Bits a second; None tries those of the boards there are.

    Members
    -------
    config, name ("board:PORT"), memory_bytes
        As found.
    identity : BoardIdentity
    link : Link
        For what is beside the chip: board registers, SBUF, counters of the link.

    The chip is in reset state when the constructor returns; memories are as they were.

    Raises
    ------
    DeviceError, LinkError
        if the port cannot be opened, nothing answers, or another protocol or configuration does.
    """

    def __init__(self, config: ChipConfig | None, *, port: str, baud: int | None = None) -> None:
        self.name = BOARD_PREFIX + port
        self._port, self.link = connected(BoardAddress(port=port, baud=baud))
        try:
            self.identity = identify(self.link)
            self.config = _matching(config, self.identity.config_hash, port)
            self.reset()
        except BaseException:
            self.close()
            raise

    @property
    def memory_bytes(self) -> int:
        """Bytes of the memory on the board."""
        return self.identity.memory_bytes

    def close(self) -> None:
        """Closes the port; twice is allowed."""
        self._port.close()

    def reset(self) -> None:
        """Resets the chip, its AXI port and the self-test; the link stays."""
        self.link.write_board("RESET", 1)

    def _check_range(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > self.memory_bytes:
            raise ValueError(
                f"memory range must be within the {self.memory_bytes} bytes of the board, not {size} bytes at {address:#x}: use smaller sizes"
            )

    def write_memory(self, address: int, data: Any) -> None:
        """Puts bytes (or the bytes of an array) into the memory; the rest of the words they begin and end in stays."""
        plain = isinstance(data, bytes | bytearray | memoryview)
        raw = np.frombuffer(data, np.uint8) if plain else np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        self._check_range(address, len(raw))
        if not len(raw):
            return
        before, after = address % WORD_BYTES, -(address + len(raw)) % WORD_BYTES
        head, tail = np.zeros(0, np.uint8), np.zeros(0, np.uint8)
        if before:
            head = self.read_memory(address - before, before)
        if after:
            tail = self.read_memory(address + len(raw), after)
        self.link.write(Space.MEMORY, address - before, np.concatenate((head, raw, tail)).view("<u4"))

    def read_memory(self, address: int, size: int) -> np.ndarray:
        """A copy of bytes of the memory."""
        self._check_range(address, size)
        before = address % WORD_BYTES
        words = self.link.read(Space.MEMORY, address - before, -(-(before + size) // WORD_BYTES))
        return words.astype("<u4").view(np.uint8)[before : before + size].copy()

    def write_register(self, address: int, value: int) -> None:
        """Writes a register of the chip."""
        self.link.write(Space.CSR, address, [value])

    def read_register(self, address: int) -> int:
        """Reads a register of the chip."""
        return int(self.link.read(Space.CSR, address, 1)[0])

    def wait_interrupt(self, limit_cycles: int, progress: Callable[[int], None] | None = None) -> int:
        """Asks until the interrupt pin is high; the cycles of the job. `progress` is told them at each look.

        Raises
        ------
        NoInterrupt
            if the job took more than `limit_cycles`, or longer than the slowest chip takes for these; or no job is running that could end.
        LinkError
            if the board no longer answers.
        """
        pause, begin = FIRST_POLL, time.monotonic()
        longest = SPARE_SECONDS + limit_cycles / SLOWEST_HZ
        while True:
            running = self.read_register(REGISTERS["STATUS"].address) & _RUNNING
            cycles = self.read_register(REGISTERS["CYCLES"].address)
            # Looked at last: a job that ended meanwhile is not taken for one that is lost.
            if self.link.board("STATUS") & _INTERRUPT:
                return cycles
            seconds = time.monotonic() - begin
            if not running:
                raise NoInterrupt(f"no job is running on {self.name} and no enabled interrupt is pending: was the board reset?")
            if cycles > limit_cycles or seconds > longest:
                raise NoInterrupt(f"no interrupt of {self.name} within {cycles} cycles, {seconds:.1f} s")
            if progress is not None:
                progress(cycles)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_POLL)


@contextmanager
def board_link(name: str) -> Iterator[Link]:
    """A link to the board of a device `board:PORT`, without a look at what chip is on it."""
    port, link = connected(BoardAddress.parse(name))
    try:
        yield link
    finally:
        port.close()
