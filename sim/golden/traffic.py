"""Traffic patterns as matrices: with which probability a packet of a node goes to each node.

Node number = y * mesh_x + x. A row sums to 1, or is all zero: that node sends nothing. Where a permutation maps a node to itself (the diagonal of
`transpose`, say) the row has its 1 there: such packets go in and out through the local port, as in BookSim. The permutations are those of
Dally and Towles, "Principles and Practices of Interconnection Networks" (2004), table 3.1, and of BookSim 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

#: Largest side of a mesh.
SIDE_LIMIT = 16


def _uniform(mesh_x: int, mesh_y: int) -> Matrix:
    """Every other node, equally."""
    nodes = mesh_x * mesh_y
    if nodes == 1:
        return np.zeros((1, 1))
    matrix = np.full((nodes, nodes), 1 / (nodes - 1))
    np.fill_diagonal(matrix, 0)
    return matrix


def _permutation(destinations: NDArray[np.int64]) -> Matrix:
    matrix = np.zeros((destinations.size, destinations.size))
    matrix[np.arange(destinations.size), destinations] = 1
    return matrix


def _coordinates(mesh_x: int, mesh_y: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    node = np.arange(mesh_x * mesh_y, dtype=np.int64)
    return node % mesh_x, node // mesh_x


def _transpose(mesh_x: int, mesh_y: int) -> Matrix:
    """(x, y) to (y, x)."""
    if mesh_x != mesh_y:
        raise ValueError(f"pattern transpose needs a square mesh, not {mesh_x}x{mesh_y}: choose equal sides or another pattern")
    x, y = _coordinates(mesh_x, mesh_y)
    return _permutation(x * mesh_x + y)


def _index_bits(name: str, mesh_x: int, mesh_y: int) -> int:
    nodes = mesh_x * mesh_y
    if nodes & (nodes - 1):
        raise ValueError(f"pattern {name} needs a power of two of nodes, not {mesh_x}x{mesh_y} = {nodes}: choose another mesh or pattern")
    return nodes.bit_length() - 1


def _bit_complement(mesh_x: int, mesh_y: int) -> Matrix:
    """Every bit of the node number turned over."""
    _index_bits("bit_complement", mesh_x, mesh_y)
    return _permutation(np.arange(mesh_x * mesh_y)[::-1].astype(np.int64))


def _bit_reverse(mesh_x: int, mesh_y: int) -> Matrix:
    """The bits of the node number in reverse order."""
    bits = _index_bits("bit_reverse", mesh_x, mesh_y)
    node = np.arange(mesh_x * mesh_y, dtype=np.int64)
    return _permutation(sum(((node >> bit & 1) << (bits - 1 - bit) for bit in range(bits)), np.zeros_like(node)))


def _bit_rotation(mesh_x: int, mesh_y: int) -> Matrix:
    """The bits of the node number moved one place down, the lowest to the top."""
    bits = _index_bits("bit_rotation", mesh_x, mesh_y)
    node = np.arange(mesh_x * mesh_y, dtype=np.int64)
    return _permutation(node >> 1 | (node & 1) << (bits - 1) if bits else node)


def _shuffle(mesh_x: int, mesh_y: int) -> Matrix:
    """The bits of the node number moved one place up, the highest to the bottom."""
    bits = _index_bits("shuffle", mesh_x, mesh_y)
    node = np.arange(mesh_x * mesh_y, dtype=np.int64)
    return _permutation((node << 1 & (node.size - 1)) | node >> (bits - 1) if bits else node)


def _shifted(mesh_x: int, mesh_y: int, by_x: int, by_y: int) -> Matrix:
    x, y = _coordinates(mesh_x, mesh_y)
    return _permutation((y + by_y) % mesh_y * mesh_x + (x + by_x) % mesh_x)


def _tornado(mesh_x: int, mesh_y: int) -> Matrix:
    """Just under half way round in both dimensions: x + ceil(mesh_x / 2) - 1, likewise y, modulo the sides."""
    return _shifted(mesh_x, mesh_y, (mesh_x + 1) // 2 - 1, (mesh_y + 1) // 2 - 1)


def _neighbour(mesh_x: int, mesh_y: int) -> Matrix:
    """x + 1 and y + 1, modulo the sides."""
    return _shifted(mesh_x, mesh_y, 1, 1)


def _node_option(name: str, value: Any, mesh_x: int, mesh_y: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < mesh_x * mesh_y:
        raise ValueError(f"{name} must be a node, 0 to {mesh_x * mesh_y - 1}, not {value!r}")
    return int(value)


def _hot_spot(mesh_x: int, mesh_y: int, *, hot: int | None = None, share: float = 0.1) -> Matrix:
    """`share` of every node's packets, its own included, go to `hot` (the middle of the mesh), the rest to every other node equally."""
    if not 0 <= share <= 1:
        raise ValueError(f"share must be 0 to 1, not {share!r}")
    node = _node_option("hot", (mesh_y // 2) * mesh_x + mesh_x // 2 if hot is None else hot, mesh_x, mesh_y)
    if mesh_x * mesh_y == 1:
        return np.ones((1, 1))
    matrix = (1 - share) * _uniform(mesh_x, mesh_y)
    matrix[:, node] += share
    return matrix


def _all_to_one(mesh_x: int, mesh_y: int, *, target: int = 0) -> Matrix:
    """Every other node to `target`, which sends nothing."""
    node = _node_option("target", target, mesh_x, mesh_y)
    matrix = np.zeros((mesh_x * mesh_y, mesh_x * mesh_y))
    matrix[:, node] = 1
    matrix[node, node] = 0
    return matrix


def _matmul(mesh_x: int, mesh_y: int) -> Matrix:
    """Output-stationary matrix product (SUMMA), mean over its steps, without multicast.

    The output block of a node stays; in step k the nodes of column k send their block of A to all others of their row, the nodes of row
    k their block of B to all others of their column (van de Geijn and Watts, 1997). Over all steps every node sends one block to each
    of the mesh_x - 1 + mesh_y - 1 nodes it shares a row or column with.
    """
    x, y = _coordinates(mesh_x, mesh_y)
    matrix = ((x[:, None] == x) ^ (y[:, None] == y)).astype(np.float64)
    return matrix / max(1, mesh_x + mesh_y - 2)


#: By the name used in configurations; the command line takes `-` for `_`. `all_to_all` in its steady state is uniform traffic.
PATTERNS: dict[str, Callable[..., Matrix]] = {
    "uniform": _uniform,
    "transpose": _transpose,
    "bit_complement": _bit_complement,
    "bit_reverse": _bit_reverse,
    "bit_rotation": _bit_rotation,
    "shuffle": _shuffle,
    "tornado": _tornado,
    "neighbour": _neighbour,
    "hot_spot": _hot_spot,
    "all_to_all": _uniform,
    "all_to_one": _all_to_one,
    "matmul": _matmul,
}


def traffic_matrix(name: str, mesh_x: int, mesh_y: int, **options: Any) -> Matrix:
    """Matrix [N, N] of the pattern `name`: row = source, column = destination.

    Options: `hot` and `share` of hot_spot, `target` of all_to_one.

    Raises
    ------
    ValueError
        if there is no such pattern, an option is wrong, or the pattern is not defined on this mesh.
    """
    for side, value in (("mesh_x", mesh_x), ("mesh_y", mesh_y)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= SIDE_LIMIT:
            raise ValueError(f"{side} must be 1 to {SIDE_LIMIT}, not {value!r}")
    pattern = PATTERNS.get(name.replace("-", "_")) if isinstance(name, str) else None
    if pattern is None:
        raise ValueError(f"pattern must be one of {', '.join(PATTERNS)}, not {name!r}")
    unknown = set(options) - set(pattern.__kwdefaults__ or ())
    if unknown:
        raise ValueError(f"pattern {name} has no option {', '.join(sorted(unknown))}")
    return pattern(mesh_x, mesh_y, **options)


def alias_tables(matrix: Matrix) -> tuple[Matrix, NDArray[np.int32]]:
    """Tables to draw a destination with two random numbers (Walker 1977, in the order of Vose 1991): (probability, alias), both [N, N].

    For a packet of node s draw a column c, equally likely, and u from [0, 1): the destination is c if u < probability[s, c], else
    alias[s, c]. A row of zeros stays one: probability 0 and alias -1.

    Raises
    ------
    ValueError
        if `matrix` is not square, or a row is neither zero nor a distribution.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"matrix must be square, not of shape {matrix.shape}")
    nodes = matrix.shape[0]
    sums = matrix.sum(axis=1)
    wrong = np.flatnonzero(~((matrix >= 0).all(axis=1) & ((sums == 0) | (abs(sums - 1) < 1e-9))))
    if wrong.size:
        raise ValueError(f"matrix must have rows of probabilities with sum 1, or of zeros, not row {wrong[0]} with sum {sums[wrong[0]]!r}")
    probability, alias = np.zeros((nodes, nodes)), np.full((nodes, nodes), -1, dtype=np.int32)
    for source in np.flatnonzero(sums):
        left = matrix[source] * (nodes / sums[source])
        probability[source], alias[source] = 1, np.arange(nodes)
        small, large = list(np.flatnonzero(left < 1)), list(np.flatnonzero(left >= 1))
        while small and large:
            low, high = small.pop(), large[-1]
            probability[source, low], alias[source, low] = left[low], high
            left[high] -= 1 - left[low]
            if left[high] < 1:
                small.append(large.pop())
        # What rounding leaves over keeps probability 1, except columns nobody may draw.
        for column in small:
            if not matrix[source, column]:
                probability[source, column], alias[source, column] = 0, int(matrix[source].argmax())
    return probability, alias
