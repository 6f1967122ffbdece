"""The burst tracker: puts bursts on an AXI address channel and remembers those in flight."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.streams import Fifo
from .axi import BurstRequest
from .bursts import Burst


class BurstTracker(wiring.Component):
    """Holds each burst stable on the address channel until it is taken, and in a queue until its owner has seen its answer.

    At most `dma_outstanding` bursts are in flight, the one on the address channel included. `i` need not hold: what is offered and
    withdrawn before ready leaves no trace, so an owner may close a gate before it at any time.

    Latency: a burst is on `request` and in the queue in the cycle after its transfer at `i`. Throughput: one burst a cycle while fewer than
    `dma_outstanding` are in flight. Reset forgets everything (only together with the bus).

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i : In(stream of Burst)
    request : Out(stream of BurstRequest)
        The AXI address channel.
    oldest : Out(stream of {address, last})
        The oldest burst in flight; its owner takes it with the last beat or response.
    in_flight : Out(range(dma_outstanding + 1))
        Bursts in flight, the one on the address channel included.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        self._flight = data.StructLayout({"address": config.axi_address_width, "last": 1})
        super().__init__(
            {
                "i": In(stream.Signature(Burst(config))),
                "request": Out(stream.Signature(BurstRequest(config))),
                "oldest": Out(stream.Signature(self._flight)),
                "in_flight": Out(range(config.dma_outstanding + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.flights = flights = Fifo(shape=self._flight, depth=self._config.dma_outstanding)
        wiring.connect(m, flights.o, wiring.flipped(self.oldest))
        is_free = Signal()
        m.d.comb += [
            self.in_flight.eq(flights.level),
            is_free.eq(~self.request.valid | self.request.ready),
            self.i.ready.eq(is_free & flights.i.ready),
            flights.i.valid.eq(self.i.valid & is_free),
            flights.i.payload.address.eq(self.i.payload.address),
            flights.i.payload.last.eq(self.i.payload.last),
        ]
        request = self.request
        with m.If(is_free):
            m.d.sync += request.valid.eq(self.i.valid & flights.i.ready)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [request.payload.address.eq(self.i.payload.address), request.payload.length.eq(self.i.payload.length)]
        return m
