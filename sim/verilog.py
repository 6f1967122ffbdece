"""Amaranth component to Verilog with every distinct module written once.

Amaranth's own back end emits one Verilog module per *instance*, named after its place in the hierarchy: 256 processing
elements become 256 modules, which a C++ build of the simulation pays for 256 times. Here each `wiring.Component` is
converted on its own, with the ports its signature declares; components whose text comes out equal share one module, named
after the class (`Fp32Adder` -> `fp32_adder`; a second variant of the class is `fp32_adder_2`). Parents instantiate it.
Components of one class with equal attributes and members (`sim.identity`) are elaborated once.

A component behind a `ResetInserter` or a `DomainRenamer` is the module it would be without, with other things on its clock and reset ports.

A component stays inside its parent's module if it cannot be cut out: it has no signature members (a bare memory), it
is transformed otherwise (`EnableInserter` and the like), it defines a clock domain, or signals outside its signature cross its boundary.

For the time of a conversion `Fragment.get` of `amaranth.hdl._ir`, which Amaranth does not promise to keep, is replaced: the
version is pinned in `pyproject.toml`, and `tests/flow/test_verilog.py` fails first if a newer one differs.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any
from unittest import mock

from amaranth.back import rtlil, verilog
from amaranth.hdl import ClockSignal, DomainRenamer, Elaboratable, ResetInserter, ResetSignal, Signal, Value
from amaranth.hdl._ast import SignalDict, SignalSet
from amaranth.hdl._ir import Design, Fragment, Instance, PortDirection
from amaranth.lib import wiring

from .identity import identity

__all__ = ["emit", "emit_rtlil", "module_names"]

#: Stands for a module's own name until names are given: longer than any name a class would have.
_SELF = "__the_name_of_this_module__"

Ports = dict[str, tuple[Signal, PortDirection]]


def _signature_ports(component: Any) -> Ports | None:
    """Flat ports of a component's signature, `__` between the parts of a path; None if one is not a whole signal. Of no bits: no port."""
    ports: Ports = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if not isinstance(value, Signal):
            return None
        if not len(value):
            continue
        direction = PortDirection.Input if member.flow is wiring.In else PortDirection.Output
        ports["__".join(map(str, path))] = (value, direction)
    return ports


