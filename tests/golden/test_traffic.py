"""Traffic matrices against definitions on bits and coordinates, alias tables by putting the matrix together again."""

import numpy as np
import pytest

from sim.golden.traffic import PATTERNS, alias_tables, traffic_matrix

SHAPES = [(1, 1), (1, 5), (7, 1), (2, 2), (3, 5), (4, 2), (4, 4), (8, 8), (16, 16)]


def destination(name, mesh_x, mesh_y, node):
    """Of permutations, from the text of Dally and Towles, on strings of bits."""
    x, y, bits = node % mesh_x, node // mesh_x, (mesh_x * mesh_y - 1).bit_length()
    text = format(node, f"0{bits}b") if bits else ""
    by_bits = {
        "bit_complement": text.translate(str.maketrans("01", "10")),
        "bit_reverse": text[::-1],
        "bit_rotation": text[-1:] + text[:-1],
        "shuffle": text[1:] + text[:1],
    }
    if name in by_bits:
        return int(by_bits[name] or "0", 2)
    to_x, to_y = {
        "transpose": (y, x),
        "tornado": ((x + -(-mesh_x // 2) - 1) % mesh_x, (y + -(-mesh_y // 2) - 1) % mesh_y),
        "neighbour": ((x + 1) % mesh_x, (y + 1) % mesh_y),
    }[name]
    return to_y * mesh_x + to_x


def matrices(mesh_x, mesh_y):
    for name in PATTERNS:
        try:
            yield name, traffic_matrix(name, mesh_x, mesh_y)
        except ValueError as error:
            assert "needs a" in str(error)


@pytest.mark.parametrize("mesh_x,mesh_y", SHAPES)
def test_rows_are_distributions(mesh_x, mesh_y):
    found = dict(matrices(mesh_x, mesh_y))
    assert {"uniform", "tornado", "neighbour", "hot_spot", "all_to_all", "all_to_one", "matmul"} <= set(found)
    for name, matrix in found.items():
        assert matrix.shape == (mesh_x * mesh_y,) * 2 and matrix.dtype == np.float64 and (matrix >= 0).all(), name
        sums = matrix.sum(axis=1)
        assert np.all((abs(sums - 1) < 1e-12) | (sums == 0)), name


@pytest.mark.parametrize("mesh_x,mesh_y", SHAPES)
@pytest.mark.parametrize("name", ["transpose", "bit_complement", "bit_reverse", "bit_rotation", "shuffle", "tornado", "neighbour"])
def test_permutations(name, mesh_x, mesh_y):
    nodes = mesh_x * mesh_y
    if name == "transpose" and mesh_x != mesh_y:
        with pytest.raises(ValueError, match=f"transpose needs a square mesh, not {mesh_x}x{mesh_y}"):
            traffic_matrix(name, mesh_x, mesh_y)
        return
    if name not in ("transpose", "tornado", "neighbour") and nodes & (nodes - 1):
        with pytest.raises(ValueError, match=f"{name} needs a power of two of nodes, not {mesh_x}x{mesh_y} = {nodes}"):
            traffic_matrix(name, mesh_x, mesh_y)
        return
    matrix = traffic_matrix(name, mesh_x, mesh_y)
    assert matrix.argmax(axis=1).tolist() == [destination(name, mesh_x, mesh_y, node) for node in range(nodes)]
    assert (matrix.max(axis=0) == 1).all() and (matrix.max(axis=1) == 1).all()


def test_who_sends_what():
    uniform = traffic_matrix("uniform", 3, 2)
    assert np.array_equal(uniform, np.where(np.eye(6), 0, 0.2)) and np.array_equal(traffic_matrix("all-to-all", 3, 2), uniform)
    hot = traffic_matrix("hot-spot", 8, 8)
    assert hot[:, 4 * 8 + 4].sum() == pytest.approx(0.1 * 64 + 0.9) and hot[36, 36] == pytest.approx(0.1) and hot[0, 0] == 0
    assert traffic_matrix("hot_spot", 8, 8, hot=0, share=0.5)[5, 0] == pytest.approx(0.5 + 0.5 / 63)
    one = traffic_matrix("all_to_one", 3, 2, target=4)
    assert one[:, 4].tolist() == [1, 1, 1, 1, 0, 1] and one.sum() == 5
    block = traffic_matrix("matmul", 3, 2)
    assert block[0].tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 0, 0])
    assert (
        not traffic_matrix("uniform", 1, 1).any()
        and not traffic_matrix("matmul", 1, 1).any()
        and not traffic_matrix("all_to_one", 1, 1).any()
    )
    assert traffic_matrix("hot_spot", 1, 1).tolist() == [[1]]


@pytest.mark.parametrize("arguments,options,message", [
    (("nonsense", 4, 4), {}, "pattern must be one of uniform, .*, not 'nonsense'"),
    ((None, 4, 4), {}, "pattern must be one of .*, not None"),
    (("uniform", 0, 4), {}, "mesh_x must be 1 to 16, not 0"),
    (("uniform", 4, 17), {}, "mesh_y must be 1 to 16, not 17"),
    (("uniform", 4, 4.0), {}, "mesh_y must be 1 to 16, not 4.0"),
    (("uniform", 4, 4), {"hot": 1}, "uniform has no option hot"),
    (("hot_spot", 4, 4), {"hot": 16}, "hot must be a node, 0 to 15, not 16"),
    (("hot_spot", 4, 4), {"share": 1.5}, "share must be 0 to 1, not 1.5"),
    (("all_to_one", 2, 2), {"target": -1}, "target must be a node, 0 to 3, not -1"),
])  # fmt: skip
def test_bad_pattern(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        traffic_matrix(*arguments, **options)


def put_together(probability, alias):
    nodes = len(probability)
    matrix = np.zeros((nodes, nodes))
    for source in range(nodes):
        for column in range(nodes):
            if alias[source, column] >= 0:
                matrix[source, column] += probability[source, column] / nodes
                matrix[source, alias[source, column]] += (1 - probability[source, column]) / nodes
    return matrix


@pytest.mark.parametrize("mesh_x,mesh_y", SHAPES[:-2])
def test_alias_tables_of_patterns(mesh_x, mesh_y):
    for name, matrix in matrices(mesh_x, mesh_y):
        probability, alias = alias_tables(matrix)
        assert probability.dtype == np.float64 and alias.dtype == np.int32
        assert np.allclose(put_together(probability, alias), matrix, rtol=0, atol=1e-14), name


@pytest.mark.parametrize("seed", range(10))
def test_alias_tables_of_random_matrices(seed):
    """Skewed and sparse rows; what has probability 0 is never drawn."""
    rng = np.random.default_rng(seed)
    nodes = int(rng.choice([1, 2, 3, 7, 30]))
    matrix = rng.random((nodes, nodes)) ** rng.integers(1, 9) * (rng.random((nodes, nodes)) < 0.4)
    matrix /= np.maximum(matrix.sum(axis=1, keepdims=True), 1e-300)
    again = put_together(*alias_tables(matrix))
    assert np.allclose(again, matrix, rtol=0, atol=1e-14) and not again[matrix == 0].any(), f"seed {seed}"


@pytest.mark.parametrize("matrix,message", [
    (np.ones((2, 3)), "square, not of shape \\(2, 3\\)"), (np.zeros((0, 0)), "square"),
    (np.array([[0, 0.5], [0, 1]]), "not row 0 with sum .*0.5"), (np.array([[1, 0], [-1, 2]]), "not row 1"), (np.full((1, 1), np.nan), "not row 0"),
])  # fmt: skip
def test_bad_matrix(matrix, message):
    with pytest.raises(ValueError, match=message):
        alias_tables(matrix)
