"""Chains of waiting queues: made-up records for every way a chain ends, and those of a mesh whose sink is closed."""

from __future__ import annotations

from typing import Any

import pytest

from hw.common.noc import NocConfig
from hw.common.noc_registers import OVERDUE, Reason
from hw.noc.flit import Port
from hw.noc.mesh import Mesh
from sim.golden.waits import Chain, Queue, Wait, chain, explain, read_heads, select_value
from tests.unit.noc_watch_bench import Nodes, simulate

N, E, S, W, L = map(int, Port)
CONFIG = NocConfig(mesh_x=3, mesh_y=2, vcs=2, depth=2, arbitration="round_robin")


def waits(reason: Reason, port: int = N, vc: int = 0, owner: tuple[int, int] = (0, 0)) -> Wait:
    return Wait(valid=1, reason=reason, wants_port=port, wants_vc=vc, owner_port=owner[0], owner_vc=owner[1])


def credit(port: int, vc: int = 0) -> Wait:
    return waits(Reason.CREDIT, port, vc)


@pytest.mark.parametrize(
    ("records", "queues", "end"),
    [
        pytest.param({(5, W, 1): credit(L, 1)}, 1, "node 5 takes nothing from VC 1", id="sink"),
        pytest.param({(0, L, 0): credit(E), (1, W, 0): credit(N), (4, S, 0): credit(L)}, 3, "node 4 takes nothing from VC 0", id="turn"),
        pytest.param({(0, L, 0): credit(E)}, 1, "node 1 (1,0) WEST VC 0 is empty: its credits are on their way, or lost", id="lost credit"),
        pytest.param({(0, L, 0): credit(S)}, 1, "it wants to leave the mesh south of node 0: misrouted", id="edge"),
        pytest.param({(0, L, 0): waits(Reason.LINK, W)}, 1, "the link west of node 0 is down, or the mesh ends there", id="link"),
        pytest.param({(2, L, 0): waits(Reason.NO_ROUTE)}, 1, "its route names no output of node 2: misrouted or corrupted", id="no route"),
        pytest.param({(2, L, 0): waits(Reason.TURN, W)}, 1, "others go first west of node 2: it moves when its turn comes", id="turn lost"),
        pytest.param({(2, L, 0): waits(Reason.NONE, W)}, 1, "node 2 sends it on in this cycle", id="moves"),
        pytest.param(
            {(1, L, 0): waits(Reason.LOCK, E, 0, (W, 0)), (1, W, 0): credit(E), (2, W, 0): credit(L)}, 3, "node 2 takes nothing from VC 0", id="owner"
        ),
        pytest.param(
            {(1, L, 0): waits(Reason.LOCK, E, 0, (W, 0))},
            1,
            "the rest of a packet has not come to node 1 (1,0) WEST VC 0: injected too late, on its way or lost",
            id="rest missing",
        ),
        pytest.param({(1, N, 1): waits(Reason.LOCK, L, 1, (L, 1))}, 1, "node 1 has not injected the rest of a packet on VC 1", id="not injected"),
        pytest.param(
            {(1, L, 0): waits(Reason.LOCK, E, 0, (W, 0)), (0, L, 0): waits(Reason.LINK, E)},
            2,
            "the link east of node 0 is down, or the mesh ends there",
            id="rest waits one node before",
        ),
        pytest.param(
            {(2, L, 0): waits(Reason.LOCK, L, 0, (W, 0)), (1, L, 0): waits(Reason.LOCK, E, 0, (W, 0)), (0, N, 0): waits(Reason.LINK, E)},
            2,
            "the link east of node 0 is down, or the mesh ends there",
            id="rest waits two nodes before",
        ),
    ],
)  # fmt: skip
def test_ends_of_chains(records: dict[Queue, Wait], queues: int, end: str) -> None:
    start = next(iter(records))
    found = chain(start, records, CONFIG)
    assert (found.queues[0], len(found.queues), found.end, found.circle) == (start, queues, end, None)
    assert end in explain(records, CONFIG)


def circle() -> dict[Queue, Wait]:
    """Four queues around nodes 0, 1, 4 and 3, and one outside that waits for them."""
    return {
        (1, W, 0): credit(N),
        (4, S, 0): credit(W),
        (3, E, 0): credit(S),
        (0, N, 0): credit(E),
        (2, L, 0): credit(W),
        (1, E, 0): credit(N),
    }


def test_circle() -> None:
    records = circle()
    assert chain((1, W, 0), records, CONFIG) == Chain(((1, W, 0), (4, S, 0), (3, E, 0), (0, N, 0)), "deadlock: circle of 4 queues", 0)
    outside = chain((2, L, 0), records, CONFIG)
    assert (len(outside.queues), outside.circle, outside.end) == (6, 2, "deadlock: circle of 4 queues")
    assert explain({**records, (5, L, 1): credit(L, 1)}, CONFIG).splitlines() == [
        "7 of 60 queues hold a flit; what holds them up:",
        "- deadlock: circle of 4 queues (6 queues wait for it)",
        "- node 5 takes nothing from VC 1 (1 queue waits for it)",
        "",
        "   node 0 (0,0) NORTH VC 0  wants EAST VC 0, which has no room",
        "-> node 1 (1,0) WEST VC 0   wants NORTH VC 0, which has no room",
        "-> node 4 (1,1) SOUTH VC 0  wants WEST VC 0, which has no room",
        "-> node 3 (0,1) EAST VC 0   wants SOUTH VC 0, which has no room",
        "=> node 0 (0,0) NORTH VC 0: deadlock: circle of 4 queues",
        "",
        "   node 5 (2,1) LOCAL VC 1  wants LOCAL VC 1, which has no room",
        "=> node 5 takes nothing from VC 1",
    ]


