"""Amaranth component to Verilog with every distinct module written once.

Amaranth's own back end emits one Verilog module per *instance*, named after its place in the hierarchy: 256 processing
elements become 256 modules, which a C++ build of the simulation pays for 256 times. Here each `wiring.Component` is
converted on its own, with the ports its signature declares; components whose text comes out equal share one module, named
after the class (`Fp32Adder` -> `fp32_adder`; a second variant of the class is `fp32_adder_2`). Parents instantiate it.

A component stays inside its parent's module if it cannot be cut out: it has no signature members (a bare memory), it
defines a clock domain of its own, or signals that are not in its signature cross its boundary.

The hierarchy is walked through `amaranth.hdl._ir`, which Amaranth does not promise to keep: the version is pinned in
`pyproject.toml`, and `tests/flow/test_verilog.py` fails first if a newer one differs.
"""

from __future__ import annotations

import os
import re
from typing import Any

from amaranth.back import rtlil, verilog
from amaranth.hdl import Elaboratable, Signal, Value
from amaranth.hdl._ast import SignalSet
from amaranth.hdl._ir import Design, Fragment, Instance, PortDirection
from amaranth.lib import wiring

__all__ = ["emit", "emit_rtlil", "module_names"]

#: Stands for a module's own name until names are given: longer than any name a class would have.
_SELF = "__the_name_of_this_module__"

Ports = dict[str, tuple[Signal, PortDirection]]


def _signature_ports(component: Any) -> Ports | None:
    """Flat ports of a component's signature, `__` between the parts of a path; None if one is not a whole signal."""
    ports: Ports = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if not isinstance(value, Signal):
            return None
        direction = PortDirection.Input if member.flow is wiring.In else PortDirection.Output
        ports["__".join(map(str, path))] = (value, direction)
    return ports


def _component_of(fragment: Fragment) -> wiring.Component | None:
    """The component a fragment was elaborated from, None for instances, memories and transformed components."""
    for origin in fragment.origins or ():
        if isinstance(origin, wiring.Component):
            return origin
        return None
    return None


def _snake(name: str) -> str:
    """`Fp32Adder` -> `fp32_adder`, `PE` -> `pe`, `AXIWriter` -> `axi_writer`."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return name.strip("_").lower()


class _Emitter:
    """Converts a hierarchy bottom-up; `modules` maps each distinct module text to its name, children first."""

    def __init__(self, *, top_name: str, initial_values: bool) -> None:
        self.modules: dict[str, str] = {}
        self._names = {top_name}
        self._initial_values = initial_values

    def _name_for(self, component: Any) -> str:
        base = name = _snake(type(component).__name__)
        suffix = 1
        while name in self._names:
            suffix += 1
            name = f"{base}_{suffix}"
        self._names.add(name)
        return name

    def text_of(self, fragment: Fragment, ports: Ports) -> str:
        """RTLIL of one module whose own name is still `_SELF`, its components already replaced by instances."""
        design = Design(fragment, [(name, signal, direction) for name, (signal, direction) in ports.items()], hierarchy=(_SELF,))
        _name_wires(design, SignalSet(signal for signal, _ in ports.values()))
        text, _ = rtlil.convert_fragment(design, name=_SELF, emit_src=False)
        return _normalise(text, keep_initial_values=self._initial_values)

    def replace_components(self, design: Design, fragment: Fragment) -> None:
        """Turns each component below `fragment` that can be cut out into an instance of a module in `modules`."""
        for index, (child, name, src_loc) in enumerate(fragment.subfragments):
            if isinstance(child, Instance):
                continue
            self.replace_components(design, child)
            component = _component_of(child)
            ports = self._cut(design, child, component)
            if ports is None:
                continue
            text = self.text_of(child, ports)
            if text not in self.modules:
                self.modules[text] = self._name_for(component)
            kinds = {PortDirection.Input: "i", PortDirection.Output: "o"}
            instance = Instance(self.modules[text], *((kinds[d], port, signal) for port, (signal, d) in ports.items()), src_loc=src_loc)
            # The instance stands where the component stood, so it knows the same clock domains.
            instance.add_domains(child.domains.values())
            fragment.subfragments[index] = (instance, name, src_loc)

    def _cut(self, design: Design, fragment: Fragment, component: Any) -> Ports | None:
        """Ports of the module `fragment` would become, or None if it cannot be cut out of its parent."""
        if component is None:
            return None
        declared = _signature_ports(component)
        if not declared:
            return None
        info = design.fragments[fragment]
        outside = design.fragments[info.parent].used_signals
        ports: Ports = {}
        for domain in fragment.domains.values():
            for signal in (domain.clk, domain.rst):
                if signal is None or signal not in info.used_signals:
                    continue
                if signal not in outside:
                    return None  # the domain is made inside
                if signal.name in declared:
                    return None  # no name is left for the clock
                ports[signal.name] = (signal, PortDirection.Input)
        ports.update(declared)
        allowed = SignalSet(signal for signal, _ in ports.values())
        if any(signal in outside and signal not in allowed for signal in info.used_signals):
            return None
        return ports


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


def _normalise(text: str, *, keep_initial_values: bool) -> str:
    """Drops what is not hardware: generator marks and memory contents that are all zero (memories power up undefined)."""
    text = re.sub(r'^attribute \\(generator "[^"]*"|top 1)\n', "", text, flags=re.M)
    text = re.sub(r"^  cell \$meminit_v2 (?:(?!^  end$).)*?connect \\DATA \d+'0*\n(?:(?!^  end$).)*?^  end\n", "", text, flags=re.M | re.S)
    # Yosys takes port 0 for one without a place and puts it last.
    text = re.sub(r"^(  wire width \d+ (?:input|output|inout)) (\d+)", lambda match: f"{match[1]} {int(match[2]) + 1}", text, flags=re.M)
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
    if not isinstance(component, Elaboratable | Fragment):
        raise TypeError(f"component must be an Amaranth elaboratable, not {component!r}")
    if ports is None:
        if not isinstance(component, wiring.Component):
            raise TypeError(f"ports must be given for {component!r}, which is no wiring.Component")
        ports = _signature_ports(component)
        if ports is None:
            raise TypeError(f"ports must be given for {component!r}: a member of its signature is not a whole signal")
    design = Fragment.get(component, platform).prepare([(port, *rest) for port, rest in ports.items()], hierarchy=(name,))
    emitter = _Emitter(top_name=name, initial_values=initial_values)
    emitter.replace_components(design, design.fragment)
    clocks = {port: (signal, direction) for port, signal, direction in design.ports if port not in ports}
    top_ports = {**clocks, **ports}
    top = emitter.text_of(design.fragment, top_ports)
    parts = [_finish(text, module) for text, module in emitter.modules.items()]
    return "\n".join(["attribute \\top 1\n" + _finish(top, name).lstrip(), *parts])


def emit(component: Any, *, name: str, ports: Ports | None = None, initial_values: bool = True, platform: Any = None) -> str:
    """Verilog of `component`: the same bytes for the same hardware, every distinct module once, the top module first.

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
    # Yosys counts the names it makes up through the whole run; the header names its version, which is no part of the design.
    return re.sub(r"\A/\* Generated by [^*]*\*/\n*", f"// {name}: generated from Amaranth, do not edit.\n\n", result)


def module_names(text: str) -> list[str]:
    """Names of the modules in Verilog text, in order."""
    return re.findall(r"^module \\?([^\s(;]+)", text, flags=re.M)
