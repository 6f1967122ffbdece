"""Formats of what travels: ports, flits, packet headers (the picture is in docs/noc.md).

A packet is 1 to 256 flits that follow one another on one VC; no other flit of that VC comes between them. Every flit says where it goes, so that a
router keeps no address; its first flit, the head, carries the `header_layout` in its payload, the others carry data. The last has `tail` set; the
flit after a tail is a head.
"""

import enum
from typing import NamedTuple

from amaranth.lib import data

from hw.common.noc import NocConfig


class Port(enum.IntEnum):
    """The five ports of a router, in the order used everywhere. North is y + 1, east is x + 1."""

    NORTH = 0
    EAST = 1
    SOUTH = 2
    WEST = 3
    LOCAL = 4

    @property
    def opposite(self) -> "Port":
        """The port of the neighbour at the other end of this port's link; a local port faces itself."""
        return self if self is Port.LOCAL else Port((self + 2) % 4)

    @property
    def is_x(self) -> bool:
        """Whether the port leads along a row."""
        return self in (Port.EAST, Port.WEST)

    @property
    def step(self) -> tuple[int, int]:
        """(dx, dy) of a hop through this port."""
        return ((0, 1), (1, 0), (0, -1), (-1, 0), (0, 0))[self]


class PacketKind(enum.IntEnum):
    """`kind` of a packet header: what the packet asks for and which flits follow its head."""

    WRITE = 0
    """Data flits are written from `address` on."""
    READ_REQUEST = 1
    """No data; `strobe` holds the number of data flits asked for, less one."""
    READ_RESPONSE = 2
    """Data flits are what was read."""
    SEMAPHORE_ADD = 3
    """No data; `address` holds the semaphore (low 16 bits) and the amount (next 16)."""
    MESSAGE = 4
    """Data flits are the message; `address` is the sender's to use."""
    ERROR = 5
    """No data; `strobe` holds an `ErrorReason`, tag and address are those of the packet that failed."""


class ErrorReason(enum.IntEnum):
    """Why a packet came back as `PacketKind.ERROR`."""

    NO_SUCH_NODE = 1
    """The destination is outside the mesh."""
    TOO_LONG = 2
    """More than 256 flits; what came after them was discarded."""
    NO_SUCH_NETWORK = 3
    """The virtual network is not built."""
    WRONG_KEEP = 4
    """The bytes kept contradict the strobe in the header, or a beat before the last is not whole; the packet went out all the same."""


#: Fixed widths of header fields, so that the format does not change with the size of the mesh.
NODE_BITS, ADDRESS_BITS, TAG_BITS = 4, 40, 3


class Field(NamedTuple):
    """A field of a format: its name, its width in bits, and what it means."""

    name: str
    width: int
    doc: str


def header_fields(config: NocConfig) -> tuple[Field, ...]:
    """Fields of a packet header, from bit 0 of the head's payload; what is left of the payload is zero."""
    return (
        Field("src_x", NODE_BITS, "Column of the sender."),
        Field("src_y", NODE_BITS, "Row of the sender."),
        Field("kind", 3, "What the packet asks for: `PacketKind`."),
        Field("network", 2, "Virtual network."),
        Field("tag", TAG_BITS, "The sender's number for the request; its answer has the same."),
        Field("address", ADDRESS_BITS, "Byte address at the destination."),
        Field("strobe", config.payload_bits // 8, "Byte enables of the last data flit; all the others are whole."),
    )


def flit_fields(config: NocConfig) -> tuple[Field, ...]:
    """Fields of a flit, from bit 0; a link carries the VC number beside it."""
    fields = (
        Field("payload", config.payload_bits, "The packet's header in a head flit, else data."),
        Field("tail", 1, "The last flit of its packet."),
        Field("dst_x", config.x_bits, "Column of the destination."),
        Field("dst_y", config.y_bits, "Row of the destination."),
        Field(
            "route",
            len(Port),
            "A bit for each port (in the order of `Port`) the flit may leave the receiving router by, worked out one router ahead.",
        ),
        Field(
            "stamp",
            config.stamp_bits,
            "When the packet was created, in steps of `age_tick` cycles, modulo 2**`age_bits`; with `age` arbitration.",
        ),
    )
    return tuple(field for field in fields if field.width)


def header_layout(config: NocConfig) -> data.StructLayout:
    """Payload of a head flit: `header_fields`."""
    return data.StructLayout({field.name: field.width for field in header_fields(config)})


def flit_layout(config: NocConfig) -> data.StructLayout:
    """What a link carries beside the VC number: `flit_fields`."""
    return data.StructLayout({field.name: field.width for field in flit_fields(config)})
