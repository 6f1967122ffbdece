"""Viewer files for the waveform of a run: signals grouped by port and block, states and opcodes shown by name.

`view.gtkw` is for GTKWave (`gtkwave dump.vcd view.gtkw`), `view.sucl` for Surfer (`surfer dump.vcd -c view.sucl`); Surfer gets the groups only.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hw.common.isa import BY_OPCODE, Cause
from hw.control.command import EngineState


def _opcodes() -> dict[int, str]:
    """The engines share numbers: where two use one, both names."""
    names: dict[int, list[str]] = {}
    for (_, opcode), instruction in BY_OPCODE.items():
        names.setdefault(opcode, []).append(instruction.name)
    return {opcode: "/".join(several) for opcode, several in names.items()}


#: Names of values: pattern of a signal's own name -> value -> text. The first pattern that matches counts.
DECODE: dict[str, dict[int, str]] = {
    "*opcode": _opcodes(),
    "*cause": {int(item.value): item.name for item in Cause},
    "*engine_state": {int(item.value): item.name for item in EngineState},
}

# GTKWave's trace flags: right-justified binary and hexadecimal, hexadecimal through a table, group open and closed, its end.
_BINARY, _HEX, _TABLE = "@28", "@22", "@2022"
_GROUP, _GROUP_END = ("@800200", "@1000200")
_CLOSED, _CLOSED_END = ("@c00200", "@1401200")


@dataclass(frozen=True)
class Wire:
    """A variable of a VCD: scopes from the outside in, own name, width, range as written."""

    scopes: tuple[str, ...]
    name: str
    width: int
    range: str

    @property
    def path(self) -> str:
        """As GTKWave writes it."""
        return ".".join([*self.scopes, self.name]) + self.range


def read_header(vcd: Path) -> list[Wire]:
    """The variables of a VCD, in order; an alias of an earlier one is left out only if its path is the same."""
    wires: dict[str, Wire] = {}
    scopes: list[str] = []
    with open(vcd) as file:
        for line in file:
            words = line.split()
            match words:
                case ["$scope", _, name, "$end"]:
                    scopes.append(name)
                case ["$upscope", "$end"]:
                    scopes.pop()
                case ["$var", _, width, _, name, *rest] if rest and rest[-1] == "$end":
                    wire = Wire(tuple(scopes), name, int(width), rest[0] if rest[0] != "$end" else "")
                    wires.setdefault(wire.path, wire)
                case ["$enddefinitions", "$end"]:
                    break
    return list(wires.values())


def group_of(wire: Wire, top: tuple[str, ...], pins: Collection[str], ports: Mapping[str, str]) -> str:
    """The group a signal is shown in: its port's (or what `ports` says), "inside" for the others at the top, else its block's."""
    if wire.scopes != top:
        return ".".join(wire.scopes[len(top) :])
    for pattern, group in ports.items():
        if fnmatch.fnmatchcase(wire.name, pattern):
            return group
    if wire.name in ("clk", "rst"):
        return "clock"
    pin = re.split(r"[.\[]", wire.name)[0]  # elements and fields, i__payload[0] and i__payload.swap, go with their port
    if pin not in pins:
        return "inside"
    bus = re.match(r"[ms]_axil?(?=_)", pin)
    return bus.group(0) if bus else pin.split("__")[0]


def decoder(name: str, decode: Mapping[str, Mapping[int, str]]) -> Mapping[int, str] | None:
    """Names of the values of the signal called `name`, if it has any."""
    own = re.split(r"__|\.", name)[-1] if "trace_" not in name else name
    return next((table for pattern, table in decode.items() if fnmatch.fnmatchcase(own, pattern)), None)


def write_view(
    vcd: Path,
    *,
    toplevel: str,
    pins: Collection[str],
    ports: Mapping[str, str] | None = None,
    decode: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Writes `view.gtkw`, `view.sucl` and the tables of value names beside `vcd`; returns the first two.

    Parameters
    ----------
    vcd : Path
        Waveform as Verilator writes it.
    toplevel : str
        Name of the device's module; its ports come first, then the rest of its signals, then its blocks, closed.
    pins : collection of str
        Names of its ports.
    ports : mapping or None
        Pattern of a signal's name at the top -> group.
    decode : mapping or None
        Pattern of a signal's name -> Enum class or dict of value -> text; comes before `DECODE`.

    Raises
    ------
    ValueError
        if the waveform does not hold `toplevel`.
    """
    wires = [wire for wire in read_header(vcd) if "$" not in wire.name]  # $1, $2: Amaranth's unnamed intermediates
    top = next((wire.scopes[: wire.scopes.index(toplevel) + 1] for wire in wires if toplevel in wire.scopes), None)
    if top is None:
        raise ValueError(f"toplevel must be a scope of {vcd.name}, not {toplevel!r}")
    tables = {pattern: _table(names) for pattern, names in (decode or {}).items()} | DECODE
    groups: dict[str, list[Wire]] = {}
    for wire in wires:
        if wire.scopes[: len(top)] == top:
            groups.setdefault(group_of(wire, top, pins, ports or {}), []).append(wire)
    blocks = {".".join(wire.scopes[len(top) :]) for wire in wires if len(wire.scopes) > len(top)}
    closed = blocks | {"inside"}
    order = sorted(groups, key=lambda group: (group != "clock", group in blocks, group == "inside", group))
    gtkw, surfer = vcd.with_name("view.gtkw"), vcd.with_name("view.sucl")
    gtkw.write_text("\n".join([f'[dumpfile] "{vcd}"', "[timestart] 0", *_gtkw_lines(order, groups, closed, tables, vcd.parent)]) + "\n")
    surfer.write_text("\n".join(_surfer_lines([group for group in order if group not in closed], groups)) + "\n")
    return [gtkw, surfer]


def _table(names: Any) -> dict[int, str]:
    return {int(item.value): item.name for item in names} if isinstance(names, type) and issubclass(names, Enum) else dict(names)


def _gtkw_lines(
    order: Iterable[str], groups: Mapping[str, list[Wire]], closed: set[str], tables: Mapping[str, Mapping[int, str]], folder: Path
) -> Iterable[str]:
    files: dict[str, Path] = {}
    for group in order:
        begin, end = (_CLOSED, _CLOSED_END) if group in closed else (_GROUP, _GROUP_END)
        yield from (begin, f"-{group}")
        for wire in groups[group]:
            if table := decoder(wire.name, tables):
                text = "".join(f"{value:0{(wire.width + 3) // 4}x} {name}\n" for value, name in sorted(table.items()))
                file = files.setdefault(text, folder / f"values{len(files)}.txt")
                file.write_text(text)
                yield from (_TABLE, f"^1 {file}")
            else:
                yield _BINARY if wire.width == 1 else _HEX
            yield wire.path
        yield from (end, f"-{group}")


def _surfer_lines(order: Iterable[str], groups: Mapping[str, list[Wire]]) -> Iterable[str]:
    for group in order:
        yield f"divider_add {group}"
        for wire in groups[group]:
            yield f"variable_add {'.'.join([*wire.scopes, wire.name])}"
