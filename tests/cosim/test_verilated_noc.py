"""Traffic on the Verilated mesh: timing, order and throughput by value, and a scoreboard that notices everything that can go wrong."""

import numpy as np
import pytest

from hw.common.noc import NocConfig
from sim.verilated.noc import FAULTS, NEVER, TrafficRun, run_traffic

LEAN = {"vcs": 1, "depth": 2, "arbitration": "round_robin"}
#: One build each, as few as reach every corner: V 1, 2, 4; 1x1, 1xN, Nx1, squares and primes; mesh and torus; every virtual network.
CONFIGS = {
    "lean": NocConfig(mesh_x=2, mesh_y=2, **LEAN),
    "alone": NocConfig(mesh_x=1, mesh_y=1, **LEAN),
    "row": NocConfig(mesh_x=3, mesh_y=1, vcs=2, depth=5, link_stages=1, arbitration="round_robin"),
    "fast": NocConfig(mesh_x=3, mesh_y=2, vcs=4, depth=4),
    "torus": NocConfig(mesh_x=1, mesh_y=3, topology="torus", torus_scheme="dateline", vcs=6, depth=2, virtual_networks=3, payload_bits=128),
}


def hops(config, source, destination):
    """Fewest hops, by coordinates alone."""
    distance = 0
    for side, at, to in (
        (config.mesh_x, source % config.mesh_x, destination % config.mesh_x),
        (config.mesh_y, source // config.mesh_x, destination // config.mesh_x),
    ):
        away = abs(at - to)
        distance += min(away, side - away) if config.topology == "torus" else away
    return distance


@pytest.mark.parametrize("name", CONFIGS)
def test_empty_mesh(name):
    """A packet alone: hops + 1 cycles for its head, a cycle more for each further flit, for every pair of nodes."""
    config = CONFIGS[name]
    pairs = [(source, destination) for source in range(config.nodes) for destination in range(config.nodes)]
    packets = [(source, destination, 1 + 4 * (index % 2), 40 * index) for index, (source, destination) in enumerate(pairs)]
    result = run_traffic(TrafficRun(config=config, packets=packets))
    assert result.right and result.delivered == sum(flits for _, _, flits, _ in packets)
    for packet in result.packets:
        expected = hops(config, int(packet["source"]), int(packet["destination"])) * (1 + config.link_stages) + int(packet["length"])
        assert packet["injected"] == packet["created"]
        assert packet["ejected"] - packet["created"] == expected, packet
    assert (result.per_flow == 1).all() and result.per_flow.shape == (config.nodes, config.nodes)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lean", {"rate": 1.0, "length": 3}),
        ("lean", {"rate": 0.4, "stall": 0.5, "burst": 20.0}),
        ("row", {"rate": 1.0, "length_max": 32, "stall": 0.2}),
        ("fast", {"rate": 1.0, "length_max": 9, "stall": 0.6}),
        ("fast", {"rate": 0.5, "length": 256, "cycles": 6000}),
        ("fast", {"rate": 1.0, "pattern": "all_to_one", "ordered": True}),
        ("torus", {"rate": 1.0, "length_max": 7, "stall": 0.3, "pattern": "hot_spot"}),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_everything_arrives_once_and_in_order(name, options, seed):
    run = TrafficRun(config=CONFIGS[name], seed=seed, **{"warmup": 200, "cycles": 1500, **options})
    result = run_traffic(run)
    injected = result.packets[result.packets["injected"] != NEVER]
    assert result.right, result
    assert (injected["ejected"] != NEVER).all() and (injected["received"] == injected["length"]).all()
    assert int(injected["length"].sum()) == result.delivered
    assert abs(result.offered / run.rate - 1) < 0.25 and 0 < result.accepted <= 1
    for flow in {(int(item["source"]), int(item["destination"]), int(item["vc"])) for item in injected}:
        mine = injected[(injected["source"] == flow[0]) & (injected["destination"] == flow[1]) & (injected["vc"] == flow[2])]
        assert (np.diff(mine["ejected"].astype(np.int64)) > 0).all()


def test_full_rate():
    """Two nodes that send to one another, and one that sends to itself: a flit a cycle, for ever."""
    for name, pairs in (("lean", [(0, 1), (1, 0), (2, 2)]), ("row", [(0, 1), (1, 0), (2, 2)]), ("alone", [(0, 0)])):
        packets = [(source, destination, 8, 8 * index) for index in range(50) for source, destination in pairs]
        result = run_traffic(TrafficRun(config=CONFIGS[name], packets=packets))
        flights = result.packets["ejected"] - result.packets["created"]
        assert result.right and (flights == flights[: len(pairs)].tolist() * 50).all(), name


def test_one_node_sends_itself_and_nobody_to_nobody():
    alone = CONFIGS["alone"]
    result = run_traffic(TrafficRun(config=alone, pattern="neighbour", rate=1.0, warmup=10, cycles=500))
    assert result.right and result.accepted == result.offered == 1.0 and result.latency_max == 1
    nobody = run_traffic(TrafficRun(config=alone, pattern="uniform", rate=1.0, warmup=10, cycles=50))
    assert not nobody.right and nobody.delivered == 0 and nobody.latency_mean != nobody.latency_mean


def test_saturated_mesh_is_fair():
    """The load of a 3x2 mesh beyond what it takes: nobody starves, and throughput does not fall as load rises."""
    run = TrafficRun(config=CONFIGS["fast"], rate=1.0, cycles=3000)
    full = run_traffic(run)
    assert full.right and full.accepted < 0.95 * full.offered and full.latency_mean > 50
    assert full.node_share_min > 0.9 and full.node_share_max < 1.1
    half = run_traffic(TrafficRun(config=CONFIGS["fast"], rate=0.5, cycles=3000))
    assert half.right and half.unfinished == 0 and abs(half.accepted - half.offered) < 0.01 < full.accepted - half.accepted


def test_one_compiled_node_stands_for_all():
    """The mesh Verilator compiles in one piece gives the same packets in the same cycles."""
    run = TrafficRun(config=CONFIGS["torus"], rate=1.0, length_max=6, stall=0.3, warmup=100, cycles=600)
    tiles, whole = run_traffic(run), run_traffic(run, whole=True)
    assert tiles.right and (tiles.packets == whole.packets).all() and len(tiles.packets) > 100


def test_same_seed_same_run():
    run = TrafficRun(config=CONFIGS["fast"], rate=0.7, burst=10.0, stall=0.2, length_max=4, warmup=50, cycles=300)
    first, other = run_traffic(run), run_traffic(TrafficRun(**{**vars(run), "seed": 2}))
    # A run that stops at once, in between: nothing of it may be left.
    run_traffic(TrafficRun(config=CONFIGS["fast"], rate=1.0, warmup=0, cycles=1), fault="drop")
    assert (run_traffic(run).packets == first.packets).all()
    assert len(other.packets) != len(first.packets) or (other.packets != first.packets).any()


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ("flip", "corrupted"),
        ("drop", "lost"),
        ("repeat", "duplicated"),
        ("move", "misrouted"),
        ("swap", "reordered"),
        ("untail", "corrupted"),
    ],
)
@pytest.mark.parametrize("at", [0, 77])
def test_scoreboard_notices(fault, count, at):
    """One flit spoiled on its way to the scoreboard is counted as what happened to it, and nothing else is but its loss."""
    packets = [(0, 3, 2, 2 * index) for index in range(60)]
    result = run_traffic(TrafficRun(config=CONFIGS["lean"], packets=packets), fault=fault, fault_at=at)
    counts = {name: getattr(result, name) for name in ("lost", "duplicated", "misrouted", "reordered", "corrupted", "overflowed")}
    assert counts[count] and not result.right
    gone = fault in ("flip", "drop", "move", "untail")
    assert counts["lost"] == gone and bool(result.waiting) == gone
    assert not any(value for name, value in counts.items() if name not in (count, "lost", "reordered")), counts
    if gone:
        assert "from (0, 0) to (1, 1)" in result.waiting[0] and "1 of 2 flits arrived" in result.waiting[0]


