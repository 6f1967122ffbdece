"""Whether two components are the same hardware, told without elaborating them: from their class, what they know, and their members."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Shape, Signal, Value
from amaranth.lib import data


def _is_plain(value: Any) -> bool:
    """Whether `repr` tells everything about a value that an `elaborate()` could depend on."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return all(_is_plain(getattr(value, item.name)) for item in dataclasses.fields(value))
    return value is None or isinstance(value, int | float | str | enum.Enum | Shape | data.Layout)


class _Opaque(Exception):
    """A value that does not tell everything an `elaborate()` could depend on."""


class _Describer:
    """Descriptions of values that are equal only if hardware made from the values is equal too.

    Members
    -------
    signals : list of Signal
        Those found: signals of the parts of a component.
    """

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        # What was met keeps its number, so that two names for one object differ from two equal objects, and circles end.
        self._met: dict[int, int] = {}

    def describe(self, value: Any) -> Any:
        """The description; `_Opaque` if there is none."""
        if _is_plain(value):
            return repr(value)
        if isinstance(value, list | tuple):
            return type(value).__name__, tuple(map(self.describe, value))
        if isinstance(value, dict):
            return "dict", tuple((self.describe(key), self.describe(item)) for key, item in value.items())
        if id(value) in self._met:
            return "met", self._met[id(value)]
        self._met[id(value)] = len(self._met)
        if isinstance(value, Signal):
            self.signals.append(value)
            return "Signal", value.name, repr(value.shape()), value.init
        if isinstance(value, data.View):
            return "View", repr(value.shape()), self.describe(Value.cast(value))
        if callable(value) or isinstance(value, Value) or not hasattr(value, "__dict__"):
            raise _Opaque
        if any(vars(base).get("__slots__") for base in type(value).__mro__):
            raise _Opaque
        return type(value), self.attributes(value)

    def attributes(self, value: Any) -> Any:
        """Description of everything an object knows, but for what Amaranth keeps in it."""
        return tuple(
            (name, self.describe(item)) for name, item in sorted(vars(value).items()) if not name.startswith(("_MustUse__", "_Component__"))
        )


def identity(component: Any, ports: Mapping[str, tuple[Signal, Any]]) -> tuple[tuple[Any, ...] | None, list[Signal]]:
    """A key, equal for components that elaborate to equal hardware (None where their attributes do not tell), and the signals of its parts."""
    describer = _Describer()
    own = set(component.signature.members)
    try:
        state = tuple(
            (name, describer.describe(value))
            for name, value in sorted(vars(component).items())
            if name not in own and not name.startswith(("_MustUse__", "_Component__"))
        )
    except _Opaque:
        return None, []
    members = tuple((name, repr(signal.shape()), signal.init, direction) for name, (signal, direction) in ports.items())
    return (type(component), state, members), describer.signals
