"""What no mesh can beat: throughput by the load of its busiest channel, latency by its hops, and the time of collectives.

Throughput is in flits per node and cycle; a link, an injection and an ejection port carry one flit a cycle. Sources: Dally and Towles,
"Principles and Practices of Interconnection Networks" (2004), chapter 3 (channel load) and section 22.2 (go-back-N); Seo et al., "Near-optimal
worst-case throughput routing for two-dimensional mesh networks", ISCA 2005 (O1TURN); Thakur, Rabenseifner and Gropp, "Optimization of collective
communication operations in MPICH", 2005.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from .traffic import Matrix

#: Directions of links, in the order of the ports of a router: north, east, south, west.
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
ROUTINGS = ("xy", "yx", "o1turn", "best")


def _checked(matrix: Matrix, mesh_x: int, mesh_y: int, topology: str = "mesh") -> Matrix:
    matrix = np.asarray(matrix, dtype=np.float64)
    nodes = mesh_x * mesh_y
    if matrix.shape != (nodes, nodes):
        raise ValueError(f"matrix must be of shape {(nodes, nodes)} for a mesh of {mesh_x}x{mesh_y}, not {matrix.shape}")
    if topology not in ("mesh", "torus"):
        raise ValueError(f"topology must be mesh or torus, not {topology!r}")
    return matrix


def signed_distance(at: NDArray[np.int64], to: NDArray[np.int64], size: int, topology: str = "mesh") -> NDArray[np.int64]:
    """Steps from coordinate `at` to `to` along a dimension; on a torus the shorter way, at equal length the growing one."""
    if topology == "mesh":
        return to - at
    forward = (to - at) % size
    return np.where(2 * forward <= size, forward, forward - size)


def hops(mesh_x: int, mesh_y: int, topology: str = "mesh") -> NDArray[np.int64]:
    """Links of a shortest path from each node (row) to each node (column)."""
    node = np.arange(mesh_x * mesh_y, dtype=np.int64)
    x, y = node % mesh_x, node // mesh_x
    return abs(signed_distance(x[:, None], x, mesh_x, topology)) + abs(signed_distance(y[:, None], y, mesh_y, topology))


def channel_loads(matrix: Matrix, mesh_x: int, mesh_y: int, routing: str, topology: str = "mesh") -> Matrix:
    """Flits on each link per flit each node injects, [4, N]: the link out of node n in direction d of `STEPS`. `routing`: xy, yx or o1turn."""
    matrix = _checked(matrix, mesh_x, mesh_y, topology)
    if routing == "o1turn":
        # Of two arrays: the type checker thinks of the 0 that an empty sum would be.
        return sum(channel_loads(matrix, mesh_x, mesh_y, one, topology) for one in ("xy", "yx")) / 2  # type: ignore[return-value]
    if routing not in ("xy", "yx"):
        raise ValueError(f"routing must be xy, yx or o1turn, not {routing!r}")
    source, target = np.nonzero(matrix)
    weight = matrix[source, target]
    place = [source % mesh_x, source // mesh_x]
    goal = [target % mesh_x, target // mesh_x]
    loads = np.zeros((4, mesh_x * mesh_y))
    for axis in (0, 1) if routing == "xy" else (1, 0):
        size = (mesh_x, mesh_y)[axis]
        distance = signed_distance(place[axis], goal[axis], size, topology)
        for step in range(abs(distance).max(initial=0)):
            moving = abs(distance) > step
            direction = np.where(distance[moving] > 0, (1, 0)[axis], (3, 2)[axis])
            np.add.at(loads, (direction, place[1][moving] * mesh_x + place[0][moving]), weight[moving])
            place[axis] = np.where(moving, (place[axis] + np.sign(distance)) % size, place[axis])
    return loads


def ideal_throughput(matrix: Matrix, mesh_x: int, mesh_y: int, routing: str, topology: str = "mesh") -> float:
    """Flits per node and cycle at which the first channel (link, injection or ejection) is full; all that send send equally much.

    Parameters
    ----------
    routing : str
        `xy`, `yx`, `o1turn` (half the packets each way), or `best`: any split over any paths, by linear program.

    Raises
    ------
    ValueError
        if an argument is not legal, or nobody sends.
    """
    matrix = _checked(matrix, mesh_x, mesh_y, topology)
    if routing not in ROUTINGS:
        raise ValueError(f"routing must be one of {', '.join(ROUTINGS)}, not {routing!r}")
    if not matrix.any():
        raise ValueError("matrix must have a row that is not zero: nobody sends")
    ports = max(matrix.sum(axis=1).max(), matrix.sum(axis=0).max())
    links = (
        best_load(matrix, mesh_x, mesh_y, topology) if routing == "best" else channel_loads(matrix, mesh_x, mesh_y, routing, topology).max()
    )
    return float(1 / max(ports, links))


def best_load(matrix: Matrix, mesh_x: int, mesh_y: int, topology: str = "mesh") -> float:
    """Least load of the busiest link that any routing reaches: a multi-commodity flow, one commodity a source.

    Variables: the flow of each source over each link, and the greatest load. Constraints: what a node gets of a source, less what it passes
    on, is what the source sends it; the flows over a link are at most the greatest load, which is minimised.
    """
    matrix = _checked(matrix, mesh_x, mesh_y, topology)
    nodes = mesh_x * mesh_y
    links = _links(mesh_x, mesh_y, topology)
    senders = [source for source in range(nodes) if matrix[source].sum() > matrix[source, source]]
    if not senders:
        return 0.0
    count, commodities = len(links), len(senders)
    flow = np.arange(commodities * count).reshape(commodities, count)
    # Balance of node n for commodity c is row c * nodes + n.
    rows = np.arange(commodities)[:, None] * nodes
    balance = coo_matrix(
        (
            np.concatenate([np.ones(flow.size), -np.ones(flow.size)]),
            (np.concatenate([(rows + links[:, 1]).ravel(), (rows + links[:, 0]).ravel()]), np.tile(flow.ravel(), 2)),
        ),
        shape=(commodities * nodes, flow.size + 1),
    )
    wanted = matrix[senders].copy()
    wanted[np.arange(commodities), senders] -= matrix[senders].sum(axis=1)
    capacity = coo_matrix(
        (
            np.concatenate([np.ones(flow.size), -np.ones(count)]),
            (np.concatenate([np.tile(np.arange(count), commodities), np.arange(count)]), np.append(flow.ravel(), [flow.size] * count)),
        ),
        shape=(count, flow.size + 1),
    )
    cost = np.zeros(flow.size + 1)
    cost[-1] = 1
    found = linprog(cost, A_ub=capacity, b_ub=np.zeros(count), A_eq=balance, b_eq=wanted.ravel(), method="highs-ipm")
    if found.status:
        raise RuntimeError(f"the linear program of the best routing was not solved: {found.message}")
    return float(found.fun)


def _links(mesh_x: int, mesh_y: int, topology: str) -> NDArray[np.int64]:
    """(from, to) of every link; rings of one have none."""
    found = []
    for node in range(mesh_x * mesh_y):
        for dx, dy in STEPS:
            x, y = node % mesh_x + dx, node // mesh_x + dy
            if topology == "torus":
                x, y = x % mesh_x, y % mesh_y
            if 0 <= x < mesh_x and 0 <= y < mesh_y and y * mesh_x + x != node:
                found.append((node, y * mesh_x + x))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def mean_hops(matrix: Matrix, mesh_x: int, mesh_y: int, topology: str = "mesh") -> float:
    """Links a packet crosses in the mean; 2k/3 for uniform traffic without self on a k x k mesh."""
    matrix = _checked(matrix, mesh_x, mesh_y, topology)
    if not matrix.any():
        raise ValueError("matrix must have a row that is not zero: nobody sends")
    return float((matrix * hops(mesh_x, mesh_y, topology)).sum() / matrix.sum())


def zero_load_latency(matrix: Matrix, mesh_x: int, mesh_y: int, *, length: int = 1, link_stages: int = 0, topology: str = "mesh") -> float:
    """Mean cycles from injection of the head to ejection of the tail where nothing is in the way: hops (1 + link_stages) + 1 + length - 1."""
    if length < 1 or link_stages < 0:
        raise ValueError(f"length must be at least 1 and link_stages at least 0, not {length!r} and {link_stages!r}")
    return mean_hops(matrix, mesh_x, mesh_y, topology) * (1 + link_stages) + length


def go_back_n_efficiency(error: float, window: int) -> float:
    """Share of a link's cycles that carry new flits if each is lost with probability `error` and `window` are sent again: (1 - p) / (1 + p (W - 1))."""
    if not 0 <= error <= 1 or window < 1:
        raise ValueError(f"error must be 0 to 1 and window at least 1, not {error!r} and {window!r}")
    return (1 - error) / (1 + error * (window - 1))


