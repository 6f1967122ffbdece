"""XY: along the row to the column of the destination, then along the column.

Advantages: one path for each pair, so packets of a pair stay in order; the fewest crossbar connections (a flit from north or south goes
straight or arrives); the shortest route logic. Disadvantages: all the traffic of a pair of rows and columns meets in one corner: transpose
and bit reversal get 1/7 of a flit per node and cycle on 8x8, where other functions get twice to three times that.

Deadlock: a channel along y never waits for one along x, and channels of one direction wait only for the next one further on, so numbering first the
x channels by distance to their edge and then the y channels gives an order that every packet ascends: no cycle. On a torus each ring is a
cycle of its own, which the dateline cuts.
"""

from .dimension_order import DimensionOrder


class XY(DimensionOrder):
    """X then Y. One class, or two on a torus (the dateline bit); see the module."""

    name = "xy"

    def x_first(self, vc_class: int) -> bool:
        return True
