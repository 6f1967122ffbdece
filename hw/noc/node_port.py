"""A mesh with a local port at every node: packets in, packets out; wiring only."""

from typing import Any

from amaranth.hdl import Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect

from hw.common.noc import NocConfig

from .local_port import LocalPort, axis_members, connect_axis
from .mesh import Mesh
from .ticker import Ticker


class NodeMesh(wiring.Component):
    """`Mesh`, a `LocalPort` at each node, and the `Ticker` of their time where packets have an age.

    Latency: a packet without data, from its beat at the pins to its beat at the pins of its destination: hops + 5 cycles if nothing is in
    the way (2 into the first router's queue's link, hops + 1 through the mesh, 2 out). Throughput: a flit a cycle at each node, each way. Errors: see
    `Packetiser`. Reset: all of it is reset together.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    node<n>_s_axis_..., node<n>_m_axis_...
        The pins of each node, n = y * mesh_x + x; see `axis_members`.

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    ConfigError
        if packets of `config` could wait in a circle; see `Mesh`.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self._config = config
        nodes = range(config.nodes)
        super().__init__({f"node{node}_{name}": member for node in nodes for name, member in axis_members(config).items()})
        #: Public for proofs and testbenches.
        self.mesh = Mesh(config=config)
        #: By node number.
        self.ports = [LocalPort(config=config) for _ in nodes]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.mesh = self.mesh
        if config.stamp_bits:
            m.submodules.ticker = ticker = Ticker(config=config)
        for node, port in enumerate(self.ports):
            m.submodules[f"port{node}"] = port
            m.d.comb += [port.x.eq(Const(node % config.mesh_x, config.x_bits)), port.y.eq(Const(node // config.mesh_x, config.y_bits))]
            if config.stamp_bits:
                m.d.comb += port.now.eq(ticker.now)
            connect(m, port.o, self.mesh.i[node])
            connect(m, self.mesh.o[node], port.i)
            connect_axis(m, port, self, config=config, prefix=f"node{node}_")
        return m
