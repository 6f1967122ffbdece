"""From a `NocConfig` to a loaded simulation of the mesh with its traffic engine, without doing again what was done before."""

from __future__ import annotations

import ctypes
import functools
import time
from ctypes import POINTER, c_char_p, c_double, c_int, c_uint32, c_uint64, c_void_p
from dataclasses import replace
from pathlib import Path
from typing import Any

from hw.common.noc import NocConfig

from . import library
from .build import BuildOptions, build_library
from .sources import EMITTER, cached_verilog

#: Name of the top module.
TOP = "meshium_noc"
#: What decides what Verilog a mesh becomes.
NOC_SOURCES = ("hw/noc", "hw/common", *EMITTER)


class Job(ctypes.Structure):
    """Layout of `Job` in noc_traffic.h."""

    _fields_ = [
        *((name, c_uint32) for name in ("nodes", "mesh_x", "networks", "services", "vcs", "depth", "words", "age_tick", "stamp_mask")),
        *((name, c_uint32) for name in ("ordered", "check_order", "length", "length_max", "warmup", "cycles", "tail_limit", "quiet_limit")),
        *((name, c_uint32) for name in ("fault", "fault_at")),
        ("seed", c_uint64),
        *((name, c_double) for name in ("start", "start_on", "stop_on", "stall")),
        *((name, c_void_p) for name in ("probability", "alias", "sends", "list")),
        ("list_count", c_uint64),
    ]


class Counts(ctypes.Structure):
    """Layout of `Counts` in noc_traffic.h."""

    _fields_ = [
        *((name, c_uint64) for name in ("cycle", "offered_flits", "accepted_flits", "injected_flits", "delivered_flits")),
        *((name, c_uint64) for name in ("lost", "duplicated", "misrouted", "reordered", "corrupted", "overflowed")),
        *((name, c_uint64) for name in ("packets", "dropped", "phase", "stuck")),
    ]


#: name: (result, arguments)
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "noc_new": (c_void_p, []),
    "noc_delete": (None, [c_void_p]),
    "noc_start": (None, [c_void_p, POINTER(Job)]),
    "noc_run": (c_int, [c_void_p, c_uint64]),
    "noc_counts": (None, [c_void_p, POINTER(Counts)]),
    "noc_packets": (c_void_p, [c_void_p]),
    "noc_source_flits": (c_void_p, [c_void_p]),
    "noc_error": (c_char_p, [c_void_p]),
    "noc_probe": (c_uint32, [c_void_p, c_uint32, c_uint32]),
}


def noc_verilog(config: NocConfig, *, whole: bool = False) -> str:
    """Verilog of a node of the mesh (or of all of it) with injectors, from the cache if neither configuration nor sources have changed."""

    def make() -> str:
        from hw.noc.traffic_top import TrafficTile, TrafficTop
        from sim.verilog import emit

        top = (TrafficTop if whole else TrafficTile)(config=config)
        return emit(top, name=TOP, ports=top.ports)

    parts = {"noc config": repr(sorted(config.to_dict().items())), "whole": str(whole)}
    return cached_verilog(parts, make, label="Verilog of a mesh", places=NOC_SOURCES)


def _pins(config: NocConfig, *, whole: bool) -> str:
    """C++ tables of the ports of all nodes, and of the links between them."""

    def pin(name: str, node: int, *rest: int) -> str:
        top, number = (0, node) if whole else (node, 0)
        return f"&models[{top}]->top->{'_'.join(map(str, (name, number, *rest)))}"

    nodes, networks = range(config.nodes), range(config.virtual_networks)
    sources = [f"{{{pin('control', node, network)}, {pin('payload', node, network)}}}," for node in nodes for network in networks]
    sinks = [f"{{{', '.join(pin(name, node) for name in ('taken', 'status', 'ejected', 'credit'))}}}," for node in nodes]
    watched = [0 if whole else node for node in nodes] if config.watchdog_limit else []
    probes = [f"{{models[{top}].get(), &models[{top}]->top->watch_select, &models[{top}]->top->watch_probe}}," for top in watched]
    links, places = ([], []) if whole else _wiring(config)
    return "\n".join(
        [f"constexpr int MODELS = {1 if whole else config.nodes};"]
        + ["std::vector<SourcePins> source_pins(Models& models) { return {", *sources, "}; }"]
        + ["std::vector<NodePins> node_pins(Models& models) { return {", *sinks, "}; }"]
        + ["std::vector<WatchPins> watch_pins([[maybe_unused]] Models& models) { return {", *probes, "}; }"]
        + ["std::vector<LinkPins> link_pins(Models& models) { return {", *links, "}; }"]
        + ["void place(Models& models) {", *places, "}", ""]
    )


