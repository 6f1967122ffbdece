"""A run of traffic on a mesh and what is found in it, as data: what is asked of `sim.verilated.noc.run_traffic`, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.common.noc import PACKET_FLITS, NocConfig
from sim.golden.traffic import traffic_matrix

#: A packet as the engine keeps it. Cycles count from reset; `NEVER` stands for what did not happen.
PACKET_DTYPE = np.dtype(
    [
        *((name, "<u4") for name in ("created", "injected", "ejected", "sequence", "first_flit")),
        *((name, "<u2") for name in ("source", "destination", "length", "received")),
        *((name, "u1") for name in ("network", "service", "vc", "measured")),
    ]
)
NEVER = 0xFFFFFFFF


def _require(name: str, value: Any, low: float, high: float, kind: Any, remedy: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        raise ValueError(f"{name} must be {low} to {high}, not {value!r}{remedy}")


@dataclass(frozen=True, kw_only=True)
class TrafficRun:
    """One measurement.

    Parameters
    ----------
    config : NocConfig
    pattern : str
        A name of `sim.golden.traffic`.
    rate : float
        Offered load, flits per node and cycle.
    length, length_max : int
        Flits of a packet: `length`, or 1 to `length_max`, equally likely.
    warmup, cycles : int
        Cycles before the window, and of the window.
    seed : int
        Of every random choice.
    burst : float
        Mean cycles a node sends at full rate before it pauses (a two-state Markov source); None: every cycle for itself.
    stall : float
        Chance that a sink keeps a credit back for a cycle.
    ordered : bool
        Packets ask to stay in order whatever the routing function.
    packets : sequence of (source, destination, flits, earliest cycle)
        Instead of random traffic: these packets; `pattern`, `rate`, `length`, `warmup` and `cycles` then do not count.

    Raises
    ------
    TypeError, ValueError
        if something is outside its limits.
    """

    config: NocConfig
    pattern: str = "uniform"
    rate: float = 0.1
    length: int = 1
    warmup: int = 1000
    cycles: int = 3000
    seed: int = 1
    burst: float | None = None
    stall: float = 0.0
    length_max: int | None = None
    ordered: bool = False
    packets: Sequence[tuple[int, int, int, int]] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {self.config!r}")
        _require("rate", self.rate, 0, 1, (int, float), ": a node injects at most one flit a cycle")
        _require("length", self.length, 1, PACKET_FLITS, int, ": send more packets")
        _require("warmup", self.warmup, 0, 10**8, int)
        _require("cycles", self.cycles, 1, 10**8, int)
        _require("seed", self.seed, 0, 2**63 - 1, int)
        _require("stall", self.stall, 0, 0.99, (int, float), ": a sink that never takes anything stops the mesh")
        if self.length_max is not None:
            _require("length_max", self.length_max, 1, PACKET_FLITS, int, ": send more packets")
        if self.burst is not None:
            _require("burst", self.burst, 1, 10**6, (int, float))
            if self.rate < 1 and self.rate > self.burst / (self.burst + 1):
                limit = self.burst / (self.burst + 1)
                raise ValueError(
                    f"rate must be at most {limit:.4f} with bursts of {self.burst}, or 1, not {self.rate!r}: use longer bursts"
                )
        for place, packet in enumerate(self.packets or ()):
            self._check_packet(place, packet)
        if self.packets is None:
            traffic_matrix(self.pattern, self.config.mesh_x, self.config.mesh_y)

    def _check_packet(self, place: int, packet: tuple[int, int, int, int]) -> None:
        source, destination, flits, earliest = packet
        for name, node in (("source", source), ("destination", destination)):
            if not 0 <= node < self.config.nodes:
                raise ValueError(
                    f"{name} of packet {place} must be a node, 0 to {self.config.nodes - 1}, not {node!r}: "
                    f"the mesh is {self.config.mesh_x}x{self.config.mesh_y}"
                )
        _require(f"flits of packet {place}", flits, 1, PACKET_FLITS, (int, np.integer))
        _require(f"earliest cycle of packet {place}", earliest, 0, 10**8, (int, np.integer))

    @property
    def mean_length(self) -> float:
        """Flits of a packet, on average."""
        return self.length if self.length_max is None else (1 + self.length_max) / 2


@dataclass(frozen=True, kw_only=True)
class TrafficResult:
    """What was measured. Rates are in flits per node and cycle, latencies in cycles.

    Members
    -------
    offered, accepted
        Generated, and ejected, in the window.
    latency_mean, latency_median, latency_p99, latency_max
        Of the packets of the window; those that had not arrived at the end count with the time they had waited. NaN if there are none.
    unfinished
        Packets of the window that had not arrived when the load was taken off.
    lost
        Flits that entered the mesh and never arrived intact where they should.
    duplicated, misrouted, reordered, corrupted
        Flits that came twice; at a wrong node; out of order (within their packet, among the packets of one source, destination and VC, or
        between the flits of another packet on their VC); with a wrong bit. With adaptive routing packets that did not ask for
        order may overtake one another.
    overflowed
        Flits that were sent without a credit.
    node_share_min, node_share_max
        Least and most flits of one source in `accepted`, over the mean of the sources that send.
    per_flow, per_flow_offered
        [source, destination]: packets of the window that arrived, that were generated.
    waiting
        If the mesh came to a stop: packets that are stuck in it, and who waits for whom, if `watchdog_limit` is not 0.
    packets
        `PACKET_DTYPE`: every packet of the run.
    simulated, sim_seconds, sim_khz, build_seconds
        Cycles simulated, the time that took, their quotient, and the time the build took.
    """

    offered: float
    accepted: float
    latency_mean: float
    latency_median: float
    latency_p99: float
    latency_max: float
    unfinished: int
    lost: int
    duplicated: int
    misrouted: int
    reordered: int
    corrupted: int
    overflowed: int
    delivered: int
    node_share_min: float
    node_share_max: float
    per_flow: np.ndarray
    per_flow_offered: np.ndarray
    waiting: tuple[str, ...]
    packets: np.ndarray
    simulated: int
    sim_seconds: float
    sim_khz: float
    build_seconds: float

    @property
    def right(self) -> bool:
        """Something was delivered and nothing went wrong."""
        return self.delivered > 0 and not any(
            (self.lost, self.duplicated, self.misrouted, self.reordered, self.corrupted, self.overflowed, self.waiting)
        )
