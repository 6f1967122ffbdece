"""Frames on their way to a board and the answers to them: keeps several in flight, and sends again what was lost. Rules: hw/host/protocol.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hw.host.protocol import CRC_BYTES, MAX_WORDS, RECEIVE_BUFFER, REPEATS, RESPONSE_HEADER, WORD_BYTES, Status
from sim.golden.host_link import Deframer, Response, frame, pack_request, parse_response

from .errors import LinkError
from .link_types import LinkCounters, Port, Request

#: Octets of answers that may be on their way: what the buffers of an operating system hold without loss.
ANSWERS_IN_FLIGHT = 4096
#: Seconds after which frames without an answer are sent again: at first, at least, at most (plus what the line takes).
FIRST_TIMEOUT, LEAST_TIMEOUT, LONGEST_TIMEOUT = 0.5, 0.03, 2.0
#: Seconds without progress, and times a frame was sent in vain, after which the link is given up.
GIVE_UP_SECONDS, GIVE_UP_ATTEMPTS = 5.0, 4
#: Octets of what was heard that a message shows.
SHOWN_OCTETS = 16


@dataclass(kw_only=True)
class _Flight:
    """A frame that has been sent. `first`, `last`: places of its first and last transmission in the order of all. `load`: octets, its own and those of
    its answer included, that were on their way when it was sent."""

    request: Request
    sequence: int
    octets: bytes
    room: int
    first: int
    last: int
    sent_at: float
    load: int = 0
    attempts: int = 1
    response: Response | None = None

    @property
    def answer_octets(self) -> int:
        return RESPONSE_HEADER + CRC_BYTES + (0 if self.request.write else WORD_BYTES * self.request.count)


class Window:
    """Sends requests in order, each until it is answered.

    The line keeps the order of octets, so an answer tells that those to earlier frames are lost if they have not come. The board executes frames in
    order and each write once, so whatever is in doubt is sent again.

    Parameters
    ----------
    port : Port
    name : str
        Of the port, in messages.
    baud : int
        Bits a second, for how long octets take.
    clock : callable
        Seconds, monotonic.

    Members
    -------
    counters : LinkCounters
    receive_buffer : int
        Octets that may be in flight to the board.
    """

    def __init__(self, port: Port, *, name: str, baud: int, clock: Callable[[], float]) -> None:
        self.counters = LinkCounters()
        self.receive_buffer = RECEIVE_BUFFER
        self._port, self._name, self._clock = port, name, clock
        line_time = 2 * 10 * (RECEIVE_BUFFER + WORD_BYTES * MAX_WORDS) / baud
        self._least, self._longest = LEAST_TIMEOUT + line_time, LONGEST_TIMEOUT + line_time
        self._first = FIRST_TIMEOUT + line_time
        self._backoff = 1
        self._mean = self._deviation = 0.0
        self._next = 0
        self._order = 0
        self._flights: deque[_Flight] = deque()
        self._deframer = Deframer()
        self._heard = bytearray()
        self._heard_octets = self._good = self._bad = 0
        # Transmissions without an answer; answers that ask for a repeat which has already been sent.
        self._unanswered = self._stale = 0

    def begin_at(self, sequence: int) -> None:
        """The number of the next frame; forgets what has been heard in part."""
        self._next = sequence
        self._deframer = Deframer()
        self._flights.clear()
        self._unanswered = self._stale = 0

    def exchange(self, requests: Sequence[Request], *, patience: float = GIVE_UP_SECONDS) -> list[Response]:
        """The answers to `requests`, in order. After one that is not OK no more are sent; those that were are answered too.

        Raises
        ------
        LinkError
            if nothing moves for `patience` seconds, or the board does not go on where it stood.
        """
        waiting = deque(requests)
        answers: list[Response] = []
        self._heard.clear()
        self._heard_octets = self._good = self._bad = 0
        timer = started = self._clock()
        failed = False
        while self._flights or (waiting and not failed):
            while waiting and not failed and self._fits(waiting[0]):
                self._send_new(waiting.popleft())
                timer = self._clock()
            before = self._heard_octets
            for body in self._receive():
                self._take(body)
            now = self._clock()
            if self._heard_octets != before:
                # While octets come the board is at work: to ask again would put even more in front of what is waited for.
                timer = now
            while self._flights and (answer := self._flights[0].response) is not None:
                self._flights.popleft()
                answers.append(answer)
                failed |= answer.status is not Status.OK
                timer = started = now
            if self._flights and now - timer > min(self._timeout, max(patience / 4, self._least)):
                self._expire(now - started, patience)
                timer = self._clock()
            elif self._flights and now - started > 2 * patience:
                self._give_up(now - started)
        self._unanswered = self._stale = 0
        return answers

    # Sending -------------------------------------------------------------------------------------------------

    def _fits(self, request: Request) -> bool:
        room = _body_octets(request) + 1
        flights = self._flights
        answers = sum(flight.answer_octets for flight in flights)
        return not flights or (
            len(flights) < REPEATS - 1 and sum(item.room for item in flights) + room <= self.receive_buffer and answers < ANSWERS_IN_FLIGHT
        )

    def _send_new(self, request: Request) -> None:
        body = pack_request(
            sequence=self._next, space=request.space, address=request.address, write=request.write, fixed=request.fixed,
            restart=request.restart, count=request.count, data=request.data,
        )  # fmt: skip
        flight = _Flight(
            request=request, sequence=self._next, octets=frame(body), room=len(body) + 1, first=self._order, last=self._order,
            sent_at=self._clock(),
        )  # fmt: skip
        self._next = (self._next + 1) % 256
        self.counters.requests += 1
        self._flights.append(flight)
        flight.load = self._load()
        self._transmit(flight)

    def _transmit(self, flight: _Flight) -> None:
        flight.last = self._order
        self._order += 1
        self._unanswered += 1
        self.counters.octets_sent += len(flight.octets)
        try:
            self._port.write(flight.octets)
        except OSError as error:
            raise LinkError(f"{self._name} took no octets, while sending a {flight.request}: {error}; {GONE}") from error

    def _again(self, flights: Sequence[_Flight]) -> None:
        for flight in flights:
            flight.attempts += 1
            self.counters.retries += 1
            self._transmit(flight)

    def _open_flights(self) -> list[_Flight]:
        return [flight for flight in self._flights if flight.response is None]

    # Receiving -----------------------------------------------------------------------------------------------

    def _receive(self) -> list[bytes | None]:
        try:
            octets = self._port.read(1)
            if octets and self._port.in_waiting:
                octets += self._port.read(self._port.in_waiting)
        except OSError as error:
            asked = f", while waiting for the answer to a {self._flights[0].request}" if self._flights else ""
            raise LinkError(f"{self._name} gave no octets{asked}: {error}; {GONE}") from error
        self.counters.octets_received += len(octets)
        self._heard_octets += len(octets)
        self._heard += octets[: SHOWN_OCTETS - len(self._heard)]
        return self._deframer.feed(octets)

    def _take(self, body: bytes | None) -> None:
        self._unanswered = max(0, self._unanswered - 1)
        try:
            if body is None:
                raise ValueError("CRC")
            response = parse_response(body)
        except ValueError:
            self.counters.damaged += 1
            self._bad += 1
            return
        self._good += 1
        if response.status in (Status.BAD_FRAME, Status.OUT_OF_ORDER):
            self._repeat_from(response)
            return
        flight = next((item for item in self._flights if item.sequence == response.sequence and item.response is None), None)
        if flight is None:
            return  # The second answer to a frame sent twice.
        if len(response.words) != (0 if flight.request.write or response.status is not Status.OK else flight.request.count):
            self.counters.damaged += 1
            self._bad += 1
            return
        flight.response = response
        self._stale = 0
        if flight.attempts == 1:
            self._measure((self._clock() - flight.sent_at) / flight.load)
        # The answers to those sent before, and not since, are lost.
        self._again([item for item in self._open_flights() if item.last < flight.first])

    def _repeat_from(self, response: Response) -> None:
        """The board asks for a frame: everything that is not answered goes again, once for all the answers that ask for it."""
        if response.status is Status.BAD_FRAME:
            self.counters.bad_frames += 1
        else:
            self.counters.out_of_order += 1
        if any(flight.request.restart for flight in self._flights):
            return  # It tells of what came before the restart.
        expected = {flight.sequence for flight in self._flights} | {self._next}
        if response.sequence not in expected:
            raise LinkError(
                f"the board on {self._name} expects frame {response.sequence}, not one of {', '.join(map(str, sorted(expected)))}: it was reset "
                "or programmed meanwhile, or another host talks to it; start again"
            )
        if self._stale:
            self._stale -= 1
            return
        self._stale = self._unanswered
        self._again(self._open_flights())

    # Time ----------------------------------------------------------------------------------------------------

    def _load(self) -> int:
        """Octets on their way in both directions, but for those answered."""
        return sum(flight.room + flight.answer_octets for flight in self._open_flights())

    def _measure(self, seconds: float) -> None:
        """The timeout follows the time answers take, as that of TCP does (RFC 6298), but by the octet: a full window takes longer than a frame."""
        if self._mean:
            self._deviation += (abs(seconds - self._mean) - self._deviation) / 4
            self._mean += (seconds - self._mean) / 8
        else:
            self._mean, self._deviation = seconds, seconds / 2
        self._backoff = 1

    @property
    def _timeout(self) -> float:
        """Seconds that what is on its way may take."""
        if not self._mean:
            return self._backoff * self._first
        seconds = (self._mean + 4 * self._deviation) * self._load()
        return min(self._backoff * max(seconds, self._least), self._longest)

    def _expire(self, seconds: float, patience: float) -> None:
        if seconds >= patience and self._flights[0].attempts >= GIVE_UP_ATTEMPTS:
            self._give_up(seconds)
        self.counters.timeouts += 1
        self._backoff *= 2
        self._unanswered = self._stale = 0
        self._again(self._open_flights())

    def _give_up(self, seconds: float) -> None:
        flight = self._flights[0]
        self._flights.clear()
        raise LinkError(
            f"no answer from {self._name} to a {flight.request}, sent {flight.attempts} times ({len(flight.octets)} octets, frame "
            f"{flight.sequence}) within {seconds:.1f} s; {self.heard}"
        )

    @property
    def heard(self) -> str:
        """What came during the last exchange, in words."""
        if not self._heard_octets:
            return "heard nothing"
        shown = self._heard.hex(" ") + (" ..." if self._heard_octets > len(self._heard) else "")
        return f"heard {self._heard_octets} octets ({shown}), in them {self._good} good frames and {self._bad} damaged ones"


#: What to do about a port that has gone.
GONE = "was the board unplugged, or did the simulated board end?"


def _body_octets(request: Request) -> int:
    return len(pack_request(sequence=0, space=request.space, address=0, count=request.count, data=request.data))