def _wiring(config: NocConfig) -> tuple[list[str], list[str]]:
    """C++ of what `hw.noc.mesh.Mesh` wires: the links between the tiles, and their places."""
    from hw.noc.topology import crosses_dateline, neighbour
    from hw.noc.traffic_top import LINKS

    links, places = [], []
    for node in range(config.nodes):
        at = (node % config.mesh_x, node // config.mesh_x)
        dateline = sum(crosses_dateline(config, at, port) << port for port in LINKS)
        places.append(f"models[{node}]->top->place = {at[0] | at[1] << 4 | dateline << 8};")
        for port in LINKS:
            there = neighbour(config, at, port)
            if there is None:
                continue
            here, other = f"models[{node}]->top->", f"models[{there[1] * config.mesh_x + there[0]}]->top->"
            for start, end in (
                (f"{here}hop_out_{port:d}", f"{other}hop_in_{port.opposite:d}"),
                (f"{other}credit_out_{port.opposite:d}", f"{here}credit_in_{port:d}"),
            ):
                links.append(f"{{&{start}, &{end}, sizeof({end})}},")
    return links, places


def noc_library(config: NocConfig, *, whole: bool = False) -> Path:
    """Shared library of the mesh under the harness `noc.cpp`; `whole` has Verilator compile the mesh in one piece instead of node by node."""
    # Registers of the model take every edge of the clock for one: a cycle is then one evaluation instead of two.
    verilog = noc_verilog(config, whole=whole).replace("@(posedge clk)", "@(edge clk)")
    return build_library(
        {f"{TOP}.v": verilog, "noc_pins.h": _pins(config, whole=whole)},
        top=TOP,
        harness=["noc.cpp"],
        options=BuildOptions(optimise="-O1" if whole else "-O3"),
        compile_only=[f"{TOP}.v"],
        label=f"mesh of {config.mesh_x}x{config.mesh_y}",
    )


class NocSimulation:
    """A loaded mesh with its engine; `start` and `run` are those of noc.cpp. One is reused by all runs of a configuration.

    Members
    -------
    build_seconds : float
        What making Verilog and library took; a fraction of a second from the cache.
    """

    def __init__(self, config: NocConfig, *, whole: bool = False) -> None:
        # As `Mesh` does, which is not made for tiles.
        from hw.noc.dependency import check_acyclic

        self._handle: int | None = None
        check_acyclic(config)
        begin = time.perf_counter()
        self._library = library.load_or_rebuild(lambda: noc_library(config, whole=whole))
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self._handle = self._library.noc_new()
        self.build_seconds = time.perf_counter() - begin

    def __del__(self) -> None:
        if self._handle is not None:
            self._library.noc_delete(self._handle)

    def start(self, job: Job) -> None:
        """Resets the mesh and begins a job."""
        self._library.noc_start(self._handle, ctypes.byref(job))

    def run(self, cycles: int) -> bool:
        """At most `cycles` cycles; whether the job is done. `RuntimeError` if an assertion of the model failed."""
        done = bool(self._library.noc_run(self._handle, cycles))
        message = self._library.noc_error(self._handle).decode()
        if message:
            raise RuntimeError(message)
        return done

    def counts(self) -> Counts:
        """Counters so far."""
        counts = Counts()
        self._library.noc_counts(self._handle, ctypes.byref(counts))
        return counts

    def probe(self, node: int, port: int, vc: int) -> int:
        """What the head of a queue waits for, as in register PROBE_DATA; where the configuration has a watchdog."""
        # The simulator needs numpy to start, not the tables of registers.
        from sim.golden.waits import select_value

        return int(self._library.noc_probe(self._handle, node, select_value(node, port, vc)))

    def packets(self, size: int) -> bytes:
        """All packets so far, `size` bytes of them."""
        return ctypes.string_at(self._library.noc_packets(self._handle), size) if size else b""

    def source_flits(self, nodes: int) -> bytes:
        """Flits accepted in the window, by source: 8 bytes each."""
        return ctypes.string_at(self._library.noc_source_flits(self._handle), 8 * nodes)


@functools.lru_cache(maxsize=8)
def _simulation(config: NocConfig, whole: bool) -> NocSimulation:
    return NocSimulation(config, whole=whole)


def noc_simulation(config: NocConfig, *, whole: bool = False) -> NocSimulation:
    """The simulation of `config`, built and loaded on first use."""
    # The name shapes nothing: two names of one mesh share a build.
    return _simulation(replace(config, name="custom"), whole)
