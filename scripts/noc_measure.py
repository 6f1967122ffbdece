"""Measurements of the mesh for `bench-noc`: sweeps, saturation, zero load, on any function that runs traffic."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw.common.noc import NocConfig
from sim.golden.mesh import latencies
from sim.golden.noc_limits import ideal_throughput, zero_load_latency
from sim.golden.traffic import traffic_matrix

#: Loads at which every curve has a point, beside those the search for saturation visits.
SWEEP = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.8, 1.0)
#: How finely the load at saturation is found, in flits per node and cycle.
GRAIN = 0.004

#: Patterns that need longer until accepted flits settle: while queues for one node build up, the other flits still pass freely.
SETTLING = {"hot_spot": {"warmup": 10_000, "cycles": 10_000}}

#: `sim.verilated.noc.run_traffic`, or what a test puts in its place: takes the arguments of a TrafficRun.
Traffic = Callable[..., Any]


class Wrong(RuntimeError):
    """A run whose flits did not all arrive once, intact, in order and where they should: it counts for nothing."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run: a point of a curve."""

    config: str
    pattern: str
    offered: float
    accepted: float
    latency_mean: float
    latency_median: float
    latency_p99: float
    latency_max: float
    node_share_min: float
    node_share_max: float
    sim_khz: float


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """What the runs of one configuration and pattern say. `ideal` is that of `routing` (adaptive: the best routing); `held` is what is
    accepted at load 1.0 over the peak."""

    config: str
    pattern: str
    zero_load: float
    saturation: float
    full_load: Point
    peak: float
    held: float
    ideal: float


def verilated_traffic(**arguments: Any) -> Any:
    """Traffic on the RTL."""
    from sim.verilated.noc import TrafficRun, run_traffic

    return run_traffic(TrafficRun(**arguments))


class Bench:
    """Runs traffic on configurations and keeps every point.

    Parameters
    ----------
    traffic : Traffic
    grain : float
        How finely saturation is found.
    warmup, cycles : int
        Of each run.
    """

    def __init__(self, *, traffic: Traffic = verilated_traffic, grain: float = GRAIN, warmup: int = 1000, cycles: int = 3000) -> None:
        self._traffic, self._grain = traffic, grain
        self._options = {"warmup": warmup, "cycles": cycles}
        self._points: dict[tuple[str, str, float], Point] = {}

    @property
    def points(self) -> list[Point]:
        """Every point measured, by configuration, pattern and load."""
        return [self._points[key] for key in sorted(self._points)]

    def run(self, config: NocConfig, **arguments: Any) -> Any:
        """One run; `Wrong` if anything was lost, doubled, misplaced, out of order or spoiled, or nothing came out."""
        result = self._traffic(config=config, **(self._options | arguments))
        bad = {
            name: getattr(result, name) for name in ("lost", "duplicated", "misrouted", "reordered", "corrupted") if getattr(result, name)
        }
        if bad or not result.right:
            raise Wrong(f"{config.name}, {arguments}: {bad or 'nothing was delivered, or the mesh came to a stop'}")
        return result

    def point(self, config: NocConfig, pattern: str, rate: float) -> Point:
        """The point at load `rate`, measured once."""
        key = (config.name, pattern, rate)
        if key not in self._points:
            result = self.run(config, pattern=pattern, rate=rate)
            values = {
                name: float(getattr(result, name)) for name in Point.__dataclass_fields__ if name not in ("config", "pattern", "offered")
            }
            self._points[key] = Point(config=config.name, pattern=pattern, offered=rate, **values)
        return self._points[key]

    def saturation(self, config: NocConfig, pattern: str, *, sweep: bool = False) -> Saturation:
        """Highest load with a mean latency of at most three times that at zero load, found by halving; full load; peak over all loads."""
        matrix = traffic_matrix(pattern, config.mesh_x, config.mesh_y)
        zero = zero_load_latency(matrix, config.mesh_x, config.mesh_y, link_stages=config.link_stages, topology=config.topology)
        routing = "best" if config.routing == "adaptive" else config.routing
        ideal = ideal_throughput(matrix, config.mesh_x, config.mesh_y, routing, config.topology)

        def passes(steps: int) -> bool:
            return self.point(config, pattern, round(steps * self._grain, 6)).latency_mean <= 3 * zero

        low, high = 0, max(2, round(1.05 * ideal / self._grain))
        last = int(1 / self._grain)
        while high < last and passes(high):  # short windows can end before a small overload shows
            low, high = high, min(last, high + max(1, high // 8))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if passes(middle) else (low, middle)
        saturated = low * self._grain
        for factor in (1.05, 1.15, 1.4):
            if saturated * factor < 1:
                self.point(config, pattern, round(saturated * factor, 3))
        if sweep:
            for rate in SWEEP:
                self.point(config, pattern, rate)
        full = self.point(config, pattern, 1.0)
        ours = [point for point in self.points if (point.config, point.pattern) == (config.name, pattern)]
        peak = max(ours, key=lambda point: point.accepted)
        held = full.accepted / peak.accepted
        if pattern in SETTLING:
            settled = [self.run(config, pattern=pattern, rate=rate, **SETTLING[pattern]).accepted for rate in (1.0, peak.offered)]
            held = settled[0] / max(settled)
        return Saturation(
            config=config.name, pattern=pattern, zero_load=zero, saturation=round(saturated, 6), full_load=full, peak=peak.accepted, held=held,
            ideal=ideal,
        )  # fmt: skip

    def zero_load(self, config: NocConfig) -> tuple[float, int]:
        """(mean cycles from injection to ejection over all pairs of different nodes, packets that took other than hops + 1).

        One source after the other sends a packet a cycle; packets of one source never meet, so each is alone in its part of the mesh.
        """
        listed, start, apart = [], 0, 2 * (config.mesh_x + config.mesh_y) * (1 + config.link_stages) + 8
        for source in range(config.nodes):
            start += apart
            for destination in range(config.nodes):
                if destination != source:
                    listed.append((source, destination, 1, start))
                    start += 1
        packets = self.run(config, packets=listed).packets
        cycles = packets["ejected"].astype(np.int64) - packets["injected"].astype(np.int64)
        expected = latencies(config, packets["source"].astype(np.int64), packets["destination"].astype(np.int64))
        return float(cycles.mean()), int((cycles != expected).sum())


def cold_build_seconds(config: NocConfig) -> float:
    """Seconds from a configuration to a loaded simulation with every cache empty."""
    program = (
        "from hw.common.noc import NocConfig; from sim.verilated.noc import TrafficRun, run_traffic; "
        f"run_traffic(TrafficRun(config=NocConfig(**{replace(config, name='custom').to_dict()!r}), rate=0.1, warmup=0, cycles=10))"
    )
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"MESHIUM_BUILD": folder, "CCACHE_DISABLE": "1"},
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - begin
