"""March C-, the test of a memory that finds stuck bits, bits that do not change, coupled bits and wrong addresses.

    { up(w0); up(r0, w1); up(r1, w0); down(r0, w1); down(r1, w0); down(r0) }

A. J. van de Goor, "Testing Semiconductor Memories: Theory and Practice", Wiley 1991: ten operations a cell; it finds all stuck-at, transition,
unlinked inversion and idempotent coupling, and address decoder faults. "0" is the pattern, "1" its complement; as a line is read and written at
once, couplings inside one are found by other patterns than 0 (checkerboard, double stripes: `BACKGROUNDS`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element: the operations on each line and the direction in which it walks. None: it does not read, or not write."""

    down: bool
    read: int | None
    write: int | None

    def __str__(self) -> str:
        parts = [f"{name}{value}" for name, value in (("r", self.read), ("w", self.write)) if value is not None]
        return f"{'down' if self.down else 'up'}({','.join(parts)})"


MARCH_C_MINUS: tuple[Element, ...] = (
    Element(down=False, read=None, write=0),
    Element(down=False, read=0, write=1),
    Element(down=False, read=1, write=0),
    Element(down=True, read=0, write=1),
    Element(down=True, read=1, write=0),
    Element(down=True, read=0, write=None),
)
#: Reads and writes of one line in the whole test.
OPERATIONS = sum((element.read is not None) + (element.write is not None) for element in MARCH_C_MINUS)
#: Patterns by name: the word that is repeated over the line, and whether odd lines have its complement.
BACKGROUNDS: dict[str, tuple[int, bool]] = {
    "solid": (0x00000000, False),
    "checkerboard": (0x55555555, True),
    "double stripes": (0x33333333, False),
    "nibbles": (0x0F0F0F0F, False),
    "bytes": (0x00FF00FF, False),
    "half words": (0x0000FFFF, False),
}
