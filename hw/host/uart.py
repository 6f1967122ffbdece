"""The UART of the host link: eight data bits, lowest first, no parity, one stop bit."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

#: Fewest clocks a bit: the receiver samples a bit's middle to a clock, and the edges of a line are not where they should be.
LEAST_DIVISOR = 8


def _require_divisor(divisor: int) -> None:
    if not isinstance(divisor, int) or divisor < LEAST_DIVISOR:
        raise ValueError(f"divisor must be an integer of at least {LEAST_DIVISOR} clocks a bit, not {divisor!r}: lower the baud rate")


class UartReceiver(wiring.Component):
    """Octets from a line.

    The line passes two flip-flops. A falling edge begins an octet if the line is still low in the middle of the start bit; every bit is sampled in its
    middle. After the middle of the stop bit the next start bit may come, so a sender up to 3 % off in either direction is understood at
    `LEAST_DIVISOR`. An octet whose stop bit is low is not given; then the line has to go high before the next.

    Latency: `o` comes (9.5 bits, rounded down) + 3 cycles after the cycle in which `rx` falls. Throughput: an octet each 10 bits. Reset
    forgets the octet that is coming in.

    Parameters
    ----------
    divisor : int
        Clocks a bit, at least `LEAST_DIVISOR`.

    Members
    -------
    rx : In(1)
        The line, asynchronous, high when idle.
    o : Out {valid, data}
        Pulse: an octet came.
    error : Out(1)
        Pulse: one came without a stop bit.

    Raises
    ------
    ValueError
        if the divisor is too small.
    """

    def __init__(self, *, divisor: int) -> None:
        _require_divisor(divisor)
        self._divisor = divisor
        octet = wiring.Signature({"valid": Out(1), "data": Out(8)})
        super().__init__({"rx": In(1, init=1), "o": Out(octet), "error": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        first, line = Signal(init=1), Signal(init=1)
        m.d.sync += [first.eq(self.rx), line.eq(first)]
        clocks = Signal(range(self._divisor))
        # A one goes in front of the data: when it is about to leave, the last bit comes in.
        bits = Signal(8)
        m.d.comb += self.o.data.eq(bits)
        m.d.sync += [self.o.valid.eq(0), self.error.eq(0), clocks.eq(clocks - 1)]
        due = Signal()
        m.d.comb += due.eq(clocks == 0)
        with m.If(due):
            m.d.sync += clocks.eq(self._divisor - 1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += clocks.eq((self._divisor - 1) // 2 - 1)
                with m.If(~line):
                    m.next = "START"
            with m.State("START"):
                m.d.sync += bits.eq(1 << 7)
                with m.If(due):
                    m.next = "DATA"
                with m.If(line):
                    m.next = "IDLE"
            with m.State("DATA"):
                with m.If(due):
                    m.d.sync += bits.eq(Cat(bits[1:], line))
                    with m.If(bits[0]):
                        m.next = "STOP"
            with m.State("STOP"):
                with m.If(due):
                    m.d.sync += [self.o.valid.eq(line), self.error.eq(~line)]
                    m.next = "HIGH"
            with m.State("HIGH"):
                with m.If(line):
                    m.next = "IDLE"
        return m


class UartTransmitter(wiring.Component):
    """Octets to a line.

    Latency: the start bit is on `tx` in the cycle after the transfer. Throughput: an octet each 10 bits, without a gap. Reset lets go of the line: `tx` is
    high, the octet is lost.

    Parameters
    ----------
    divisor : int
        Clocks a bit, at least `LEAST_DIVISOR`.

    Members
    -------
    i : In(stream of octets)
    tx : Out(1)
        The line, high when idle.

    Raises
    ------
    ValueError
        if the divisor is too small.
    """

    def __init__(self, *, divisor: int) -> None:
        _require_divisor(divisor)
        self._divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        clocks = Signal(range(self._divisor))
        # Start bit, data and stop bit leave at the low end; ones follow them, so the line idles high.
        bits, left = Signal(10, init=-1), Signal(range(10))
        due, last = Signal(), Signal()
        m.d.comb += [
            due.eq(clocks == 0),
            last.eq(due & (left == 0)),
            self.i.ready.eq(last),
            self.tx.eq(bits[0]),
        ]
        with m.If(~due):
            m.d.sync += clocks.eq(clocks - 1)
        with m.If(due & ~last):
            m.d.sync += [clocks.eq(self._divisor - 1), left.eq(left - 1), bits.eq(Cat(bits[1:], Const(1, 1)))]
        with m.If(last & self.i.valid):
            m.d.sync += [clocks.eq(self._divisor - 1), left.eq(9), bits.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1)))]
        return m
