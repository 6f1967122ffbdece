"""Golden model of a mesh: where each packet goes, on which VCs, in which order it comes out, and how long it takes if it is alone.

It says nothing of when packets in each other's way arrive: that is the routers' choice. Everything here follows from the formats and rules of
docs/noc.md alone and shares no code with the hardware. Node number = y * mesh_x + x; ports are numbered north 0, east 1, south 2, west 3,
local 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.common.noc import PACKET_FLITS, QOS_WEIGHTS, NocConfig

Integers = NDArray[np.int64]

NORTH, EAST, SOUTH, WEST, LOCAL = range(5)


@dataclass(frozen=True, kw_only=True)
class Packet:
    """A packet as it is handed to the injector of its source; `flits` are the payloads, the header's first."""

    source: int
    destination: int
    flits: tuple[int, ...] = field(repr=False)
    network: int = 0
    service: int = 0
    ordered: bool = False


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What becomes of a packet.

    `vc` is the VC it is injected on, `out_vcs` those it may be ejected on (several only where routing is adaptive). `nodes` it visits, source
    and destination included, `ports` it leaves them by (the last is LOCAL) and `link_vcs`, the VC on each of those links, are None
    where the adaptive function is free to choose. `hops` and `latency`, from injection of the head to ejection of the tail in an empty
    mesh, are exact for all.
    """

    packet: Packet
    vc: int
    out_vcs: tuple[int, ...]
    nodes: tuple[int, ...] | None
    ports: tuple[int, ...] | None
    link_vcs: tuple[int, ...] | None
    hops: int
    latency: int


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """`deliveries` in the order of the packets. `order`: (source, destination, VC at the ejection) to indices of packets that come out in this
    order. `unordered`: (source, destination) to indices of packets that may overtake one another: the adaptive ones. Each packet is in one of the two.
    """

    deliveries: list[Delivery]
    order: dict[tuple[int, int, int], list[int]]
    unordered: dict[tuple[int, int], list[int]]


@dataclass(frozen=True)
class Paths:
    """Dimension-order paths of many pairs: row p has `hops[p]` links, what follows is -1.

    `nodes` [P, H + 1], `ports` [P, H + 1] (LOCAL at the destination), `crossed` [P, H]: the dateline bit of the VC on each link.
    """

    hops: Integers
    nodes: Integers
    ports: Integers
    crossed: Integers


def dimension_distance(config: NocConfig, at: Integers, to: Integers, size: int) -> Integers:
    """Steps along a dimension, negative towards smaller coordinates; on a torus the shorter way round, the growing one where both are equal."""
    ahead = np.asarray(to) - np.asarray(at)
    if config.topology == "mesh":
        return ahead
    # Move the distance into (-size / 2, size / 2].
    return ahead - size * np.ceil(ahead / size - 0.5).astype(np.int64)


def paths(config: NocConfig, sources: Integers, destinations: Integers, y_first: NDArray[np.bool_] | bool = False) -> Paths:
    """Paths along x, then y (y, then x, where `y_first`) of all pairs at once."""
    sources, destinations = np.atleast_1d(np.asarray(sources, dtype=np.int64)), np.atleast_1d(np.asarray(destinations, dtype=np.int64))
    y_first = np.broadcast_to(np.asarray(y_first, dtype=bool), sources.shape)
    x, y = sources % config.mesh_x, sources // config.mesh_x
    dx = dimension_distance(config, x, destinations % config.mesh_x, config.mesh_x)
    dy = dimension_distance(config, y, destinations // config.mesh_x, config.mesh_y)
    hops = abs(dx) + abs(dy)
    step = np.arange(hops.max(initial=0) + 1)[None, :]
    # After `step` links: so many of them along the first dimension, the others along the second.
    first, second = np.where(y_first, dy, dx)[:, None], np.where(y_first, dx, dy)[:, None]
    gone_first = np.minimum(step, abs(first))
    gone_second = np.minimum(step - gone_first, abs(second))
    gone_x = np.where(y_first[:, None], gone_second, gone_first) * np.sign(dx)[:, None]
    gone_y = np.where(y_first[:, None], gone_first, gone_second) * np.sign(dy)[:, None]
    far_x, far_y = x[:, None] + gone_x, y[:, None] + gone_y
    nodes = far_y % config.mesh_y * config.mesh_x + far_x % config.mesh_x
    nodes[step > hops[:, None]] = -1
    along_x = (step < abs(first)) ^ y_first[:, None]
    ports = np.where(along_x, np.where(dx > 0, EAST, WEST)[:, None], np.where(dy > 0, NORTH, SOUTH)[:, None])
    ports[step == hops[:, None]] = LOCAL
    ports[step > hops[:, None]] = -1
    # A ring's dateline is between its last coordinate and 0: it is crossed once the unwrapped coordinate has left 0 .. size - 1.
    over_x, over_y = far_x // config.mesh_x != 0, far_y // config.mesh_y != 0
    crossed = np.where(along_x[:, :-1], over_x[:, 1:], over_y[:, 1:]).astype(np.int64)
    crossed[step[:, :-1] >= hops[:, None]] = -1
    return Paths(hops, nodes, ports, crossed)


def latencies(config: NocConfig, sources: Integers, destinations: Integers, lengths: Integers | int = 1) -> Integers:
    """Cycles from the injection pulse of the head to the ejection pulse of the tail of packets alone in the mesh; any routing function.

    A hop is a cycle and `link_stages`, the last queue another cycle, and each flit behind the head one more: queues are as deep as their credits
    take to return. In the first `link_stages` cycles after reset links are still down, and packets wait for them.
    """
    hops = paths(config, sources, destinations).hops
    return hops * (1 + config.link_stages) + np.asarray(lengths, dtype=np.int64)


class GoldenMesh:
    """Predicts the deliveries of one mesh from reset on.

    Parameters
    ----------
    config : NocConfig

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self.config = config
        self._sent: dict[tuple[int, int], int] = {}

    def predict(self, packets: Sequence[Packet]) -> Prediction:
        """Deliveries of `packets`, which each source injects in this order after all it injected before.

        Raises
        ------
        ValueError
            if a packet has a field that does not exist in this mesh.
        """
        config = self.config
        for packet in packets:
            self._check(packet)
        y_first = np.array([self._y_first(packet) for packet in packets], dtype=bool)
        ends = np.array([(packet.source, packet.destination) for packet in packets], dtype=np.int64).reshape(-1, 2)
        found = paths(config, ends[:, 0], ends[:, 1], y_first)
        lengths = np.array([len(packet.flits) for packet in packets], dtype=np.int64)
        cycles = latencies(config, ends[:, 0], ends[:, 1], lengths)
        prediction = Prediction(deliveries=[], order={}, unordered={})
        for index, packet in enumerate(packets):
            hops, is_free = int(found.hops[index]), config.routing == "adaptive" and not packet.ordered
            vc = self._vc(packet, y_first=bool(y_first[index]), crossed=0)
            link_vcs = [self._vc(packet, y_first=bool(y_first[index]), crossed=int(bit)) for bit in found.crossed[index, :hops]]
            last = link_vcs[-1] if hops else vc
            # An adaptive packet may change to the escape channel of its network, if it crosses a link at all.
            out_vcs = tuple(sorted({vc, packet.network * config.network_vcs} if is_free and hops else {last}))
            prediction.deliveries.append(
                Delivery(
                    packet=packet,
                    vc=vc,
                    out_vcs=out_vcs,
                    nodes=None if is_free else tuple(found.nodes[index, : hops + 1].tolist()),
                    ports=None if is_free else tuple(found.ports[index, : hops + 1].tolist()),
                    link_vcs=None if is_free else tuple(link_vcs),
                    hops=hops,
                    latency=int(cycles[index]),
                )
            )
            if is_free:
                prediction.unordered.setdefault((packet.source, packet.destination), []).append(index)
            else:
                prediction.order.setdefault((packet.source, packet.destination, last), []).append(index)
        return prediction

    def _check(self, packet: Packet) -> None:
        config = self.config
        for name, limit in (
            ("source", config.nodes),
            ("destination", config.nodes),
            ("network", config.virtual_networks),
            ("service", len(QOS_WEIGHTS)),
        ):
            if not 0 <= getattr(packet, name) < limit:
                raise ValueError(f"{name} of a packet must be 0 to {limit - 1}, not {getattr(packet, name)!r}")
        if not 1 <= len(packet.flits) <= PACKET_FLITS:
            raise ValueError(f"a packet must have 1 to {PACKET_FLITS} flits, not {len(packet.flits)}")
        if not all(0 <= flit < 1 << self.config.payload_bits for flit in packet.flits):
            raise ValueError(f"flits of a packet must be payloads of {self.config.payload_bits} bits")

    def _y_first(self, packet: Packet) -> bool:
        """Whether the packet, the next of its source and network, goes along y first. O1TURN alternates; a packet that must stay in order goes XY."""
        sent = self._sent.get((packet.source, packet.network), 0)
        self._sent[packet.source, packet.network] = sent + 1
        if self.config.routing == "o1turn":
            return sent % 2 == 1 and not packet.ordered
        return self.config.routing == "yx"

    def _vc(self, packet: Packet, *, y_first: bool, crossed: int) -> int:
        """VC = network, then order of dimensions (O1TURN) and dateline bit (torus), then lane; adaptive: the escape channel, then the lanes."""
        config = self.config
        per_network = config.vcs // config.virtual_networks
        x, y = packet.destination % config.mesh_x, packet.destination // config.mesh_x
        if config.routing == "adaptive":
            lane = packet.service if config.qos else (x + y) % (per_network - 1)
            return packet.network * per_network + (0 if packet.ordered else 1 + lane)
        orders, datelines = 1 + (config.routing == "o1turn"), 1 + (config.topology == "torus")
        lanes = per_network // (orders * datelines)
        lane = packet.service if config.qos else (x + y) % lanes
        order = int(y_first and config.routing == "o1turn")
        return packet.network * per_network + (order * datelines + crossed) * lanes + lane
