"""The bridge: executes requests in their order and answers them. Rules: hw/host/protocol.py; model: sim/golden/host_link.py."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .bus import ADDRESS_BITS, HostBus
from .protocol import BUS_TIMEOUT, MAX_WORDS, OPERATION, REPEATS, REQUEST_HEADER, Space, Status


class Bridge(wiring.Component):
    """One request after the other: from the receive buffer to a space, and the answer to the send buffer.

    Latency: the answer to a frame of n words is committed about 32 + 18 n cycles after its length came, besides what the space takes: less
    than its octets take on the line. Reset forgets everything: number 0 is expected, all spaces are asked.

    Parameters
    ----------
    timeout : int
        Cycles after which a word is given up, a power of two.
    address_bits : int
        Bits of the address that a burst counts on, 12 to 32: one more than the addresses that exist have.

    Members
    -------
    i : In(stream of octets)
        For each frame its length, then its octets, from a `PacketRing`.
    write, commit, offset, data, full : the writer of a `PacketRing`, an octet every other cycle
    <space> : Out(HostBus), for each `Space` in lower case
        The requests are flip-flops.
    restart : In(1)
        Pulse: spaces that did not answer are asked again; only while no request is out, or one to the board.

    Raises
    ------
    ValueError
        if the timeout is not a power of two of at least 4, or `address_bits` not from 12 to 32.
    """

    def __init__(self, *, timeout: int = BUS_TIMEOUT, address_bits: int = ADDRESS_BITS) -> None:
        if not isinstance(timeout, int) or timeout < 4 or timeout & (timeout - 1):
            raise ValueError(f"timeout must be a power of two of at least 4, not {timeout!r}")
        if not isinstance(address_bits, int) or not 12 <= address_bits <= ADDRESS_BITS:
            raise ValueError(f"address_bits must be 12 to {ADDRESS_BITS}, not {address_bits!r}")
        self._timeout = timeout
        super().__init__(
            {
                "i": In(stream.Signature(8)), "write": Out(1), "commit": Out(1), "offset": Out(8), "data": Out(8), "full": In(1), "restart": In(1),
            }
            | {space.name.lower(): Out(HostBus()) for space in Space}
        )  # fmt: skip
        self._header = Signal(8 * REQUEST_HEADER)
        self._sequence, self._operation, self._count = (self._header[at : at + 8] for at in (0, 8, 16))
        self._address = self._header[24:]
        self._moving = self._address[2:address_bits]
        self._word = Signal(32)
        self._octet, self._left, self._place = Signal(range(8)), Signal(8), Signal(8)
        self._status, self._expected = Signal(Status), Signal(8)
        # `fresh`: the number goes on with this frame. `executes`: there are words to move.
        self._fresh, self._executes = Signal(), Signal()
        self._failed_status, self._failed_sequence = Signal(Status), Signal(8)
        self._hung, self._expired = Signal(len(Space)), Signal()
        # There is room for an octet at `offset`: known a cycle after it was moved there.
        self._fits = Signal()

    def _bits(self, name: str) -> Value:
        offset, width = OPERATION[name]
        return self._operation[offset : offset + width]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        asks, waits = Signal(len(Space)), Signal()
        self._spaces(m, asks)
        with m.If(self.restart):
            m.d.sync += self._hung.eq(0)
        m.d.comb += self.offset.eq(self._place)
        # It may be moved back at any time: there was room.
        m.d.sync += self._fits.eq(~self.full & ~self.write & ~self.commit)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += self._left.eq(self._left - 1)
        # Before the states, of which "REQUEST" sets it.
        with m.If(self._accepted | self._expired):
            m.d.sync += asks.eq(0)
        with m.FSM():
            self._receive(m)
            self._execute(m, asks, waits)
            self._answer(m)
        timer = Signal(range(self._timeout + 1))
        m.d.comb += self._expired.eq(timer[-1])
        with m.If(waits):
            m.d.sync += timer.eq(timer + 1)
        with m.Else():
            m.d.sync += timer.eq(0)
        return m

    def _spaces(self, m: Module, asks: Signal) -> None:
        """The request goes to all, its valid to one: a bit of `asks` each, as the header is far away from the spaces. `ready` ends nothing but the asking,
        `response` comes a cycle later."""
        ports = [getattr(self, space.name.lower()) for space in Space]
        space = self._bits("space")
        for index, port in enumerate(ports):
            payload = port.request.payload
            m.d.comb += [
                port.request.valid.eq(asks[index]),
                payload.address.eq(self._address),
                payload.write.eq(self._bits("write")),
                payload.data.eq(self._word),
            ]
        self._accepted, self._answered = Signal(), Signal()
        self._error, self._response, self._is_hung = Signal(), Signal(32), Signal()
        m.d.sync += [
            self._answered.eq(Array(port.response.valid for port in ports)[space]),
            self._error.eq(Array(port.response.error for port in ports)[space]),
            self._response.eq(Array(port.response.data for port in ports)[space]),
        ]
        m.d.comb += [
            self._accepted.eq((asks & Cat(port.request.ready for port in ports)).any()),
            self._is_hung.eq(self._hung.bit_select(space, 1)),
        ]

    def _receive(self, m: Module) -> None:
        """States from a frame's length to what is to be done with it."""
        with m.State("IDLE"):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += [self._octet.eq(0), self._place.eq(0), self._fresh.eq(0), self._executes.eq(0), self._status.eq(Status.BAD_FRAME)]
            with m.If(self.i.valid):
                m.d.sync += self._left.eq(self.i.payload)
                m.next = "HEADER"
        with m.State("HEADER"):
            with m.If(self._octet == REQUEST_HEADER):
                m.next = "CHECK"
            with m.Elif(self._left == 0):
                m.next = "SEQUENCE"
            with m.Else():
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [self._header.eq(Cat(self._header[8:], self.i.payload)), self._octet.eq(self._octet + 1)]
        # Registers between the header and `CHECK`: right two cycles after the last octet.
        back, fits, illegal = Signal(8), Signal(), Signal()
        known = sum((1 << width) - 1 << offset for offset, width in OPERATION.values())
        words = Mux(self._bits("write"), self._count, 0)
        m.d.sync += [
            back.eq(self._expected - self._sequence),
            fits.eq(self._left == words << 2),
            illegal.eq(
                (self._operation & (0xFF & ~known) != 0) | (self._address[:2] != 0) | (self._count == 0) | (self._count > MAX_WORDS)
            ),
        ]
        with m.State("CHECK"):
            m.next = "SEQUENCE"
            fresh = self._bits("restart") | (back == 0)
            with m.If(fits):
                with m.If(~fresh & (back > REPEATS)):
                    m.d.sync += self._status.eq(Status.OUT_OF_ORDER)
                with m.Elif(~fresh & self._bits("write")):
                    m.d.sync += self._status.eq(Mux(self._failed_sequence == self._sequence, self._failed_status, Status.OK))
                with m.Else():
                    m.d.sync += [self._fresh.eq(fresh), self._status.eq(Status.OK), self._executes.eq(~illegal & ~self._is_hung)]
                    with m.If(self._is_hung):
                        m.d.sync += self._status.eq(Status.TIMEOUT)
                    with m.If(illegal):
                        m.d.sync += self._status.eq(Status.REFUSED)

    def _execute(self, m: Module, asks: Signal, waits: Signal) -> None:
        """States that move words between the frames and a space."""
        writes = self._bits("write")
        with m.State("GATHER"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                m.d.sync += [self._word.eq(Cat(self._word[8:], self.i.payload)), self._octet.eq(self._octet + 1)]
                with m.If(self._octet == 3):
                    m.next = "REQUEST"
        with m.State("REQUEST"):
            m.d.sync += asks.eq(Cat(self._bits("space") == space for space in Space))
            m.next = "WAIT"
        with m.State("WAIT"):
            m.d.comb += waits.eq(1)
            m.d.sync += self._octet.eq(0)
            with m.If(~writes):
                m.d.sync += self._word.eq(self._response)
            with m.If(self._answered):
                with m.If(~self._bits("fixed")):
                    m.d.sync += self._moving.eq(self._moving + 1)
                m.next = "PUT"
                with m.If(writes):
                    m.next = "MORE"
                with m.If(self._error):
                    self._fail(m, Status.BUS_ERROR)
            with m.Elif(self._expired):
                self._give_up(m)
        with m.State("PUT"):
            m.d.comb += [self.data.eq(self._word[:8]), self.write.eq(self._fits)]
            with m.If(self._fits):
                m.d.sync += [self._word.eq(self._word[8:]), self._octet.eq(self._octet + 1), self._place.eq(self._place + 1)]
                with m.If(self._octet == 3):
                    m.next = "MORE"
        with m.State("MORE"):
            m.d.sync += self._octet.eq(0)
            # A write ends with its frame, a read when the response has all its words.
            last = Mux(writes, self._left == 0, self._place[2:] == self._count)
            m.next = "REQUEST"
            with m.If(writes):
                m.next = "GATHER"
            with m.If(last):
                m.next = "DRAIN"

    def _fail(self, m: Module, status: Status) -> None:
        """The answer begins again: behind the sequence number."""
        m.d.sync += [self._status.eq(status), self._place.eq(1), self._executes.eq(0)]
        m.next = "STATUS"

    def _give_up(self, m: Module) -> None:
        """What comes late could be taken for the answer to another request. The board's registers lead out of this, so they are always asked."""
        space = self._bits("space")
        m.d.sync += self._hung.bit_select(space, 1).eq(space != Space.BOARD)
        self._fail(m, Status.TIMEOUT)

    def _answer(self, m: Module) -> None:
        """States that write the head of the answer, and the end of the frame."""
        # A bad frame has nothing to be trusted; one out of order is told what is expected.
        strange = (self._status == Status.BAD_FRAME) | (self._status == Status.OUT_OF_ORDER)
        with m.State("SEQUENCE"):
            m.d.comb += [self.data.eq(Mux(strange, self._expected, self._sequence)), self.write.eq(self._fits)]
            with m.If(self._fits):
                m.d.sync += self._place.eq(1)
                m.next = "STATUS"
        with m.State("STATUS"):
            m.d.comb += [self.data.eq(self._status), self.write.eq(self._fits)]
            m.d.sync += self._octet.eq(0)
            with m.If(self._fits):
                m.d.sync += self._place.eq(2)
                m.next = "DRAIN"
                with m.If(self._executes):
                    m.next = "REQUEST"
                    with m.If(self._bits("write")):
                        m.next = "GATHER"
        with m.State("DRAIN"):
            # What a frame that is not executed carries goes first.
            m.d.comb += self.i.ready.eq(self._left != 0)
            with m.If((self._left == 0) & self._fits):
                m.d.comb += self.commit.eq(1)
                with m.If(self._fresh):
                    self._remember(m)
                m.next = "IDLE"

    def _remember(self, m: Module) -> None:
        """The number goes on; how a write ended is kept until another one fails or its number comes again."""
        m.d.sync += self._expected.eq(self._sequence + 1)
        with m.If(self._bits("write") & (self._status != Status.OK)):
            m.d.sync += [self._failed_sequence.eq(self._sequence), self._failed_status.eq(self._status)]
        with m.Elif(self._failed_sequence == self._sequence):
            m.d.sync += self._failed_status.eq(Status.OK)
