"""From packets in the send buffer to octets of the line."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .crc import SerialCrc
from .protocol import CRC_BYTES, ESCAPE, ESCAPE_MASK, FLAG


class Framer(wiring.Component):
    """Sends each packet of a `PacketRing` as a frame: flag, body and CRC with escapes, flag.

    Latency: the flag is offered in the cycle after the length was taken. Throughput: that of `o`, if it takes an octet every 12 cycles or less
    often. Reset drops the frame; the packets should be reset with it.

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
        escaped, special, in_crc, moved = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            special.eq((octet == FLAG) | (octet == ESCAPE)),
            moved.eq(self.o.valid & self.o.ready),
            crc.data.eq(octet),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.i.ready.eq(1), crc.clear.eq(1)]
                m.d.sync += [left.eq(self.i.payload), in_crc.eq(0)]
                with m.If(self.i.valid):
                    m.next = "OPEN"
            with m.State("OPEN"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(FLAG)]
                with m.If(moved):
                    m.next = "FETCH"
            with m.State("FETCH"):
                # A block RAM takes most of a cycle: its octet is looked at in the next.
                m.d.sync += octet.eq(Mux(in_crc, ~crc.value[:8], self.i.payload))
                with m.If(left == 0):
                    m.d.sync += [left.eq(CRC_BYTES), in_crc.eq(1)]
                    with m.If(in_crc):
                        m.next = "CLOSE"
                with m.Elif((in_crc | self.i.valid) & ~crc.busy):
                    m.d.comb += self.i.ready.eq(~in_crc)
                    m.d.sync += left.eq(left - 1)
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(octet ^ Mux(escaped, ESCAPE_MASK, 0))]
                with m.If(special & ~escaped):
                    m.d.comb += self.o.payload.eq(ESCAPE)
                    m.d.sync += escaped.eq(moved)
                with m.Elif(moved):
                    m.d.comb += [crc.take.eq(~in_crc), crc.drain.eq(in_crc)]
                    m.d.sync += escaped.eq(0)
                    m.next = "FETCH"
            with m.State("CLOSE"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(FLAG)]
                with m.If(moved):
                    m.next = "IDLE"
        return m