@pytest.mark.parametrize("whole", [False, True])
def test_who_waits_for_whom(whole):
    """A node that takes nothing any more: the watchdogs' answers lead from the sources to it, router by router."""
    config = NocConfig(mesh_x=3, mesh_y=1, watchdog_limit=100, **LEAN)
    run = TrafficRun(config=config, packets=[(0, 2, 4, 0), (1, 2, 3, 30)] * 4)
    result = run_traffic(run, fault="hold", fault_at=2, whole=whole)
    assert not result.right and result.lost
    text = "\n".join(result.waiting)
    assert "packet from (0, 0) to (2, 0)" in text
    assert "node 2" in text and "what holds them up" in text, text
    # The chain names the queues on the way: of node 1 by its west port, of node 2 by its own.
    assert text.index("node 1") < text.rindex("node 2")


def test_without_watchdog_the_remedy_is_named():
    result = run_traffic(TrafficRun(config=CONFIGS["lean"], packets=[(0, 3, 2, 0)] * 9), fault="hold")
    assert "watchdog_limit" in result.waiting[-1]


def test_no_fault_is_right():
    packets = [(0, 3, 2, 2 * index) for index in range(60)]
    assert run_traffic(TrafficRun(config=CONFIGS["lean"], packets=packets)).right and FAULTS[0] == "none"


