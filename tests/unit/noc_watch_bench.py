"""Drives a mesh with watchdogs flit by flit; shared by the tests of watchdog and monitor, and those of the chains made of the probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.sim import Simulator

from hw.common.noc import NocConfig
from hw.noc.flit import Port
from hw.noc.routing.dimension_order import next_port
from sim.golden.waits import Wait, select_value


def lean(x: int, y: int, limit: int, **more: Any) -> NocConfig:
    """A mesh of routers with one VC of two flits, unless told otherwise."""
    return NocConfig(**{"mesh_x": x, "mesh_y": y, "vcs": 1, "depth": 2, "arbitration": "round_robin", "watchdog_limit": limit} | more)


def simulate(dut: Any, testbench: Callable[[Any], Any]) -> None:
    """Runs `testbench` to its end."""
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


class Nodes:
    """The local ports of a mesh: sends flits as credits allow, and takes flits where the sink is open.

    `cycle` counts calls of `step`. A closed sink takes what its credits promise and gives none back.
    """

    def __init__(self, ctx: Any, dut: Any, config: NocConfig) -> None:
        self._ctx, self._dut, self._config = ctx, dut, config
        self._credits = [[config.depth] * config.vcs for _ in range(config.nodes)]
        self._waiting: list[list[tuple[int, int, int, int]]] = [[] for _ in range(config.nodes)]
        self._held = [[0] * config.vcs for _ in range(config.nodes)]
        #: Sinks that give credits back.
        self.open = [True] * config.nodes
        self.taken = [0] * config.nodes
        self.cycle = 0
        for node in range(config.nodes):
            ctx.set(dut.o[node].up, 1)

    def send(self, src: int, dst: int, *, vc: int = 0, tails: str = "1", route: int | None = None) -> None:
        """Queues a packet of a flit for each character of `tails`; `route` replaces the right one."""
        config = self._config
        at, to = ((node % config.mesh_x, node // config.mesh_x) for node in (src, dst))
        mask = 1 << next_port(config, at, to, x_first=True) if route is None else route
        self._waiting[src] += [(dst, vc, int(tail), mask) for tail in tails]

    async def step(self, cycles: int = 1) -> None:
        """Some cycles."""
        for _ in range(cycles):
            for node in range(self._config.nodes):
                self._drive(node)
            await self._ctx.tick()
            self.cycle += 1
            for node in range(self._config.nodes):
                self._ctx.set(self._dut.i[node].hop.valid, 0)

    def _drive(self, node: int) -> None:
        ctx, config = self._ctx, self._config
        hop, waiting = self._dut.i[node].hop, self._waiting[node]
        ready = next((item for item in waiting if self._credits[node][item[1]]), None)
        ctx.set(hop.valid, ready is not None)
        if ready is not None:
            dst, vc, tail, route = ready
            waiting.remove(ready)
            self._credits[node][vc] -= 1
            ctx.set(hop.vc, vc)
            ctx.set(hop.flit.tail, tail)
            ctx.set(hop.flit.dst_x, dst % config.mesh_x)
            ctx.set(hop.flit.dst_y, dst // config.mesh_x)
            ctx.set(hop.flit.route, route)
        # A credit that comes back in this cycle can be spent in the next.
        for vc in range(config.vcs):
            self._credits[node][vc] += ctx.get(self._dut.i[node].credit) >> vc & 1
        out = self._dut.o[node]
        if ctx.get(out.hop.valid):
            self._held[node][ctx.get(out.hop.vc)] += 1
            self.taken[node] += 1
        ctx.set(out.credit, 0)
        if self.open[node]:
            ctx.set(out.credit, sum((held > 0) << vc for vc, held in enumerate(self._held[node])))
            self._held[node] = [max(0, held - 1) for held in self._held[node]]

    def error(self) -> tuple[bool, int, int, int, Wait]:
        """(valid, node, port, vc, what it waited for) of the first error of the mesh."""
        error, get = self._dut.watch.error, self._ctx.get
        queue = error.queue
        return bool(get(error.valid)), get(queue.node), get(queue.port), get(queue.vc), Wait.unpack(get(error.wait.as_value()))

    def probe(self, node: int, port: int, vc: int) -> int:
        """PROBE_DATA of a queue now."""
        self._ctx.set(self._dut.watch.select.as_value(), select_value(node, port, vc))
        return int(self._ctx.get(self._dut.watch.probe.as_value()))

    def wait(self, node: int, port: Port, vc: int = 0) -> Wait:
        """The same, taken apart."""
        return Wait.unpack(self.probe(node, port, vc))
