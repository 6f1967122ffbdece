"""Golden model of the local port: bytes to beats to flits, and back. Bit-exact to `hw.noc.packetiser` and `hw.noc.depacketiser`.

Rows of bytes are arrays of shape (rows, payload bytes), byte 0 the lowest eight bits of a payload.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.common.noc import PACKET_FLITS, NocConfig
from hw.noc.flit import ErrorReason, PacketKind

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]

#: (field, bits) of a packet header from bit 0, but for the strobe, which follows; written out here so that the hardware's layout has something to differ from.
HEADER_FIELDS = (("src_x", 4), ("src_y", 4), ("kind", 3), ("network", 2), ("tag", 3), ("address", 40))


@dataclass(frozen=True, kw_only=True)
class Header:
    """Header of a packet; `strobe` has a bit for each byte of the last data flit, see `PacketKind` for packets without data.

    Raises
    ------
    ValueError
        if a field is negative or wider than in a flit.
    """

    source: tuple[int, int]
    kind: int
    network: int
    tag: int = 0
    address: int = 0
    strobe: int = 0

    def __post_init__(self) -> None:
        for name, bits in (*HEADER_FIELDS[2:], ("strobe", 64)):
            if not 0 <= getattr(self, name) < 1 << bits:
                raise ValueError(f"{name} must be 0 to 2**{bits} - 1, not {getattr(self, name)!r}")
        if not all(0 <= place < 16 for place in self.source):
            raise ValueError(f"source must be two coordinates of 0 to 15, not {self.source!r}")

    def row(self, config: NocConfig) -> Bytes:
        """Payload of the head flit."""
        if self.strobe >> (config.payload_bits // 8):
            raise ValueError(f"strobe must have {config.payload_bits // 8} bits, a bit for each byte of a flit, not {self.strobe:#x}")
        bits, shift = 0, 0
        values = {"src_x": self.source[0], "src_y": self.source[1]}
        for name, width in HEADER_FIELDS:
            bits |= values.get(name, getattr(self, name, 0)) << shift
            shift += width
        bits |= self.strobe << shift
        return np.frombuffer(bits.to_bytes(config.payload_bits // 8, "little"), dtype=np.uint8)

    @classmethod
    def from_row(cls, config: NocConfig, row: Bytes) -> Header:
        """The header in the payload of a head flit."""
        bits, values = int.from_bytes(row.tobytes(), "little"), {}
        for name, width in HEADER_FIELDS:
            values[name] = bits & ((1 << width) - 1)
            bits >>= width
        source = (values.pop("src_x"), values.pop("src_y"))
        return cls(source=source, strobe=bits & ((1 << (config.payload_bits // 8)) - 1), **values)


@dataclass(frozen=True, eq=False)
class Beats:
    """Beats of one packet: rows of bytes, and which bytes are there. The last beat is the last row."""

    data: Bytes
    keep: Flags

    @property
    def strobe(self) -> int:
        """`keep` of the last beat that carries something, as the sender has to declare it; 0 if none does."""
        filled = self.keep[self.keep.any(axis=1)]
        return _bits(filled[-1]) if len(filled) else 0

    @property
    def content(self) -> bytes:
        """The bytes that are there."""
        return self.data[self.keep].tobytes()


@dataclass(frozen=True, eq=False)
class Flits:
    """Payloads and tails of the flits of one or more packets."""

    payload: Bytes
    tail: Flags


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What a packetiser reports."""

    reason: ErrorReason
    network: int
    tag: int
    address: int
    destination: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Arrival:
    """A packet as a depacketiser gives it."""

    header: Header
    vc: int
    beats: Beats


def _bits(flags: Flags) -> int:
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")


def _flags(bits: int, count: int) -> Flags:
    return np.unpackbits(np.frombuffer(bits.to_bytes(count // 8, "little"), dtype=np.uint8), bitorder="little").astype(np.bool_)


def beats_of(config: NocConfig, content: bytes) -> Beats:
    """The beats that carry `content`: whole, but for the last; one empty beat if there is none."""
    size = config.payload_bits // 8
    rows = max(1, -(-len(content) // size))
    data = np.zeros(rows * size, dtype=np.uint8)
    data[: len(content)] = np.frombuffer(content, dtype=np.uint8)
    return Beats(data.reshape(rows, size), (np.arange(rows * size) < len(content)).reshape(rows, size))


def packetise(config: NocConfig, header: Header, destination: tuple[int, int], beats: Beats) -> tuple[Flits, Failure | None]:
    """The flits a packetiser makes of a packet, and what it reports; no flits for a node that does not exist."""
    filled = beats.keep.any(axis=1)
    data, keep = beats.data[filled], beats.keep[filled]
    reason: ErrorReason | None = None
    if len(data) and (_bits(keep[-1]) != header.strobe or not keep[:-1].all()):
        reason = ErrorReason.WRONG_KEEP
    if len(data) >= PACKET_FLITS:
        reason, data = ErrorReason.TOO_LONG, data[: PACKET_FLITS - 1]
    payload = np.concatenate([header.row(config)[None], data])
    if not (0 <= destination[0] < config.mesh_x and 0 <= destination[1] < config.mesh_y):
        reason, payload = ErrorReason.NO_SUCH_NODE, payload[:0]
    flits = Flits(payload, np.arange(len(payload)) == len(payload) - 1)
    if reason is None:
        return flits, None
    failure = Failure(reason=reason, network=header.network, tag=header.tag, address=header.address, destination=destination)
    return flits, failure


def depacketise(config: NocConfig, vc: int, flits: Flits) -> list[Arrival]:
    """The packets a depacketiser makes of flits that came by one VC, in order.

    Raises
    ------
    ValueError
        if the last packet has no tail.
    """
    if len(flits.tail) and not flits.tail[-1]:
        raise ValueError("tail must be set on the last flit, not clear: the packet has not ended")
    size = config.payload_bits // 8
    arrivals = []
    for rows in np.split(flits.payload, np.flatnonzero(flits.tail) + 1)[:-1]:
        header = Header.from_row(config, rows[0])
        keep = np.ones((max(1, len(rows) - 1), size), dtype=np.bool_)
        keep[-1] = _flags(header.strobe, size) if len(rows) > 1 else False
        data = rows[1:] if len(rows) > 1 else np.zeros((1, size), dtype=np.uint8)
        arrivals.append(Arrival(header=header, vc=vc, beats=Beats(data, keep)))
    return arrivals


def failure_arrival(config: NocConfig, failure: Failure) -> Arrival:
    """The packet by which a failure comes back to its sender, out of the response network (of the only network, if there is one)."""
    response = min(1, config.virtual_networks - 1)
    header = Header(
        source=failure.destination,
        kind=PacketKind.ERROR,
        network=failure.network,
        tag=failure.tag,
        address=failure.address,
        strobe=failure.reason,
    )
    return Arrival(header=header, vc=response * config.network_vcs, beats=beats_of(config, b""))
