"""From a `ChipConfig` to Verilog and to a simulation library, without doing again what was done before."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hw.common.config import ChipConfig

from .build import BuildOptions, build_library
from .sources import cached_verilog

#: The memories Python may look into while a simulation runs, as (module, variable) of the generated Verilog.
#: Only these are public: making everything public costs speed.
PUBLIC_MEMORIES = (("bank", "storage"), ("psum_banks", "bank*"), ("compact_sbuf", "memory"), ("compact_psum", "memory"))


def top_name(config: ChipConfig) -> str:
    """Name of the chip's top module: `meshium_base`."""
    return "meshium_" + re.sub(r"\W", "_", config.name)


def chip_verilog(config: ChipConfig, *, initial_values: bool = True) -> str:
    """Verilog of the chip, from the cache if neither the configuration nor any source has changed."""

    def make() -> str:
        from hw.chip import make_chip
        from sim.verilog import emit

        return emit(make_chip(config), name=top_name(config), initial_values=initial_values)

    parts = {"config": repr(sorted(config.to_dict().items())), "initial values": str(initial_values)}
    return cached_verilog(parts, make, label=f"Verilog of {config.name}")


def _control(verilog: str) -> str:
    present = set(re.findall(r"^module (\w+)", verilog, flags=re.M))
    lines = [f'public_flat_rw -module "{module}" -var "{variable}"' for module, variable in PUBLIC_MEMORIES if module in present]
    return "\n".join(["`verilator_config", *lines, ""])


def chip_library(config: ChipConfig, *, component: Any = None, options: BuildOptions | None = None) -> Path:
    """Shared library of the chip (or of a `component` with the pins of one) under the harness `chip.cpp`."""
    options = options or BuildOptions()
    initial_values = options.x_initial == "fast"
    if component is None:
        verilog = chip_verilog(config, initial_values=initial_values)
    else:
        from sim.verilog import emit

        verilog = emit(component, name=top_name(config), initial_values=initial_values)
    name = top_name(config)
    return build_library({f"{name}.v": verilog}, top=name, harness=["chip.cpp"], options=options, control=_control(verilog))
