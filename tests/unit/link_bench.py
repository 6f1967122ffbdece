"""A line to a golden bridge that does to octets what lines do, in a time of its own: seconds pass without waiting."""

from __future__ import annotations

import random

from hw.host.protocol import BOARD_MAGIC, BOARD_REGISTERS, RECEIVE_BUFFER, WORD_BYTES, Space
from sim.golden.host_link import Bridge, BusError, BusTimeout, Deframer, frame
from sw.runtime.link import Link

#: Bits a second of the line.
BAUD = 2_000_000
#: Seconds a read without octets takes.
PAUSE = 0.01


class Words:
    """A space of so many words that knows how often each was written."""

    def __init__(self, count: int) -> None:
        self.words = [0] * count
        self.written = [0] * count
        self.silent = False

    def _index(self, address: int) -> int:
        if self.silent:
            raise BusTimeout
        if address // WORD_BYTES >= len(self.words):
            raise BusError
        return address // WORD_BYTES

    def read(self, address: int) -> int:
        return self.words[self._index(address)]

    def write(self, address: int, value: int) -> None:
        index = self._index(address)
        self.words[index] = value
        self.written[index] += 1


class Line:
    """A `Port` to a bridge. `rates`: chances that an octet is lost, damaged, doubled; `late` that what has come is held back for a while.

    Members: `now`, seconds; `most_in_flight`, octets the board had to keep at once, if it took nothing before the host looked for an answer;
    `most_answers`, octets that waited for the host; `mute`: nothing comes back; `broken`: reading and writing fail. `spoil` and `swallow`: frames, counted
    from 0, that come to the board damaged, and whose answers are lost. `pace`: seconds an octet of an answer takes on top, one octet at a time.
    """

    def __init__(self, bridge: Bridge, *, seed: int = 0, rates: tuple[float, float, float] = (0, 0, 0), late: float = 0.0) -> None:
        self._bridge, self._rates, self._late = bridge, rates, late
        self._random = random.Random(seed)
        self._deframer = Deframer()
        self._waiting: list[bytes | None] = []
        self._inbox = bytearray()
        self.now = 0.0
        self.most_in_flight = self.most_answers = 0
        self.spoil: set[int] = set()
        self.swallow: set[int] = set()
        self.frames = self.answers = 0
        self.mute = self.broken = False
        self.pace = 0.0

    def _pass(self, octets: bytes) -> bytes:
        lost, damaged, doubled = self._rates
        out = bytearray()
        for octet in octets:
            chance = self._random.random()
            if chance < lost:
                continue
            if chance < lost + damaged:
                octet ^= 1 << self._random.randrange(8)
            elif chance < lost + damaged + doubled:
                out.append(octet)
            out.append(octet)
        return bytes(out)

    def hear(self, octets: bytes) -> None:
        """Something comes in from the board, whoever sent it."""
        self._inbox += octets

    @property
    def in_waiting(self) -> int:
        return 0 if self.pace else len(self._inbox)

    def write(self, data: bytes) -> int:
        if self.broken:
            raise OSError(5, "Input/output error")
        self.now += 10 * len(data) / BAUD
        bodies = self._deframer.feed(self._pass(data))
        self._waiting += [None if self.frames + at in self.spoil else body for at, body in enumerate(bodies)]
        self.frames += len(bodies)
        self.most_in_flight = max(self.most_in_flight, sum(len(body) + 1 for body in self._waiting if body))
        return len(data)

    def read(self, size: int = 1) -> bytes:
        if self.broken:
            raise OSError(5, "Input/output error")
        for body in self._waiting:
            answer = self._pass(frame(self._bridge.answer(body)))
            if not self.mute and self.answers not in self.swallow:
                self._inbox += answer
            self.answers += 1
        self._waiting.clear()
        self.most_answers = max(self.most_answers, len(self._inbox))
        if not self._inbox or self._random.random() < self._late:
            self.now += PAUSE
            return b""
        octets = bytes(self._inbox[:size])
        del self._inbox[:size]
        self.now += (self.pace + 10 / BAUD) * len(octets)
        return octets


class LinkBench:
    """A link over a `Line` to board registers and 4,000 words of memory."""

    def __init__(self, *, connect: bool = True, **line: object) -> None:
        self.board, self.memory = Words(16), Words(4000)
        self.board.words[BOARD_REGISTERS["MAGIC"].address // WORD_BYTES] = BOARD_MAGIC
        self.board.words[BOARD_REGISTERS["RECEIVE_BUFFER"].address // WORD_BYTES] = RECEIVE_BUFFER
        self.bridge = Bridge({Space.BOARD: self.board, Space.MEMORY: self.memory})
        # `line` are options of Line, by name.
        self.line = Line(self.bridge, **line)  # type: ignore[arg-type]
        self.link = Link(self.line, name="line", baud=BAUD, clock=lambda: self.line.now)
        if connect:
            self.link.connect(patience=60)
