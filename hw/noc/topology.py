"""Who is whose neighbour: meshes and tori, as plain functions of coordinates."""

from hw.common.config import ConfigError
from hw.common.noc import NocConfig

from .flit import Port


def check_inside(config: NocConfig, at: tuple[int, int]) -> None:
    """Raises `ConfigError` if there is no node at `at`."""
    if not (0 <= at[0] < config.mesh_x and 0 <= at[1] < config.mesh_y):
        raise ConfigError(
            f"coordinates must be (0, 0) to ({config.mesh_x - 1}, {config.mesh_y - 1}) on a {config.mesh_x}x{config.mesh_y} {config.topology}, not {at!r}"
        )


def neighbour(config: NocConfig, at: tuple[int, int], port: Port) -> tuple[int, int] | None:
    """Node at the other end of the link out of `port`; the node itself for LOCAL; None where a mesh ends,
    and in a ring of one node. `ConfigError` if `at` is outside.
    """
    check_inside(config, at)
    if port is Port.LOCAL:
        return at
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
    """Whether the link out of `port` is the one that closes its ring: from the last coordinate to 0 or back. `ConfigError` if `at` is outside."""
    check_inside(config, at)
    if config.topology == "mesh" or port is Port.LOCAL:
        return False
    last = (config.mesh_x if port.is_x else config.mesh_y) - 1
    return at[not port.is_x] == (last if sum(port.step) > 0 else 0)
