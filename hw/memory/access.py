"""Whole-line access to SBUF for the host and the self-test, on the ports of the DMA engines."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from .ports import SbufAccess, SbufPort

#: Cycles after which an access takes its turn although the engine asks in every one. Odd, so that it falls into step with no pattern of theirs.
PATIENCE = 7


class LineAccess(wiring.Component):
    """Lets an `SbufAccess` borrow the ports of the DMA engines cycle by cycle: that of load for writes, that of store for reads.

    An access takes a turn in the cycle after one in which the engine did not ask, at the latest after `PATIENCE` turns of the engine. It gives
    the port back after one cycle, for one at least, whether SBUF has accepted it or not, so it costs the engine one cycle in `PATIENCE` + 1 at most
    and only while it waits. It is served in its first turn in which no other port uses the bank.

    Latency, with the port and the bank free: an access taken in cycle t is accepted by SBUF in t + 2. A write is answered in t + 3, a read in
    t + 3 + `sbuf_latency`. Throughput: one access in flight. What the engines send and get is passed on in the same cycle. Reset drops the access.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    debug : In(SbufAccess)
    load, store : In(SbufPort)
        From the engines.
    sbuf_load, sbuf_store : Out(SbufPort)
        To the ports of SBUF of these names. A request on them that is refused may be followed by another.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        port = SbufPort(config)
        super().__init__(
            {"debug": In(SbufAccess(config)), "load": In(port), "store": In(port), "sbuf_load": Out(port), "sbuf_store": Out(port)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, access = self._config, self.debug
        lines, width = config.element_bytes, 8 * config.line_bytes
        held = Signal.like(access.request.payload)
        busy, pending, asked, accepted = Signal(), Signal(), Signal(), Signal()
        # One-hot, from registers: the engines' paths get one multiplexer each.
        writing, reading = Signal(), Signal()
        patience = Signal(range(PATIENCE + 1))
        m.d.comb += [
            access.request.ready.eq(~busy),
            asked.eq(Mux(held.write, self.load.request.valid, self.store.request.valid)),
            accepted.eq((writing & self.sbuf_load.request.ready) | (reading & self.sbuf_store.request.ready)),
        ]
        # None in a turn: whether that serves the access is known too late.
        turn = pending & ~writing & ~reading & (~asked | (patience == 0))
        m.d.sync += [writing.eq(turn & held.write), reading.eq(turn & ~held.write)]
        with m.If(~pending | turn):
            m.d.sync += patience.eq(PATIENCE)
        with m.Elif(patience != 0):
            m.d.sync += patience.eq(patience - 1)
        with m.If(access.request.valid & access.request.ready):
            m.d.sync += [held.eq(access.request.payload), busy.eq(1), pending.eq(1)]
        with m.If(accepted):
            m.d.sync += pending.eq(0)
        with m.If(access.response.valid):
            m.d.sync += busy.eq(0)

        for inner, outer, mine in ((self.load, self.sbuf_load, writing), (self.store, self.sbuf_store, reading)):
            m.d.comb += [
                outer.request.valid.eq(inner.request.valid | mine),
                outer.request.payload.eq(inner.request.payload),
                inner.request.ready.eq(outer.request.ready & ~mine),
            ]
            with m.If(mine):
                m.d.comb += outer.request.payload.address.eq(held.address)
        write = self.sbuf_load.request.payload
        with m.If(writing):
            m.d.comb += [write.data.eq(Cat(held.data for _ in range(lines))), write.mask.eq(1 << (held.address[:1] if lines == 2 else 0))]
        m.d.comb += write.write.eq(1)

        # Reads of the access among the answers of the port, by their age.
        ages = Signal(config.sbuf_latency)
        answer = self.sbuf_store.response
        m.d.sync += [
            ages.eq(Cat(reading & self.sbuf_store.request.ready, ages)),
            access.response.valid.eq(ages[-1] | (writing & self.sbuf_load.request.ready)),
            access.response.data.eq(answer.data[:width]),
        ]
        m.d.comb += [self.store.response.valid.eq(answer.valid & ~ages[-1]), self.store.response.data.eq(answer.data)]
        return m
