"""A mesh with an injector at every node, as tb/tb_mesh.py drives it."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.common.noc import NocConfig
from hw.noc.injector import Injector, injection_layout
from hw.noc.link import LinkSignature
from hw.noc.mesh import Mesh
from hw.noc.ticker import Ticker


class MeshTop(wiring.Component):
    """`Mesh`, an `Injector` a node, the `Ticker` where packets have ages; wiring only.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    i : streams of injection_layout; number node * virtual_networks + network
    o : Out(LinkSignature), for each node
    taken, ejected : Out
        A bit for each of `i`: it transfers; for each of `o`: it has a flit. So that a testbench need not look at all of them.
    """

    def __init__(self, *, config: NocConfig) -> None:
        self._config = config
        streams = config.nodes * config.virtual_networks
        super().__init__(
            {
                "i": In(stream.Signature(injection_layout(config))).array(streams),
                "o": Out(LinkSignature(config)).array(config.nodes),
                "taken": Out(streams),
                "ejected": Out(config.nodes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.mesh = mesh = Mesh(config=config)
        if config.stamp_bits:
            m.submodules.ticker = ticker = Ticker(config=config)
        for node in range(config.nodes):
            m.submodules[f"injector_{node}"] = injector = Injector(config=config)
            m.d.comb += [injector.x.eq(node % config.mesh_x), injector.y.eq(node // config.mesh_x)]
            if config.stamp_bits:
                m.d.comb += injector.now.eq(ticker.now)
            for network in range(config.virtual_networks):
                connect(m, flipped(self.i[node * config.virtual_networks + network]), injector.i[network])
            connect(m, injector.o, mesh.i[node])
            connect(m, mesh.o[node], flipped(self.o[node]))
        m.d.comb += [
            self.taken.eq(Cat(item.valid & item.ready for item in self.i)),
            self.ejected.eq(Cat(item.hop.valid for item in self.o)),
        ]
        return m
