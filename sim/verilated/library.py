"""ctypes declarations of the harnesses: every function with its argument types, so that no call can be misread."""

from __future__ import annotations

import ctypes
import functools
import shutil
import sys
from collections.abc import Callable, Iterator
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .dram import DramParameters


class VariableInfo(ctypes.Structure):
    """Layout of `VariableInfo` in model.h."""

    _fields_ = [
        ("scope", c_char_p),
        ("name", c_char_p),
        ("width", c_uint32),
        ("direction", c_uint32),
        ("entry_bytes", c_uint32),
        ("depth", c_uint64),
        ("first", c_int64),
        ("data", c_void_p),
    ]


class HostResult(ctypes.Structure):
    """Layout of `HostResult` in host.h."""

    _fields_ = [("data", c_uint32), ("resp", c_uint32)]


class LineParameters(ctypes.Structure):
    """Layout of `LineParameters` in board.cpp."""

    _fields_ = [(name, c_uint64) for name in ("seed", "drop", "corrupt", "duplicate")]


class LineCounters(ctypes.Structure):
    """Layout of `LineCounters` in board.cpp."""

    _fields_ = [(name, c_uint64) for name in ("received", "sent", "dropped", "corrupted", "duplicated", "lost", "errors")]


FINISH_CALLBACK = ctypes.CFUNCTYPE(None, c_char_p, c_int, c_char_p)

#: name: (result, arguments)
CHIP_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "chip_new": (c_void_p, [POINTER(DramParameters), c_void_p, c_uint64, c_int, c_int]),
    "chip_delete": (None, [c_void_p]),
    "chip_reset": (None, [c_void_p, c_uint64]),
    "chip_run": (c_uint64, [c_void_p, c_uint64, c_uint32]),
    "chip_cycle": (c_uint64, [c_void_p]),
    "chip_interrupt": (c_int, [c_void_p]),
    "chip_states": (c_uint32, [c_void_p]),
    "chip_error": (c_char_p, [c_void_p]),
    "chip_poison": (None, [c_void_p, c_uint64, c_uint64]),
    "chip_host_push": (None, [c_void_p, c_int, c_uint32, c_uint32]),
    "chip_host_pop": (c_int, [c_void_p, POINTER(HostResult)]),
    "chip_host_idle": (c_int, [c_void_p]),
    "chip_log_events": (None, [c_void_p, c_int]),
    "chip_events": (c_void_p, [c_void_p, POINTER(c_uint64)]),
    "chip_clear_events": (None, [c_void_p]),
    "chip_statistics": (None, [c_void_p, POINTER(c_uint64)]),
    "chip_record": (None, [c_void_p, c_int]),
    "chip_recorded": (c_uint64, [c_void_p]),
    "chip_replay": (c_double, [c_void_p]),
    "chip_variable": (c_int, [c_void_p, c_uint32, POINTER(VariableInfo)]),
    "chip_trace_start": (c_int, [c_void_p, c_char_p]),
    "chip_trace_stop": (None, [c_void_p]),
}

MODEL_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "model_new": (c_void_p, [c_int, POINTER(c_char_p), c_int, c_int]),
    "model_delete": (None, [c_void_p]),
    "model_variable": (c_int, [c_void_p, c_uint32, POINTER(VariableInfo)]),
    "model_eval": (None, [c_void_p]),
    "model_run": (c_uint64, [c_void_p, c_void_p, c_uint64]),
    "model_finished": (c_int, [c_void_p]),
    "model_set_finished": (None, [c_void_p, c_int]),
    "model_message": (c_char_p, [c_void_p]),
    "model_finish_callback": (None, [c_void_p, FINISH_CALLBACK]),
    "model_trace_start": (c_int, [c_void_p, c_char_p]),
    "model_trace_dump": (None, [c_void_p, c_uint64]),
    "model_trace_flush": (None, [c_void_p]),
    "model_trace_stop": (None, [c_void_p]),
}


