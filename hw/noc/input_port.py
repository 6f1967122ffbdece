"""An input port: the queues of its VCs, and the routes of their heads at the next router."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .adaptive_choice import AdaptiveChoice, room_layout
from .connections import Connections
from .flit import Port, flit_layout
from .link import LinkSignature
from .routing.base import Hop, When
from .vc_queue import VcQueue


def place_layout(config: NocConfig) -> data.StructLayout:
    """Where a router is: its coordinates, those of its neighbours, and which of its outgoing links (bit order of `Port`) cross a dateline."""
    x, y = config.x_bits, config.y_bits
    return data.StructLayout({"x": x, "y": y, "east": x, "west": x, "north": y, "south": y, "dateline": 4})


class InputPort(wiring.Component):
    """Takes flits from a link into the queue of their VC; each queue asks the output its head's route names.

    While the head waits, its route at the next router is worked out from its destination (lookahead), so that the next router need not.
    Latency: 1 cycle from `link.hop` to `requests` (the queue is the link register). Throughput: a flit in a cycle, a flit out a cycle from
    each queue. A credit goes back in the cycle a flit leaves. Reset empties the queues.

    Parameters
    ----------
    config : NocConfig
    port : Port

    Members
    -------
    link : In(LinkSignature)
    place : In(place_layout)
    room : In(room_layout)
        What the outputs have room for; where routing is adaptive.
    requests, grants : Out, In, a bit for each of `ways`
        A queue asks for a VC of an output; its flit goes now.
    flits : Out(flit_layout), for each VC
        The head, as it came.
    routes : Out(5), for each of `ways`
        Its route at the next router if it goes this way.
    stamps : Out(age_bits), for each VC
        Creation stamp of the head; where `arbitration` is `age`.
    valid : Out(vcs)
        The queue holds a flit.
    """

    def __init__(self, *, config: NocConfig, port: Port) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self._config, self._port = config, port
        self._connections = connections = Connections(config)
        #: (VC, hop) in the order of `requests`.
        self.ways = [(vc, hop) for vc in range(config.vcs) for hop in connections.hops[port, vc]]
        members = {
            "link": In(LinkSignature(config)),
            "place": In(place_layout(config)),
            "requests": Out(len(self.ways)),
            "grants": In(len(self.ways)),
            "flits": Out(flit_layout(config)).array(config.vcs),
            "routes": Out(len(Port)).array(len(self.ways)),
            "valid": Out(config.vcs),
        }
        if config.stamp_bits:
            members["stamps"] = Out(config.stamp_bits).array(config.vcs)
        if config.routing == "adaptive":
            members["room"] = In(room_layout(config))
        super().__init__(members)
        #: The queues, by VC. Public for proofs.
        self.queues = [VcQueue(config=config) for _ in range(config.vcs)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.link.up.eq(1)
        for vc, queue in enumerate(self.queues):
            m.submodules[f"queue{vc}"] = queue
            first = next(index for index, (of, _) in enumerate(self.ways) if of == vc)
            hops = self._connections.hops[self._port, vc]
            grants = self.grants[first : first + len(hops)]
            m.d.comb += [
                queue.arrive.eq(self.link.hop.valid & (self.link.hop.vc == vc if self._config.vcs > 1 else 1)),
                queue.flit.eq(self.link.hop.flit),
                queue.leave.eq(grants.any()),
                self.link.credit[vc].eq(queue.leave),
                self.valid[vc].eq(queue.valid),
            ]
            if self._config.stamp_bits:
                m.d.comb += self.stamps[vc].eq(queue.head.stamp)
            selected = self._select(m, vc, queue)
            m.d.comb += [
                self.requests[first : first + len(hops)].eq(Cat(*selected)),
                self.flits[vc].eq(queue.head),
            ]
            for way, hop in enumerate(hops, first):
                m.d.comb += self.routes[way].eq(self._lookahead(m, hop, queue))
        return m

    def _select(self, m: Module, vc: int, queue: VcQueue) -> list[Value]:
        """A bit for each hop of `vc`: the one the head is to take."""
        hops = self._connections.hops[self._port, vc]
        if self._connections.routing.chooses(vc):
            m.submodules[f"choice{vc}"] = choice = AdaptiveChoice(config=self._config, port=self._port, hops=hops)
            m.d.comb += [choice.valid.eq(queue.valid), choice.leave.eq(queue.leave), choice.head.eq(queue.head), choice.room.eq(self.room)]
            return list(choice.selected)
        bits: list[Value] = []
        for hop in hops:
            bit = queue.head.route[hop.port]
            if hop.when is When.DATELINE:
                bit &= self.place.dateline[hop.port]
            elif hop.when is When.NO_DATELINE:
                bit &= ~self.place.dateline[hop.port]
            bits.append(bit)
        return bits

    def _lookahead(self, m: Module, hop: Hop, queue: VcQueue) -> Value:
        """Route of the head at the next router if it goes by `hop`; 0 where that is out of the mesh."""
        if hop.port is Port.LOCAL:
            return Const(0, len(Port))
        place = self.place
        x = {Port.EAST: place.east, Port.WEST: place.west}.get(hop.port, place.x)
        y = {Port.NORTH: place.north, Port.SOUTH: place.south}.get(hop.port, place.y)
        return self._connections.routing.step(
            m, out=hop.port, x=x, y=y, dst_x=queue.head.dst_x, dst_y=queue.head.dst_y, vc_class=self._config.vc_class(hop.vc)
        )
