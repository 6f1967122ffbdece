"""A mesh with an injector at every node behind flat ports: what the C++ traffic engine drives; wiring only."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from hw.common.noc import NocConfig

from .injector import Injector
from .mesh import Mesh
from .ticker import Ticker


class TrafficTop(wiring.Component):
    """`Mesh`, an `Injector` a node and the `Ticker`; the widths of the ports do not depend on `config`, except those of payloads.

    Latency: 0 cycles from `control` to the mesh, 1 to `taken`; 0 from the mesh to `status` and from `credit` to the mesh.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    ports : dict of name to (Signal, PortDirection)
        The ports, for `sim.verilog.emit`; n is a node, k a virtual network.

        - `control_n_k` (32, in), from bit 0: valid, tail, ordered, unused, service (2), two unused, dst_x (4), dst_y (4), stamp (16)
        - `payload_n_k` (in)
        - `taken_n` (8, out): bit k says that the flit offered on network k in the *last* cycle went
        - `status_n` (32, out), from bit 0: valid, tail, two unused, vc (4), dst_x (4), dst_y (4): what is ejected in this cycle
        - `ejected_n` (out): its payload
        - `credit_n` (16, in): credits given back, by VC

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self._config = config
        super().__init__({})
        self.ports: dict[str, tuple[Signal, PortDirection]] = {}
        for node in range(config.nodes):
            for network in range(config.virtual_networks):
                self._port(f"control_{node}_{network}", 32, PortDirection.Input)
                self._port(f"payload_{node}_{network}", config.payload_bits, PortDirection.Input)
            self._port(f"taken_{node}", 8, PortDirection.Output)
            self._port(f"status_{node}", 32, PortDirection.Output)
            self._port(f"ejected_{node}", config.payload_bits, PortDirection.Output)
            self._port(f"credit_{node}", 16, PortDirection.Input)

    def _port(self, name: str, width: int, direction: PortDirection) -> None:
        self.ports[name] = (Signal(width, name=name), direction)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        ports = {name: signal for name, (signal, _) in self.ports.items()}
        m.submodules.mesh = mesh = Mesh(config=config)
        if config.stamp_bits:
            m.submodules.ticker = ticker = Ticker(config=config)
        for node in range(config.nodes):
            m.submodules[f"injector_{node}"] = injector = Injector(config=config)
            m.d.comb += [injector.x.eq(node % config.mesh_x), injector.y.eq(node // config.mesh_x)]
            if config.stamp_bits:
                m.d.comb += injector.now.eq(ticker.now)
            wiring.connect(m, injector.o, mesh.i[node])
            for network, offered in enumerate(injector.i):
                control, payload = ports[f"control_{node}_{network}"], offered.payload
                m.d.comb += [
                    offered.valid.eq(control[0]),
                    payload.tail.eq(control[1]),
                    payload.ordered.eq(control[2]),
                    payload.service.eq(control[4:6]),
                    payload.dst_x.eq(control[8:12]),
                    payload.dst_y.eq(control[12:16]),
                    payload.payload.eq(ports[f"payload_{node}_{network}"]),
                ]
                if config.stamp_bits:
                    m.d.comb += [payload.stamped.eq(1), payload.stamp.eq(control[16:])]
                m.d.sync += ports[f"taken_{node}"][network].eq(offered.valid & offered.ready)
            ejected, status = mesh.o[node], ports[f"status_{node}"]
            m.d.comb += [
                ejected.up.eq(1),
                ejected.credit.eq(ports[f"credit_{node}"]),
                status[0].eq(ejected.hop.valid),
                status[1].eq(ejected.hop.flit.tail),
                status[4:8].eq(ejected.hop.vc),
                status[8:12].eq(ejected.hop.flit.dst_x),
                status[12:16].eq(ejected.hop.flit.dst_y),
                ports[f"ejected_{node}"].eq(ejected.hop.flit.payload),
            ]
        return m
