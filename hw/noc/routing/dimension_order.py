"""Dimension-order routing: all the way along one dimension, then all the way along the other. `xy.py` and `yx.py` name the two orders,
`o1turn.py` uses both.

Along a ring of a torus a flit goes the shorter way; at equal distance, the way of growing coordinates. The direction is chosen once, where the packet
enters the ring, and kept, because every step makes that way shorter still.
"""

from abc import abstractmethod

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.common.noc import NocConfig

from ..flit import Port
from .base import RoutingFunction


def direction(config: NocConfig, at: int, dst: int, *, along_x: bool) -> int:
    """+1, -1 or 0: the way from coordinate `at` to `dst` along a dimension. The model."""
    if at == dst:
        return 0
    if config.topology == "mesh":
        return 1 if dst > at else -1
    size = config.mesh_x if along_x else config.mesh_y
    return 1 if 2 * ((dst - at) % size) <= size else -1


def next_port(config: NocConfig, at: tuple[int, int], dst: tuple[int, int], *, x_first: bool) -> Port:
    """Port of dimension-order routing at `at`. The model."""
    for along_x in (x_first, not x_first):
        way = direction(config, at[not along_x], dst[not along_x], along_x=along_x)
        if way:
            return (Port.EAST if way > 0 else Port.WEST) if along_x else (Port.NORTH if way > 0 else Port.SOUTH)
    return Port.LOCAL


def ways(config: NocConfig, at: Value, dst: Value, *, along_x: bool) -> tuple[Value, Value]:
    """(up, down): one bit each; neither where `at` equals `dst`. Combinational."""
    if config.topology == "mesh":
        return dst > at, dst < at
    size = config.mesh_x if along_x else config.mesh_y
    if size == 1:
        return Const(0, 1), Const(0, 1)
    distance = Mux(dst >= at, dst - at, dst - at + size)[: len(dst) + 1]
    return (distance != 0) & (distance <= size // 2), distance > size // 2


def mask(north: Value, east: Value, south: Value, west: Value, local: Value) -> Value:
    """A route from its bits."""
    return Cat(north, east, south, west, local)


def first(m: Module, config: NocConfig, *, x_first: bool, x: Value, y: Value, dst_x: Value, dst_y: Value) -> Value:
    """Route where a packet starts."""
    east, west = ways(config, x, dst_x, along_x=True)
    north, south = ways(config, y, dst_y, along_x=False)
    local = (dst_x == x) & (dst_y == y)
    if x_first:
        here = dst_x == x
        return mask(north & here, east, south & here, west, local)
    here = dst_y == y
    return mask(north, east & here, south, west & here, local)


def step(m: Module, config: NocConfig, *, x_first: bool, out: Port, x: Value, y: Value, dst_x: Value, dst_y: Value) -> Value:
    """Route at the neighbour through `out`: straight on until the coordinate is right, then the second dimension if this was the first."""
    none = Const(0, 1)
    arrived = dst_x == x if out.is_x else dst_y == y
    if out.is_x == x_first:  # first dimension: turning is possible
        up, down = ways(config, y if out.is_x else x, dst_y if out.is_x else dst_x, along_x=not out.is_x)
        turn_up, turn_down, local = arrived & up, arrived & down, arrived & ~(up | down)
    else:
        turn_up, turn_down, local = none, none, arrived
    bits = dict.fromkeys(Port, none) | {out: ~arrived, Port.LOCAL: local}
    if out.is_x == x_first:
        bits |= {Port.NORTH: turn_up, Port.SOUTH: turn_down} if out.is_x else {Port.EAST: turn_up, Port.WEST: turn_down}
    return mask(*(bits[port] for port in Port))


def outputs(port: Port, *, x_first: bool) -> tuple[Port, ...]:
    """Ports a flit that came in by `port` can leave by."""
    if port is Port.LOCAL:
        return tuple(Port)
    if port.is_x == x_first:
        turns = (Port.NORTH, Port.SOUTH) if port.is_x else (Port.EAST, Port.WEST)
        return tuple(sorted((*turns, port.opposite, Port.LOCAL)))
    return tuple(sorted((port.opposite, Port.LOCAL)))


class DimensionOrder(RoutingFunction):
    """A routing function whose packets are all in dimension order; which order is a matter of their class."""

    @abstractmethod
    def x_first(self, vc_class: int) -> bool:
        """Whether packets in `vc_class` go along x first."""

    def next_ports(self, at: tuple[int, int], dst: tuple[int, int], vc_class: int) -> tuple[Port, ...]:
        return (next_port(self.config, at, dst, x_first=self.x_first(vc_class)),)

    def first(self, m: Module, *, x: Value, y: Value, dst_x: Value, dst_y: Value, vc_class: int) -> Value:
        return first(m, self.config, x_first=self.x_first(vc_class), x=x, y=y, dst_x=dst_x, dst_y=dst_y)

    def step(self, m: Module, *, out: Port, x: Value, y: Value, dst_x: Value, dst_y: Value, vc_class: int) -> Value:
        return step(m, self.config, x_first=self.x_first(vc_class), out=out, x=x, y=y, dst_x=dst_x, dst_y=dst_y)

    def outputs(self, port: Port, vc_class: int) -> tuple[Port, ...]:
        return outputs(port, x_first=self.x_first(vc_class))
