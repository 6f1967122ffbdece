"""The read multiplexer: the four fetchers and the load DMA share one AXI read channel."""

from functools import reduce
from operator import or_
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

    A fetcher that asked in the cycle before goes before the DMA; among themselves the fetchers take turns (round robin). A fetcher asks only for
    as many instructions as its queue holds, so the DMA is not starved. The grant is per request and a flip-flop: a fetcher that asks is granted
    in the next cycle at the earliest and then until it is served, so it must hold its request; the DMA is granted while no fetcher is. Beats of
    different IDs may be interleaved. Readers must accept their beats in bounded time: a beat that waits holds up those behind it.

    Latency: a request is at `request` in the cycle after its transfer, which for the DMA may be in the cycle it asks, for a fetcher in the next;
    beats pass combinationally. Throughput: one request and one beat a cycle, of the DMA alone or of several fetchers; a fetcher's next request
    is two cycles after the one before. Timing: the readers' ready is two gates behind flip-flops and `request.ready`. Reset drops the request that waits.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    ports : In(ReadPort).array(5)
    request : Out(stream of {id, address, length})
    response : In(stream of {id, data, resp, last})
        A beat whose ID is no reader's is taken and dropped.
    granted : Out(5)
        The reader whose request passes in this cycle if there is room: one-hot. For proofs.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        super().__init__(
            {
                "ports": In(ReadPort(config)).array(READERS),
                "request": Out(stream.Signature(TaggedRequest(config))),
                "response": In(stream.Signature(TaggedBeat(config))),
                "granted": Out(READERS, init=1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        fetchers = READERS - 1
        granted, requests = self.granted, [port.request for port in self.ports]
        asking, after, turn = Signal(fetchers), Signal(fetchers), Signal(fetchers)
        candidates, is_free = Signal(fetchers), Signal()
        m.d.comb += [
            # The one that is granted is served in the cycle in which another may be.
            asking.eq(Cat(request.valid for request in requests[1:]) & ~granted[1:]),
            # `after` has a bit for every fetcher behind the one granted last; the first of those that ask is next, else the first of all.
            candidates.eq(Mux((asking & after) != 0, asking & after, asking)),
            turn.eq(candidates & (~candidates + 1)[:fetchers]),
            is_free.eq(~self.request.valid | self.request.ready),
        ]
        with m.If(granted[0] | is_free):
            m.d.sync += granted.eq(Cat(asking == 0, turn))
            with m.If(asking != 0):
                m.d.sync += after.eq(~(turn | (turn - 1)[:fetchers]))
        m.d.comb += [request.ready.eq(granted[index] & is_free) for index, request in enumerate(requests)]
        payload = self.request.payload
        with m.If(is_free):
            m.d.sync += [
                self.request.valid.eq((Cat(request.valid for request in requests) & granted) != 0),
                payload.id.eq(reduce(or_, (Mux(granted[index], index, 0) for index in range(READERS)))),
            ]
            for name in ("address", "length"):
                m.d.sync += payload[name].eq(
                    reduce(or_, (Mux(granted[index], request.payload[name], 0) for index, request in enumerate(requests)))
                )

        beat = self.response
        m.d.comb += beat.ready.eq(1)
        for index, port in enumerate(self.ports):
            m.d.comb += [port.response.payload[name].eq(beat.payload[name]) for name in ("data", "resp", "last")]
            with m.If(beat.payload.id == index):
                m.d.comb += [port.response.valid.eq(beat.valid), beat.ready.eq(port.response.ready)]
        return m
