"""The host link as Python: its frames, and a model of the bridge on the board. Format and rules: hw/host/protocol.py."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hw.host.protocol import (
    CRC_BYTES,
    ESCAPE,
    ESCAPE_MASK,
    FLAG,
    LONGEST_BODY,
    MAX_WORDS,
    OPERATION,
    REPEATS,
    REQUEST_HEADER,
    RESPONSE_HEADER,
    WORD_BYTES,
    Space,
    Status,
)

_ESCAPES = {octet: bytes((ESCAPE, octet ^ ESCAPE_MASK)) for octet in (FLAG, ESCAPE)}


def frame(body: bytes) -> bytes:
    """`body` with its CRC, stuffed, between two flags."""
    octets = body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")
    return bytes((FLAG,)) + b"".join(_ESCAPES.get(octet, bytes((octet,))) for octet in octets) + bytes((FLAG,))


class Deframer:
    """Finds frames in a stream of octets that comes in pieces of any size.

    Everything between two flags is a frame, garbage included; what stands before the first flag too. It holds no more than one frame of the longest
    legal size, whatever comes.
    """

    def __init__(self) -> None:
        self._octets = bytearray()
        self._escaped = False
        self._damaged = False

    def spoil(self) -> None:
        """The line lost something inside of the frame that is coming in (an octet without a stop bit): it will be a bad one."""
        self._damaged = True

    def feed(self, octets: bytes) -> list[bytes | None]:
        """The frames that `octets` complete: bodies without CRC, None for one whose CRC or length is wrong."""
        found: list[bytes | None] = []
        for octet in octets:
            if octet == FLAG:
                if self._octets or self._escaped or self._damaged:
                    found.append(self._complete())
            elif octet == ESCAPE and not self._escaped:
                self._escaped = True
            else:
                self._take(octet ^ ESCAPE_MASK if self._escaped else octet)
                self._escaped = False
        return found

    def _take(self, octet: int) -> None:
        if len(self._octets) < LONGEST_BODY + CRC_BYTES:
            self._octets.append(octet)
        else:
            self._damaged = True

    def _complete(self) -> bytes | None:
        octets, damaged = bytes(self._octets), self._damaged or self._escaped
        self._octets.clear()
        self._escaped = self._damaged = False
        body, crc = octets[:-CRC_BYTES], octets[-CRC_BYTES:]
        if damaged or len(octets) < CRC_BYTES or zlib.crc32(body) != int.from_bytes(crc, "little"):
            return None
        return body


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as the board reads it; `reserved` are the bits of the operation that must be 0."""

    sequence: int
    space: Space
    address: int
    write: bool
    fixed: bool
    restart: bool
    reserved: int
    count: int
    words: tuple[int, ...]


class Response(NamedTuple):
    """A response: `words` are those of a read that went well."""

    sequence: int
    status: Status
    words: tuple[int, ...]


def pack_request(
    *,
    sequence: int,
    space: Space | int,
    address: int,
    write: bool = False,
    fixed: bool = False,
    restart: bool = False,
    count: int | None = None,
    data: Sequence[int] = (),
) -> bytes:
    """Body of a request, without CRC. `count` is that of `data` unless given; what the board must refuse can be packed too, as long as it fits.

    Raises
    ------
    ValueError
        if a value does not fit its field.
    """
    count = len(data) if count is None else count
    for name, value, bits in (
        ("sequence", sequence, 8),
        ("count", count, 8),
        ("address", address, 32),
        ("space", int(space), OPERATION["space"][1]),
    ):
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{name} must be 0 to {(1 << bits) - 1}, not {value!r}")
    operation = 0
    for name, value in (("space", int(space)), ("write", write), ("fixed", fixed), ("restart", restart)):
        operation |= int(value) << OPERATION[name][0]
    return bytes((sequence, operation, count)) + address.to_bytes(4, "little") + _octets(data)


def parse_request(body: bytes) -> Request:
    """The request in a body.

    Raises
    ------
    ValueError
        if its length is wrong: such a frame is answered BAD_FRAME.
    """
    if len(body) < REQUEST_HEADER:
        raise ValueError(f"a request must have at least {REQUEST_HEADER} octets, not {len(body)}")
    sequence, operation, count = body[:3]
    fields = {name: operation >> offset & (1 << width) - 1 for name, (offset, width) in OPERATION.items()}
    known = sum((1 << width) - 1 << offset for offset, width in OPERATION.values())
    length = REQUEST_HEADER + (WORD_BYTES * count if fields["write"] else 0)
    if len(body) != length:
        raise ValueError(f"a {'write' if fields['write'] else 'read'} of {count} words must have {length} octets, not {len(body)}")
    return Request(
        sequence=sequence,
        space=Space(fields["space"]),
        address=int.from_bytes(body[3:REQUEST_HEADER], "little"),
        write=bool(fields["write"]),
        fixed=bool(fields["fixed"]),
        restart=bool(fields["restart"]),
        reserved=operation & ~known,
        count=count,
        words=_words(body[REQUEST_HEADER:]),
    )


