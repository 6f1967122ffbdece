"""Any mesh or torus of routers in one call; wiring only."""

from typing import Any

from amaranth.hdl import Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.common.noc import NocConfig

from .collector import WatchCollector
from .dependency import check_acyclic
from .flit import Port
from .link import LinkRegisters, LinkSignature
from .router import Router
from .topology import crosses_dateline, neighbour
from .watchdog import WatchSignature


class Mesh(wiring.Component):
    """`mesh_x` by `mesh_y` routers and the links between them; the local port of every node is a pair of links.

    Node number = y * `mesh_x` + x. Links out of the edge of a mesh carry nothing and give no credits. Latency: hops * (1 + `link_stages`) + 1
    cycles from `i[node].hop` to `o[d].hop` if nothing is in the way.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    i : In(LinkSignature), for each node
        Injection: a flit here is written to the local queue of the node's router.
    o : Out(LinkSignature), for each node
        Ejection: give credits back as flits are taken.
    watch : Out(WatchSignature)
        The watchdogs of all nodes as one (`WatchCollector`); where `watchdog_limit` is not 0.

    Raises
    ------
    ConfigError
        if the channel dependency graph of the routing function on this topology has a cycle.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        check_acyclic(config)
        self.config = config
        watch = {"watch": Out(WatchSignature())} if config.watchdog_limit else {}
        super().__init__({"i": In(LinkSignature(config)).array(config.nodes), "o": Out(LinkSignature(config)).array(config.nodes)} | watch)
        #: By node number. Public for proofs and testbenches.
        self.routers = [Router(config=config) for _ in range(config.nodes)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self.config
        for node, router in enumerate(self.routers):
            x, y = node % config.mesh_x, node // config.mesh_x
            m.submodules[f"router_{x}_{y}"] = router
            dateline = sum(crosses_dateline(config, (x, y), port) << port for port in Port if port is not Port.LOCAL)
            m.d.comb += [router.x.eq(Const(x, config.x_bits)), router.y.eq(Const(y, config.y_bits)), router.dateline.eq(dateline)]
            connect(m, flipped(self.i[node]), router.i[Port.LOCAL])
            connect(m, router.o[Port.LOCAL], flipped(self.o[node]))
            for port in Port:
                there = None if port is Port.LOCAL else neighbour(config, (x, y), port)
                if there is None:
                    continue
                receiver = self.routers[there[1] * config.mesh_x + there[0]].i[port.opposite]
                if config.link_stages:
                    m.submodules[f"link_{x}_{y}_{port.name.lower()}"] = registers = LinkRegisters(config=config)
                    connect(m, router.o[port], registers.i)
                    connect(m, registers.o, receiver)
                else:
                    connect(m, router.o[port], receiver)
        if config.watchdog_limit:
            m.submodules.collector = collector = WatchCollector(config=config)
            connect(m, collector.watch, flipped(self.watch))
            for node, router in enumerate(self.routers):
                connect(m, router.watch, collector.nodes[node])
        return m
