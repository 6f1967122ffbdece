"""The burst tracker: puts bursts on an AXI address channel and remembers those in flight."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.streams import Fifo, Stage, connect_streams
from .axi import BurstRequest
from .bursts import Burst


class BurstTracker(wiring.Component):
    """Holds each burst stable on the address channel until it is taken, and in a queue until its owner has seen its answer.

    At most `dma_outstanding` bursts are in flight, those that wait for the address channel (two at most) included. `i` need not hold: what is
    offered and withdrawn before ready leaves no trace, so an owner may close a gate before it at any time.

    Latency: a burst is on `request` and in the queue in the cycle after its transfer at `i`, unless another waits. Throughput: one burst a cycle
    while fewer than `dma_outstanding` are in flight. `request` comes from flip-flops, `i.ready` from gates behind them. Reset forgets everything
    (only together with the bus).

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
        Bursts in flight, those that wait for the address channel included.
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
        m.submodules.requests = requests = Stage(shape=self.request.payload.shape())
        connect_streams(m, requests.o, wiring.flipped(self).request)
        m.d.comb += [
            self.in_flight.eq(flights.level),
            self.i.ready.eq(requests.i.ready & flights.i.ready),
            flights.i.valid.eq(self.i.valid & requests.i.ready),
            requests.i.valid.eq(self.i.valid & flights.i.ready),
            flights.i.payload.address.eq(self.i.payload.address),
            flights.i.payload.last.eq(self.i.payload.last),
            requests.i.payload.address.eq(self.i.payload.address),
            requests.i.payload.length.eq(self.i.payload.length),
        ]
        return m
