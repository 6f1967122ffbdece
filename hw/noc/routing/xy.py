"""XY: along the row to the column of the destination, then along the column.

Advantages: one path for each pair, so packets of a pair stay in order; the fewest crossbar connections (a flit from north or south goes
straight or arrives); the shortest route logic. Disadvantages: all the traffic of a pair of rows and columns meets in one corner: transpose
and bit reversal get 1/7 of a flit per node and cycle on 8x8, where other functions get twice to three times that.

Deadlock: a channel along y never waits for one along x, and channels of one direction wait only for the next one further on, so numbering first the
x channels by distance to their edge and then the y channels gives an order that every packet ascends: no cycle. On a torus each ring is a
cycle of its own, which the dateline cuts.
"""

from amaranth.hdl import Module, Value

from ..flit import Port
from . import dimension_order
from .base import RoutingFunction


class XY(RoutingFunction):
    """X then Y. One class; see the module."""

    name = "xy"

    def next_ports(self, at: tuple[int, int], dst: tuple[int, int], vc_class: int) -> tuple[Port, ...]:
        return (dimension_order.next_port(self.config, at, dst, x_first=True),)

    def first(self, m: Module, *, x: Value, y: Value, dst_x: Value, dst_y: Value, vc_class: int) -> Value:
        return dimension_order.first(m, self.config, x_first=True, x=x, y=y, dst_x=dst_x, dst_y=dst_y)

    def step(self, m: Module, *, out: Port, x: Value, y: Value, dst_x: Value, dst_y: Value, vc_class: int) -> Value:
        return dimension_order.step(m, self.config, x_first=True, out=out, x=x, y=y, dst_x=dst_x, dst_y=dst_y)

    def outputs(self, port: Port, vc_class: int) -> tuple[Port, ...]:
        return dimension_order.outputs(port, x_first=True)
