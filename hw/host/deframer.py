"""From octets of the line to frames in the receive buffer."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .crc import RESIDUE, SerialCrc
from .protocol import CRC_BYTES, ESCAPE, ESCAPE_MASK, FLAG, LONGEST_BODY


class Deframer(wiring.Component):
    """Takes escapes out, checks length and CRC, and writes bodies to a `PacketRing` as they come in.

    A frame that is good is committed at its closing flag, without CRC. One that is not (CRC, length, ends with an escape, line error) becomes
    an empty packet, so that it is answered in its turn. One that the ring has no room for is dropped whole. An empty frame is none.

    Latency: a frame is committed three cycles after its closing flag. Throughput: an octet every 12 cycles. Reset forgets the frame that
    is coming in: the rest of it will be a bad frame.

    Members
    -------
    i : In {valid, data}
        Pulse: an octet, at least 12 cycles after the one before.
    error : In(1)
        Pulse: the line lost an octet, at least 12 cycles after one.
    write, commit, offset, data, full : the writer of a `PacketRing`; `offset` and `data` are flip-flops
    bad : Out(1)
        Pulse: an empty packet was committed.
    dropped : Out(1)
        Pulse: a frame was dropped.
    """

    i: In(wiring.Signature({"valid": Out(1), "data": Out(8)}))
    error: In(1)
    write: Out(1)
    commit: Out(1)
    offset: Out(8)
    data: Out(8)
    full: In(1)
    bad: Out(1)
    dropped: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.crc = crc = SerialCrc()
        count, octet = Signal(8), Signal(8)
        escaped, damaged, lost = Signal(), Signal(), Signal()
        flag, escape = Signal(), Signal()
        # One after the other, for the clock: the frame is over, its verdict is known, its length stands at `offset`.
        taken, ended, judged, ending = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            flag.eq(self.i.data == FLAG),
            escape.eq(self.i.data == ESCAPE),
            self.data.eq(octet),
            crc.data.eq(octet),
            crc.take.eq(taken),
            crc.clear.eq(ending),
        ]
        # The line is looked at in one cycle, the ring in the next.
        m.d.sync += [taken.eq(0), ended.eq(0), judged.eq(ended), ending.eq(judged)]
        with m.If(self.i.valid):
            m.d.sync += octet.eq(self.i.data ^ Mux(escaped, ESCAPE_MASK, 0))
            with m.If(flag):
                m.d.sync += ended.eq((count != 0) | escaped | damaged | lost)
            with m.Elif(escape & ~escaped):
                m.d.sync += escaped.eq(1)
            with m.Else():
                m.d.sync += [escaped.eq(0), taken.eq(1)]
        with m.If(self.error):
            m.d.sync += damaged.eq(1)
        too_long, good = Signal(), Signal()
        m.d.comb += [self.offset.eq(count), too_long.eq(count == LONGEST_BODY + CRC_BYTES)]
        with m.If(taken):
            m.d.comb += self.write.eq(~(damaged | lost | too_long | self.full))
            m.d.sync += [count.eq(count + ~too_long), damaged.eq(damaged | too_long)]
            # What a damaged frame holds is not kept: no room for it does not matter.
            with m.If(self.full & ~damaged & ~too_long):
                m.d.sync += lost.eq(1)
        with m.If(ended):
            m.d.sync += [
                good.eq((crc.value == RESIDUE) & (count >= CRC_BYTES) & ~escaped & ~damaged),
                count.eq(count - CRC_BYTES),
            ]
        with m.If(judged & ~good):
            m.d.sync += count.eq(0)
        with m.If(ending):
            m.d.comb += self.commit.eq(~lost & ~self.full)
            m.d.comb += [self.bad.eq(self.commit & ~good), self.dropped.eq(~self.commit)]
            m.d.sync += [count.eq(0), escaped.eq(0), damaged.eq(0), lost.eq(0)]
        return m
