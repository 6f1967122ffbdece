"""What a simulation at the prompt is made of: signals, their values, memories, and collections of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from keyword import iskeyword
from typing import Any

import numpy as np

from .library import Variable


def format_value(width: int, value: int) -> str:
    """As Verilog writes it: `8'h2a`."""
    return f"{width}'h{value:x}"


class Signal:
    """A wire, register or port. `value` reads it now; `SignalValue` is a reading that stays as it was."""

    def __init__(self, sim: Any, variable: Variable, verilator_name: str) -> None:
        self.sim_object = sim
        self.verilator_name = verilator_name
        self.modular_name = (*variable.scope, variable.name)[1:] if variable.scope else (variable.name,)
        self.width = variable.width
        self._variable = variable

    @property
    def value(self) -> int:
        """What it is now."""
        self.sim_object._require_open()
        return self._variable.value

    @property
    def status(self) -> str:
        """The value as Verilog writes it."""
        return format_value(self.width, self.value)

    @property
    def short_name(self) -> str:
        """The last part of its hierarchical name."""
        return self.modular_name[-1]

    def send_to_gtkwave(self) -> None:
        """Adds it to the waveform viewer."""
        self.sim_object.send_signal_to_gtkwave(self)

    def collection_get(self) -> Any:
        """What a collection gives when it is asked for this."""
        return SignalValue(self)

    def __repr__(self) -> str:
        return f"{self.short_name} = {self.status}"


class SignalValue(int):
    """A reading of a signal: an `int` that knows its `signal`."""

    signal: Signal
    value: int

    def __new__(cls, signal: Signal, value: int | None = None) -> SignalValue:
        reading = super().__new__(cls, signal.value if value is None else value)
        reading.signal = signal
        reading.value = int(reading)
        return reading

    def send_to_gtkwave(self) -> None:
        """Adds the signal to the waveform viewer."""
        self.signal.send_to_gtkwave()

    def __repr__(self) -> str:
        return format_value(self.signal.width, self.value)


class _Writable(Signal):
    def write(self, value: int) -> None:
        """Sets it, cut to its width, and lets the change spread."""
        self.sim_object._require_open()
        self._variable.write(value)
        self.sim_object._post_write_hook(self)

    def collection_set(self, value: int) -> None:
        """What a collection does when it is given a value for this."""
        self.write(value)


class Input(_Writable):
    """A port the outside drives."""


class Output(Signal):
    """A port the design drives."""


class InternalSignal(_Writable):
    """A signal inside. Writing a register holds until it is clocked; a wire is driven again at once."""


class Clock(Input):
    """A 1-bit input with `tick()`: one cycle, ending after the rising edge."""

    def __init__(self, source: Input) -> None:
        if not isinstance(source, Input):
            raise TypeError(f"clock must be an Input, not {source!r}")
        if source.width != 1:
            raise ValueError(f"clock must be 1 bit wide, not {source.width}")
        super().__init__(source.sim_object, source._variable, source.verilator_name)

    def tick(self) -> None:
        """Low, then high."""
        self.write(0)
        self.write(1)


class Memory:
    """An array inside the design.

    Members
    -------
    array : numpy array
        The storage itself, not a copy: unsigned integers of up to 64 bits, else rows of 32-bit words, lowest first. It is
        gone when the simulation is closed.
    width, depth : int
        Bits of an entry, and entries.
    """

    def __init__(self, sim: Any, variable: Variable, verilator_name: str) -> None:
        self.sim_object = sim
        self.verilator_name = verilator_name
        self.modular_name = (*variable.scope, variable.name)[1:]
        self.width, self.depth = variable.width, variable.depth
        self._variable = variable

    @property
    def array(self) -> np.ndarray:
        """The live storage."""
        self.sim_object._require_open()
        return self._variable.array()

    @property
    def status(self) -> str:
        """Its shape, as Verilog declares it."""
        return f"[{self.width - 1}:0] x {self.depth}"

    def _index(self, index: int) -> int:
        position = index - self._variable.first
        if not 0 <= position < self.depth:
            raise IndexError(f"index must be {self._variable.first} to {self._variable.first + self.depth - 1}, not {index!r}")
        return position

    def __len__(self) -> int:
        return self.depth

    def __iter__(self) -> Iterator[int]:
        return (self[self._variable.first + position] for position in range(self.depth))

    def __getitem__(self, index: int) -> int:
        return int.from_bytes(self.array[self._index(index)].tobytes(), "little")

    def __setitem__(self, index: int, value: int) -> None:
        row = self.array[self._index(index) : self._index(index) + 1]
        row.view(np.uint8).reshape(-1)[:] = list((int(value) & ((1 << self.width) - 1)).to_bytes(row.nbytes, "little"))
        self.sim_object._post_write_hook(None)

    def __repr__(self) -> str:
        return f"{self.modular_name[-1]} {self.status}"


class Collection:
    """Signals and further collections by name, as items (`io["a"]`) or attributes (`io.a`).

    An attribute that Python could not spell otherwise takes a final `_`: `io.in_` is the signal `in` unless there is one
    called `in_`. Reading gives a `SignalValue`, assigning writes. Names that a collection itself uses, and names with
    other characters, are reached as items.
    """

    def __init__(self, items: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_items", dict(items))

    def _find(self, name: str) -> Any:
        items: dict[str, Any] = self._items
        # `self.__a` written inside a class reaches us as `_Class__a`.
        mangled = f"_{type(self).__name__}__"
        for candidate in (name, name[:-1] if name.endswith("_") and iskeyword(name[:-1]) else None, "__" + name.removeprefix(mangled)):
            if candidate in items:
                return items[candidate]
        return None

    @staticmethod
    def _read(item: Any) -> Any:
        return item.collection_get() if isinstance(item, Signal) else item

    def _write(self, name: str, item: Any, value: Any) -> None:
        if not isinstance(item, _Writable):
            raise TypeError(f"item must be an input or an internal signal to be set, not {name!r}")
        item.write(value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        item = self._find(name)
        if item is None:
            raise AttributeError(f"{type(self).__name__} has no signal {name!r}; it has {', '.join(sorted(self._items)) or 'none'}")
        return self._read(item)

    def __setattr__(self, name: str, value: Any) -> None:
        item = self._find(name)
        if item is None:
            raise ValueError(f"{type(self).__name__} has no signal {name!r} to set")
        self._write(name, item, value)

    def __getitem__(self, name: str) -> Any:
        if name not in self._items:
            raise ValueError(f"{type(self).__name__} has no signal {name!r}")
        return self._read(self._items[name])

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._items:
            raise ValueError(f"{type(self).__name__} has no signal {name!r} to set")
        self._write(name, self._items[name], value)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __dir__(self) -> list[str]:
        return sorted(self._items)

    def __repr__(self) -> str:
        if not self._items:
            return f"<empty {type(self).__name__} object>"
        rows = []
        for name, item in sorted(self._items.items()):
            rows.append((type(item).__name__, name, f"{len(item)} items" if isinstance(item, Collection) else item.status))
        omitted = len(rows) - 20
        kind, label, status = (max(len(row[column]) for row in rows) for column in range(3))
        lines = [f"{row[0]:<{kind}}  {row[1]:<{label}}  {row[2]:>{status}}" for row in rows]
        if omitted > 5:
            lines[10:-10] = [f"    ... {len(rows)} objects in total ..."]
        return "\n".join(lines)


class Submodule(Collection):
    """The signals of an instance inside the design, and its own submodules."""


def nest(entries: Mapping[tuple[str, ...], Any]) -> Collection:
    """A collection of `Submodule`s from items by hierarchical path."""
    tree: dict[str, Any] = {}
    for path, item in entries.items():
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch[path[-1]] = item

    def build(kind: type[Collection], branch: dict[str, Any]) -> Collection:
        return kind({name: build(Submodule, item) if isinstance(item, dict) else item for name, item in branch.items()})

    return build(Collection, tree)