def test_packets_without_flits_around_a_ring_come_to_an_end() -> None:
    """Records no router gives: each VC is taken by a packet of which no flit is anywhere. The search still stops."""
    config = NocConfig(mesh_x=3, mesh_y=1, vcs=2, topology="torus", torus_scheme="dateline")
    records = {(node, L, 0): waits(Reason.LOCK, E, 0, (W, 0)) for node in range(3)}
    assert chain((0, L, 0), records, config).end.startswith("the rest of a packet has not come to node ")


def test_chains_beyond_the_fourth_are_counted() -> None:
    text = explain({(node, L, 0): credit(L) for node in range(6)}, CONFIG)
    assert text.count("=> ") == 4 and text.endswith("(chains of 2 more causes left out)")
    assert text.count("takes nothing") == 6 + 4


def test_nothing_waits() -> None:
    words = "no queue holds a flit: nothing waits inside the mesh"
    assert explain({}, CONFIG) == words and explain({(0, N, 0): Wait()}, CONFIG) == words


def test_around_a_torus() -> None:
    config = NocConfig(mesh_x=3, mesh_y=1, vcs=2, topology="torus", torus_scheme="dateline")
    records = {(2, L, 0): credit(E, 1), (0, W, 1): credit(L, 1)}
    assert chain((2, L, 0), records, config) == Chain(((2, L, 0), (0, W, 1)), "node 0 takes nothing from VC 1")


def test_wait_and_register_are_the_same() -> None:
    wait = Wait(1, 3, Reason.LOCK, 4, 15, 3, 9)
    assert Wait.unpack(wait.pack()) == wait and Wait.unpack(0) == Wait()
    assert select_value(255, 4, 15) == 0xFF4F


def test_closed_sink_of_a_mesh() -> None:
    """RTL: node 2 takes nothing, so nodes 2, 1 and 0 fill up, and the probe of every queue tells the chain."""
    config = NocConfig(mesh_x=3, mesh_y=1, vcs=1, depth=2, arbitration="round_robin", watchdog_limit=12)
    dut, texts = Mesh(config=config), []

    async def testbench(ctx: Any) -> None:
        nodes = Nodes(ctx, dut, config)
        nodes.open[2] = False
        nodes.send(0, 2, tails="0101" * 4)
        await nodes.step(60)
        assert nodes.taken == [0, 0, 2]
        heads = read_heads(nodes.probe, config)
        assert heads[1, W, 0] == Wait(1, OVERDUE, Reason.CREDIT, E)
        texts.append(explain(heads, config))
        nodes.open[2] = True
        await nodes.step(60)
        assert nodes.taken == [0, 0, 16]
        texts.append(explain(read_heads(nodes.probe, config), config))

    simulate(dut, testbench)
    assert texts[0].splitlines() == [
        "3 of 15 queues hold a flit; what holds them up:",
        "- node 2 takes nothing from VC 0 (3 queues wait for it)",
        "",
        "   node 0 (0,0) LOCAL VC 0  wants EAST VC 0, which has no room (overdue)",
        "-> node 1 (1,0) WEST VC 0   wants EAST VC 0, which has no room (overdue)",
        "-> node 2 (2,0) WEST VC 0   wants LOCAL VC 0, which has no room (overdue)",
        "=> node 2 takes nothing from VC 0",
    ]
    assert texts[1] == "no queue holds a flit: nothing waits inside the mesh"


@pytest.mark.parametrize(
    ("queue", "wait", "message"),
    [
        ((6, 0, 0), Wait(1), r"node of a queue must be 0 to 5, not 6 in \(6, 0, 0\)"),
        ((0, 5, 0), Wait(1), r"port of a queue must be 0 to 4, not 5"),
        ((0, 0, 2), Wait(1), r"vc of a queue must be 0 to 1, not 2"),
        ((0, 0, 0), Wait(1, wants_port=7), r"wants_port must be 0 to 4, not 7 in the record of \(0, 0, 0\)"),
        ((0, 0, 0), Wait(1, owner_vc=9), r"owner_vc must be 0 to 1, not 9"),
        ((0, 0, 0), Wait(1, reason=6), r"reason must be 0 to 5, not 6"),
    ],
)
def test_bad_records_are_refused(queue: Queue, wait: Wait, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explain({queue: wait}, CONFIG)


def test_a_chain_needs_a_flit_to_start_from() -> None:
    with pytest.raises(ValueError, match=r"start must be a queue that holds a flit, not \(0, 0, 0\)"):
        chain((0, 0, 0), {(0, 0, 0): Wait()}, CONFIG)
    with pytest.raises(ValueError, match="node must be 0 to 255, not 256"):
        select_value(256, 0, 0)