def test_save(tmp_path):
    path = tmp_path / "packets.csv"
    result = run_traffic(TrafficRun(config=CONFIGS["lean"], packets=[(0, 3, 2, 5), (1, 1, 1, 0)]), save=path)
    assert result.right and path.read_text() == "source,destination,length,created,ejected\n1,1,1,0,1\n0,3,2,5,9\n"
    assert [item.name for item in tmp_path.iterdir()] == ["packets.csv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.5}, "rate must be 0 to 1, not 1.5"),
        ({"rate": float("nan")}, "rate must be 0 to 1, not nan"),
        ({"length": 0}, "length must be 1 to 256, not 0"),
        ({"length": 257}, "length must be 1 to 256, not 257"),
        ({"length_max": 0}, "length_max must be 1 to 256, not 0"),
        ({"warmup": -1}, "warmup must be 0 to"),
        ({"cycles": 0}, "cycles must be 1 to"),
        ({"seed": -1}, "seed must be 0 to"),
        ({"stall": 1.0}, "stall must be 0 to 0.99, not 1.0"),
        ({"burst": 0.5}, "burst must be 1 to"),
        ({"burst": 2.0, "rate": 0.9}, "rate must be at most 0.6667 with bursts of 2.0"),
        ({"pattern": "cats"}, "pattern must be one of"),
        ({"packets": [(0, 4, 1, 0)]}, "destination of packet 0 must be a node, 0 to 3, not 4"),
        ({"packets": [(-1, 0, 1, 0)]}, "source of packet 0 must be a node"),
        ({"packets": [(0, 1, 257, 0)]}, "flits of packet 0 must be 1 to 256, not 257"),
        ({"packets": [(0, 1, 1, -1)]}, "earliest cycle of packet 0 must be 0 to"),
    ],
)
def test_bad_runs(options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        TrafficRun(config=CONFIGS["lean"], **options)


def test_bad_types():
    with pytest.raises(TypeError, match="config must be a NocConfig"):
        TrafficRun(config="fast")
    with pytest.raises(ValueError, match="fault must be one of"):
        run_traffic(TrafficRun(config=CONFIGS["lean"]), fault="tickle")
