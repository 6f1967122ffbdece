"""Limits against published figures, against paths walked one hop at a time, and against each other."""

import itertools

import numpy as np
import pytest

from sim.golden.noc_limits import (
    Collectives,
    best_load,
    channel_loads,
    go_back_n_efficiency,
    hops,
    ideal_throughput,
    mean_hops,
    signed_distance,
    zero_load_latency,
)
from sim.golden.traffic import PATTERNS, traffic_matrix

#: Pattern: XY, O1TURN and best routing on 8x8; XY on 4x4; XY on 16x16.
TABLE = {
    "uniform": (0.4922, 0.4922, 0.4922, 0.9375, 0.2490),
    "transpose": (0.1429, 0.2857, 0.4545, 0.3333, 0.0667),
    "bit_reverse": (0.1429, 0.2857, 0.4762, 0.3333, 0.0667),
    "bit_complement": (0.25, 0.25, 0.25, 0.5, 0.125),
    "shuffle": (0.25, 0.3333, 0.5, 0.5, 0.125),
    "tornado": (0.3333, 0.3333, 0.3333, 1.0, 0.1429),
    "neighbour": (1.0, 1.0, 1.0, 1.0, 1.0),
    "hot_spot": (0.137, 0.137, 0.137, 0.4, 0.0377),
}


@pytest.mark.parametrize("pattern", TABLE)
def test_known_throughput(pattern):
    eight = traffic_matrix(pattern, 8, 8)
    found = [ideal_throughput(eight, 8, 8, routing) for routing in ("xy", "o1turn", "best")]
    found += [ideal_throughput(traffic_matrix(pattern, side, side), side, side, "xy") for side in (4, 16)]
    assert [round(value, 4) for value in found] == list(TABLE[pattern])


