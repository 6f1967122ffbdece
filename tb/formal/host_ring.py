"""`PacketRing` and `Deframer`: what comes out is what was committed, the buffer never runs over, and no bad frame gets in."""

from typing import Any

from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal
from amaranth.lib import wiring

from hw.host.deframer import Deframer
from hw.host.protocol import CRC_BYTES, ESCAPE, FLAG, LONGEST_BODY
from hw.host.ring import RING_OCTETS, PacketRing

from .rules import free
from .runner import Proof


class RingSpec(wiring.Component):
    """Any writer that keeps to `full` and puts octets in their order, any reader. Counts octets apart from the pointers."""

    def __init__(self) -> None:
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = PacketRing()
        for signal in (dut.write, dut.commit, dut.offset, dut.data, dut.o.ready):
            free(m, signal)
        pop, reached = Signal(), Signal(9)
        level = Signal(range(2 * RING_OCTETS))
        m.d.comb += [
            pop.eq(dut.o.valid & dut.o.ready),
            Assume(~(dut.write & dut.commit)),
            Assume(~(dut.full & (dut.write | dut.commit))),
            Assume(~(dut.write | dut.commit) | (dut.offset <= reached)),
            Assume(~dut.write | (dut.offset != 255)),
        ]
        m.d.sync += level.eq(level + Mux(dut.commit, dut.offset + 1, 0) - pop)
        with m.If(dut.commit):
            m.d.sync += reached.eq(0)
        with m.Elif(dut.write & (dut.offset == reached)):
            m.d.sync += reached.eq(reached + 1)
        waiting, committed, popped = Signal(), Signal(), Signal()
        m.d.sync += [waiting.eq(dut.o.valid & ~dut.o.ready), committed.eq(dut.commit), popped.eq(pop)]
        octets = level + dut.offset + 1
        tight, offset = Signal(init=1), Signal.like(dut.offset)
        m.d.sync += [tight.eq(dut.full | dut.commit | (dut.offset > reached)), offset.eq(dut.offset)]
        m.d.comb += [
            # Committed octets and those of the packet in the making leave one free; `full` says when there is no more, exactly but in the cycle after a
            # commit and in that after an octet came out.
            Assert(level + reached < RING_OCTETS),
            Assert((dut.offset > reached) | dut.full | (octets < RING_OCTETS)),
            # Room that there is stays, but for a commit, and for lesser offsets.
            Assert(tight | ~dut.full | (dut.offset > offset)),
            Assert((dut.offset > reached) | committed | (dut.full == (octets + popped == RING_OCTETS))),
            # Nothing comes out that was not committed, and what is offered stays.
            Assert(~dut.o.valid | (level != 0)),
            Assert(~waiting | dut.o.valid),
            # What makes the induction close: the pointers are as far apart as the count says.
            Assert(((dut.start - dut.consume) % RING_OCTETS) == level),
            Assert(committed | ((dut.consume - dut.start - 1 - popped) % RING_OCTETS == dut.room)),
            Assert(committed | (reached <= dut.room)),
            Assert(~waiting | (level != 0)),
            Cover(pop & (level == 1)),
            Cover(pop & dut.commit & (dut.offset == 2)),
        ]
        return m


class DeframerSpec(wiring.Component):
    """Any octets 12 cycles apart, any room. What the frame was is worked out here from the octets, but for the CRC's sum, which is the device's."""

    def __init__(self) -> None:
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Deframer()
        for signal in (dut.i.valid, dut.i.data, dut.error, dut.full):
            free(m, signal)
        since, ago = Signal(range(13), init=12), Signal(range(5))
        event = dut.i.valid | dut.error
        m.d.comb += [Assume(~event | (since == 12)), Assume(~(dut.i.valid & dut.error))]
        m.d.sync += since.eq(Mux(event, 1, Mux(since == 12, 12, since + 1)))
        count, escaped, damaged = Signal(9), Signal(), Signal()
        was_flag = Signal()
        open_frame = (count != 0) | escaped | damaged
        with m.If(dut.error):
            m.d.sync += damaged.eq(1)
        with m.If(dut.i.valid):
            m.d.sync += [was_flag.eq((dut.i.data == FLAG) & open_frame), ago.eq(1)]
            with m.If((dut.i.data != FLAG) & ~((dut.i.data == ESCAPE) & ~escaped)):
                m.d.sync += [count.eq(Mux(count == LONGEST_BODY + CRC_BYTES + 1, count, count + 1)), escaped.eq(0)]
            with m.Elif(dut.i.data != FLAG):
                m.d.sync += escaped.eq(1)
        with m.Elif((ago != 0) & (ago != 4)):
            m.d.sync += ago.eq(ago + 1)
        verdict = was_flag & (ago == 3) & ~event
        with m.If(was_flag & (ago == 3)):
            m.d.sync += [count.eq(0), escaped.eq(0), damaged.eq(0), was_flag.eq(0)]
        good = dut.commit & ~dut.bad
        fits = (count >= CRC_BYTES) & (count <= LONGEST_BODY + CRC_BYTES) & ~escaped & ~damaged
        m.d.comb += [
            # Exactly one verdict on every frame, none without one, and never against the ring.
            Assert((dut.commit | dut.dropped) == verdict),
            Assert(~(dut.commit & dut.dropped) & (~dut.bad | dut.commit)),
            Assert(~dut.full | ~(dut.write | dut.commit)),
            Assert(~(dut.write & dut.commit)),
            # A good frame has a length that fits, no escape at its end, no line error; a bad one is empty.
            Assert(~good | (fits & (dut.offset == (count - CRC_BYTES)[:8]))),
            Assert(~dut.bad | (dut.offset == 0)),
            Assert(~dut.write | (dut.offset < LONGEST_BODY + CRC_BYTES)),
            Cover(dut.bad & (count == 2)),
            Cover(dut.dropped),
        ]
        return m


PROOFS = (
    Proof(
        name="host_ring.room",
        doc="buffers of the link: never more octets than they hold, full when they are and seldom longer, nothing uncommitted comes out, valid holds",
        spec=RingSpec,
        depth=2,
        cover_depth=9,
    ),
    Proof(
        name="host_ring.deframer",
        doc="frames: one verdict for each, committed as good only with a length that fits and without damage, never against a full ring",
        spec=DeframerSpec,
        mode="bmc",
        engine="abc bmc3",
        depth=56,
        cover_depth=32,
    ),
)
