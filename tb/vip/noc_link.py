"""Both ends of a link of the mesh: a sender that keeps credits and framing, a receiver that gives credits back when it likes.

They have no task of their own. An environment samples, calls `observe` of all its ends, then `drive` of all: so it sees every cycle whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from hw.common.noc import NocConfig
from sim.golden.router import Flit

from .noc_format import HopFormat


class LinkSender:
    """Drives `<prefix>__hop` of an input of the device and counts its credits.

    Packets of a VC go one after the other; the flits of different VCs take turns at random. A flit is sent with probability `rate` in a
    cycle in which one could be.

    Parameters
    ----------
    dut : cocotb handle
    prefix : str
    config : NocConfig
    rng : numpy Generator
    rate : float

    Members
    -------
    queues : deque of Flit, by VC
        What is still to be sent.
    credits : list of int
        By VC.
    """

    def __init__(self, dut: Any, prefix: str, *, config: NocConfig, rng: np.random.Generator, rate: float = 1.0) -> None:
        if not 0 < rate <= 1:
            raise ValueError(f"rate must be above 0 and at most 1, not {rate!r}")
        self._hop, self._credit = getattr(dut, f"{prefix}__hop"), getattr(dut, f"{prefix}__credit")
        self._config, self._rng, self.rate, self.prefix = config, rng, rate, prefix
        self._format = HopFormat(config)
        self.queues: list[deque[Flit]] = [deque() for _ in range(config.vcs)]
        self.reset()

    def reset(self) -> None:
        """All credits here, nothing to send, nothing on the link."""
        for queue in self.queues:
            queue.clear()
        self.credits = [self._config.depth] * self._config.vcs
        self._sent: tuple[int, Flit] | None = None
        self._hop.value = self._format.idle(self._rng)

    def send(self, vc: int, flits: Iterable[Flit]) -> None:
        """Queues a packet."""
        self.queues[vc].extend(flits)

    def observe(self) -> tuple[tuple[int, Flit] | None, int]:
        """What the cycle that ends had on the link: the (VC, flit) sent, and the bits of `credit`."""
        bits = int(self._credit.value)
        for vc in range(self._config.vcs):
            if bits >> vc & 1:
                assert self.credits[vc] < self._config.depth, f"{self.prefix}: a credit of VC {vc} must follow a flit, not come alone"
                self.credits[vc] += 1
        return self._sent, bits

    def drive(self) -> None:
        """Decides about the next cycle."""
        able = [vc for vc, queue in enumerate(self.queues) if queue and self.credits[vc]]
        if able and (self.rate == 1 or self._rng.random() < self.rate):
            vc = able[int(self._rng.integers(len(able)))] if len(able) > 1 else able[0]
            self.credits[vc] -= 1
            self._sent = vc, self.queues[vc].popleft()
            self._hop.value = self._format.pack(*self._sent)
        elif self._sent is not None or self._rng.random() < 0.1:
            self._sent = None
            self._hop.value = self._format.idle(self._rng)

    @property
    def idle(self) -> bool:
        """Nothing to send, nothing on the link, all credits back."""
        return self._sent is None and not any(self.queues) and self.credits == [self._config.depth] * self._config.vcs


class LinkReceiver:
    """Takes flits from `<prefix>__hop` of an output of the device, checks that there was room, and gives credits back after random delays.

    Parameters
    ----------
    dut : cocotb handle
    prefix : str
    config : NocConfig
    rng : numpy Generator
    delay : int
        Most cycles a credit is kept; 0: it goes back in the cycle after its flit came, as from a router that passes the flit on at once.
    down : float
        Share of cycles in which `up` is 0.

    Members
    -------
    hold : bool
        While set no credit goes back.
    stopped : bool
        While set `up` is 0.
    up : bool
        The value of `up` in the cycle `observe` looks at.
    """

    def __init__(self, dut: Any, prefix: str, *, config: NocConfig, rng: np.random.Generator, delay: int = 0, down: float = 0.0) -> None:
        if delay < 0:
            raise ValueError(f"delay must not be negative, not {delay!r}")
        if not 0 <= down < 1:
            raise ValueError(f"down must be at least 0 and below 1, not {down!r}")
        self._hop, self._credit, self._up = (getattr(dut, f"{prefix}__{name}") for name in ("hop", "credit", "up"))
        self._config, self._rng, self.prefix = config, rng, prefix
        self._format = HopFormat(config)
        self.delay, self.down, self.hold, self.stopped = delay, down, False, False
        self.reset()

    def reset(self) -> None:
        """All places free."""
        self._held: list[deque[int]] = [deque() for _ in range(self._config.vcs)]
        self._now, self._given, self.up = 0, 0, True
        self._credit.value = 0
        self._up.value = 1

    def observe(self, *, busy: bool = True) -> tuple[tuple[int, Flit] | None, int]:
        """What the cycle that ends had on the link: (VC, flit) received, and the bits of `credit` given. Not `busy`: there is no flit to read."""
        hop = self._format.unpack(int(self._hop.value)) if busy else None
        given = self._given
        if hop is not None:
            assert self.up, f"{self.prefix}: no flit must come while the link is down"
            held = self._held[hop[0]]
            # Room that became free in this very cycle cannot be known to the sender yet.
            assert len(held) + (given >> hop[0] & 1) < self._config.depth, f"{self.prefix}: a flit of VC {hop[0]} must wait for a credit"
            held.append(self._now + (int(self._rng.integers(self.delay + 1)) if self.delay else 0))
        return hop, given

    def drive(self) -> None:
        """Decides about the next cycle."""
        given = 0
        if not self.hold:
            for vc, held in enumerate(self._held):
                if held and held[0] <= self._now:
                    held.popleft()
                    given |= 1 << vc
        if given != self._given:
            self._credit.value = self._given = given
        self._now += 1
        up = not self.stopped and (not self.down or bool(self._rng.random() >= self.down))
        if up != self.up:
            self.up = up
            self._up.value = int(up)

    @property
    def idle(self) -> bool:
        """Every credit has gone back."""
        return not any(self._held) and not self._given
