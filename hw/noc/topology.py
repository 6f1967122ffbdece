"""Who is whose neighbour: meshes and tori, as plain functions of coordinates."""

from hw.common.noc import NocConfig

from .flit import Port


def neighbour(config: NocConfig, at: tuple[int, int], port: Port) -> tuple[int, int] | None:
    """Node at the other end of the link out of `port`; None where a mesh ends, and in a ring of one node."""
    size = (config.mesh_x, config.mesh_y)
    there = tuple(place + step for place, step in zip(at, port.step, strict=True))
    if config.topology == "torus":
        if size[not port.is_x] == 1:
            return None
        there = tuple(place % length for place, length in zip(there, size, strict=True))
    if not all(0 <= place < length for place, length in zip(there, size, strict=True)):
        return None
    return there[0], there[1]


def crosses_dateline(config: NocConfig, at: tuple[int, int], port: Port) -> bool:
    """Whether the link out of `port` is the one that closes its ring: from the last coordinate to 0 or back."""
    if config.topology == "mesh" or port is Port.LOCAL:
        return False
    last = (config.mesh_x if port.is_x else config.mesh_y) - 1
    return at[not port.is_x] == (last if sum(port.step) > 0 else 0)
