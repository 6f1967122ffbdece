"""The router, its place in the mesh being any: a watched flit leaves once, unchanged, in its turn, by the port and with the next route of the
routing function; packets never mix; credits are respected.

Every flit a router may get is one its neighbours may send: legal turns are assumed of what comes in and asserted of what goes out, so they
hold all over a mesh, by induction over hops.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring

from hw.common.noc import NocConfig
from hw.noc.flit import Port
from hw.noc.router import Router
from hw.noc.routing import routing_function

from .noc_arbiters import one_hot
from .noc_links import narrow
from .runner import Proof


class Model:
    """The routing function of `config` as a table in hardware, made from its plain model."""

    def __init__(self, config: NocConfig) -> None:
        self.config, self._routing = config, routing_function(config)

    def route(self, m: Module, name: str, *, x: Value, y: Value, dst_x: Value, dst_y: Value, vc_class: int = 0) -> Signal:
        """Mask of ports at (x, y) for (dst_x, dst_y); 0 where one of them is no node."""
        config = self.config
        route = Signal(len(Port), name=name)
        nodes = list(product(range(config.mesh_x), range(config.mesh_y)))
        with m.Switch(Cat(_wide(x, config.x_bits), _wide(y, config.y_bits), _wide(dst_x, config.x_bits), _wide(dst_y, config.y_bits))):
            for at, dst in product(nodes, nodes):
                key, shift = 0, 0
                for value, bits in zip((*at, *dst), (config.x_bits, config.y_bits) * 2, strict=True):
                    key, shift = key | value << shift, shift + bits
                with m.Case(key):
                    m.d.comb += route.eq(sum(1 << port for port in self._routing.next_ports(at, dst, vc_class)))
        return route

    def allowed(self, port: Port, vc_class: int = 0) -> int:
        """Mask of the ports a flit that came in by `port` may leave by."""
        return sum(1 << out for out in self._routing.outputs(port, vc_class))


def _wide(value: Value, bits: int) -> Value:
    return Value.cast(value)[:bits]


class Surroundings:
    """A router and everything around it: neighbours that respect credits, frame packets, and send what may come that way.

    Attributes
    ----------
    here : (x, y), constant, any node
    left : credits the upstream neighbour has, by (port, VC)
    room : credits we have of the downstream neighbour, by (port, VC)
    """

    def __init__(self, m: Module, config: NocConfig, dut: Router, *, single: bool = False) -> None:
        self.config, self.dut, self.model = config, dut, Model(config)
        self._single = single
        self.x, self.y = Signal(config.x_bits), Signal(config.y_bits)
        m.d.comb += [self.x.eq(AnyConst(config.x_bits)), self.y.eq(AnyConst(config.y_bits)), dut.x.eq(self.x), dut.y.eq(self.y)]
        m.d.comb += [Assume(self.x < config.mesh_x), Assume(self.y < config.mesh_y)]
        self.left: dict[tuple[Port, int], Signal] = {}
        self.room: dict[tuple[Port, int], Signal] = {}
        for port in Port:
            self._upstream(m, port)
            self._downstream(m, port)

    def level(self, port: Port, vc: int) -> Value:
        """Flits in a queue of the router, as the neighbour sees it."""
        return (self.config.depth - self.left[port, vc])[: len(self.left[port, vc])]

    def _upstream(self, m: Module, port: Port) -> None:
        config, link = self.config, self.dut.i[port]
        hop = link.hop
        m.d.comb += Value.cast(hop).eq(AnySeq(len(Value.cast(hop))))
        route = self.model.route(m, f"legal_{port.name.lower()}", x=self.x, y=self.y, dst_x=hop.flit.dst_x, dst_y=hop.flit.dst_y)
        m.d.comb += Assume(~hop.valid | ((hop.flit.route == route) & (route & self.model.allowed(port)).any()))
        if self._single:
            m.d.comb += Assume(hop.flit.tail)
        for vc in range(config.vcs):
            self.left[port, vc] = left = Signal(range(config.depth + 1), init=config.depth, name=f"left_{port.name.lower()}{vc}")
            arrives = Signal(name=f"arrives_{port.name.lower()}{vc}")
            m.d.comb += [arrives.eq(hop.valid & (hop.vc == vc)), Assume(~arrives | (left != 0))]
            m.d.comb += Assert(~link.credit[vc] | (left != config.depth))
            m.d.sync += left.eq(left - arrives + link.credit[vc])
            queue = self.dut.inputs[port].queues[vc]
            m.d.comb += [Assert(queue.level == self.level(port, vc)), Assert(queue.valid == (queue.level != 0))]
            m.d.comb += Assert((queue.consume + queue.level - queue.produce) % config.depth == 0)
            # The flits of a packet go to one place.
            under_way, there = (
                Signal(name=f"coming_{port.name.lower()}{vc}"),
                Signal(config.x_bits + config.y_bits, name=f"to_{port.name.lower()}{vc}"),
            )
            destination = Cat(hop.flit.dst_x, hop.flit.dst_y)
            with m.If(arrives):
                m.d.sync += [under_way.eq(~hop.flit.tail), there.eq(destination)]
            m.d.comb += Assume(~arrives | ~under_way | (destination == there))
        m.d.comb += Assume(~hop.valid | (hop.vc < config.vcs))

    def _downstream(self, m: Module, port: Port) -> None:
        config, link = self.config, self.dut.o[port]
        m.d.comb += [link.credit.eq(AnySeq(config.vcs)), link.up.eq(AnySeq(1))]
        for vc in range(config.vcs):
            self.room[port, vc] = room = Signal(range(config.depth + 1), init=config.depth, name=f"room_{port.name.lower()}{vc}")
            goes = Signal(name=f"goes_{port.name.lower()}{vc}")
            m.d.comb += [goes.eq(link.hop.valid & (link.hop.vc == vc)), Assume(~link.credit[vc] | (room != config.depth))]
            m.d.comb += Assert(~goes | ((room != 0) & link.up))
            m.d.sync += room.eq(room - goes + link.credit[vc])
            m.d.comb += Assert(self.dut.outputs[port].credits[vc] == room)


class WatchSpec(wiring.Component):
    """One flit, any one of any queue, from its arrival to its departure."""

    def __init__(self, *, config: NocConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.dut = dut = Router(config=config)
        around = Surroundings(m, config, dut)
        queues = [(port, vc) for port in Port for vc in range(config.vcs)]
        which, watch = Signal(range(len(queues))), Signal()
        m.d.comb += [which.eq(AnyConst(len(which))), watch.eq(AnySeq(1)), Assume(which < len(queues))]
        asks = Signal()
        arrives, leaves, level, flit = Signal(), Signal(), Signal(range(config.depth + 1)), Signal.like(Value.cast(dut.i[0].hop.flit))
        with m.Switch(which):
            for index, (port, vc) in enumerate(queues):
                hop, ways = dut.i[port].hop, dut.inputs[port].ways
                with m.Case(index):
                    m.d.comb += asks.eq(Cat(dut.inputs[port].requests[way] for way, (of, _) in enumerate(ways) if of == vc).any())
                    m.d.comb += [arrives.eq(hop.valid & (hop.vc == vc)), leaves.eq(dut.i[port].credit[vc])]
                    m.d.comb += [level.eq(around.level(port, vc)), flit.eq(hop.flit)]
        watching, ahead, kept = Signal(), Signal.like(level), Signal(dut.i[0].hop.flit.shape())
        gone = Signal()
        m.d.comb += gone.eq(watching & leaves & (ahead == 0))
        with m.If(watching & leaves):
            m.d.sync += [watching.eq(ahead != 0), ahead.eq(Mux(ahead != 0, ahead - 1, 0))]
        with m.If(arrives & watch & ~watching):
            m.d.sync += [watching.eq(1), ahead.eq(level - leaves), Value.cast(kept).eq(flit)]
        # Whoever is first in a queue asks, until it leaves.
        m.d.comb += [Assert(~watching | (ahead < level)), Assert(~watching | (ahead != 0) | asks)]
        vcs = Array(Const(vc, config.vc_bits) for _, vc in queues)
        for out in Port:
            self._departure(m, around, out, gone & kept.route[out], kept, vcs[which])
        # As many go as leave: nothing appears from nowhere and nothing goes twice.
        went = [dut.o[port].hop.valid for port in Port]
        left = [bit for port in Port for bit in dut.i[port].credit]
        m.d.comb += [Assert(sum(went) == sum(left)), Assert(~gone | (one_hot(kept.route) & kept.route.any()))]
        m.d.comb += [Cover(gone & (which == index)) for index in (0, len(queues) - 1)]
        m.d.comb += [Cover(Cat(went).all()), Cover(gone & ~kept.tail & kept.route[Port.WEST])]
        return m

    def _departure(self, m: Module, around: Surroundings, out: Port, gone: Value, kept: Any, vc: Value) -> None:
        """The watched flit, which `gone` says leaves by `out` now, is there as it came; its route is that of the routing function there."""
        config, hop = self._config, around.dut.o[out].hop
        dx, dy = out.step
        next_x, next_y = (around.x + dx)[: config.x_bits], (around.y + dy)[: config.y_bits]
        same = [hop.flit[name] == kept[name] for name in kept.shape().members if name != "route"]
        m.d.comb += Assert(~gone | (hop.valid & (hop.vc == vc) & Cat(same).all()))
        if out is Port.LOCAL:
            m.d.comb += Assert(~gone | ((kept.dst_x == around.x) & (kept.dst_y == around.y)))
            return
        route = around.model.route(m, f"next_{out.name.lower()}", x=next_x, y=next_y, dst_x=kept.dst_x, dst_y=kept.dst_y)
        into = out.opposite
        m.d.comb += [
            Assert(~gone | (hop.flit.route == route)),
            # What the neighbour assumes of what comes to it: a legal turn, and none back.
            Assert(~gone | (hop.flit.route & around.model.allowed(into)).any()),
            Assert(~gone | ~hop.flit.route[into]),
        ]


class MixSpec(wiring.Component):
    """On each VC of each output, flits of one packet follow one another: between a head and its tail all come from one queue."""

    def __init__(self, *, config: NocConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.dut = dut = Router(config=config)
        Surroundings(m, config, dut)
        for out in Port:
            output, hop = dut.outputs[out], dut.o[out].hop
            m.d.comb += [Assert(one_hot(output.grants)), Assert(output.grants.any() == hop.valid)]
            for vc in range(config.vcs):
                places = [index for index, (of, _) in enumerate(output.inputs) if of == vc]
                grants = Cat(output.grants[index] for index in places)
                under_way, source = (
                    Signal(name=f"under_way_{out.name.lower()}{vc}"),
                    Signal(len(places), name=f"source_{out.name.lower()}{vc}"),
                )
                with m.If(grants.any()):
                    m.d.sync += [under_way.eq(~hop.flit.tail), source.eq(grants)]
                m.d.comb += [
                    Assert(~grants.any() | (hop.vc == vc)),
                    Assert(~grants.any() | ~under_way | (grants == source)),
                    Assert(dut.outputs[out].locked[vc] == under_way),
                    Cover(under_way & source[-1] & grants.any() & hop.flit.tail),
                ]
        return m


_SMALL = NocConfig(mesh_x=3, mesh_y=3, vcs=1, depth=2, arbitration="round_robin")
#: By the number of VCs.
CONFIGS = {"v1": _SMALL, "v2": replace(_SMALL, vcs=2)}

PROOFS = (
    *(
        Proof(
            name=f"noc_routers.watch_{name}",
            doc="router: a watched flit leaves once, unchanged, in its turn, by the port and with the next route of the routing function; credits",
            spec=partial(lambda config: WatchSpec(config=narrow(config)), config),
            engine="abc pdr",
            cover_depth=6,
        )
        for name, config in CONFIGS.items()
    ),
    *(
        Proof(
            name=f"noc_routers.mix_{name}",
            doc="router: between the head and the tail of a packet no other flit goes on its VC of an output",
            spec=partial(lambda config: MixSpec(config=narrow(config)), config),
            engine="abc pdr",
            cover_depth=6,
        )
        for name, config in CONFIGS.items()
    ),
)