def _snake(name: str) -> str:
    """`Fp32Adder` -> `fp32_adder`, `PE` -> `pe`, `AXIWriter` -> `axi_writer`."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return name.strip("_").lower()


def _mark_used(value: Any) -> None:
    """Keeps a component that is not elaborated, and its parts, from complaining about it."""
    if isinstance(value, Elaboratable):
        if getattr(value, "_MustUse__used", False):
            return
        value._MustUse__used = True
        for item in vars(value).values():
            _mark_used(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _mark_used(item)
    elif isinstance(value, dict):
        _mark_used(list(value.values()))


@dataclass(frozen=True)
class _Module:
    """A module that was written: its name, and what its clock and reset ports connect to."""

    name: str
    clocks: dict[str, Value]


class _Crossing(Exception):
    """Signals outside the signature cross the boundaries of these components: they have to stay inside their parents."""


class _Emitter:
    """Converts a hierarchy, children first. `texts` maps each distinct module text to its name."""

    def __init__(self, *, top_name: str, initial_values: bool, kept_inside: set[str]) -> None:
        self.texts: dict[str, str] = {}
        self._names = {top_name}
        self._initial_values = initial_values
        self._kept_inside = kept_inside
        self._known: dict[Any, _Module] = {}
        self._owners: SignalDict = SignalDict()
        self._skipped: list[tuple[str, list[Signal]]] = []
        self._get = Fragment.get

    def top(self, component: Any, ports: Ports, platform: Any) -> str:
        """RTLIL of the top module; the modules below it are then in `texts`."""
        with mock.patch.object(Fragment, "get", staticmethod(self._replace)):
            fragment = self._get(component, platform)
        text, _ = self._convert(fragment, ports, owner=None)
        crossing = {owner for owners in self._owners.values() if len(owners) > 1 for owner in owners if owner is not None}
        # A component that was not elaborated because its twin was has no signals for others to look at.
        crossing |= {owner for owner, signals in self._skipped if any(signal in self._owners for signal in signals)}
        if crossing:
            raise _Crossing(crossing)
        return text

    def _replace(self, obj: Any, platform: Any) -> Fragment:
        """Stands in for `Fragment.get`: a component becomes an instance of its module."""
        if not isinstance(obj, wiring.Component):
            if type(obj).__name__ == "TransformedElaboratable":
                instance = self._transformed(obj, platform)
                if instance is not None:
                    return instance
                # A transformer has to reach every statement below it.
                with mock.patch.object(Fragment, "get", staticmethod(self._get)):
                    return self._get(obj, platform)
            return self._get(obj, platform)
        ports = _signature_ports(obj)
        if not ports:
            return self._get(obj, platform)
        key, parts = identity(obj, ports)
        # Objects do not survive to the next attempt, and a class may be made anew for it: names do.
        owner = repr(key) if key else f"{type(obj).__module__}.{type(obj).__qualname__}"
        if owner in self._kept_inside:
            return self._get(obj, platform)
        module = self._known.get(key) if key else None
        if module is None:
            fragment = self._get(obj, platform)
            if fragment.domains or isinstance(fragment, Instance):
                return fragment
            module = self._module(obj, fragment, ports, owner)
            if key:
                self._known[key] = module
        elif parts:
            self._skipped.append((owner, parts))
        _mark_used(obj)
        kinds = {PortDirection.Input: "i", PortDirection.Output: "o"}
        connections = [("i", name, value) for name, value in module.clocks.items()]
        connections += [(kinds[direction], name, signal) for name, (signal, direction) in ports.items()]
        return Instance(module.name, *connections)

    def _transformed(self, obj: Any, platform: Any) -> Fragment | None:
        """Instance of a component that has nothing around it but `ResetInserter`s and `DomainRenamer`s: what they say is connected to its clock and
        reset ports. None if it has no module."""
        component, transforms = obj._elaboratable_, obj._transforms_
        known = (ResetInserter, DomainRenamer)
        if not isinstance(component, wiring.Component) or any(type(transform) not in known for transform in transforms):
            return None
        fragment = self._replace(component, platform)
        if not isinstance(fragment, Instance) or fragment.type not in self.texts.values():
            return None
        for name, (value, direction) in fragment.ports.items():
            if isinstance(value, ClockSignal | ResetSignal):
                fragment.ports[name] = (_outside(value, transforms), direction)
        _mark_used(obj)
        return fragment

    def _module(self, component: Any, fragment: Fragment, ports: Ports, owner: str) -> _Module:
        text, clocks = self._convert(fragment, ports, owner=owner)
        if text not in self.texts:
            base = name = _snake(type(component).__name__)
            suffix = 1
            while name in self._names:
                suffix += 1
                name = f"{base}_{suffix}"
            self._names.add(name)
            self.texts[text] = name
        return _Module(self.texts[text], clocks)

    def _convert(self, fragment: Fragment, ports: Ports, *, owner: str | None) -> tuple[str, dict[str, Value]]:
        """RTLIL of one module whose own name is still `_SELF`, and its clock and reset ports."""
        design = fragment.prepare([(name, *port) for name, port in ports.items()], hierarchy=(_SELF,))
        clocks: dict[str, Value] = {}
        signals = SignalDict()
        for domain in fragment.domains.values():
            signals[domain.clk] = ClockSignal(domain.name)
            if domain.rst is not None:
                signals[domain.rst] = ResetSignal(domain.name, allow_reset_less=True)
        for name, signal, _ in design.ports:
            if name not in ports:
                clocks[name] = signals[signal]
        # Clocks first, as a reader expects; in the order of their names, as Amaranth's differs from run to run.
        design.ports.sort(key=lambda port: (port[0] in ports, "" if port[0] in ports else port[0]))
        declared = SignalSet(signal for _, signal, _ in design.ports)
        used = SignalSet(signal for part in design.fragments.values() for signal in part.used_signals if signal not in declared)
        # Ports of a component are used by its parent too; those of the top have none but the top.
        for signal in [*used, *(declared if owner is None else ())]:
            self._owners.setdefault(signal, set()).add(owner)
        _name_wires(design, declared)
        with mock.patch.object(rtlil.ModuleEmitter, "emit_memory", _emit_memory):
            text, _ = rtlil.convert_fragment(design, name=_SELF, emit_src=False)
        return _normalise(text, keep_initial_values=self._initial_values), clocks


def _outside(port: Any, transforms: Any) -> Value:
    """What a clock or reset port of a component is connected to behind its transformers, of which the first is the innermost."""
    domain, controls = port.domain, []
    for transform in transforms:
        if isinstance(transform, DomainRenamer):
            domain = transform.domain_map.get(domain, domain)
        elif domain in transform.controls:
            controls.append(transform.controls[domain])
    if isinstance(port, ClockSignal):
        return ClockSignal(domain)
    return reduce(or_, controls, ResetSignal(domain, allow_reset_less=True))


def _name_wires(design: Design, ports: SignalSet) -> None:
    """Names the wires at an instance's ports `<instance>__<port>`: `pe_0_1__o` says more than `o$27`."""
    info = design.fragments[design.fragment]
    for child, instance_name, _ in design.fragment.subfragments:
        if not isinstance(child, Instance) or instance_name is None:
            continue
        for port, (signal, _) in child.ports.items():
            name = f"{instance_name}__{port}"
            if isinstance(signal, Signal) and signal in info.signal_names and signal not in ports and name not in info.assigned_names:
                info.assigned_names.add(name)
                info.signal_names[signal] = name


