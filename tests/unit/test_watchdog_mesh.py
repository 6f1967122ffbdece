"""The watchdog in a mesh: each reason raised by the traffic that causes it, none by traffic that flows; nothing of it without a limit."""

from __future__ import annotations

from typing import Any

import pytest

from hw.common.noc import NocConfig
from hw.common.noc_registers import OVERDUE, Reason
from hw.noc.collector import WatchCollector
from hw.noc.flit import Port
from hw.noc.mesh import Mesh
from sim.golden.waits import Wait
from sim.verilog import emit_rtlil

from .noc_watch_bench import Nodes, lean, simulate

N, E, S, W, L = Port


def first_error(config: NocConfig, prepare: Any, cycles: int = 80) -> tuple[int, int, int, Wait]:
    """(node, port, vc, wait) of the first error after `prepare(nodes)`."""
    dut, found = Mesh(config=config), []

    async def testbench(ctx: Any) -> None:
        nodes = Nodes(ctx, dut, config)
        prepare(nodes)
        while not nodes.error()[0]:
            await nodes.step()
            assert nodes.cycle < cycles, "no error"
        assert nodes.cycle > config.watchdog_limit
        found.append(nodes.error()[1:])

    simulate(dut, testbench)
    return found[0]


def overdue(reason: Reason, port: Port, vc: int = 0, **more: int) -> Wait:
    return Wait(valid=1, waited=OVERDUE, reason=reason, wants_port=port, wants_vc=vc, **more)


def test_sink_that_takes_nothing() -> None:
    config, vc = lean(2, 1, 10, vcs=2, depth=3), 1

    def prepare(nodes: Nodes) -> None:
        nodes.open[1] = False
        for _ in range(config.depth + 1):
            nodes.send(0, 1, vc=vc)

    assert first_error(config, prepare) == (1, W, vc, overdue(Reason.CREDIT, L, vc))


def test_sink_of_a_mesh_of_one_node() -> None:
    def prepare(nodes: Nodes) -> None:
        nodes.open[0] = False
        nodes.send(0, 0, tails="00001")

    assert first_error(lean(1, 1, 5), prepare) == (0, L, 0, overdue(Reason.CREDIT, L))


def test_packet_that_stops_half_way() -> None:
    """Node 0 sends no tail: the packet of node 1 finds the VC locked from the west."""
    config = lean(3, 1, 10)

    def prepare(nodes: Nodes) -> None:
        nodes.send(0, 2, tails="0")
        nodes.send(1, 1)
        nodes.send(1, 2)

    assert first_error(config, prepare) == (1, L, 0, overdue(Reason.LOCK, E, owner_port=W))


def test_losing_turns() -> None:
    """Four inputs for one output: who comes last waits for three others."""
    config = lean(3, 2, 1)

    def prepare(nodes: Nodes) -> None:
        for src in (0, 1, 2, 4):
            nodes.send(src, 1, tails="1111")

    node, port, _, wait = first_error(config, prepare)
    assert (node, wait) == (1, overdue(Reason.TURN, L)) and port in (N, E, W, L)


@pytest.mark.parametrize(
    ("route", "wait"), [(0, Wait(1, OVERDUE, Reason.NO_ROUTE)), (1 << E, overdue(Reason.LINK, E))], ids=["none", "edge"]
)
def test_route_that_leads_nowhere(route: int, wait: Wait) -> None:
    assert first_error(lean(1, 1, 6), lambda nodes: nodes.send(0, 0, route=route)) == (0, L, 0, wait)


def test_traffic_that_flows_raises_nothing() -> None:
    """Packets for one sink, more than it takes: all waits are shorter than the limit."""
    config = lean(2, 2, 60)
    dut = Mesh(config=config)

    async def testbench(ctx: Any) -> None:
        nodes = Nodes(ctx, dut, config)
        for src in range(4):
            for number in range(6):
                nodes.send(src, 3, vc=number % config.vcs, tails="001")
        for _ in range(120):
            await nodes.step()
            assert not nodes.error()[0]
        assert nodes.taken == [0, 0, 0, 4 * 6 * 3] and ctx.get(dut.watch.count) == 0

    simulate(dut, testbench)


def test_no_limit_no_watchdog() -> None:
    """Without a limit nothing of it is in the netlist; with one, the routers are still one module."""
    assert not any(word in emit_rtlil(Mesh(config=lean(1, 1, 0)), name="mesh") for word in ("watch", "collector"))
    assert not any(hasattr(Mesh(config=lean(1, 1, 0)).routers[0].outputs[L], name) for name in ("owner", "watch"))
    text = emit_rtlil(Mesh(config=lean(2, 1, 9)), name="mesh")
    assert sum(line.startswith("module \\router") for line in text.splitlines()) == 1
    assert sum(line.startswith("module \\watchdog") for line in text.splitlines()) == 1


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="config must be a NocConfig, not 'fast'"):
        WatchCollector(config="fast")