def pack_response(response: Response) -> bytes:
    """Body of a response, without CRC."""
    return bytes((response.sequence, response.status)) + _octets(response.words)


def parse_response(body: bytes) -> Response:
    """The response in a body.

    Raises
    ------
    ValueError
        if its length or its status is none a board sends.
    """
    if len(body) < RESPONSE_HEADER or (len(body) - RESPONSE_HEADER) % WORD_BYTES:
        raise ValueError(f"a response must have {RESPONSE_HEADER} octets and whole words of {WORD_BYTES}, not {len(body)} octets")
    if body[1] not in Status.__members__.values():
        raise ValueError(f"status of a response must be 0 to {max(Status):d}, not {body[1]}")
    return Response(sequence=body[0], status=Status(body[1]), words=_words(body[RESPONSE_HEADER:]))


def _octets(words: Sequence[int]) -> bytes:
    return b"".join(int(word).to_bytes(WORD_BYTES, "little") for word in words)


def _words(octets: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(octets[at : at + WORD_BYTES], "little") for at in range(0, len(octets), WORD_BYTES))


class BusError(Exception):
    """A space refuses an access: BUS_ERROR."""


class BusTimeout(Exception):
    """A space does not answer: TIMEOUT."""


class WordSpace(Protocol):
    """A space behind the bridge: words of 32 bits at multiples of 4. Both methods may raise `BusError` and `BusTimeout`."""

    def read(self, address: int) -> int:
        """The word at `address`."""

    def write(self, address: int, value: int) -> None:
        """Writes the word at `address`."""


@dataclass
class _Failure:
    """The last write that went wrong."""

    sequence: int
    status: Status


class Bridge:
    """The bridge on the board: executes requests in order, each write once, and answers every frame.

    Parameters
    ----------
    spaces : mapping of Space to WordSpace
    """

    def __init__(self, spaces: Mapping[Space, WordSpace]) -> None:
        self._spaces = dict(spaces)
        self._expected = 0
        self._failure: _Failure | None = None
        self._hung: set[Space] = set()

    def reset(self) -> None:
        """What a write to the board's RESET register does here: spaces that do not answer are asked again."""
        self._hung.clear()

    def answer(self, body: bytes | None) -> bytes:
        """Body of the response to a frame, as `Deframer.feed` gives them."""
        return pack_response(self._respond(body))

    def _respond(self, body: bytes | None) -> Response:
        try:
            if body is None:
                raise ValueError("CRC")
            request = parse_request(body)
        except ValueError:
            return Response(self._expected, Status.BAD_FRAME, ())
        fresh = request.restart or request.sequence == self._expected
        if not fresh and not 1 <= (self._expected - request.sequence) % 256 <= REPEATS:
            return Response(self._expected, Status.OUT_OF_ORDER, ())
        if not fresh and request.write:
            failed = self._failure is not None and self._failure.sequence == request.sequence
            return Response(request.sequence, self._failure.status if self._failure and failed else Status.OK, ())
        status, words = self._execute(request)
        if fresh:
            self._expected = (request.sequence + 1) % 256
            self._remember(request, status)
        return Response(request.sequence, status, words if status is Status.OK else ())

    def _remember(self, request: Request, status: Status) -> None:
        if request.write and status is not Status.OK:
            self._failure = _Failure(request.sequence, status)
        elif self._failure is not None and self._failure.sequence == request.sequence:
            self._failure = None

    def _execute(self, request: Request) -> tuple[Status, tuple[int, ...]]:
        if request.reserved or request.address % WORD_BYTES or not 1 <= request.count <= MAX_WORDS:
            return Status.REFUSED, ()
        words: list[int] = []
        for index in range(request.count):
            address = (request.address + (0 if request.fixed else WORD_BYTES * index)) % (1 << 32)
            try:
                if request.space in self._hung:
                    raise BusTimeout
                if request.write:
                    self._spaces[request.space].write(address, request.words[index])
                else:
                    words.append(self._spaces[request.space].read(address))
            except BusError:
                return Status.BUS_ERROR, ()
            except BusTimeout:
                if request.space is not Space.BOARD:
                    self._hung.add(request.space)
                return Status.TIMEOUT, ()
        return Status.OK, tuple(words)
