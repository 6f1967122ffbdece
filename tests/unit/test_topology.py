"""Neighbours and datelines of meshes and tori."""

from itertools import product

import pytest

from hw.common.config import ConfigError
from hw.common.noc import NocConfig
from hw.noc.flit import Port
from hw.noc.topology import crosses_dateline, neighbour

SHAPES = [(1, 1), (1, 5), (5, 1), (2, 2), (3, 5), (16, 2)]
LINKS = (Port.NORTH, Port.EAST, Port.SOUTH, Port.WEST)


def make(topology: str, x: int, y: int) -> NocConfig:
    return NocConfig(mesh_x=x, mesh_y=y, topology=topology, torus_scheme="dateline" if topology == "torus" else "none")


@pytest.mark.parametrize(("x", "y"), SHAPES)
@pytest.mark.parametrize("topology", ["mesh", "torus"])
def test_links_lead_both_ways(topology: str, x: int, y: int) -> None:
    """The way back from a neighbour is by the opposite port; the number of links is that of the topology."""
    config, links = make(topology, x, y), 0
    for at in product(range(x), range(y)):
        assert neighbour(config, at, Port.LOCAL) == at
        for port in LINKS:
            there = neighbour(config, at, port)
            if there is not None:
                assert there in set(product(range(x), range(y)))
                assert neighbour(config, there, port.opposite) == at
                links += 1
    if topology == "mesh":
        assert links == 2 * ((x - 1) * y + x * (y - 1))
    else:
        assert links == 2 * x * y * ((x > 1) + (y > 1))


def test_neighbours_by_hand() -> None:
    mesh, torus = make("mesh", 3, 2), make("torus", 3, 2)
    assert [neighbour(mesh, (0, 0), port) for port in LINKS] == [(0, 1), (1, 0), None, None]
    assert [neighbour(mesh, (2, 1), port) for port in LINKS] == [None, None, (2, 0), (1, 1)]
    assert [neighbour(torus, (0, 0), port) for port in LINKS] == [(0, 1), (1, 0), (0, 1), (2, 0)]


@pytest.mark.parametrize(("x", "y"), SHAPES)
def test_a_ring_has_one_dateline(x: int, y: int) -> None:
    """Each direction of each ring crosses it once; a mesh has none, nor has a local port."""
    torus, mesh = make("torus", x, y), make("mesh", x, y)
    for port in LINKS:
        crossings = [at for at in product(range(x), range(y)) if crosses_dateline(torus, at, port)]
        assert len(crossings) == (y if port.is_x else x)
        assert len({at[port.is_x] for at in crossings}) == len(crossings)
    for at, port in product(product(range(x), range(y)), Port):
        assert not crosses_dateline(mesh, at, port)
    assert not any(crosses_dateline(torus, at, Port.LOCAL) for at in product(range(x), range(y)))


@pytest.mark.parametrize("topology", ["mesh", "torus"])
@pytest.mark.parametrize("at", [(3, 0), (0, 2), (-1, 0), (0, -1), (4, 4)])
def test_coordinates_outside_are_refused(topology: str, at: tuple[int, int]) -> None:
    config = make(topology, 3, 2)
    for function in (neighbour, crosses_dateline):
        with pytest.raises(ConfigError, match=rf"coordinates must be \(0, 0\) to \(2, 1\) on a 3x2 {topology}, not \({at[0]}, {at[1]}\)"):
            function(config, at, Port.EAST)