def walked(matrix, mesh_x, mesh_y, x_first, topology):
    """Loads by walking each pair's path with compass directions."""
    loads = np.zeros((4, mesh_x * mesh_y))
    sizes, compass = (mesh_x, mesh_y), {(0, True): "E", (0, False): "W", (1, True): "N", (1, False): "S"}
    for source, target in itertools.product(range(mesh_x * mesh_y), repeat=2):
        at, goal = [source % mesh_x, source // mesh_x], [target % mesh_x, target // mesh_x]
        for axis in (0, 1) if x_first else (1, 0):
            ahead = (goal[axis] - at[axis]) % sizes[axis]
            upwards = goal[axis] > at[axis] if topology == "mesh" else ahead <= sizes[axis] - ahead
            while at[axis] != goal[axis]:
                loads["NESW".index(compass[axis, upwards]), at[1] * mesh_x + at[0]] += matrix[source, target]
                at[axis] = (at[axis] + (1 if upwards else -1)) % sizes[axis]
    return loads


@pytest.mark.parametrize("topology", ["mesh", "torus"])
@pytest.mark.parametrize("mesh_x,mesh_y", [(1, 1), (1, 5), (4, 1), (2, 2), (3, 5), (4, 3), (4, 4)])
def test_channel_loads(mesh_x, mesh_y, topology):
    rng = np.random.default_rng(mesh_x * 16 + mesh_y)
    matrix = rng.dirichlet(np.ones(mesh_x * mesh_y), size=mesh_x * mesh_y)
    loads = {routing: channel_loads(matrix, mesh_x, mesh_y, routing, topology) for routing in ("xy", "yx", "o1turn")}
    assert np.allclose(loads["xy"], walked(matrix, mesh_x, mesh_y, True, topology))
    assert np.allclose(loads["yx"], walked(matrix, mesh_x, mesh_y, False, topology))
    assert np.allclose(loads["o1turn"], (loads["xy"] + loads["yx"]) / 2)
    for one in loads.values():
        assert one.sum() == pytest.approx((matrix * hops(mesh_x, mesh_y, topology)).sum())
    # No routing needs less than the best, which crosses no fewer links than there are hops.
    best = best_load(matrix, mesh_x, mesh_y, topology)
    assert best <= min(one.max() for one in loads.values()) + 1e-7
    links = sum(2 * (size - (topology == "mesh")) * other for size, other in ((mesh_x, mesh_y), (mesh_y, mesh_x)) if size > 1)
    assert best * links >= (matrix * hops(mesh_x, mesh_y, topology)).sum() - 1e-6


def test_best_of_a_single_pair():
    """A corner sends over both of its links; a pair in a row of two has one."""
    matrix = np.zeros((9, 9))
    matrix[0, 8] = 1
    assert best_load(matrix, 3, 3) == pytest.approx(0.5)
    assert best_load(np.array([[0, 1.0], [0, 1]]), 2, 1) == pytest.approx(1)
    assert best_load(np.eye(4), 2, 2) == 0 and ideal_throughput(np.eye(4), 2, 2, "best") == 1


@pytest.mark.parametrize("side", [2, 3, 4, 8, 16])
def test_hops(side):
    uniform = traffic_matrix("uniform", side, side)
    assert mean_hops(uniform, side, side) == pytest.approx(2 * side / 3)
    assert zero_load_latency(uniform, side, side) == pytest.approx(2 * side / 3 + 1)
    assert zero_load_latency(uniform, side, side, length=5, link_stages=2) == pytest.approx(2 * side + 5)
    assert hops(side, side, "torus").max() == 2 * (side // 2) and hops(side, side).max() == 2 * (side - 1)


def test_known_latency():
    assert round(zero_load_latency(traffic_matrix("uniform", 8, 8), 8, 8), 2) == 6.33
    assert zero_load_latency(np.eye(1), 1, 1) == 1


def test_ways_round_a_ring():
    at, to = np.zeros(6, dtype=np.int64), np.arange(6)
    assert signed_distance(at, to, 6, "torus").tolist() == [0, 1, 2, 3, -2, -1]
    assert signed_distance(at, to, 6).tolist() == [0, 1, 2, 3, 4, 5]


def test_every_pattern_has_limits():
    for name in PATTERNS:
        matrix = traffic_matrix(name, 4, 4)
        xy, o1turn, best = (ideal_throughput(matrix, 4, 4, routing) for routing in ("xy", "o1turn", "best"))
        assert 0 < min(xy, o1turn) and max(xy, o1turn) <= best + 1e-7 and best <= 1, name
    assert ideal_throughput(traffic_matrix("all_to_one", 4, 4), 4, 4, "best") == pytest.approx(1 / 15)


def test_go_back_n():
    """Against a sum over retries: each loss costs a window; the last try one cycle."""
    for error, window in ((0.0, 8), (0.1, 1), (0.1, 8), (0.5, 3)):
        cycles = sum((1 - error) * error**losses * (losses * window + 1) for losses in range(2000))
        assert go_back_n_efficiency(error, window) == pytest.approx(1 / cycles)
    assert go_back_n_efficiency(1, 4) == 0


def test_collectives():
    at = Collectives(side=8, flits=1024)
    assert at.nodes == 64 and at.ring_steps == 126 and at.bucket_steps == 28
    assert at.all_reduce() == 2 * 1024 * 63 / 64 and at.all_reduce(at.bucket_steps) == 2016 + 28
    assert at.all_reduce_in_network() == 1024 + 16 and round(at.all_reduce_gain, 2) == 1.97
    assert at.all_gather() == 1008 and at.broadcast() == 1024 + 62
    assert at.broadcast_in_network() == 1024 + 14 and at.broadcast_in_network((4, 4)) == 1024 + 8
    assert at.barrier_rounds() == 6 and at.barrier_in_network() == 16
    assert Collectives(side=8, flits=1).all_to_all() == 128
    one = Collectives(side=1, flits=5, hop=3)
    assert one.all_reduce(one.ring_steps) == 0 and one.broadcast() == 5 and one.barrier_rounds() == 0


@pytest.mark.parametrize("call,message", [
    (lambda: ideal_throughput(np.eye(4), 2, 2, "adaptive"), "routing must be one of xy, yx, o1turn, best, not 'adaptive'"),
    (lambda: ideal_throughput(np.eye(4), 2, 3, "xy"), r"matrix must be of shape \(6, 6\) for a mesh of 2x3, not \(4, 4\)"),
    (lambda: ideal_throughput(np.zeros((4, 4)), 2, 2, "xy"), "nobody sends"),
    (lambda: mean_hops(np.zeros((4, 4)), 2, 2), "nobody sends"),
    (lambda: channel_loads(np.eye(4), 2, 2, "best"), "routing must be xy, yx or o1turn, not 'best'"),
    (lambda: channel_loads(np.eye(4), 2, 2, "xy", "ring"), "topology must be mesh or torus, not 'ring'"),
    (lambda: zero_load_latency(np.eye(4), 2, 2, length=0), "length must be at least 1 .* not 0 and 0"),
    (lambda: go_back_n_efficiency(1.5, 2), "error must be 0 to 1 .* not 1.5 and 2"),
    (lambda: Collectives(side=0, flits=1), "must be positive, not 0, 1 and 1"),
    (lambda: Collectives(side=2, flits=1).broadcast_in_network((2, 0)), "root must be coordinates from 0 to 1, not \\(2, 0\\)"),
])  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
