"""sim.golden.host_link: frames as RFC 1662 and zlib have them, requests and responses there and back, and the rules of the bridge."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.host.protocol import CRC_BYTES, ESCAPE, FLAG, LONGEST_BODY, MAX_WORDS, OPERATION, REPEATS, Space, Status
from sim.golden.host_link import (
    Bridge,
    BusError,
    BusTimeout,
    Deframer,
    Request,
    Response,
    frame,
    pack_request,
    pack_response,
    parse_request,
    parse_response,
)

words = st.lists(st.integers(0, (1 << 32) - 1), max_size=MAX_WORDS)
bodies = st.binary(max_size=LONGEST_BODY)


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    """`octets` in pieces."""
    ends = sorted({place % (len(octets) + 1) for place in places} | {len(octets)})
    return [octets[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def test_a_frame_octet_by_octet() -> None:
    """Flag, body with what must be escaped, CRC lowest octet first, flag: 0x7D 0x5E stands for 0x7E, 0x7D 0x5D for 0x7D."""
    crc = zlib.crc32(b"\x01\x7e\x7d").to_bytes(4, "little")
    assert not set(crc) & {FLAG, ESCAPE}
    assert frame(b"\x01\x7e\x7d") == b"\x7e\x01\x7d\x5e\x7d\x5d" + crc + b"\x7e"


@given(st.lists(bodies, max_size=4), st.lists(st.integers(0, 4000), max_size=6))
def test_frames_survive_any_pieces(items: list[bytes], places: list[int]) -> None:
    deframer, octets = Deframer(), b"".join(map(frame, items))
    assert [body for piece in cut(octets, places) for body in deframer.feed(piece)] == items


@given(bodies.filter(bool), st.integers(0, 10_000), st.integers(1, 255))
def test_damage_is_seen(body: bytes, place: int, change: int) -> None:
    """One octet changed: the frame is not given as it was, and the next one is."""
    octets = bytearray(frame(body))
    octets[place % len(octets)] ^= change
    found = Deframer().feed(bytes(octets) + b"~" + frame(b"next"))
    assert found[-1] == b"next" and body not in found[:-1]


@pytest.mark.parametrize(
    "octets",
    [b"x~", b"abc~", b"}~", b"abcd}~", frame(bytes(LONGEST_BODY + 1)), bytes(100_000) + b"~", frame(b"ab")[:-2] + b"~"],
    ids=["one", "short", "escape", "aborted", "long", "endless", "cut"],
)
def test_bad_frames(octets: bytes) -> None:
    deframer = Deframer()
    assert deframer.feed(octets) == [None]
    assert deframer.feed(frame(b"good")) == [b"good"]


def test_flags_between_frames_and_lost_octets() -> None:
    deframer = Deframer()
    assert deframer.feed(b"~~~" + frame(b"a")[:-1] + frame(b"b") + b"~~") == [b"a", b"b"]
    deframer.spoil()
    assert deframer.feed(frame(b"c")) == [None, b"c"]


@given(
    st.integers(0, 255), st.sampled_from(list(Space)), st.integers(0, (1 << 32) - 1), st.booleans(), st.booleans(), st.booleans(), words
)  # fmt: skip
def test_requests_survive(sequence: int, space: Space, address: int, write: bool, fixed: bool, restart: bool, data: list[int]) -> None:
    given_words = tuple(data) if write else ()
    body = pack_request(
        sequence=sequence, space=space, address=address, write=write, fixed=fixed, restart=restart, count=len(data), data=given_words
    )
    assert parse_request(body) == Request(
        sequence=sequence, space=space, address=address, write=write, fixed=fixed, restart=restart, reserved=0, count=len(data), words=given_words
    )  # fmt: skip
    assert len(body) <= LONGEST_BODY and len(frame(body)) <= 2 + 2 * (LONGEST_BODY + CRC_BYTES)


@given(st.integers(0, 255), st.sampled_from(list(Status)), words)
def test_responses_survive(sequence: int, status: Status, data: list[int]) -> None:
    response = Response(sequence, status, tuple(data))
    assert parse_response(pack_response(response)) == response


@pytest.mark.parametrize(("fields", "message"), [
    ({"sequence": 256}, "sequence must be 0 to 255, not 256"),
    ({"count": 256}, "count must be 0 to 255, not 256"),
    ({"address": -4}, "address must be 0 to 4294967295, not -4"),
    ({"space": 4}, "space must be 0 to 3, not 4"),
])  # fmt: skip
def test_pack_refuses(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack_request(**({"sequence": 0, "space": 0, "address": 0} | fields))


@pytest.mark.parametrize(("body", "message"), [
    (bytes(6), "a request must have at least 7 octets, not 6"),
    (bytes((0, 0, 1, 0, 0, 0, 0, 0)), "a read of 1 words must have 7 octets, not 8"),
    (bytes((0, 1 << OPERATION["write"][0], 2, 0, 0, 0, 0)), "a write of 2 words must have 15 octets, not 7"),
])  # fmt: skip
def test_parse_request_refuses(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_request(body)


@pytest.mark.parametrize(("body", "message"), [
    (b"\0", "a response must have 2 octets and whole words of 4, not 1 octets"),
    (bytes(5), "a response must have 2 octets and whole words of 4, not 5 octets"),
    (b"\0\x06", "status of a response must be 0 to 5, not 6"),
])  # fmt: skip
def test_parse_response_refuses(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_response(body)


class Words:
    """256 bytes; one word does not answer while `stuck`."""

    def __init__(self) -> None:
        self.data, self.writes, self.stuck = np.zeros(64, np.uint32), 0, False

    def _index(self, address: int) -> int:
        if address >= 256:
            raise BusError
        if self.stuck and address == 16:
            raise BusTimeout
        return address // 4

    def read(self, address: int) -> int:
        return int(self.data[self._index(address)])

    def write(self, address: int, value: int) -> None:
        self.data[self._index(address)] = value
        self.writes += 1


def bridge() -> tuple[Bridge, dict[Space, Words]]:
    spaces = {space: Words() for space in Space}
    return Bridge(spaces), spaces


def ask(bridge: Bridge, sequence: int, *, space: Space = Space.MEMORY, address: int = 0, **fields: object) -> Response:
    # `fields` are those of the function, by name.
    return parse_response(bridge.answer(pack_request(sequence=sequence, space=space, address=address, **fields)))  # type: ignore[arg-type]


def test_bursts_and_fixed_addresses() -> None:
    made, spaces = bridge()
    assert ask(made, 0, address=8, write=True, data=[1, 2, 3]) == Response(0, Status.OK, ())
    assert ask(made, 1, address=8, count=3).words == (1, 2, 3)
    assert ask(made, 2, address=8, write=True, fixed=True, data=[5, 6]).status is Status.OK
    assert ask(made, 3, address=8, fixed=True, count=2).words == (6, 6)
    assert spaces[Space.SBUF].writes == 0


def test_numbers() -> None:
    """Repeats of writes do nothing, `REPEATS` back; further back and ahead is out of order, with the number expected; `restart` sets it."""
    made, spaces = bridge()
    for sequence in range(REPEATS + 1):
        ask(made, sequence, write=True, data=[sequence])
    count = spaces[Space.MEMORY].writes
    assert ask(made, 1, write=True, data=[9]) == Response(1, Status.OK, ())
    assert ask(made, REPEATS, count=1).words == (REPEATS,)
    for wrong in (0, REPEATS + 2, 200):
        assert ask(made, wrong, write=True, data=[9]) == Response(REPEATS + 1, Status.OUT_OF_ORDER, ())
    assert spaces[Space.MEMORY].writes == count
    assert made.answer(None) == bytes((REPEATS + 1, Status.BAD_FRAME))
    assert ask(made, 200, count=1, restart=True).status is Status.OK
    assert ask(made, 201, count=1).status is Status.OK


def test_refused_and_errors() -> None:
    made, spaces = bridge()
    refused = [{"address": 2, "count": 1}, {"count": 0}, {"count": MAX_WORDS + 1}]
    for sequence, fields in enumerate(refused):
        assert ask(made, sequence, **fields).status is Status.REFUSED
    body = bytearray(pack_request(sequence=3, space=0, address=0, count=1))
    body[1] |= 1 << 5
    assert parse_response(made.answer(bytes(body))).status is Status.REFUSED
    assert ask(made, 4, address=252, write=True, data=[7, 8]).status is Status.BUS_ERROR
    assert spaces[Space.MEMORY].data[63] == 7
    # Repeated, a write still tells that it went wrong, until another one does or its number comes again.
    assert ask(made, 5, write=True, data=[1]).status is Status.OK
    assert ask(made, 4, address=252, write=True, data=[7, 8]).status is Status.BUS_ERROR
    assert ask(made, 4, write=True, restart=True, data=[7]).status is Status.OK
    assert ask(made, 4, write=True, data=[7]).status is Status.OK


def test_time_outs() -> None:
    """From then on the space is not asked until the reset; the board is asked every time."""
    made, spaces = bridge()
    for space, later in ((Space.CSR, Status.TIMEOUT), (Space.BOARD, Status.OK)):
        spaces[space].stuck = True
        assert ask(made, 0, restart=True, space=space, address=12, count=2).status is Status.TIMEOUT
        assert ask(made, 1, space=space, address=0, count=1).status is later
        assert ask(made, 2, space=Space.SBUF, count=1).status is Status.OK
    spaces[Space.CSR].stuck = False
    made.reset()
    assert ask(made, 3, space=Space.CSR, address=16, count=1).status is Status.OK
