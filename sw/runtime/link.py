"""The link to a board: words of its four spaces, read and written reliably over a line that may lose, damage or double octets.

    with open_port("/dev/ttyUSB1", baud=2_000_000) as port:
        link = Link(port, name=port.name, baud=2_000_000)
        link.connect()
        link.write(Space.MEMORY, 0, range(1000))
        print(link.read(Space.MEMORY, 0, 1000), link.counters)

`Link` knows words, addresses and errors; `Window` (link_window.py) sees to it that they arrive.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable

import numpy as np

from hw.host.protocol import BOARD_MAGIC, BOARD_REGISTERS, MAX_WORDS, WORD_BYTES, Space, Status

from .errors import AccessError, LinkError
from .link_types import LinkCounters, Port, Request
from .link_window import GIVE_UP_SECONDS, Window

#: Seconds after which nothing is expected to answer a host that connects.
CONNECT_SECONDS = 2.0

#: What an answer that is not OK means for the person who reads it.
REMEDIES: dict[Status, str] = {
    Status.REFUSED: "count, alignment or a reserved bit is wrong: the bitstream is older or newer than this host",
    Status.BUS_ERROR: "there is nothing at that address, or it answered with an error; the words before it have been written",
    Status.TIMEOUT: "nothing answered on the board, and this space stays silent until the board is reset: is its clock running, is the chip stuck?",
}


class Link:
    """The four spaces of a board (`Space`), word by word.

    Bursts of any length are cut into frames, of which several are on their way at a time. A write has happened when the call returns; every write
    happens once, in order. A read that moves something on (`fixed`) may do so again when an answer was lost: check the pointer.

    Parameters
    ----------
    port : Port
        Opened by `sw.runtime.serial_port.open_port`, or anything that carries octets.
    name : str
        Of the port, in messages.
    baud : int
        Bits a second of the line.
    clock : callable
        Seconds, monotonic.

    Members
    -------
    counters : LinkCounters
        Frames, octets, repeats.

    Raises
    ------
    ValueError
        if `baud` is less than 1.
    """

    def __init__(self, port: Port, *, name: str, baud: int, clock: Callable[[], float] = time.monotonic) -> None:
        if baud < 1:
            raise ValueError(f"baud must be at least 1, not {baud!r}")
        self.name = name
        self.baud = baud
        self._window = Window(port, name=name, baud=baud, clock=clock)
        self._clock = clock

    @property
    def counters(self) -> LinkCounters:
        """Live counters."""
        return self._window.counters

    def connect(self, *, patience: float = CONNECT_SECONDS) -> None:
        """Takes the board over, wherever an earlier host left it.

        Raises
        ------
        LinkError
            if no Meshium board answers: the message says what was heard.
        """
        magic = BOARD_REGISTERS["MAGIC"].address
        # Any number will do but that of an answer to an earlier host which is still on its way.
        self._window.begin_at(secrets.randbelow(256))
        (answer,) = self._window.exchange([Request(space=Space.BOARD, address=magic, count=1, restart=True)], patience=patience)
        if answer.status is not Status.OK or answer.words != (BOARD_MAGIC,):
            found = f"{answer.words[0]:#010x}" if answer.words else answer.status.name
            raise LinkError(
                f"board register MAGIC must read {BOARD_MAGIC:#010x}, not {found}: what answers on {self.name} is no Meshium board"
            )
        self._window.receive_buffer = min(self._window.receive_buffer, self.board("RECEIVE_BUFFER"))

    def read(self, space: Space, address: int, count: int, *, fixed: bool = False) -> np.ndarray:
        """`count` words from `address` on (with `fixed` all from there), uint32.

        Raises
        ------
        LinkError, AccessError
            if the board does not answer, or with an error.
        ValueError
            if the address is no multiple of 4, or beyond 32 bits.
        """
        self._check(address, count, fixed)
        requests = [
            Request(space=space, address=address + (0 if fixed else WORD_BYTES * at), count=min(MAX_WORDS, count - at), fixed=fixed)
            for at in range(0, count, MAX_WORDS)
        ]
        words = [word for answer in self._exchange(requests) for word in answer]
        return np.array(words, np.uint32)

    def write(self, space: Space, address: int, words: Iterable[int] | np.ndarray, *, fixed: bool = False) -> None:
        """Writes words of 32 bits from `address` on (with `fixed` all there). Raises as `read` does."""
        values = tuple(int(word) for word in words)
        self._check(address, len(values), fixed)
        wrong = next((value for value in values if not 0 <= value < 1 << 32), None)
        if wrong is not None:
            raise ValueError(f"words must be 0 to 2**32 - 1, not {wrong!r}")
        requests = []
        for at in range(0, len(values), MAX_WORDS):
            data = values[at : at + MAX_WORDS]
            place = address + (0 if fixed else WORD_BYTES * at)
            requests.append(Request(space=space, address=place, count=len(data), write=True, fixed=fixed, data=data))
        self._exchange(requests)

    def board(self, name: str) -> int:
        """Value of a board register by its name in the table."""
        return int(self.read(Space.BOARD, BOARD_REGISTERS[name].address, 1)[0])

    def write_board(self, name: str, value: int) -> None:
        """Writes a board register."""
        self.write(Space.BOARD, BOARD_REGISTERS[name].address, [value])

    @property
    def heard(self) -> str:
        """What came during the last access, in words."""
        return self._window.heard

    @staticmethod
    def _check(address: int, count: int, fixed: bool) -> None:
        end = address + WORD_BYTES * (1 if fixed else count)
        if address < 0 or address % WORD_BYTES or end > 1 << 32:
            raise ValueError(f"address must be a multiple of {WORD_BYTES} with all {count} words below 2**32, not {address:#x}")

    def _exchange(self, requests: list[Request]) -> list[tuple[int, ...]]:
        answers = self._window.exchange(requests, patience=GIVE_UP_SECONDS)
        for request, answer in zip(requests, answers, strict=False):
            if answer.status is not Status.OK:
                raise AccessError(
                    f"the board on {self.name} ended a {request} with {answer.status.name}: {REMEDIES[answer.status]}", answer.status
                )
        return [answer.words for answer in answers]
