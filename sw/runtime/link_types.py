"""What the link to a board is made of: the port that carries octets, requests, and what is counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Protocol

from hw.host.protocol import Space


class Port(Protocol):
    """What carries octets: a `serial.Serial`, or something like it. `read` returns after a fraction of a second with nothing."""

    @property
    def in_waiting(self) -> int:
        """Octets that `read` would give at once."""

    def read(self, size: int = 1, /) -> bytes:
        """Up to `size` octets; nothing if none came for a while."""

    def write(self, data: bytes, /) -> int | None:
        """Sends octets."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One frame to be: a read of `count` words, or a write of `data`."""

    space: Space
    address: int
    count: int
    write: bool = False
    fixed: bool = False
    restart: bool = False
    data: tuple[int, ...] = ()

    def __str__(self) -> str:
        kind = "write" if self.write else "read"
        return f"{kind} of {self.count} word{'s' * (self.count != 1)} at {self.space.name} {self.address:#x}"


@dataclass(kw_only=True)
class LinkCounters:
    """What a link has seen since it was made.

    Members
    -------
    requests, retries : int
        Frames that were to be sent; frames sent again.
    timeouts : int
        Times nothing came and everything in flight was sent again.
    bad_frames, out_of_order : int
        Answers by which the board asked for a repeat.
    damaged : int
        Answers with a wrong CRC or length.
    octets_sent, octets_received : int
    """

    requests: int = 0
    retries: int = 0
    timeouts: int = 0
    bad_frames: int = 0
    out_of_order: int = 0
    damaged: int = 0
    octets_sent: int = 0
    octets_received: int = 0

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return asdict(self)