_emit_memory_contents = rtlil.ModuleEmitter.emit_memory


def _emit_memory(emitter: Any, cell_index: int, cell: Any) -> None:
    """Contents of a memory, unless they are all zero: those are nobody's, as memories power up undefined."""
    if any(cell.init):
        _emit_memory_contents(emitter, cell_index, cell)


def _normalise(text: str, *, keep_initial_values: bool) -> str:
    """Drops what is not hardware, as asked power-up values too, and numbers ports from 1."""
    text = re.sub(r'^attribute \\(generator "[^"]*"|top 1)\n', "", text, flags=re.M)
    # Yosys takes port 0 for one without a place and puts it last.
    text = re.sub(r"^(  wire width \d+ (?:input|output|inout)) (\d+)", lambda match: f"{match[1]} {int(match[2]) + 1}", text, flags=re.M)
    # Verilog has no signals of no bits: Yosys would make them [-1:0], which has two.
    text = re.sub(r"^ *wire width 0 \S+\n|^connect \S+ \{ *\}\n", "", text, flags=re.M)
    if not keep_initial_values:
        text = re.sub(r"^ *attribute \\init .*\n", "", text, flags=re.M)
    return text


def _finish(text: str, name: str) -> str:
    """Gives a module, and those of its parts that were not cut out, their final names."""

    def rename(match: re.Match[str]) -> str:
        return match[1] + name + match[2].replace(".", "__")

    return re.sub(rf"^(\s*(?:module|cell) \\){_SELF}((?:\.[^\s.]+)*)", rename, text, flags=re.M)


def emit_rtlil(component: Any, *, name: str, ports: Ports | None = None, initial_values: bool = True, platform: Any = None) -> str:
    """Yosys RTLIL of `component`, each distinct module once. Parameters as for `emit`."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"name must be a Verilog identifier, not {name!r}")
    if not isinstance(component, Elaboratable):
        raise TypeError(f"component must be an Amaranth elaboratable, not {component!r}")
    if ports is None:
        if not isinstance(component, wiring.Component):
            raise TypeError(f"ports must be given for {component!r}, which is no wiring.Component")
        ports = _signature_ports(component)
        if ports is None:
            raise TypeError(f"ports must be given for {component!r}: a member of its signature is not a whole signal")
    kept_inside: set[str] = set()
    while True:
        emitter = _Emitter(top_name=name, initial_values=initial_values, kept_inside=kept_inside)
        try:
            top = emitter.top(component, ports, platform)
            break
        except _Crossing as crossing:
            if crossing.args[0] <= kept_inside:
                raise RuntimeError(
                    f"signals cross the boundaries of components that are kept inside already: {crossing.args[0]}"
                ) from crossing
            kept_inside |= crossing.args[0]
    parts = [_finish(text, module) for text, module in emitter.texts.items()]
    return "\n".join(["attribute \\top 1\n" + _finish(top, name).lstrip(), *parts])


def emit(component: Any, *, name: str, ports: Ports | None = None, initial_values: bool = True, platform: Any = None) -> str:
    """Verilog of `component`: the same bytes for the same hardware, every distinct module once.

    Parameters
    ----------
    component : wiring.Component
        The design. Its clock and reset become the ports `clk` and `rst`.
    name : str
        Name of the top module.
    ports : dict of name to (Signal, PortDirection)
        Ports of the top module; by default the members of its signature, `__` between the parts of a path.
    initial_values : bool
        False leaves out the power-up values of registers, so that a simulator may start them at random: a design
        whose reset is complete does not notice. Zero contents of memories are always left out.
    platform
        Passed to `elaborate()`.

    Raises
    ------
    ValueError
        if `name` is no Verilog identifier.
    TypeError
        if `component` cannot be elaborated, or `ports` is missing where there is no signature.
    """
    text = emit_rtlil(component, name=name, ports=ports, initial_values=initial_values, platform=platform)
    # The Yosys that comes with Amaranth as a Python package; a system-wide one would give other bytes.
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    result = verilog._convert_rtlil_text(text, strip_internal_attrs=True)
    # The header names the version of Yosys, which is no part of the design.
    return re.sub(r"\A/\* Generated by [^*]*\*/\n*", f"// {name}: generated from Amaranth, do not edit.\n\n", result)


def module_names(text: str) -> list[str]:
    """Names of the modules in Verilog text, in order."""
    return re.findall(r"^module \\?([^\s(;]+)", text, flags=re.M)
