"""Where flits enter the mesh: VC, first route, creation stamp and credits."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .arbiter import LeastRecentlyServed, MatrixArbiter, chosen
from .credits import CreditCounter
from .flit import flit_layout
from .link import LinkSignature
from .routing import routing_function


def injection_layout(config: NocConfig) -> data.StructLayout:
    """A flit on its way in.

    `dst_x`, `dst_y`, `service` (class of service, used with `qos`), `ordered` and `stamp` are those of the packet: the same on all its
    flits. Packets of one source, destination, virtual network and class of service with `ordered` set arrive in order whatever the routing
    function; without it, functions with more than one path may let them overtake one another. `stamped` says that `stamp` is the packet's
    time of creation; else it is the time its head is first offered.
    """
    fields: dict[str, Any] = {
        "payload": config.payload_bits,
        "tail": 1,
        "dst_x": config.x_bits,
        "dst_y": config.y_bits,
        "service": 2,
        "ordered": 1,
    }
    if config.stamp_bits:
        fields |= {"stamped": 1, "stamp": config.stamp_bits}
    return data.StructLayout(fields)


class Injector(wiring.Component):
    """Feeds the local input of a router from one stream of flits a virtual network; the packets of a network one after the other.

    The head chooses the VC: its class by the routing function, its lane by destination ((x + y) mod lanes: packets for different places
    rarely wait for one another, those for one place stay in order) or by `service` with `qos`. Networks take turns flit by flit, least
    recently served first, among those that have a credit. Latency: 0 cycles from `i` to `o.hop`. Throughput: a flit a cycle. `i.ready`
    depends on `i.valid` of all networks. Errors: none; destinations must be inside the mesh, which the packetiser sees to. Reset: all
    credits here, no packet under way.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    i : streams of injection_layout, one for each virtual network
    x, y : In(x_bits), In(y_bits)
        Where the node is; constant.
    now : In(age_bits)
        The time, in steps of `age_tick`, the same all over the mesh; where `arbitration` is `age`.
    o : Out(LinkSignature)
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self._config = config
        members = {
            "i": In(stream.Signature(injection_layout(config))).array(config.virtual_networks),
            "x": In(config.x_bits),
            "y": In(config.y_bits),
            "o": Out(LinkSignature(config)),
        }
        if config.stamp_bits:
            members["now"] = In(config.stamp_bits)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        networks = range(config.virtual_networks)
        available = Signal(config.vcs)
        hop = self.o.hop
        for vc in range(config.vcs):
            m.submodules[f"credits{vc}"] = counter = CreditCounter(config=config)
            m.d.comb += [
                counter.returned.eq(self.o.credit[vc]),
                counter.spent.eq(hop.valid & (hop.vc == vc)),
                available[vc].eq(counter.available),
            ]
        vcs = [Signal(config.vc_bits, name=f"vc{network}") for network in networks]
        flits = [Signal(flit_layout(config), name=f"flit{network}") for network in networks]
        for network in networks:
            self._packet(m, network, vcs[network], flits[network])
        ready = Cat(self.i[network].valid & Array(available)[vcs[network]] for network in networks)
        turns = Signal(len(networks))
        m.submodules.arbiter = arbiter = MatrixArbiter(inputs=len(networks))
        m.submodules.order = order = LeastRecentlyServed(inputs=len(networks))
        m.d.comb += [
            arbiter.requests.eq(ready & self.o.up.replicate(len(networks))),
            arbiter.senior.eq(order.senior),
            turns.eq(arbiter.grant),
            order.served.eq(turns),
            hop.valid.eq(turns.any()),
            hop.vc.eq(chosen(m, turns, list(vcs), "vc")),
            hop.flit.as_value().eq(chosen(m, turns, [flit.as_value() for flit in flits], "flit")),
        ]
        for network in networks:
            m.d.comb += self.i[network].ready.eq(turns[network])
        return m

    def _packet(self, m: Module, network: int, vc: Signal, flit: Any) -> None:
        """VC and flit of what a network offers; the VC and the stamp of a head are kept for the flits behind it."""
        config, i = self._config, self.i[network]
        inside, kept_vc, choice = (
            Signal(name=f"inside{network}"),
            Signal(config.vc_bits, name=f"kept_vc{network}"),
            Signal(name=f"choice{network}"),
        )
        head_vc, route = self._head(m, network, choice)
        m.d.comb += [
            vc.eq(Mux(inside, kept_vc, head_vc)),
            flit.payload.eq(i.payload.payload),
            flit.tail.eq(i.payload.tail),
            flit.dst_x.eq(i.payload.dst_x),
            flit.dst_y.eq(i.payload.dst_y),
            flit.route.eq(route),
        ]
        with m.If(i.valid & i.ready):
            m.d.sync += [inside.eq(~i.payload.tail), kept_vc.eq(vc), choice.eq(choice ^ i.payload.tail)]
        if config.stamp_bits:
            # A head that waits keeps the time it was first offered.
            waited, first_offered = Signal(name=f"waited{network}"), Signal(config.stamp_bits, name=f"first_offered{network}")
            with m.If(i.valid):
                m.d.sync += waited.eq(~(i.ready & i.payload.tail))
                with m.If(~waited):
                    m.d.sync += first_offered.eq(self.now)
            m.d.comb += flit.stamp.eq(Mux(i.payload.stamped, i.payload.stamp, Mux(waited, first_offered, self.now)))

    def _head(self, m: Module, network: int, choice: Value) -> tuple[Value, Value]:
        """(VC, route) of a head for the destination of `network`'s flit."""
        config, payload = self._config, self.i[network].payload
        routing = routing_function(config)
        # In the order of the cases below: must stay in order, even and odd packets of the others.
        starts = [(True, 0), (False, 0), (False, 1)]
        classes = [routing.first_class(ordered=ordered, choice=parity) for ordered, parity in starts]
        routes = [routing.first(m, x=self.x, y=self.y, dst_x=payload.dst_x, dst_y=payload.dst_y, vc_class=vc_class) for vc_class in classes]
        if config.qos:
            lane: Value = payload.service
        elif config.lanes == 1:
            lane = Const(0, 1)
        else:
            lane = (payload.dst_x + payload.dst_y) % config.lanes
        numbers: list[Value] = [
            Array(Const(config.vc_number(network=network, vc_class=vc_class, lane=at), config.vc_bits) for at in range(config.lanes))[lane]
            for vc_class in classes
        ]
        vc, route = numbers[2], routes[2]
        if classes[1] != classes[2]:
            vc, route = Mux(choice, vc, numbers[1]), Mux(choice, route, routes[1])
        if set(classes) != {classes[0]}:
            vc, route = Mux(payload.ordered, numbers[0], vc), Mux(payload.ordered, routes[0], route)
        return vc, route
