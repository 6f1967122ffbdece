"""A whole mesh of 2 x 2 routers: packets arrive where they are addressed, and never do all stand still."""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Const, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring

from hw.common.noc import NocConfig
from hw.noc.flit import Port
from hw.noc.mesh import Mesh
from hw.noc.router import Router
from hw.noc.topology import neighbour

from .noc_arbiters import one_hot, total
from .noc_links import narrow, opened
from .noc_routers import Model
from .runner import Proof


class ProgressSpec(wiring.Component):
    """Sources send any packets at any time; sinks give credits back at any time.

    The property: in every state that can be reached, if a flit is inside, no source is in the middle of a packet, and every sink has room, then a
    flit moves in this very cycle. As every move brings a flit one hop nearer, and paths are shortest, all flits inside are delivered within as
    many cycles as the hops that are left to them: no deadlock, no livelock.
    """

    def __init__(self, *, config: NocConfig) -> None:
        self._config = config
        self._dut = Mesh(config=config)
        self._ends: dict[tuple[int, Port, int], tuple[_End, _End]] = {}
        self._sources: dict[tuple[int, int], tuple[Signal, Signal, Signal]] = {}
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, dut = self._config, self._dut
        m.submodules.dut = dut
        self._model = Model(config)
        idle, room, gone = [], [], []
        for node in range(config.nodes):
            idle.append(self._source(m, node))
            room.append(self._sink(m, node))
            gone.append(dut.o[node].hop.valid)
        # Whether anything is inside is seen in the queues: that they lose nothing is proved of each router and link.
        levels = [queue.level for router in dut.routers for port in router.inputs for queue in port.queues]
        inside = Cat(level != 0 for level in levels).any()
        moves = Cat(router.i[port].credit for router in dut.routers for port in Port).any()
        m.d.comb += [
            Assert(~(inside & Cat(idle).all() & Cat(room).all()) | moves),
            Cover(inside & Cat(idle).all() & Cat(room).all() & ~Cat(gone).any()),
            Cover(inside & Cat(idle).all() & ~moves),
        ]
        for node in range(config.nodes):
            for port in Port:
                self._link(m, node, port)
        for node, port, vc in self._ends:
            self._invariants(m, node, port, vc)
        for router in dut.routers:
            for output in router.outputs:
                parts = opened(output)
                for vc in output.sources:
                    counter = getattr(parts, f"credits{vc}")
                    m.d.comb += [Assert(counter.available == (counter.count != 0)), Assert(counter.count <= config.depth)]
                for arbiter in output.arbiters.values():
                    inputs = len(arbiter.requests)
                    m.d.comb += [Assert(one_hot(arbiter.owner)), Assert(arbiter.owner.any() == arbiter.locked)]
                    m.d.comb += Assert(arbiter.locked | arbiter.may.all())
                    m.d.comb += Assert(total(opened(arbiter).order.senior, inputs))
        return m

    def _at(self, node: int) -> tuple[int, int]:
        return node % self._config.mesh_x, node // self._config.mesh_x

    def _source(self, m: Module, node: int) -> Value:
        """A source that respects credits and frames packets; returns whether it is between packets."""
        config, link = self._config, self._dut.i[node]
        hop, (x, y) = link.hop, self._at(node)
        m.d.comb += Value.cast(hop).eq(AnySeq(len(Value.cast(hop))))
        route = self._model.route(
            m, f"route{node}", x=Const(x, config.x_bits), y=Const(y, config.y_bits), dst_x=hop.flit.dst_x, dst_y=hop.flit.dst_y
        )
        m.d.comb += Assume(~hop.valid | ((hop.flit.route == route) & route.any() & (hop.vc < config.vcs)))
        idle = []
        for vc in range(config.vcs):
            left, there = (
                Signal(range(config.depth + 1), init=config.depth, name=f"left{node}_{vc}"),
                Signal(config.x_bits + config.y_bits, name=f"to{node}_{vc}"),
            )
            open_, goes = Signal(name=f"open{node}_{vc}"), Signal(name=f"sends{node}_{vc}")
            m.d.comb += [goes.eq(hop.valid & (hop.vc == vc)), Assume(~goes | (left != 0))]
            m.d.comb += Assume(~goes | ~open_ | (there == Cat(hop.flit.dst_x, hop.flit.dst_y)))
            m.d.sync += left.eq(left - goes + link.credit[vc])
            with m.If(goes):
                m.d.sync += [open_.eq(~hop.flit.tail), there.eq(Cat(hop.flit.dst_x, hop.flit.dst_y))]
            idle.append(~open_)
            self._sources[node, vc] = left, open_, there
        return Cat(idle).all()

    def _sink(self, m: Module, node: int) -> Value:
        """A sink that gives back no more credits than it got flits; returns whether it has room on every VC."""
        config, link = self._config, self._dut.o[node]
        x, y = self._at(node)
        m.d.comb += [link.up.eq(1), link.credit.eq(AnySeq(config.vcs))]
        m.d.comb += [
            Assert(~link.hop.valid | ((link.hop.flit.dst_x == x) & (link.hop.flit.dst_y == y))),
            Cover(link.hop.valid & ~link.hop.flit.tail),
        ]
        rooms = []
        for vc in range(config.vcs):
            room, goes = Signal(range(config.depth + 1), init=config.depth, name=f"room{node}_{vc}"), Signal(name=f"taken{node}_{vc}")
            m.d.comb += [goes.eq(link.hop.valid & (link.hop.vc == vc)), Assume(~link.credit[vc] | (room != config.depth))]
            m.d.sync += room.eq(room - goes + link.credit[vc])
            m.d.comb += Assert(self._dut.routers[node].outputs[Port.LOCAL].credits[vc] == room)
            rooms.append(room != 0)
        return Cat(rooms).all()

    def _link(self, m: Module, node: int, port: Port) -> None:
        """Follows the packets through one queue: whether one is under way, and where to, at both of its ends (`came`, `went`)."""
        config, receiver = self._config, self._dut.routers[node]
        if port is not Port.LOCAL and neighbour(config, self._at(node), port) is None:
            for queue in receiver.inputs[port].queues:
                m.d.comb += Assert(~(queue.valid | queue.more | queue.level.any() | queue.head.route.any()))
            for vc in range(config.vcs):
                m.d.comb += Assert(~self._owned(receiver, port, vc).any())
            return
        hop = receiver.i[port].hop
        for vc in range(config.vcs):
            queue = receiver.inputs[port].queues[vc]
            name = f"{node}_{port.name.lower()}{vc}"
            came = _End(m, f"came_{name}", moves=hop.valid & (hop.vc == vc), flit=hop.flit)
            went = _End(m, f"went_{name}", moves=queue.leave, flit=queue.head)
            self._ends[node, port, vc] = came, went

    def _invariants(self, m: Module, node: int, port: Port, vc: int) -> None:
        """What makes the induction close: credits and level add up; a packet under way at one end of a link or queue is under way at the other."""
        config, receiver = self._config, self._dut.routers[node]
        queue, name = receiver.inputs[port].queues[vc], f"{node}_{port.name.lower()}{vc}"
        came, went = self._ends[node, port, vc]
        x, y = (Const(place, bits) for place, bits in zip(self._at(node), (config.x_bits, config.y_bits), strict=True))

        def route(which: str, destination: Value) -> Signal:
            dst_x, dst_y = destination[: config.x_bits], destination[config.x_bits :]
            return self._model.route(m, f"{which}_{name}", x=x, y=y, dst_x=dst_x, dst_y=dst_y)

        head = queue.head
        destination = Cat(head.dst_x, head.dst_y)
        # The place behind the head.
        second = opened(queue).storage.read_port(domain="comb")
        m.d.comb += second.addr.eq(queue.consume + 1)
        m.d.comb += [
            Assert(queue.valid == (queue.level != 0)),
            Assert((queue.consume + queue.level - queue.produce) % config.depth == 0),
            Assert(self._owned(receiver, port, vc) == Mux(went.open, route("locked", went.to), 0)),
            Assert(queue.valid | ((came.open == went.open) & (~went.open | (came.to == went.to)))),
            Assert(~queue.valid | ~went.open | (destination == went.to)),
            Assert(~queue.valid | (head.route == route("head", destination))),
            Assert(~queue.valid | (head.route & self._model.allowed(port)).any()),
            Assert((queue.level != 1) | ((came.open == ~head.tail) & (came.to == destination))),
            Assert((queue.level != 2) | head.tail | (came.to == destination)),
            Assert(queue.more == (queue.level == 2)),
            Assert(queue.valid | ~head.route.any()),
            Assert(~queue.more | ((queue.second.tail != came.open) & (queue.second.route == route("second", came.to)))),
            Assert((queue.level != 2) | (came.to == Cat(second.data.dst_x, second.data.dst_y))),
            Assert((queue.level != 2) | (route("last", came.to) & self._model.allowed(port)).any()),
        ]
        if port is Port.LOCAL:
            left, open_, to = self._sources[node, vc]
            m.d.comb += [Assert(left + queue.level == config.depth), Assert(open_ == came.open), Assert(to == came.to)]
            return
        there = neighbour(config, self._at(node), port)
        assert there is not None
        before = there[1] * config.mesh_x + there[0]
        sender = self._dut.routers[before].outputs[port.opposite]
        m.d.comb += [Assert(sender.credits[vc] + queue.level == config.depth), Assert(sender.locked[vc] == came.open)]
        for index, (source, source_vc) in enumerate(sender.sources[vc]):
            ends = self._ends.get((before, source, source_vc))
            if ends is not None:
                m.d.comb += Assert(~sender.arbiters[vc].owner[index] | (ends[1].to == came.to))

    @staticmethod
    def _owned(router: Router, port: Port, vc: int) -> Value:
        """A bit for each output whose VC a queue has locked."""
        bits = []
        for output in router.outputs:
            sources = output.sources.get(vc, ())
            bits.append(output.arbiters[vc].owner[sources.index((port, vc))] if (port, vc) in sources else Const(0, 1))
        return Cat(bits)


class _End:
    """An end of a queue: whether the last flit that moved there was no tail, and where it was going."""

    def __init__(self, m: Module, name: str, *, moves: Value, flit: Any) -> None:
        destination = Cat(flit.dst_x, flit.dst_y)
        self.open, self.to = Signal(name=f"{name}_open"), Signal(len(destination), name=f"{name}_to")
        with m.If(moves):
            m.d.sync += [self.open.eq(~flit.tail), self.to.eq(destination)]


_MESH = NocConfig(mesh_x=2, mesh_y=2, vcs=1, depth=2, arbitration="round_robin")

PROOFS = (
    Proof(
        name="noc_meshes.progress",
        doc="mesh of 2 x 2: flits arrive where addressed; with whole packets inside and room at the sinks, one moves in every cycle",
        spec=partial(ProgressSpec, config=narrow(_MESH)),
        engine="abc pdr",
        cover_depth=8,
    ),
)
