"""`Bridge`: one answer to every frame, frames read to their end and no further, one access at a time, none to a space that has not answered."""

from typing import Any

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Signal
from amaranth.lib import wiring

from hw.host.bridge import Bridge
from hw.host.protocol import Space

from .rules import free
from .runner import Proof

#: Cycles after which a word is given up here: the fewest there may be.
TIMEOUT = 4


class BridgeSpec(wiring.Component):
    """Any frames, good or not, any room for answers, spaces that take and answer when they like or never. Counts apart from the device."""

    def __init__(self) -> None:
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Bridge(timeout=TIMEOUT)
        for signal in (dut.i.valid, dut.i.payload, dut.full, dut.restart):
            free(m, signal)
        ports = [getattr(dut, space.name.lower()) for space in Space]
        self._frames(m, dut)
        asked = Signal(len(Space))
        valids = Cat(port.request.valid for port in ports)
        for index, port in enumerate(ports):
            free(m, port.request.ready, port.response.valid, port.response.data, port.response.error)
            taken = port.request.valid & port.request.ready
            # A space answers what it has taken, once, when it likes: also when the bridge has given it up.
            m.d.comb += Assume(~port.response.valid | asked[index])
            with m.If(taken):
                m.d.sync += asked[index].eq(1)
            with m.Elif(port.response.valid):
                m.d.sync += asked[index].eq(0)
            if index != Space.BOARD:
                # One that has not answered is not asked again before the reset; the board is.
                m.d.comb += Assert(~taken | ~asked[index])
                with m.If(dut.restart):
                    m.d.sync += asked[index].eq(0)
        m.d.comb += [
            # The board is reset by an access to it, or while there is none.
            Assume(~dut.restart | ~valids[1:].any()),
            # One space at a time.
            Assert((valids & (valids - 1)[: len(Space)]) == 0),
            Cover(dut.commit & (dut.offset == 2)),
            Cover(valids[Space.SBUF] & dut.sbuf.request.payload.write),
        ]
        return m

    @staticmethod
    def _frames(m: Module, dut: Any) -> None:
        """Length, as many octets, one answer; again. An answer has its octets in their order, never into a full buffer."""
        pop, inside, left, written = Signal(), Signal(), Signal(8), Signal(9)
        m.d.comb += pop.eq(dut.i.valid & dut.i.ready)
        with m.If(pop):
            m.d.sync += [inside.eq(1), left.eq(left - 1)]
            with m.If(~inside):
                m.d.sync += left.eq(dut.i.payload)
        with m.If(dut.commit):
            m.d.sync += [inside.eq(0), written.eq(0)]
        with m.Elif(dut.write):
            m.d.sync += written.eq(dut.offset + 1)
        # As `PacketRing` does it (proof host_ring.room): room that there is stays, but for a commit, and for lesser offsets.
        tight, offset = Signal(init=1), Signal.like(dut.offset)
        m.d.sync += [tight.eq(dut.full | dut.commit), offset.eq(dut.offset)]
        m.d.comb += [
            Assume(tight | ~dut.full | (dut.offset > offset)),
            Assert(~(pop & inside) | (left != 0)),
            Assert(~dut.commit | (inside & (left == 0) & ~pop)),
            Assert(~dut.write | (inside & ((dut.offset == written) | (dut.offset == 1)))),
            Assert(~dut.commit | ((dut.offset == written) & (dut.offset >= 2))),
            Assert(~(dut.write & dut.commit) & ~(dut.full & (dut.write | dut.commit))),
        ]


PROOFS = (
    Proof(
        name="host_bridge.answers",
        doc="bridge: one answer to every frame, which is read to its end and no further; one access at a time, answers in their octets' order",
        spec=BridgeSpec,
        mode="bmc",
        engine="abc bmc3",
        depth=20,
        cover_depth=25,
        timeout=240,
    ),
)
