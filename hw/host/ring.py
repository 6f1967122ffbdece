"""A queue of packets of octets in one block RAM."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

#: Octets of the memory: one block RAM of an iCE40. A packet and what is in front of it must leave one octet free.
RING_OCTETS = 512


class PacketRing(wiring.Component):
    """Packets go in as octets at any place, and count only once they are committed; they come out as a length and as many octets.

    The writer puts octets 0, 1, 2, ... of a packet with `write`, `offset` and `data`, and may begin again at any offset. `commit` with `offset` = its length
    makes it a packet; without it the next packet is written over it. A cycle with `full` high must neither write nor commit.

    Latency: the length of a packet is at `o` four cycles after `commit`. Throughput: an octet in every cycle, out in every third cycle; nothing is read in a
    cycle in which something is written. Reset empties it.

    Members
    -------
    write, commit : In(1)
        Pulses, not in the same cycle.
    offset : In(8)
        Octet of the packet, or its length.
    data : In(8)
    full : Out(1)
        There is no room for an octet at `offset`, nor for a packet of that length. High in the cycle after `commit` too, as it is worked out
        from a register: of the room of the cycle before, so that an octet taken out makes room two cycles later.
    o : Out(stream of octets)
        For each packet its length, then its octets. Flip-flops.
    """

    write: In(1)
    commit: In(1)
    offset: In(8)
    data: In(8)
    full: Out(1)
    o: Out(stream.Signature(8))

    def __init__(self) -> None:
        super().__init__()
        #: Where the length of the packet in the making goes, what comes out next, and the octets there was room for behind the length, a cycle ago. Public
        #: for proofs.
        self.start, self.consume, self.room = (
            Signal(range(RING_OCTETS)),
            Signal(range(RING_OCTETS)),
            Signal(range(RING_OCTETS), init=RING_OCTETS - 1),
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.storage = storage = memory.Memory(shape=8, depth=RING_OCTETS, init=[])
        write, read = storage.write_port(), storage.read_port()
        start, consume, place = self.start, self.consume, Signal(range(RING_OCTETS))
        committed = Signal()
        m.d.sync += [committed.eq(self.commit), self.room.eq(consume - start - 1)]
        m.d.comb += [
            place.eq(start + 1 + self.offset),
            self.full.eq((self.offset == self.room) | committed),
            read.addr.eq(consume),
            # Never both at once: then it does not matter what the memory reads where it is written, and nothing is built to define it.
            read.en.eq(~write.en),
        ]
        # Registers before the memory, for the clock. The length is written before `consume` can be taken for its place.
        m.d.sync += [
            write.addr.eq(Mux(self.commit, start, place)),
            write.data.eq(Mux(self.commit, self.offset, self.data)),
            write.en.eq(self.write | self.commit),
        ]
        with m.If(self.commit):
            m.d.sync += start.eq(place)
        pop, fetched = Signal(), Signal()
        m.d.comb += pop.eq(self.o.valid & self.o.ready)
        # The memory is slow: what it gives has a register of its own.
        m.d.sync += [consume.eq(consume + pop), fetched.eq(read.en & (consume != start) & ~fetched & ~self.o.valid)]
        with m.If(pop):
            m.d.sync += self.o.valid.eq(0)
        with m.Elif(fetched):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(read.data)]
        return m
