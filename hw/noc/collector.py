"""All watchdogs of a mesh as one: the first error anywhere, the sum of their counts, and a probe with a node number."""

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .watchdog import COUNT_BITS, WatchSignature, wait_layout


class WatchCollector(wiring.Component):
    """Makes the watchdogs of the nodes of a mesh look like one.

    Which node was first is kept here, its error at the node. Latency: `watch.error` and `watch.count` follow those of the nodes by one cycle;
    `watch.probe` is combinational. Of errors of one cycle the lowest node is first. Reset and `watch.clear`: no errors; the watchdogs are
    reset with it.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    nodes : In(WatchSignature), for each node
    watch : Out(WatchSignature)
        `queue.node` and `select.node` name the node.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self._config = config
        super().__init__({"nodes": In(WatchSignature()).array(config.nodes), "watch": Out(WatchSignature())})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        watch, nodes = self.watch, [self.nodes[node] for node in range(self._config.nodes)]
        first, found = Signal(range(max(2, len(nodes)))), Signal()
        for node in nodes:
            m.d.comb += [node.clear.eq(watch.clear), node.select.eq(watch.select)]
        with m.If(~found):
            for number, node in reversed(list(enumerate(nodes))):
                with m.If(node.error.valid):
                    m.d.sync += [first.eq(number), found.eq(1)]
        kept = Array(node.error for node in nodes)[first]
        with m.If(found):
            m.d.comb += [watch.error.eq(kept), watch.error.queue.node.eq(first)]
        total: Value = sum((node.count for node in nodes[1:]), nodes[0].count + 0)
        m.d.sync += watch.count.eq(Mux(total >> COUNT_BITS, (1 << COUNT_BITS) - 1, total))
        with m.If(watch.clear):
            m.d.sync += [found.eq(0), watch.count.eq(0)]
        probe = Signal(wait_layout())
        with m.Switch(watch.select.node):
            for number, node in enumerate(nodes):
                with m.Case(number):
                    m.d.comb += probe.eq(node.probe)
        m.d.comb += watch.probe.eq(probe)
        return m
