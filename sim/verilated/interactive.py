"""A Verilated module at the Python prompt: the interface of PyVerilator, which no longer imports on current Pythons.

    from sim.verilated import interactive as pyverilator
    sim = pyverilator.PyVerilator.build("counter.v")
    sim.io.en = 1
    sim.clock.tick()
    print(sim.io.out, sim.internals.count_reg)

Beyond PyVerilator: `run(n)` passes many cycles in one call, memories are numpy arrays (`sim.internals.ram.array`), internal
signals can be written, builds are cached, and instances of one design do not share state.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from . import library
from .build import BuildOptions, build_library
from .cache import BuildCache
from .signals import Clock, Collection, Input, InternalSignal, Memory, Output, Signal, SignalValue, Submodule, nest
from .waveforms import Waveforms

__all__ = ["Clock", "Collection", "Input", "InternalSignal", "Memory", "Output", "PyVerilator", "Signal", "SignalValue", "Submodule"]


def _read_sources(top_file: Path, verilog_path: Iterable[str], defines: Sequence[str]) -> dict[str, str]:
    """The top file and every Verilog file of the search path (the top's own folder last), defines put before the top."""
    sources = {top_file.name: "".join(f"`define {item.replace('=', ' ', 1)}\n" for item in defines) + top_file.read_text()}
    for folder in [*map(Path, verilog_path), top_file.parent]:
        for path in sorted([*folder.glob("*.v"), *folder.glob("*.sv"), *folder.glob("*.vh")]):
            sources.setdefault(path.name, path.read_text())
    return sources


class PyVerilator(Waveforms):
    """One simulation of a Verilog module.

    Parameters
    ----------
    so_file : str
        Library made by `build`.
    auto_eval : bool
        Let every write spread at once; otherwise call `eval()`.
    command_args : sequence of str
        `+name=value` arguments for `$test$plusargs` and `$value$plusargs`.

    Members
    -------
    io, internals : Collection
        The ports; everything inside, by hierarchy.
    clock : Clock or None
        The input called clock or clk, or else one whose name starts or ends so.
    inputs, outputs, internal_signals : list of (name, width)
        Names by which `sim[name]` reads and writes.
    """

    @classmethod
    def build(
        cls,
        top_verilog_file: str | os.PathLike[str],
        verilog_path: Sequence[str] = (),
        build_dir: str | None = None,
        json_data: Any = None,
        gen_only: bool = False,
        quiet: bool = False,
        command_args: Sequence[str] = (),
        verilog_defines: Sequence[str] = (),
        *,
        options: BuildOptions | None = None,
    ) -> PyVerilator | None:
        """Builds the module the file is named after, and starts a simulation of it.

        Other modules are found in the folders `verilog_path` and in the file's own. `build_dir` moves the cache of builds;
        `gen_only` builds and returns None; `json_data` comes back as the attribute of that name; `quiet` has no effect,
        as nothing is printed.

        Raises
        ------
        TypeError, ValueError
            for arguments of the wrong kind.
        ToolError
            if a tool is missing, or the design is refused.
        """
        for name, value in (("verilog_defines", verilog_defines), ("command_args", command_args)):
            if isinstance(value, str):
                raise TypeError(f"{name} must be a list of strings, not {value!r}")
        top_file = Path(top_verilog_file)
        if top_file.suffix != ".v":
            raise ValueError(f"top_verilog_file must end in .v, not {str(top_verilog_file)!r}")
        sources = _read_sources(top_file, verilog_path, verilog_defines)
        base = options or BuildOptions(public=True, trace=True)
        # Only the top is named; the other files are there to be found.
        flags = (*base.verilator_flags, "-y", ".")
        options = BuildOptions(**{**base.__dict__, "verilator_flags": flags})
        cache = BuildCache(root=Path(build_dir)) if build_dir else None
        path = build_library(
            sources, top=top_file.stem, harness=["interactive.cpp"], options=options, cache=cache, compile_only=[top_file.name]
        )
        if gen_only:
            return None
        sim = cls(str(path), command_args=command_args)
        sim.json_data = json.loads(json.dumps(json_data))
        return sim

    def __init__(self, so_file: str, auto_eval: bool = True, command_args: Sequence[str] = ()) -> None:
        super().__init__()
        self.model: int | None = None
        self.auto_eval = auto_eval
        self.json_data: Any = None
        self.clock: Clock | None = None
        self.lib = library.load(Path(so_file))
        self._callback: Any = None
        arguments = [b"sim", *(os.fsencode(item) for item in command_args)]
        self._arguments = (ctypes.c_char_p * (len(arguments) + 1))(*arguments)
        self.model = self.lib.model_new(len(arguments), self._arguments, 0, 1)
        self._collect()
        self.clock = self._find_clock()
        self.eval()

    def _collect(self) -> None:
        found = list(library.variables(self.lib.model_variable, self._require_open()))
        tops = {item.scope[0] for item in found if item.scope}
        self.module_name = next(iter(tops), "TOP")
        ports: dict[str, Any] = {}
        inside: dict[tuple[str, ...], Any] = {}
        for item in found:
            if not item.scope:
                kind = Input if item.direction & 1 else Output
                ports[item.name] = kind(self, item, item.name)
        for item in found:
            path = item.scope[1:] + (item.name,)
            if item.scope and not (len(path) == 1 and item.name in ports):
                name = "__DOT__".join((*item.scope, item.name))
                inside[path] = Memory(self, item, name) if item.depth else InternalSignal(self, item, name)
        self.io = Collection(ports)
        self.internals = nest(inside)
        self.all_signals = {(name,): item for name, item in ports.items()} | inside
        self._by_name = {item.verilator_name: item for item in self.all_signals.values()}
        self.inputs = [(name, item.width) for name, item in ports.items() if isinstance(item, Input)]
        self.outputs = [(name, item.width) for name, item in ports.items() if isinstance(item, Output)]
        self.internal_signals = [(item.verilator_name, item.width) for item in inside.values() if isinstance(item, InternalSignal)]

    def _find_clock(self) -> Clock | None:
        names = [name for name, width in self.inputs if width == 1]
        for matches in (
            lambda name: name.lower() in ("clock", "clk"),
            lambda name: name.startswith(("clock", "clk")),
            lambda name: name.endswith(("clock", "clk")),
        ):
            for name in filter(matches, names):
                return Clock(self.all_signals[(name,)])
        return None

    # Lifetime ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the simulation and closes its waveform; memory arrays must not be used afterwards."""
        model, self.model = self.model, None
        if model is not None:
            self.lib.model_delete(model)

    def __enter__(self) -> PyVerilator:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _require_open(self) -> int:
        if self.model is None:
            raise ValueError("the simulation must be open, not closed: build it again")
        return self.model

    # Signals by name -----------------------------------------------------------------------------------------

    def __contains__(self, signal_name: object) -> bool:
        return signal_name in self._by_name

    def __getitem__(self, signal_name: str) -> int:
        item = self._by_name.get(signal_name)
        if not isinstance(item, Signal):
            raise ValueError(f"port must exist to be read, not {signal_name!r}")
        return item.value

    def __setitem__(self, signal_name: str, value: int) -> None:
        item = self._by_name.get(signal_name)
        if not isinstance(item, Input | InternalSignal):
            raise ValueError(f"port must be an input or internal to be written, not {signal_name!r}")
        item.write(value)

    # Time ----------------------------------------------------------------------------------------------------

    def eval(self) -> None:
        """Lets what was written spread."""
        self.lib.model_eval(self._require_open())
        if self.auto_tracing_mode == "eval":
            self.add_to_vcd_trace()

    def _post_write_hook(self, signal: Signal | None) -> None:
        if self.auto_eval:
            self.eval()
        if (
            self.auto_tracing_mode == "clock"
            and self.clock is not None
            and signal is not None
            and signal.verilator_name == self.clock.verilator_name
        ):
            self.add_to_vcd_trace()

    def run(self, cycles: int) -> int:
        """Passes `cycles` cycles of the clock, in C++ unless a waveform is written; returns those done, fewer after `$finish`."""
        if self.clock is None:
            raise ValueError("run needs a clock, and no input is called clock or clk")
        if self.vcd_filename is None:
            return int(self.lib.model_run(self._require_open(), self.clock._variable.address, cycles))
        for done in range(cycles):
            if self.finished:
                return done
            self.clock.tick()
        return cycles

    @property
    def finished(self) -> bool:
        """Whether the design called `$finish` or `$stop`, or an assertion failed."""
        return bool(self.lib.model_finished(self._require_open()))

    @finished.setter
    def finished(self, value: bool) -> None:
        self.lib.model_set_finished(self._require_open(), int(value))

    def set_vl_finish_callback(self, callback: Callable[..., Any] | None) -> None:
        """Calls `callback(sim, file, line, scope)` at `$finish` instead of setting `finished`; None goes back."""
        if callback is None:
            self._callback = library.FINISH_CALLBACK()
        else:
            self._callback = library.FINISH_CALLBACK(lambda file, line, scope: callback(self, file, line, scope))
        self.lib.model_finish_callback(self._require_open(), self._callback)
