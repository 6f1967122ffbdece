"""The injector: every word of its streams becomes one flit, on the VC and with the route of the routing function, and a packet keeps its VC."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Array, Assert, Assume, Cat, Cover, Module, Signal, Value
from amaranth.lib import wiring

from hw.common.noc import NocConfig
from hw.noc.injector import Injector

from .noc_arbiters import one_hot
from .noc_links import narrow
from .noc_routers import Model
from .rules import held
from .runner import Proof


class InjectorSpec(wiring.Component):
    """Streams that keep their rules, whose packets go to one node each, and a router that gives back no more credits than it got flits."""

    def __init__(self, *, config: NocConfig) -> None:
        self._config = config
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.dut = dut = Injector(config=config)
        self._x, self._y = Signal(config.x_bits), Signal(config.y_bits)
        m.d.comb += [self._x.eq(AnyConst(config.x_bits)), self._y.eq(AnyConst(config.y_bits)), dut.x.eq(self._x), dut.y.eq(self._y)]
        m.d.comb += [Assume(self._x < config.mesh_x), Assume(self._y < config.mesh_y)]
        if config.stamp_bits:
            m.d.comb += dut.now.eq(AnySeq(config.stamp_bits))
        room = self._router(m, dut)
        goes = Cat(stream.valid & stream.ready for stream in dut.i)
        hop = dut.o.hop
        m.d.comb += [
            Assert(hop.valid == goes.any()),
            Assert(one_hot(goes)),
            Assert(~Cat(stream.ready for stream in dut.i).any() | goes.any()),
        ]
        could = [self._network(m, dut, network, goes[network], room) for network in range(config.virtual_networks)]
        # What could go does, unless another network goes.
        m.d.comb += Assert(~(Cat(could).any() & dut.o.up) | hop.valid)
        return m

    def _router(self, m: Module, dut: Injector) -> list[Signal]:
        """Credits the router owes, and the check that none is overdrawn."""
        config, link = self._config, dut.o
        m.d.comb += [
            link.credit.eq(AnySeq(config.vcs)),
            link.up.eq(AnySeq(1)),
            Assert(~link.hop.valid | (link.up & (link.hop.vc < config.vcs))),
        ]
        rooms = []
        for vc in range(config.vcs):
            room = Signal(range(config.depth + 1), init=config.depth, name=f"room{vc}")
            goes = Signal(name=f"goes{vc}")
            m.d.comb += [goes.eq(link.hop.valid & (link.hop.vc == vc)), Assume(~link.credit[vc] | (room != config.depth))]
            m.d.comb += [Assert(~goes | (room != 0)), Cover((room == 0) & link.credit[vc])]
            m.d.sync += room.eq(room - goes + link.credit[vc])
            rooms.append(room)
        return rooms

    def _network(self, m: Module, dut: Injector, network: int, goes: Value, rooms: list[Signal]) -> Value:
        """The flits of one virtual network; returns whether its flit could go."""
        config, stream, hop = self._config, dut.i[network], dut.o.hop
        payload = stream.payload
        m.d.comb += [stream.valid.eq(AnySeq(1)), Value.cast(payload).eq(AnySeq(len(Value.cast(payload))))]
        held(m, stream, name=f"offer{network}", rule=Assume)
        same = ("dst_x", "dst_y", "service", "ordered", *(("stamped", "stamp") if config.stamp_bits else ()))
        packet = Cat(Value.cast(payload[name]) for name in same)
        inside, kept, kept_vc = (
            Signal(name=f"inside{network}"),
            Signal(len(packet), name=f"packet{network}"),
            Signal(config.vc_bits, name=f"of{network}"),
        )
        with m.If(goes):
            m.d.sync += [inside.eq(~payload.tail), kept.eq(packet), kept_vc.eq(hop.vc)]
        route = Model(config).route(m, f"route{network}", x=self._x, y=self._y, dst_x=payload.dst_x, dst_y=payload.dst_y)
        # One class, so the lane alone chooses the VC.
        lane = payload.service if config.qos else (payload.dst_x + payload.dst_y) % config.lanes
        expected = Signal(config.vc_bits, name=f"expected{network}")
        m.d.comb += expected.eq(network * config.network_vcs + lane)
        m.d.comb += [
            Assume(~stream.valid | ((payload.dst_x < config.mesh_x) & (payload.dst_y < config.mesh_y))),
            Assume(~stream.valid | ~inside | (packet == kept)),
            Assert(~goes | (hop.vc == expected)),
            Assert(~goes | ~inside | (hop.vc == kept_vc)),
            Assert(~goes | (hop.flit.route == route)),
            Assert(~goes | Cat(hop.flit[name] == payload[name] for name in ("payload", "tail", "dst_x", "dst_y")).all()),
            Cover(goes & inside & payload.tail),
            Cover(goes & ~inside & (hop.vc == (network + 1) * config.network_vcs - 1)),
        ]
        if config.stamp_bits:
            self._stamps(m, dut, network, goes, inside)
        return stream.valid & (Array(rooms)[expected] != 0)

    def _stamps(self, m: Module, dut: Injector, network: int, goes: Value, inside: Value) -> None:
        """A packet bears one stamp: the one it brings, or the time its head was first offered."""
        stream, stamp = dut.i[network], dut.o.hop.flit.stamp
        offered, since = Signal(name=f"offered{network}"), Signal(self._config.stamp_bits, name=f"since{network}")
        birth = Signal(self._config.stamp_bits, name=f"birth{network}")
        with m.If(stream.valid):
            m.d.sync += [offered.eq(~(goes & stream.payload.tail)), since.eq(birth)]
        with m.If(offered):
            m.d.comb += birth.eq(since)
        with m.Else():
            m.d.comb += birth.eq(dut.now)
        m.d.comb += [
            Assert(~goes | ~stream.payload.stamped | (stamp == stream.payload.stamp)),
            Assert(~goes | stream.payload.stamped | (stamp == birth)),
            Cover(goes & inside & ~stream.payload.stamped & (stamp != dut.now)),
        ]


_ONE = NocConfig(mesh_x=3, mesh_y=3, vcs=1, depth=2, arbitration="round_robin")
_CONFIGS = {
    "v1": _ONE,
    "age": replace(_ONE, vcs=2, arbitration="age", age_bits=3),
    "networks": replace(_ONE, vcs=4, virtual_networks=2),
    "qos": replace(_ONE, vcs=4, qos=True),
}

PROOFS = tuple(
    Proof(
        name=f"noc_injectors.{name}",
        doc="injector: a flit for each word taken, unchanged, on the VC and route of the routing function; a packet keeps VC and stamp; credits",
        spec=partial(lambda config: InjectorSpec(config=narrow(config)), config),
        engine="abc pdr",
        cover_depth=8,
    )
    for name, config in _CONFIGS.items()
)
