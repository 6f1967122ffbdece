"""`make verilog`: the chip's Verilog as one readable file, `build/verilog/meshium_<config>.v`."""

from __future__ import annotations

import sys
from pathlib import Path

from hw.common.config import ChipConfig
from sim.verilated.design import chip_verilog, top_name
from sim.verilated.toolchain import build_root
from sim.verilog import module_names

from .files import written_whole
from .meshium import explain


def export(config: ChipConfig) -> tuple[Path, int]:
    """Writes the Verilog of `config`, whole or not at all; returns the file and how many modules it holds."""
    text = chip_verilog(config)
    path = build_root() / "verilog" / f"{top_name(config)}.v"
    with written_whole(path) as stream:
        stream.write(text.encode())
    return path, len(module_names(text))


def main(arguments: list[str] | None = None) -> int:
    """`python -m scripts.verilog CONFIG`. An expected error is one line on standard error: status 1, or 2 for bad usage."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        print(f"verilog: error: exactly one configuration must be named, not {len(given)}: make verilog CONFIG=base", file=sys.stderr)
        return 2
    try:
        path, modules = export(ChipConfig.named(given[0]))
    except BaseException as error:
        status, message = explain(error)
        if status is None:
            raise
        print(f"verilog: error: {' '.join(message.split())}", file=sys.stderr)
        return status
    print(f"{path}: {modules} modules")
    return 0


if __name__ == "__main__":
    sys.exit(main())
