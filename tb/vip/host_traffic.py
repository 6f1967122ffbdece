"""Random host traffic: requests of every kind, and what a bad line makes of them."""

from __future__ import annotations

import numpy as np

from hw.host.protocol import MAX_WORDS
from sim.golden.host_link import frame, pack_request

#: Words in which every octet has to be escaped, and others, more often than chance has them.
HARD_WORDS = (0x7E7D7E7D, 0x7D7E0000, 0xFFFFFFFF)
#: Most words of a good request.
MOST_WORDS = 9


def random_request(rng: np.random.Generator, sequence: int, *, space_bytes: dict[int, int]) -> bytes:
    """Mostly good ones, of every kind; sometimes one that must be refused, or that runs over the end of its space.

    Parameters
    ----------
    space_bytes : dict of space to bytes
        The spaces to use, and how much of each.
    """
    write = bool(rng.random() < 0.5)
    words = int(rng.choice([1, 1, 2, 3, MOST_WORDS]))
    space = int(rng.choice(list(space_bytes)))
    end = space_bytes[space]
    address = end - 4 if rng.random() < 0.1 else int(rng.integers(end // 4)) * 4
    count = words
    if rng.random() < 0.1:
        address += int(rng.integers(1, 4))
    if rng.random() < 0.1 and not write:
        count = int(rng.choice([0, MAX_WORDS + 1, 255]))
    data = [int(value) for value in rng.choice([*HARD_WORDS, int(rng.integers(1 << 32))], size=words)]
    return pack_request(
        sequence=sequence, space=space, address=address, write=write, fixed=bool(rng.random() < 0.3), restart=bool(rng.random() < 0.03),
        count=count, data=data if write else (),
    )  # fmt: skip


def random_octets(rng: np.random.Generator, frames: int, *, space_bytes: dict[int, int]) -> bytes:
    """A host on a bad line: frames lost, doubled, cut, garbled, of the wrong length, garbage between them. Ends with a flag."""
    octets, sequence, sent = bytearray(), 0, []
    for _ in range(frames):
        body = random_request(rng, sequence, space_bytes=space_bytes)
        if body[1] >> 7 & 1 or rng.random() < 0.93:
            sequence = (sequence + 1) % 256
        sent.append(frame(body))
        fate = rng.random()
        if fate < 0.7:
            octets += sent[-1]
        elif fate < 0.8:
            octets += frame(body[:-1] if rng.random() < 0.5 else body + b"~")
        elif fate < 0.9:
            damaged = bytearray(sent[-1])
            damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
            octets += damaged
        else:
            octets += sent[-1][: int(rng.integers(len(sent[-1])))]
        if rng.random() < 0.2:
            octets += sent[int(rng.integers(len(sent)))]
        if rng.random() < 0.1:
            octets += rng.bytes(int(rng.integers(1, 6)))
    return bytes(octets) + b"~"
