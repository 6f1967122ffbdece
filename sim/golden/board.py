"""A board without hardware: the golden chip behind the golden bridge, on a pseudo-terminal.

It speaks the protocol of a board octet by octet, and takes no time: what the host software is tested with, and what a test can make lie.
"""

from __future__ import annotations

import os
import pty
import select
import threading
import tty
from contextlib import suppress
from types import TracebackType
from typing import Self

import numpy as np

from hw.common.config import ChipConfig
from hw.common.registers import SPACE_BYTES
from hw.host.protocol import BOARD_MAGIC, BOARD_REGISTERS, PROTOCOL_VERSION, RECEIVE_BUFFER, WORD_BYTES, Space

from .chip import GoldenChip
from .host_link import Bridge, BusError, Deframer, WordSpace, frame

#: Frequency a golden board says it has.
CLOCK_HZ = 25_000_000
#: Octets read at once.
_PIECE = 4096
_BY_ADDRESS = {register.address: register for register in BOARD_REGISTERS.values()}


class _Bytes:
    """Words of an array of bytes."""

    def __init__(self, data: np.ndarray) -> None:
        self._words = data.reshape(-1).view("<u4")

    def _index(self, address: int) -> int:
        index = address // WORD_BYTES
        if index >= len(self._words):
            raise BusError
        return index

    def read(self, address: int) -> int:
        return int(self._words[self._index(address)])

    def write(self, address: int, value: int) -> None:
        self._words[self._index(address)] = value


class _Registers:
    """The registers of the chip."""

    def __init__(self, chip: GoldenChip) -> None:
        self._chip = chip

    def read(self, address: int) -> int:
        if address >= SPACE_BYTES:
            raise BusError
        return self._chip.read_register(address)

    def write(self, address: int, value: int) -> None:
        if address >= SPACE_BYTES:
            raise BusError
        self._chip.write_register(address, value)


class _BoardRegisters:
    """The registers of the board."""

    def __init__(self, board: GoldenBoard) -> None:
        self._board = board

    def _name(self, address: int) -> str:
        if address not in _BY_ADDRESS:
            raise BusError
        return _BY_ADDRESS[address].name

    def read(self, address: int) -> int:
        name = self._name(address)
        if name == "STATUS":
            return int(self._board.interrupt)
        return self._board.registers.get(name, 0)

    def write(self, address: int, value: int) -> None:
        name = self._name(address)
        if name == "SCRATCH":
            self._board.registers[name] = value
        elif name == "RESET" and value & 1:
            self._board.reset()


class GoldenBoard:
    """A board whose chip is the golden one. Within a `with` block a thread serves its pseudo-terminal.

    Parameters
    ----------
    config : ChipConfig
    memory_bytes : int
        Of its memory.
    seed : int
        What memories power up with.

    Members
    -------
    port : str
        Path of the terminal: the device is `board:PORT`.
    chip : GoldenChip
    registers : dict of str to int
        Board registers, by name; a test may make them lie.
    deaf : bool
        Frames are executed and not answered.
    """

    def __init__(self, config: ChipConfig, *, memory_bytes: int = 1 << 16, seed: int = 0) -> None:
        self.chip = GoldenChip(config, dram_bytes=memory_bytes, seed=seed)
        self.registers = {
            "MAGIC": BOARD_MAGIC, "PROTOCOL": PROTOCOL_VERSION, "CONFIG_HASH": config.hash, "MEMORY_BYTES": memory_bytes,
            "SBUF_BYTES": config.sbuf_bytes, "CLOCK_HZ": CLOCK_HZ, "RECEIVE_BUFFER": RECEIVE_BUFFER,
        }  # fmt: skip
        self.deaf = False
        spaces: dict[Space, WordSpace] = {Space.BOARD: _BoardRegisters(self), Space.CSR: _Registers(self.chip)}
        self._bridge = Bridge(spaces | {Space.MEMORY: _Bytes(self.chip.memory), Space.SBUF: _Bytes(self.chip.sbuf)})
        self._master, self._slave = pty.openpty()
        # Open here as well, so that the terminal outlives the hosts that open it.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._serve, name=f"golden board {self.port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.unplug()
        self.chip.close()

    @property
    def interrupt(self) -> bool:
        """The interrupt pin of the chip."""
        return self.chip.interrupt

    def reset(self) -> None:
        """What writing RESET does."""
        self.chip.reset()
        self._bridge.reset()

    def unplug(self) -> None:
        """Ends the terminal, as pulling the plug does; twice is allowed."""
        if self._master < 0:
            return
        os.write(self._woken, b"x")
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        for descriptor in (self._master, self._slave, self._wake, self._woken):
            with suppress(OSError):
                os.close(descriptor)
        self._master = -1

    def _serve(self) -> None:
        deframer = Deframer()
        while True:
            ready, _, _ = select.select([self._master, self._wake], [], [])
            if self._wake in ready:
                return
            for body in deframer.feed(os.read(self._master, _PIECE)):
                answer = frame(self._bridge.answer(body))
                if not self.deaf:
                    # What a host does not take is gone, as on a line.
                    with suppress(BlockingIOError):
                        os.write(self._master, answer)
