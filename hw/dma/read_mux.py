"""The read multiplexer: the four fetchers and the load DMA share one AXI read channel."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import ENGINES
from .axi import ReadPort, TaggedBeat, TaggedRequest

#: Readers: 0 is the load DMA, 1 + engine index the fetchers.
READERS = 1 + len(ENGINES)


class ReadMux(wiring.Component):
    """Merges the requests of the readers and routes the beats back by ID.

    A request of a fetcher goes before one of the DMA; among themselves the fetchers take turns (round robin). A fetcher asks only for as
    many instructions as its queue holds, so the DMA is not starved. The grant is per request. Beats of different IDs may be interleaved.
    Readers must accept their beats in bounded time: a beat that waits holds up those behind it.

    Latency: a request is at `request` in the cycle after its transfer; beats pass combinationally. Throughput: one request and one beat a
    cycle. Reset drops the request that waits.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    ports : In(ReadPort).array(5)
    request : Out(stream of {id, address, length})
    response : In(stream of {id, data, resp, last})
        A beat whose ID is no reader's is taken and dropped.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        super().__init__(
            {
                "ports": In(ReadPort(config)).array(READERS),
                "request": Out(stream.Signature(TaggedRequest(config))),
                "response": In(stream.Signature(TaggedBeat(config))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        fetchers = READERS - 1
        asking, after, turn = Signal(fetchers), Signal(fetchers), Signal(fetchers)
        grant, is_free = Signal(READERS), Signal()
        # `after` has a bit for every fetcher behind the one served last; the first of those that ask is next, else the first of all.
        candidates = Signal(fetchers)
        m.d.comb += [
            asking.eq(Cat(port.request.valid for port in self.ports[1:])),
            candidates.eq(Mux((asking & after) != 0, asking & after, asking)),
            turn.eq(candidates & (~candidates + 1)[:fetchers]),
            grant.eq(Cat(self.ports[0].request.valid & (asking == 0), turn)),
            is_free.eq(~self.request.valid | self.request.ready),
        ]
        with m.If(is_free):
            m.d.sync += self.request.valid.eq(grant != 0)
            with m.If(turn != 0):
                m.d.sync += after.eq(~(turn | (turn - 1)[:fetchers]))
        payload = self.request.payload
        for index, port in enumerate(self.ports):
            m.d.comb += port.request.ready.eq(grant[index] & is_free)
            with m.If(is_free & grant[index]):
                m.d.sync += payload.id.eq(index)
                m.d.sync += [payload[name].eq(port.request.payload[name]) for name in ("address", "length")]

        beat = self.response
        m.d.comb += beat.ready.eq(1)
        for index, port in enumerate(self.ports):
            m.d.comb += [port.response.payload[name].eq(beat.payload[name]) for name in ("data", "resp", "last")]
            with m.If(beat.payload.id == index):
                m.d.comb += [port.response.valid.eq(beat.valid), beat.ready.eq(port.response.ready)]
        return m
