"""YX: along the column to the row of the destination, then along the row; XY with the dimensions exchanged.

Advantages and disadvantages are those of XY (`xy.py`), for the mirrored patterns. On a mesh that is wider than it is high it puts the turns
where there are more links. It is the second half of O1TURN.

Deadlock: as XY, with x and y exchanged.
"""

from .dimension_order import DimensionOrder


class YX(DimensionOrder):
    """Y then X. One class; see the module."""

    name = "yx"

    def x_first(self, vc_class: int) -> bool:
        return False
