"""The registers of a mesh and what they say of a flit that waits: one table, from which the RTL, docs and SystemRDL export are made.

The rules are those of the chip's registers: 32 bits wide at multiples of 4, counters saturate, holes read 0, writes to holes or to read-only
registers change nothing. A *queue* is named by node, input port and VC; ports count north 0, east 1, south 2, west 3, local 4.
"""

from __future__ import annotations

from enum import IntEnum

from .registers import Access, Bits, Register

#: "MNOC" in ASCII, little-endian: what register MAGIC reads.
NOC_MAGIC = 0x434F4E4D


#: WAIT_BITS.waited of a flit that has raised an error. It does so at the `OVERDUE`-th end of a half of WATCHDOG_LIMIT within its wait.
OVERDUE = 3


class Reason(IntEnum):
    """Why the flit at the head of a queue does not go; the first that holds, in the order LOCK, LINK, CREDIT, TURN."""

    NONE = 0
    """It goes in this cycle, or the queue is empty."""
    NO_ROUTE = 1
    """Its route names no output."""
    LOCK = 2
    """A packet of another queue, the owner, has the VC it wants."""
    LINK = 3
    """The link it wants is down, or the mesh ends there."""
    CREDIT = 4
    """The receiver has no room on the VC it wants."""
    TURN = 5
    """Others go first at the output it wants."""


#: Names a queue: PROBE_SELECT and, with a valid bit, ERROR_QUEUE.
QUEUE_BITS = (
    Bits(name="vc", offset=0, width=4, doc="VC"),
    Bits(name="port", offset=4, width=3, doc="input port"),
    Bits(name="node", offset=8, width=8, doc="node, y * mesh_x + x"),
)

#: What the flit at the head of a queue waits for: PROBE_DATA and ERROR_WAIT. The same for all configurations.
WAIT_BITS = (
    Bits(name="valid", offset=0, width=1, doc="the queue holds a flit; else all fields are 0"),
    Bits(
        name="waited",
        offset=1,
        width=2,
        doc="how long it has waited, in halves of WATCHDOG_LIMIT whose end it has seen; 3: longer than the limit",
    ),
    Bits(name="reason", offset=3, width=3, doc="why (table of reasons)"),
    Bits(name="wants_port", offset=6, width=3, doc="output port it wants; 0 with NO_ROUTE"),
    Bits(name="wants_vc", offset=9, width=4, doc="VC it wants there; 0 with NO_ROUTE"),
    Bits(name="owner_port", offset=13, width=3, doc="with LOCK: input port of the queue whose packet has that VC; else 0"),
    Bits(name="owner_vc", offset=16, width=4, doc="with LOCK: VC of that queue; else 0"),
)

_RO, _RW = Access.RO, Access.RW

#: Every register by name, in address order.
NOC_REGISTERS: dict[str, Register] = {
    item.name: item
    for item in (
        Register(name="MAGIC", address=0x000, access=_RO, reset=NOC_MAGIC, doc='"MNOC" in ASCII: a mesh of Meshium answers here'),
        Register(name="VERSION", address=0x004, access=_RO, doc="NOC_VERSION of the hardware"),
        Register(name="CONFIG_HASH", address=0x008, access=_RO, doc="NocConfig.hash"),
        Register(
            name="GEOMETRY", address=0x00C, access=_RO, doc="shape of the mesh",
            bits=(
                Bits(name="mesh_x", offset=0, width=8, doc="columns of nodes"),
                Bits(name="mesh_y", offset=8, width=8, doc="rows of nodes"),
                Bits(name="vcs", offset=16, width=8, doc="V"),
                Bits(name="depth", offset=24, width=8, doc="B"),
            ),
        ),
        Register(name="WATCHDOG_LIMIT", address=0x010, access=_RO, doc="cycles a flit may wait at the head of a queue"),
        Register(
            name="STATUS", address=0x014, access=_RO, doc="what has happened since the last clear",
            bits=(
                Bits(name="fired", offset=0, width=1, doc="a flit has waited longer than the limit: the ERROR registers hold the first"),
                Bits(name="interrupt", offset=1, width=1, doc="the interrupt pin"),
            ),
        ),
        Register(
            name="CONTROL", address=0x018, access=Access.W1S, doc="actions",
            bits=(Bits(name="clear", offset=0, width=1, doc="forgets all errors and begins to count every wait anew"),),
        ),
        Register(
            name="IRQ_ENABLE", address=0x01C, access=_RW, doc="which causes drive the interrupt pin",
            bits=(Bits(name="fired", offset=0, width=1, doc="STATUS.fired"),),
        ),
        Register(
            name="ERROR_QUEUE", address=0x020, access=_RO, doc="the queue of the first error (of several in a cycle the lowest node, port, VC); 0 if there is none",
            bits=(*QUEUE_BITS, Bits(name="valid", offset=31, width=1, doc="as STATUS.fired")),
        ),
        Register(name="ERROR_WAIT", address=0x024, access=_RO, doc="what it waited for when the error was raised; 0 if there is none", bits=WAIT_BITS),
        Register(name="ERROR_COUNT", address=0x028, access=_RO, doc="flits that have waited longer than the limit, each counted once"),
        Register(
            name="PROBE_SELECT", address=0x030, access=_RW, doc="the queue PROBE_DATA tells about",
            bits=QUEUE_BITS,
        ),
        Register(name="PROBE_DATA", address=0x034, access=_RO, doc="what the flit at its head waits for now; 0 if there is no such queue", bits=WAIT_BITS),
    )
}  # fmt: skip


def pack(bits: tuple[Bits, ...], **values: int) -> int:
    """A register value from its fields; those not given are 0."""
    places = {item.name: item for item in bits}
    result = 0
    for name, value in values.items():
        if name not in places:
            raise ValueError(f"field must be one of {', '.join(places)}, not {name!r}")
        if not 0 <= value < 1 << places[name].width:
            raise ValueError(f"{name} must be 0 to {(1 << places[name].width) - 1}, not {value!r}")
        result |= value << places[name].offset
    return result


def unpack(bits: tuple[Bits, ...], value: int) -> dict[str, int]:
    """The fields of a register value, by name."""
    return {item.name: value >> item.offset & (1 << item.width) - 1 for item in bits}
