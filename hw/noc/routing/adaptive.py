"""Minimal adaptive routing with an escape channel: any shortest path, chosen hop by hop by room, and XY to fall back on.

Advantages: uses all shortest paths, so patterns that crowd XY (transpose, bit reversal) carry two to three times as much. Disadvantages: a
local choice knows nothing of the load further on, so patterns that XY happens to spread well (bit complement, tornado) carry less; one VC
of each virtual network is kept for the escape; packets may overtake one another unless they are marked `ordered`, which keeps them in the
escape channel and so on XY.

Deadlock (Duato, "A new theory of deadlock-free adaptive routing in wormhole networks", 1993): the escape VC is routed XY and has no cycle
by itself; a head in an adaptive VC that finds no room asks for the escape VC of its XY port, and a packet in the escape VC stays there. So
every head that is first in its queue gets away in the end. It must also *be* first in its queue. Two packets of several flits can block
each other where they share two queues, each head behind the other's tail:

    queue 1: [tail of A][head of B] ->        A's head stands in queue 2, behind B's tail,
    queue 2: [tail of B][head of A] ->        B's head in queue 1, behind A's: neither may ask for the escape

Therefore allocation is atomic: a head enters an adaptive VC only if the VC is empty (all credits are home), or if the packet is one flit,
which has nothing to trail behind it (whole-packet forwarding: Ma, Enright Jerger, Wang, "Whole packet forwarding", 2012).
"""

from amaranth.hdl import Module, Value

from ..flit import Port
from . import dimension_order
from .base import Hop, RoutingFunction, When


class Adaptive(RoutingFunction):
    """Class 0 is the escape channel (XY), class 1 has the adaptive lanes; see the module."""

    name = "adaptive"

    def first_class(self, *, ordered: bool, choice: int) -> int:
        return 0 if ordered else 1

    def goes_by_age(self, vc: int) -> bool:
        # An escape VC can be asked for by every queue of the router: comparing all their ages would cost more than it brings.
        return super().goes_by_age(vc) and self.chooses(vc)

    def chooses(self, vc: int) -> bool:
        return self.config.vc_class(vc) == 1

    def next_ports(self, at: tuple[int, int], dst: tuple[int, int], vc_class: int) -> tuple[Port, ...]:
        if at == dst:
            return (Port.LOCAL,)
        orders = (True,) if vc_class == 0 else (True, False)
        return tuple(dict.fromkeys(dimension_order.next_port(self.config, at, dst, x_first=x_first) for x_first in orders))

    def first(self, m: Module, *, x: Value, y: Value, dst_x: Value, dst_y: Value, vc_class: int) -> Value:
        if vc_class == 0:
            return dimension_order.first(m, self.config, x_first=True, x=x, y=y, dst_x=dst_x, dst_y=dst_y)
        east, west = dimension_order.ways(self.config, x, dst_x, along_x=True)
        north, south = dimension_order.ways(self.config, y, dst_y, along_x=False)
        return dimension_order.mask(north, east, south, west, (dst_x == x) & (dst_y == y))

    def step(self, m: Module, *, out: Port, x: Value, y: Value, dst_x: Value, dst_y: Value, vc_class: int) -> Value:
        if vc_class == 0:
            # The escape port is the XY port, so a packet enters the escape channel as if it had come by XY.
            return dimension_order.step(m, self.config, x_first=True, out=out, x=x, y=y, dst_x=dst_x, dst_y=dst_y)
        return self.first(m, x=x, y=y, dst_x=dst_x, dst_y=dst_y, vc_class=vc_class)

    def outputs(self, port: Port, vc_class: int) -> tuple[Port, ...]:
        if vc_class == 0:
            return dimension_order.outputs(port, x_first=True)
        return tuple(out for out in Port if out is Port.LOCAL or out is not port)

    def hops(self, port: Port, vc: int, out: Port) -> tuple[Hop, ...]:
        if not self.chooses(vc) or out is Port.LOCAL:
            return (Hop(out, vc),)
        escape = self.config.vc_number(network=vc // self.config.network_vcs, vc_class=0, lane=0)
        return (Hop(out, vc), Hop(out, escape, When.ESCAPE))
