"""Formats of what travels: ports, flits, packet headers (the picture is in docs/noc.md).

A packet is 1 to 256 flits that follow one another on one VC; no other flit of that VC comes between them. Every flit says where it goes, so that a
router keeps no address; its first flit, the head, carries the `header_layout` in its payload, the others carry data. The last has `tail` set; the
flit after a tail is a head.
"""

import enum
from typing import Any

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

    WRITE = 0  #: data flits are written from `address` on
    READ_REQUEST = 1  #: no data; `strobe` holds the data flits asked for, less one
    READ_RESPONSE = 2  #: data flits are what was read
    SEMAPHORE_ADD = 3  #: no data; `address` holds semaphore (low 16 bits) and amount (next 16)
    MESSAGE = 4  #: data flits are the message, `address` is the sender's to use
    ERROR = 5  #: no data; `strobe` holds an `ErrorReason`, tag and address are those of the packet that failed


class ErrorReason(enum.IntEnum):
    """Why a packet came back as `PacketKind.ERROR`."""

    NO_SUCH_NODE = 1  #: the destination is outside the mesh
    TOO_LONG = 2  #: more than 256 flits; what came after them was discarded
    NO_SUCH_NETWORK = 3  #: the virtual network is not built
    WRONG_KEEP = 4  #: the bytes kept contradict the strobe in the header, or the first beats are not whole; the packet went out all the same


#: Fixed widths of header fields, so that the format does not change with the size of the mesh.
NODE_BITS, ADDRESS_BITS, TAG_BITS = 4, 40, 3


def header_layout(config: NocConfig) -> data.StructLayout:
    """Payload of a head flit, from bit 0; what is left of the payload is zero. `strobe` has a bit for each byte of the last data flit."""
    return data.StructLayout(
        {
            "src_x": NODE_BITS,
            "src_y": NODE_BITS,
            "kind": 3,
            "network": 2,
            "tag": TAG_BITS,
            "address": ADDRESS_BITS,
            "strobe": config.payload_bits // 8,
        }
    )


def flit_layout(config: NocConfig) -> data.StructLayout:
    """What a link carries beside the VC number.

    `route` has a bit for each port the flit may leave the *receiving* router by (bit order of `Port`), computed one router ahead. `stamp` is the
    creation time of the packet in steps of `age_tick` cycles, modulo 2**`age_bits`; it is there where arbitration is `age`.
    """
    fields: dict[str, Any] = {
        "payload": config.payload_bits,
        "tail": 1,
        "dst_x": config.x_bits,
        "dst_y": config.y_bits,
        "route": len(Port),
    }
    if config.stamp_bits:
        fields["stamp"] = config.stamp_bits
    return data.StructLayout(fields)
