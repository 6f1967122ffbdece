"""A router between five senders and five receivers, watched cycle by cycle by the golden router."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from cocotb.triggers import ClockCycles

from sim.golden.router import NAMES, PORTS, Arrival, Flit, Queue, RouterModel, Turn, arrivals

from .clock import sample, start
from .noc_format import Numbering, noc_config, numbered
from .noc_link import LinkReceiver, LinkSender
from .scoreboard import Scoreboard, report


class RouterEnvironment:
    """Drives and checks a `hw.noc.router.Router`.

    In every cycle each flit on an output must be the head of a queue that may go there, on the right VC, with the route at the next router
    and everything else unchanged; credits go back for exactly the queues that lost a flit; and, but for adaptive routing whose choices are the
    router's own, an output is busy in every cycle in which any flit may leave by it.

    Parameters
    ----------
    dut : cocotb handle
    rng : numpy Generator
    at : (x, y)
        Where the router is told it is.
    rate, delay, down
        See `LinkSender` and `LinkReceiver`.

    Members
    -------
    arrivals : list of Arrival
        Every kind of flit that can come to this router.
    cycle : int
        Cycles since the first.
    log : list of (cycle, queue, turn)
        Flits that left.
    """

    def __init__(
        self, dut: Any, rng: np.random.Generator, at: tuple[int, int], *, rate: float = 1.0, delay: int = 0, down: float = 0.0
    ) -> None:
        self.dut, self.rng, self.config = dut, rng, noc_config()
        config = self.config
        self.model = RouterModel(config, at)
        self.arrivals: list[Arrival] = arrivals(config, at)
        self.senders = [LinkSender(dut, f"i__{port}", config=config, rng=rng, rate=rate) for port in PORTS]
        self.receivers = [LinkReceiver(dut, f"o__{port}", config=config, rng=rng, delay=delay, down=down) for port in PORTS]
        self._numbering = Numbering(config, rng)
        self._packets = 0
        self.cycle = 0
        self.log: list[tuple[int, Queue, Turn]] = []
        #: Packets that come in by one queue leave in order, whichever way: one board for each queue.
        self.boards: defaultdict[Queue, Scoreboard] = defaultdict(lambda: Scoreboard(f"queue {len(self.boards)}"))
        dut.x.value, dut.y.value = at
        dut.dateline.value = self._datelines(at)

    def _datelines(self, at: tuple[int, int]) -> int:
        """Links that close a ring, by port."""
        config = self.config
        if config.topology == "mesh":
            return 0
        edges = (at[1] == config.mesh_y - 1, at[0] == config.mesh_x - 1, at[1] == 0, at[0] == 0)
        return sum(edge << port for port, edge in enumerate(edges))

    async def begin(self) -> None:
        """Clock and reset."""
        await start(self.dut)

    def send(self, arrival: Arrival, length: int = 1, stamp: int | None = None) -> None:
        """Queues a packet of random contents that comes to the router as `arrival` says."""
        limit = 1 << self.config.stamp_bits
        stamp = int(self.rng.integers(limit)) if stamp is None else stamp % limit
        flits = [
            Flit(self._numbering.payload(self._packets, index), index == length - 1, arrival.dst, arrival.route, stamp)
            for index in range(length)
        ]
        self._packets += 1
        self.senders[arrival.port].send(arrival.vc, flits)
        self.boards[arrival.port, arrival.vc].expect(*((flit.payload, flit.tail, flit.dst, flit.stamp) for flit in flits))

    def send_random(self, count: int, lengths: Sequence[int] = (1,)) -> None:
        """`count` packets of random kinds and lengths."""
        for _ in range(count):
            self.send(self.arrivals[int(self.rng.integers(len(self.arrivals)))], int(self.rng.choice(lengths)))

    async def step(self, cycles: int = 1) -> None:
        """Lets cycles pass and checks each."""
        for _ in range(cycles):
            await sample(self.dut)
            self._check()
            for end in (*self.senders, *self.receivers):
                end.drive()
            self.cycle += 1

    async def drain(self, limit: int = 20_000) -> None:
        """Until everything sent has left and every credit is back, and three cycles more."""
        until = self.cycle + limit
        while not all(end.idle for end in (*self.senders, *self.receivers)):
            assert self.cycle < until, f"everything must leave within {limit} cycles; left inside: {self._inside()}"
            await self.step()
        await self.step(3)
        assert self.model.empty, f"no packet must be under way at the end, not {self.model.owners}"

    async def reset(self, cycles: int = 2) -> None:
        """Resets the router and its neighbours, whose last flits are on the links in the first cycle of it; all traffic is gone."""
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 1)
        for end in (*self.senders, *self.receivers):
            end.reset()
        self.model.reset()
        self.boards.clear()
        await ClockCycles(self.dut.clk, cycles)
        self.dut.rst.value = 0

    def finish(self, name: str) -> None:
        """Every queue's board drained, and something counted."""
        for board in self.boards.values():
            board.finish()
        report(len(self.log), name=name)

    def _inside(self) -> str:
        return ", ".join(f"{NAMES[port]} VC {vc}: {len(flits)}" for (port, vc), flits in self.model.queues.items() if flits) or "nothing"

    def _check(self) -> None:
        """One cycle: what leaves against what may leave; then what came."""
        model, when = self.model, f"(cycle {self.cycle})"
        offers = model.offers()
        left = dict.fromkeys(PORTS, 0)
        came = [receiver.observe() for receiver in self.receivers]
        for out, (hop, _) in enumerate(came):
            if hop is None:
                idle = not offers[out] or not self.receivers[out].up or self.config.routing == "adaptive"
                assert idle, f"{NAMES[out]} must send, as {offers[out]} can {when}"
                continue
            vc, flit = hop
            queue = self._source(offers[out], vc, flit, f"{NAMES[out]} {when}")
            turn = offers[out][queue]
            assert (vc, flit.route) == (turn.vc, turn.route), f"{NAMES[out]} must send {turn}, not VC {vc} with route {flit.route} {when}"
            model.leave(queue, turn)
            for others in offers.values():  # adaptive: the same head may not leave twice
                others.pop(queue, None)
            self.boards[queue].observe((flit.payload, flit.tail, flit.dst, flit.stamp))
            left[queue[0]] |= 1 << queue[1]
            self.log.append((self.cycle, queue, turn))
        for port, sender in enumerate(self.senders):
            sent, credit = sender.observe()
            assert credit == left[port], f"{NAMES[port]} must give back the credits {left[port]:#b}, not {credit:#b} {when}"
            if sent is not None:
                model.arrive(port, *sent)
        for out, (_, given) in enumerate(came):
            for vc in range(self.config.vcs):
                if given >> vc & 1:
                    model.credit(out, vc)

    def _source(self, offers: dict[Queue, Turn], vc: int, flit: Flit, where: str) -> Queue:
        """Which of the queues that may leave this way the flit is the head of."""
        for queue in offers:
            if numbered(self.model.queues[queue][0].payload) == numbered(flit.payload):
                return queue
        raise AssertionError(f"{where}: a flit must be one of those at {list(offers)}, not {flit} on VC {vc}")
