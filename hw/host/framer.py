"""From packets in the send buffer to octets of the line."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .crc import SerialCrc
from .protocol import CRC_BYTES, ESCAPE, ESCAPE_MASK, FLAG


class Framer(wiring.Component):
    """Sends each packet of a `PacketRing` as a frame: flag, body and CRC with escapes, flag.

    Latency: the flag is offered two cycles after the length. Throughput: that of `o`, if it takes an octet every 12 cycles or less often.
    Reset drops the frame; the packets should be reset with it.

    Members
    -------
    i : In(stream of octets)
        A length, then as many octets, again and again.
    o : Out(stream of octets)
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.crc = crc = SerialCrc()
        left, octet = Signal(8), Signal(8)
        escaped, special = Signal(), Signal()
        in_crc = Signal()
        m.d.comb += [
            octet.eq(Mux(in_crc, ~crc.value[:8], self.i.payload)),
            special.eq((octet == FLAG) | (octet == ESCAPE)),
            crc.data.eq(octet),
        ]
        moved = Signal()
        m.d.comb += moved.eq(self.o.valid & self.o.ready)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.i.ready.eq(1), crc.clear.eq(1)]
                m.d.sync += [left.eq(self.i.payload), in_crc.eq(0)]
                with m.If(self.i.valid):
                    m.next = "OPEN"
            with m.State("OPEN"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(FLAG)]
                with m.If(moved):
                    m.next = "BODY"
            with m.State("BODY"):
                with m.If(left == 0):
                    m.d.sync += [left.eq(CRC_BYTES), in_crc.eq(1)]
                    with m.If(in_crc):
                        m.next = "CLOSE"
                with m.Else():
                    m.d.comb += self.o.valid.eq((in_crc | self.i.valid) & ~crc.busy)
                    with m.If(special & ~escaped):
                        m.d.comb += self.o.payload.eq(ESCAPE)
                        m.d.sync += escaped.eq(moved)
                    with m.Else():
                        m.d.comb += self.o.payload.eq(octet ^ Mux(escaped, ESCAPE_MASK, 0))
                        m.d.comb += [self.i.ready.eq(moved & ~in_crc), crc.take.eq(moved & ~in_crc), crc.drain.eq(moved & in_crc)]
                        with m.If(moved):
                            m.d.sync += [left.eq(left - 1), escaped.eq(0)]
            with m.State("CLOSE"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(FLAG)]
                with m.If(moved):
                    m.next = "IDLE"
        return m
