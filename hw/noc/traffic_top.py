"""Meshes behind flat ports, for the C++ traffic engine: a whole mesh, or the tile it consists of; wiring only."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from hw.common.noc import NocConfig

from .flit import Port
from .injector import Injector
from .link import LinkRegisters, hop_layout
from .mesh import Mesh
from .router import Router
from .watchdog import queue_layout, wait_layout

Ports = dict[str, tuple[Signal, PortDirection]]

#: The ports that lead to neighbours.
LINKS = tuple(port for port in Port if port is not Port.LOCAL)


def _check(config: NocConfig) -> None:
    if not isinstance(config, NocConfig):
        raise TypeError(f"config must be a NocConfig, not {config!r}")


def _watch_ports(ports: Ports, config: NocConfig) -> None:
    """`watch_select` (32, in) and `watch_probe` (32, out), where there is a watchdog: what the head of a queue waits for (`WatchSignature`)."""
    if config.watchdog_limit:
        for name, direction in (("watch_select", PortDirection.Input), ("watch_probe", PortDirection.Output)):
            ports[name] = (Signal(32, name=name), direction)


def _connect_watch(m: Module, ports: Ports, config: NocConfig, watched: Any) -> None:
    if config.watchdog_limit:
        select, probe = ports["watch_select"][0], ports["watch_probe"][0]
        m.d.comb += [
            watched.watch.select.as_value().eq(select[: queue_layout().size]),
            probe[: wait_layout().size].eq(watched.watch.probe.as_value()),
        ]


class _Node:
    """The flat ports of one node, and how they are connected to an injector and to the link out of the mesh.

    - `control_n_k` (32, in), from bit 0: valid, tail, ordered, unused, service (2), two unused, dst_x (4), dst_y (4), stamp (16)
    - `payload_n_k` (in)
    - `taken_n` (8, out): bit k says that the flit offered on network k in the *last* cycle went
    - `status_n` (32, out), from bit 0: valid, tail, two unused, vc (4), dst_x (4), dst_y (4): what is ejected in this cycle
    - `ejected_n` (out): its payload
    - `credit_n` (16, in): credits given back, by VC

    n is the node, k the virtual network. Packets bring their stamps, so that injectors need not know the time.
    """

    def __init__(self, ports: Ports, config: NocConfig, node: int) -> None:
        self._config, networks = config, range(config.virtual_networks)

        def port(name: str, width: int, direction: PortDirection) -> Signal:
            signal = Signal(width, name=name)
            ports[name] = (signal, direction)
            return signal

        self._control = [port(f"control_{node}_{network}", 32, PortDirection.Input) for network in networks]
        self._payload = [port(f"payload_{node}_{network}", config.payload_bits, PortDirection.Input) for network in networks]
        self._taken = port(f"taken_{node}", 8, PortDirection.Output)
        self._status = port(f"status_{node}", 32, PortDirection.Output)
        self._ejected = port(f"ejected_{node}", config.payload_bits, PortDirection.Output)
        self._credit = port(f"credit_{node}", 16, PortDirection.Input)

    def connect(self, m: Module, *, injector: Injector, x: Value | int, y: Value | int, ejection: Any) -> None:
        m.d.comb += [injector.x.eq(x), injector.y.eq(y)]
        for network, offered in enumerate(injector.i):
            control, flit = self._control[network], offered.payload
            m.d.comb += [
                offered.valid.eq(control[0]),
                flit.tail.eq(control[1]),
                flit.ordered.eq(control[2]),
                flit.service.eq(control[4:6]),
                flit.dst_x.eq(control[8:12]),
                flit.dst_y.eq(control[12:16]),
                flit.payload.eq(self._payload[network]),
            ]
            if self._config.stamp_bits:
                m.d.comb += [flit.stamped.eq(1), flit.stamp.eq(control[16:])]
            m.d.sync += self._taken[network].eq(offered.valid & offered.ready)
        hop = ejection.hop
        m.d.comb += [
            ejection.up.eq(1),
            ejection.credit.eq(self._credit),
            self._status[0].eq(hop.valid),
            self._status[1].eq(hop.flit.tail),
            self._status[4:8].eq(hop.vc),
            self._status[8:12].eq(hop.flit.dst_x),
            self._status[12:16].eq(hop.flit.dst_y),
            self._ejected.eq(hop.flit.payload),
        ]


class TrafficTop(wiring.Component):
    """`Mesh` with an `Injector` at every node. Latency: 0 cycles from `control` to the mesh, 1 to `taken`; 0 on all other ways.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    ports : dict of name to (Signal, PortDirection)
        The ports (`_Node`), for `sim.verilog.emit`; widths depend on `config` for payloads only.

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    """

    def __init__(self, *, config: NocConfig) -> None:
        _check(config)
        self._config = config
        super().__init__({})
        self.ports: Ports = {}
        self._nodes = [_Node(self.ports, config, node) for node in range(config.nodes)]
        _watch_ports(self.ports, config)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.mesh = mesh = Mesh(config=config)
        _connect_watch(m, self.ports, config, mesh)
        for number, node in enumerate(self._nodes):
            m.submodules[f"injector_{number}"] = injector = Injector(config=config)
            node.connect(m, injector=injector, x=number % config.mesh_x, y=number // config.mesh_x, ejection=mesh.o[number])
            wiring.connect(m, injector.o, mesh.i[number])
        return m


class TrafficTile(wiring.Component):
    """What `TrafficTop` has once a node: `Router`, `Injector` and the registers of the links that leave.

    A simulation that has this module once and runs it for every node, links copied in between, does what `TrafficTop` does, because nothing
    passes a router within a cycle. It compiles in the time of one node.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    ports : dict of name to (Signal, PortDirection)
        Those of `_Node` with n = 0, and for each of the four links p (0 north, 1 east, 2 south, 3 west):

        - `hop_out_p` (out), `credit_in_p` (16, in): what leaves, and credits that come back for it
        - `hop_in_p` (in), `credit_out_p` (16, out): what arrives, and credits given back for it
        - `place` (16, in), from bit 0: x (4), y (4), dateline (4); constant

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    """

    def __init__(self, *, config: NocConfig) -> None:
        _check(config)
        self._config = config
        super().__init__({})
        self.ports: Ports = {}
        self._node = _Node(self.ports, config, 0)
        width = hop_layout(config).size
        for port in LINKS:
            for name, bits, direction in (
                (f"hop_out_{port:d}", width, PortDirection.Output), (f"credit_in_{port:d}", 16, PortDirection.Input),
                (f"hop_in_{port:d}", width, PortDirection.Input), (f"credit_out_{port:d}", 16, PortDirection.Output),
            ):  # fmt: skip
                self.ports[name] = (Signal(bits, name=name), direction)
        self.ports["place"] = (Signal(16, name="place"), PortDirection.Input)
        _watch_ports(self.ports, config)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        ports = {name: signal for name, (signal, _) in self.ports.items()}
        x, y = ports["place"][0:4], ports["place"][4:8]
        m.submodules.router = router = Router(config=config)
        m.submodules.injector = injector = Injector(config=config)
        m.d.comb += [router.x.eq(x), router.y.eq(y), router.dateline.eq(ports["place"][8:12])]
        _connect_watch(m, self.ports, config, router)
        self._node.connect(m, injector=injector, x=x, y=y, ejection=router.o[Port.LOCAL])
        wiring.connect(m, injector.o, router.i[Port.LOCAL])
        for port in LINKS:
            arriving, leaving = router.i[port], router.o[port]
            if config.link_stages:
                m.submodules[f"link_{port:d}"] = registers = LinkRegisters(config=config)
                wiring.connect(m, leaving, registers.i)
                leaving = registers.o
            m.d.comb += [
                ports[f"hop_out_{port:d}"].eq(leaving.hop),
                leaving.credit.eq(ports[f"credit_in_{port:d}"]),
                leaving.up.eq(1),
                arriving.hop.eq(ports[f"hop_in_{port:d}"]),
                ports[f"credit_out_{port:d}"].eq(arriving.credit),
            ]
        return m