@dataclass(frozen=True, kw_only=True)
class Collectives:
    """Cycles of collectives among the side x side nodes of a mesh, `flits` on each node, one local port, `hop` cycles a hop.

    Raises
    ------
    ValueError
        if a field is not positive.
    """

    side: int
    flits: int
    hop: int = 1

    def __post_init__(self) -> None:
        if min(self.side, self.flits, self.hop) < 1:
            raise ValueError(f"side, flits and hop must be positive, not {self.side}, {self.flits} and {self.hop}")

    @property
    def nodes(self) -> int:
        """N = side^2."""
        return self.side**2

    @property
    def radius(self) -> int:
        """Hops from a root in the middle to the farthest node: `side`."""
        return self.side

    def all_reduce(self, steps: int = 0) -> float:
        """By messages: 2 M (N - 1) / N, and `steps` (see `ring_steps`, `bucket_steps`) of a hop each."""
        return 2 * self.flits * (self.nodes - 1) / self.nodes + steps * self.hop

    @property
    def ring_steps(self) -> int:
        """Steps of a ring all-reduce: 2 (N - 1)."""
        return 2 * (self.nodes - 1)

    @property
    def bucket_steps(self) -> int:
        """Steps of a bucket all-reduce in two dimensions: 4 (k - 1)."""
        return 4 * (self.side - 1)

    def all_reduce_in_network(self) -> int:
        """With reduction and multicast in the routers: M + 2 D t."""
        return self.flits + 2 * self.radius * self.hop

    @property
    def all_reduce_gain(self) -> float:
        """Of doing it in the routers, for long vectors: 2 (N - 1) / N."""
        return 2 * (self.nodes - 1) / self.nodes

    def all_gather(self) -> float:
        """All-gather, and reduce-scatter: M (N - 1) / N, in the network as without."""
        return self.flits * (self.nodes - 1) / self.nodes

    def broadcast(self) -> int:
        """By messages, from node to node: M + (N - 2) t."""
        return self.flits + max(0, self.nodes - 2) * self.hop

    def broadcast_in_network(self, root: tuple[int, int] = (0, 0)) -> int:
        """Multicast by the routers: M + ecc t, ecc the hops from `root` to the farthest corner."""
        if not all(0 <= place < self.side for place in root):
            raise ValueError(f"root must be coordinates from 0 to {self.side - 1}, not {root!r}")
        return self.flits + sum(max(place, self.side - 1 - place) for place in root) * self.hop

    def all_to_all(self) -> float:
        """`flits` for each pair: m k^3 / 4, by the bisection of the mesh."""
        return self.flits * self.side**3 / 4

    def barrier_rounds(self) -> int:
        """Rounds of messages: log2 N, rounded up."""
        return ceil(log2(self.nodes))

    def barrier_in_network(self) -> int:
        """2 D t."""
        return 2 * self.radius * self.hop
