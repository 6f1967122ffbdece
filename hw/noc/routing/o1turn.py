"""O1TURN: half of the packets go XY, half YX, each half in VCs of its own.

Advantages: the best worst case a function without adaptivity can have where the mesh has an even side (Seo et al., "Near-optimal worst-case
throughput routing for two-dimensional mesh networks", 2005): transpose carries twice what XY does, and nothing carries less than with XY by
more than the buffers it costs. Simple: the order is chosen once, where the packet enters. Disadvantages: two classes share the VCs, so each
has half of them; packets of a pair may overtake one another unless they are marked `ordered`, which keeps them on XY.

Deadlock: a packet never leaves its class, so the channels of the classes are two networks, one routed XY, one YX; neither has a cycle.
"""

from .dimension_order import DimensionOrder


class O1Turn(DimensionOrder):
    """XY in the lower half of the classes, YX in the upper; see the module."""

    name = "o1turn"

    def x_first(self, vc_class: int) -> bool:
        return vc_class < self.config.classes // 2

    def first_class(self, *, ordered: bool, choice: int) -> int:
        return 0 if ordered else choice * (self.config.classes // 2)
