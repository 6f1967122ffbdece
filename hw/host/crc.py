"""The CRC of frames: CRC-32 of IEEE 802.3, one bit a cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Its polynomial, bit 31 for x^0: bits go through lowest first.
POLYNOMIAL = 0xEDB88320
#: What the register holds after a body and its CRC, if they belong together.
RESIDUE = 0xDEBB20E3


class SerialCrc(wiring.Component):
    """CRC-32 over octets, eight cycles each.

    After the last octet of a body, the complement of `value`'s lowest octet is the first octet of the CRC; `drain` moves on to the next.

    Latency: `value` is right 9 cycles after `take` or `drain`; `busy` is high before. Throughput: an octet every 9 cycles. Reset is `clear`.

    Members
    -------
    clear : In(1)
        Pulse: begins a body.
    take, data : In(1), In(8)
        Pulse, `busy` low: `data` is the next octet.
    drain : In(1)
        Pulse, `busy` low: shifts out the lowest octet.
    busy : Out(1)
    value : Out(32)
        The register, not complemented.
    """

    clear: In(1)
    take: In(1)
    data: In(8)
    drain: In(1)
    busy: Out(1)
    value: Out(32, init=0xFFFFFFFF)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        octet, left, feeds = Signal(8), Signal(4), Signal()
        feedback = Signal()
        m.d.comb += [self.busy.eq(left != 0), feedback.eq((self.value[0] ^ octet[0]) & feeds)]
        with m.If(self.busy):
            shifted = Cat(self.value[1:], feedback)
            m.d.sync += [
                left.eq(left - 1),
                octet.eq(octet[1:]),
                # The top bit is the feedback itself; the others of the polynomial add it.
                self.value.eq(Cat(*(shifted[bit] ^ (feedback if POLYNOMIAL >> bit & 1 and bit != 31 else 0) for bit in range(32)))),
            ]
        with m.If(self.take | self.drain):
            m.d.sync += [left.eq(8), octet.eq(self.data), feeds.eq(self.take)]
        with m.If(self.clear):
            m.d.sync += [left.eq(0), self.value.eq(0xFFFFFFFF)]
        return m
