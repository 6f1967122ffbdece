"""A whole mesh between packet sources and sinks, with a queue of expectations for every (destination, source, VC)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from cocotb.triggers import ClockCycles

from hw.common.noc import NocConfig
from hw.noc.injector import injection_layout
from sim.golden.router import LOCAL, Place, journey, mask

from .clock import sample, start
from .noc_format import Numbering, noc_config, numbered
from .noc_link import LinkReceiver
from .scoreboard import report


@dataclass(frozen=True)
class Packet:
    """A packet on its way: `vcs` are those it may arrive on, in order of number; `ordered`: behind all before it on its way."""

    number: int
    src: int
    dst: int
    payloads: tuple[int, ...]
    vcs: tuple[int, ...]
    ordered: bool


class PacketSource:
    """Feeds one virtual network of one node: a stream of `injection_layout`, valid until ready.

    The golden of the injector: of the packets of a stream, those that need not stay in order alternate between the classes of the routing function;
    the lane is (x + y) of the destination modulo the lanes, or the class of service.
    """

    def __init__(self, dut: Any, config: NocConfig, node: int, network: int, rng: np.random.Generator) -> None:
        prefix = f"i__{node * config.virtual_networks + network}"
        self._valid, self._payload = getattr(dut, f"{prefix}__valid"), getattr(dut, f"{prefix}__payload")
        self._config, self._network, self._rng, self.node = config, network, rng, node
        layout: Any = injection_layout(config)
        self._offsets = {name: field.offset for name, field in layout}
        self._width: int = layout.size
        self.rate = 1.0
        self.reset()

    def reset(self) -> None:
        """Nothing to send."""
        #: Words to be sent.
        self.words: deque[int] = deque()
        self.offering, self._alternate = False, 0
        self._valid.value = 0
        self._payload.value = 0

    def vc(self, dst: Place, service: int, *, ordered: bool) -> int:
        """The VC the next packet goes in on."""
        config = self._config
        lane = service if config.qos else (dst[0] + dst[1]) % config.lanes
        base = self._network * config.network_vcs
        if config.routing == "adaptive":
            return base if ordered else base + 1 + lane
        upper = config.routing == "o1turn" and not ordered and self._alternate
        return base + lane + (config.network_vcs // 2 if upper else 0)

    def send(self, payloads: tuple[int, ...], dst: Place, service: int, *, ordered: bool, stamp: int | None) -> None:
        """Queues a packet."""
        self._alternate ^= 1
        for index, payload in enumerate(payloads):
            values = {"payload": payload, "tail": index == len(payloads) - 1, "dst_x": dst[0], "dst_y": dst[1]}
            values |= {"service": service, "ordered": ordered}
            if stamp is not None:
                values |= {"stamped": 1, "stamp": stamp}
            self.words.append(sum(int(value) << self._offsets[name] for name, value in values.items()))

    def step(self, *, taken: bool) -> int | None:
        """After a sample: the word taken in the cycle that ends, and what the next cycle offers."""
        word = None
        if taken:
            assert self.offering, f"node {self.node} must take only what is offered"
            word, self.offering = self.words.popleft(), False
        if not self.offering:
            self.offering = bool(self.words) and bool(self.rate == 1 or self._rng.random() < self.rate)
            if self.offering or word is not None:
                self._valid.value = int(self.offering)
                self._payload.value = self.words[0] if self.offering else int(self._rng.integers(1 << 32))
        return word

    def number(self, word: int) -> tuple[int, int]:
        """(packet, index) of a word."""
        return numbered(word >> self._offsets["payload"])


class MeshEnvironment:
    """Drives and checks a `tb.noc_mesh_top.MeshTop`.

    Every ejected flit must be for its node, on a VC its packet may arrive on, the next of its packet, with no other packet of that VC in between;
    and packets of one (destination, source, VC) come in the order they went in, except unordered ones of adaptive routing.

    Parameters
    ----------
    dut : cocotb handle
    rng : numpy Generator

    Members
    -------
    sent, arrived : dict of (packet, index) to cycle
        When flits went in and came out.
    """

    def __init__(self, dut: Any, rng: np.random.Generator) -> None:
        self.dut, self.rng, self.config = dut, rng, noc_config()
        config = self.config
        self.sources = [
            PacketSource(dut, config, node, network, rng) for node in range(config.nodes) for network in range(config.virtual_networks)
        ]
        self.sinks = [LinkReceiver(dut, f"o__{node}", config=config, rng=rng) for node in range(config.nodes)]
        self._numbering = Numbering(config, rng)
        self._packets: dict[int, Packet] = {}
        self.cycle, self.compared, self._count = 0, 0, 0
        self._clear()

    def _clear(self) -> None:
        self._packets.clear()
        self._queues: dict[tuple[int, int, int], deque[int]] = {}
        self._open: dict[tuple[int, int], tuple[int, int, int]] = {}
        self.sent: dict[tuple[int, int], int] = {}
        self.arrived: dict[tuple[int, int], int] = {}

    def place(self, node: int) -> Place:
        """(x, y) of a node."""
        return node % self.config.mesh_x, node // self.config.mesh_x

    def distance(self, src: int, dst: int) -> int:
        """Hops of a packet: the shortest way, around a ring where there is one."""
        size = (self.config.mesh_x, self.config.mesh_y)
        along = [abs(a - b) for a, b in zip(self.place(src), self.place(dst), strict=True)]
        return sum(min(d, n - d) if self.config.topology == "torus" else d for d, n in zip(along, size, strict=True))

    async def begin(self) -> None:
        """Clock and reset."""
        await start(self.dut)

    def send(self, src: int, dst: int, length: int = 1, network: int = 0) -> int:
        """Queues a packet of random contents; returns its number."""
        config, rng, at = self.config, self.rng, self.place(dst)
        service, ordered = int(rng.integers(4)), bool(rng.random() < 0.5)
        stamp = int(rng.integers(1 << config.stamp_bits)) if config.stamp_bits and rng.random() < 0.5 else None
        number, self._count = self._count, self._count + 1
        payloads = tuple(self._numbering.payload(number, index) for index in range(length))
        source = self.sources[src * config.virtual_networks + network]
        vc = source.vc(at, service, ordered=ordered)
        source.send(payloads, at, service, ordered=ordered, stamp=stamp)
        ends = tuple(
            sorted(
                {
                    arrival.vc
                    for place, arrival in journey(config, self.place(src), at, vc)
                    if arrival.route == mask((LOCAL,)) and place == at
                }
            )
        )
        packet = Packet(number, src, dst, payloads, ends, len(ends) == 1)
        self._packets[number] = packet
        if packet.ordered:
            self._queues.setdefault((dst, src, ends[0]), deque()).append(number)
        return number

    async def step(self, cycles: int = 1) -> None:
        """Lets cycles pass and checks each."""
        for _ in range(cycles):
            await sample(self.dut)
            taken, ejected = int(self.dut.taken.value), int(self.dut.ejected.value)
            for index, source in enumerate(self.sources):
                word = source.step(taken=bool(taken >> index & 1))
                if word is not None:
                    self.sent[source.number(word)] = self.cycle
            for node, sink in enumerate(self.sinks):
                hop, _ = sink.observe(busy=bool(ejected >> node & 1))
                if hop is not None:
                    self._check(node, *hop)
                sink.drive()
            self.cycle += 1

    async def drain(self, limit: int = 20_000) -> None:
        """Until every packet has arrived and every credit is back, and three cycles more."""
        until = self.cycle + limit
        while self._packets or not all(sink.idle for sink in self.sinks):
            assert self.cycle < until, f"every packet must arrive within {limit} cycles; {len(self._packets)} have not: {self._missing()}"
            await self.step()
        await self.step(3)

    async def reset(self, cycles: int = 3) -> None:
        """Resets everything; all traffic is gone."""
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 1)
        for end in (*self.sources, *self.sinks):
            end.reset()
        self._clear()
        await ClockCycles(self.dut.clk, cycles)
        self.dut.rst.value = 0

    def finish(self, name: str) -> None:
        """Drained, and counted: every flit that went in has come out."""
        assert not self._packets, f"every packet must arrive; {len(self._packets)} have not: {self._missing()}"
        assert not self._open and not any(self._queues.values())
        assert self.sent.keys() == self.arrived.keys()
        report(self.compared, name=name)

    def _missing(self) -> str:
        return ", ".join(f"{packet.number} from {packet.src} to {packet.dst}" for packet in list(self._packets.values())[:5])

    def _check(self, node: int, vc: int, flit: Any) -> None:
        """A flit that came out at a node."""
        where = f"at node {node}, VC {vc} (cycle {self.cycle})"
        number, index = numbered(flit.payload)
        packet = self._packets.get(number)
        assert packet is not None, f"a flit must be of a packet on its way, not {flit} {where}"
        assert (packet.dst, flit.dst) == (node, self.place(node)), f"a flit of {packet} must not come out {where}"
        assert vc in packet.vcs, f"a flit of {packet} must come on VCs {packet.vcs}, not {where}"
        assert (number, index) in self.sent, f"a flit must have gone in before it comes out {where}"
        begun, following, stamp = self._open.get((node, vc), (number, 0, flit.stamp))
        assert (begun, following) == (number, index), f"flit {following} of packet {begun} must come, not {index} of {number} {where}"
        assert flit.payload == packet.payloads[index], f"payload must be {packet.payloads[index]:#x}, not {flit.payload:#x} {where}"
        assert (flit.tail, flit.stamp, flit.route) == (index == len(packet.payloads) - 1, stamp, 0), f"{flit} of {packet} {where}"
        if packet.ordered and not index:
            oldest = self._queues[node, packet.src, vc].popleft()
            assert oldest == number, f"packet {oldest} must come before {number} {where}"
        if flit.tail:
            self._open.pop((node, vc), None)
            del self._packets[number]
        else:
            self._open[node, vc] = number, index + 1, stamp
        self.arrived[number, index] = self.cycle
        self.compared += 1
