"""Model of hw/boards/top.py, frame by frame and without time: bridge, registers, self-test, memory and the golden chip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hw.boards.board import Board
from hw.host.protocol import BLOCK_BYTES, BOARD_MAGIC, BOARD_REGISTERS, PROTOCOL_VERSION, RECEIVE_BUFFER, SELF_TEST_BASE, Space

from .chip import GoldenChip
from .host_link import Bridge, BusError
from .self_test import SelfTestModel

#: What the counters of the board count up to.
MOST_COUNTED = 255


class _Functions:
    """A space made of two functions."""

    def __init__(self, read: Callable[[int], int], write: Callable[[int, int], None]) -> None:
        self.read, self.write = read, write


class BoardModel:
    """A board without analyser. A job, and a command of the self-test, are over with the write that starts them.

    Parameters
    ----------
    board : Board

    Members
    -------
    chip : GoldenChip
        With `board.memory_bytes` of memory.

    Raises
    ------
    ConfigError
        if no chip can be built of `board.config`.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self.chip = GoldenChip(board.config, dram_bytes=board.memory_bytes)
        self._kept = [0] * (board.config.line_bytes // 4)
        self.reset()

    def reset(self) -> None:
        """As the reset pin: everything but the memories."""
        self.chip.reset()
        self._counts = {"BAD_FRAMES": 0, "DROPPED_FRAMES": 0, "LINE_ERRORS": 0}
        self._scratch = 0
        self._self_test = SelfTestModel(self._board.config, self)
        self._bridge = Bridge(
            {
                Space.BOARD: _Functions(self._read_board, self._write_board),
                Space.CSR: _Functions(self._read_csr, self._write_csr),
                Space.MEMORY: _Functions(self._read_memory, self._write_memory),
                Space.SBUF: _Functions(self._read_sbuf, self._write_sbuf),
            }
        )

    def answer(self, body: bytes | None) -> bytes:
        """Body of the response to a frame, None for a bad one."""
        if body is None:
            self._count("BAD_FRAMES")
        return self._bridge.answer(body)

    def drop(self) -> None:
        """A frame found the receive buffer full."""
        self._count("DROPPED_FRAMES")

    def lose_octet(self) -> None:
        """An octet came without a stop bit; the frame around it is a bad one, to be answered when it ends."""
        self._count("LINE_ERRORS")

    def _count(self, name: str) -> None:
        self._counts[name] = min(self._counts[name] + 1, MOST_COUNTED)

    # Board registers -----------------------------------------------------------------------------------------

    def _read_board(self, address: int) -> int:
        if self._board.self_test and SELF_TEST_BASE <= address < SELF_TEST_BASE + BLOCK_BYTES:
            return self._self_test.read((address - SELF_TEST_BASE) // 4)
        name, config = self._name(address), self._board.config
        values = self._counts | {
            "MAGIC": BOARD_MAGIC, "PROTOCOL": PROTOCOL_VERSION, "CONFIG_HASH": config.hash, "MEMORY_BYTES": self._board.memory_bytes,
            "SBUF_BYTES": config.sbuf_bytes, "CLOCK_HZ": self._board.chip_hz, "RECEIVE_BUFFER": RECEIVE_BUFFER,
            "FEATURES": int(self._board.self_test), "STATUS": int(self.chip.interrupt), "RESET": 0, "SCRATCH": self._scratch,
        }  # fmt: skip
        return values[name]

    def _write_board(self, address: int, value: int) -> None:
        if self._board.self_test and SELF_TEST_BASE <= address < SELF_TEST_BASE + BLOCK_BYTES:
            self._self_test.write((address - SELF_TEST_BASE) // 4, value)
            return
        name = self._name(address)
        if name == "SCRATCH":
            self._scratch = value
        elif name == "RESET" and value & 1:
            self.chip.reset()
            self._self_test = SelfTestModel(self._board.config, self)
            self._bridge.reset()

    @staticmethod
    def _name(address: int) -> str:
        for name, register in BOARD_REGISTERS.items():
            if register.address == address:
                return name
        raise BusError(f"no board register at {address:#x}")

    # The chip's side -----------------------------------------------------------------------------------------

    def _read_csr(self, address: int) -> int:
        try:
            return self.chip.read_register(address)
        except ValueError as error:
            raise BusError(str(error)) from None

    def _write_csr(self, address: int, value: int) -> None:
        try:
            self.chip.write_register(address, value)
        except ValueError as error:
            raise BusError(str(error)) from None

    def _read_memory(self, address: int) -> int:
        if address >= self._board.memory_bytes:
            raise BusError(f"no memory at {address:#x}")
        return int.from_bytes(self.chip.read_memory(address, 4).tobytes(), "little")

    def _write_memory(self, address: int, value: int) -> None:
        if address >= self._board.memory_bytes:
            raise BusError(f"no memory at {address:#x}")
        self.chip.write_memory(address, value.to_bytes(4, "little"))

    # SBUF: words for the bridge, lines for the self-test -----------------------------------------------------

    def _place(self, address: int) -> tuple[int, int]:
        config = self._board.config
        if address >= config.sbuf_bytes:
            raise BusError(f"no SBUF at {address:#x}")
        return address // config.line_bytes, address % config.line_bytes // 4

    def _read_sbuf(self, address: int) -> int:
        line, word = self._place(address)
        return self.read(line) >> 32 * word & 0xFFFFFFFF

    def _write_sbuf(self, address: int, value: int) -> None:
        """Words are kept until the last one of a line comes."""
        line, word = self._place(address)
        self._kept[word] = value
        if word == len(self._kept) - 1:
            self.write(line, sum(item << 32 * index for index, item in enumerate(self._kept)))

    def read(self, line: int) -> int:
        """A line of SBUF, lane 0 lowest."""
        return int.from_bytes(self.chip.sbuf[line].tobytes(), "little")

    def write(self, line: int, data: int) -> None:
        """Replaces a line of SBUF."""
        self.chip.sbuf[line] = np.frombuffer(data.to_bytes(self._board.config.line_bytes, "little"), np.uint8)
