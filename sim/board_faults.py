"""Faults of hardware that a simulated board can have: what they are called, and what they break. The design with all of them: `sim.faulty_board`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOARD_FAULTS", "BoardFault"]


@dataclass(frozen=True, kw_only=True)
class BoardFault:
    """A fault.

    Parameters
    ----------
    doc : str
        What is broken, where.
    rung : str
        Of the bring-up that names it.
    inside : bool
        It is in blocks that only the chip with parallel control has; others are at the boundary of any chip.
    """

    doc: str
    rung: str
    inside: bool = False


#: Places of the faults: in every chip with parallel control.
LINE, LINE_BIT, COLUMN, BANK, ROW, PSUM_COLUMN, PSUM_BIT, ROW_OF_ARRAY = 297, 13, 3, 1, 5, 2, 9, 1
#: Bit that registers lose.
REGISTER_BIT = 6
#: Byte lanes that are exchanged.
READ_LANES, WRITE_LANES = (1, 2), (0, 3)

#: By name; the number of a fault on the pin `fault` is its place here, from 1 on.
BOARD_FAULTS: dict[str, BoardFault] = {
    "sbuf_bit": BoardFault(doc=f"bit {LINE_BIT} of SBUF line {LINE} is stuck at 1", rung="march", inside=True),
    "dead_column": BoardFault(doc=f"column {COLUMN} of the array gives 0", rung="tensor", inside=True),
    "dead_row": BoardFault(doc=f"row {ROW_OF_ARRAY} of the array gets 0", rung="tensor", inside=True),
    "psum_bit": BoardFault(
        doc=f"bit {PSUM_BIT} of PSUM bank {BANK}, row {ROW}, column {PSUM_COLUMN} is stuck at 0", rung="psum", inside=True
    ),
    "read_lanes": BoardFault(doc="byte lanes {} and {} of AXI read data are exchanged".format(*READ_LANES), rung="memory"),
    "write_lanes": BoardFault(doc="byte lanes {} and {} of AXI write data are exchanged".format(*WRITE_LANES), rung="memory"),
    "irq_dead": BoardFault(doc="the interrupt line is stuck low", rung="interrupt"),
    "irq_stuck": BoardFault(doc="the interrupt line is stuck high", rung="interrupt"),
    "debug_silent": BoardFault(doc="the chip's debug port takes requests and never answers", rung="march"),
    "register_bit": BoardFault(doc=f"bit {REGISTER_BIT} of whatever is written to a register of the chip is lost", rung="registers"),
}