BOARD_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "board_new": (c_void_p, [c_uint32, POINTER(LineParameters), c_int, c_int]),
    "board_trace_start": (c_int, [c_void_p, c_char_p]),
    "board_set_fault": (None, [c_void_p, c_uint32]),
    "board_delete": (None, [c_void_p]),
    "board_serve": (c_int, [c_void_p, c_int, c_double]),
    "board_cycle": (c_uint64, [c_void_p]),
    "board_leds": (c_uint32, [c_void_p]),
    "board_resting": (c_int, [c_void_p]),
    "board_counters": (None, [c_void_p, POINTER(LineCounters)]),
    "board_error": (c_char_p, [c_void_p]),
}


@functools.cache
def load(path: Path) -> ctypes.CDLL:
    """The library with the functions of whichever harness it holds declared; one copy a process."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in {**CHIP_FUNCTIONS, **MODEL_FUNCTIONS, **BOARD_FUNCTIONS}.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            continue
        function.restype, function.argtypes = result, arguments
    return library


def load_or_rebuild(build: Callable[[], Path]) -> ctypes.CDLL:
    """`load(build())`; an entry of the build cache that cannot be loaded (cut short, deleted in part) is thrown away and built again, once."""
    path = build()
    try:
        return load(path)
    except OSError as error:
        print(f"{path.parent} is damaged and is built again: {error}", file=sys.stderr)
        shutil.rmtree(path.parent, ignore_errors=True)
        return load(build())


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A public variable of a running model, and where its bytes are.

    Members
    -------
    scope : tuple of str
        Hierarchy from the top module down; () for the top's ports.
    name : str
        As in Verilog, without the backslash of escaped names.
    width, depth, first : int
        Bits; entries and lowest index if it is an array, else 0.
    direction : int
        0 internal, 1 input, 2 output, 3 both.
    """

    scope: tuple[str, ...]
    name: str
    width: int
    direction: int
    entry_bytes: int
    depth: int
    first: int
    address: int

    def array(self) -> np.ndarray:
        """The live storage, one row an entry: unsigned integers of up to 64 bits, else rows of 32-bit words, lowest first."""
        entries = self.depth or 1
        kind: Any = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}.get(self.entry_bytes)
        buffer = memoryview((c_uint8 * (entries * self.entry_bytes)).from_address(self.address))
        if kind is not None and self.width <= 64:
            return np.frombuffer(buffer, kind)
        return np.frombuffer(buffer, np.uint32).reshape(entries, self.entry_bytes // 4)

    @property
    def value(self) -> int:
        """The value now."""
        return int.from_bytes(ctypes.string_at(self.address, self.entry_bytes), "little") & ((1 << self.width) - 1)

    def write(self, value: int) -> None:
        """Sets it, cut to its width; the model does not notice before it is evaluated."""
        data = (int(value) & ((1 << self.width) - 1)).to_bytes(self.entry_bytes, "little")
        ctypes.memmove(self.address, data, self.entry_bytes)


def _split_scope(scope: str) -> tuple[str, ...]:
    """`TOP.top.u_a` -> ("top", "u_a"), and () for Verilator's own outermost scope."""
    parts = scope.split(".")
    return () if parts in (["TOP"], ["TOP", "TOP"]) else tuple(parts[1:])


def variables(lister: Any, handle: int) -> Iterator[Variable]:
    """All public variables of a model; `lister` is `chip_variable` or `model_variable`."""
    info = VariableInfo()
    index = 0
    while lister(handle, index, ctypes.byref(info)):
        yield Variable(
            scope=_split_scope(info.scope.decode()),
            name=info.name.decode().removeprefix("\\").rstrip(),
            width=info.width,
            direction=info.direction,
            entry_bytes=info.entry_bytes,
            depth=info.depth,
            first=info.first,
            address=info.data,
        )
        index += 1
