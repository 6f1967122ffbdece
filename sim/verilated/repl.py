"""`make repl`: a simulated chip at a Python prompt, or driven by a script on standard input."""

from __future__ import annotations

import argparse
import code
import sys
from typing import Any

import numpy as np

from hw.common.config import CONFIGS, ChipConfig, ConfigError
from hw.common.registers import REGISTERS
from sw.runtime.device import Device
from sw.runtime.errors import DeviceError
from sw.runtime.matmul import run_matmul

from .chip import VerilatedChip
from .dram import DramModel
from .toolchain import ToolError

#: DRAM of the chip at the prompt.
DRAM_BYTES = 16 << 20

#: Names a session starts with, and what they are.
NAMES = {
    "chip": "the simulated chip: memory, registers, cycles, events, waveforms",
    "device": "the runtime on top of it: loads and runs programs",
    "config": "its configuration",
    "REGISTERS": "register addresses by name",
    "run_matmul": "one matrix product on a device",
    "np": "numpy",
}

#: Lines to start with; a test runs them.
EXAMPLES = (
    "chip.run(100); chip.describe()",
    'hex(chip.read_register(REGISTERS["MAGIC"].address))',
    "run_matmul(device, np.eye(4, dtype=np.int8), np.arange(16, dtype=np.int8).reshape(4, 4)).c",
)


def banner(config: ChipConfig) -> str:
    """What a session says first."""
    width = max(map(len, NAMES))
    lines = [f"Meshium {config.name}, cycle-accurate, {_dram_bytes(config) >> 20} MiB of DRAM. help(name) says more; Ctrl-D ends."]
    lines += ["", *(f"  {name:<{width}}  {text}" for name, text in NAMES.items()), ""]
    return "\n".join([*lines, "Try:", *(f"  {line}" for line in EXAMPLES), ""])


def session(chip: VerilatedChip) -> dict[str, Any]:
    """The names of a session: those of `NAMES`."""
    return {"chip": chip, "device": Device(chip), "config": chip.config, "REGISTERS": REGISTERS, "run_matmul": run_matmul, "np": np}


def _edit_lines(names: dict[str, Any]) -> None:
    """History and completion at a terminal, where this Python has them."""
    try:
        import readline
        import rlcompleter
    except ImportError:
        return
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="repl", description=__doc__)
    parser.add_argument("--config", default="base", help=f"chip configuration: {', '.join(CONFIGS)} (default base)")
    parser.add_argument("--trace", action="store_true", help="build with waveforms: chip.start_vcd(path), chip.stop_vcd()")
    return parser.parse_args(arguments)


def _dram_bytes(config: ChipConfig) -> int:
    """What there is of it, or what the address bus reaches."""
    return min(DRAM_BYTES, 1 << config.axi_address_width)


def main(arguments: list[str] | None = None) -> int:
    """Opens the chip and reads lines until the end of input. Status 1, with one line, if the chip cannot be opened."""
    options = _arguments(arguments)
    try:
        config = ChipConfig.named(options.config)
        if sys.stdin.isatty():
            print(f"building the simulator of {config.name} (only the first time takes long) ...", file=sys.stderr)
        chip = VerilatedChip(config, dram_bytes=_dram_bytes(config), dram=DramModel(), trace=options.trace)
    except (ConfigError, ToolError) as error:
        print(f"repl: error: {error}", file=sys.stderr)
        return 1
    with chip:
        try:
            names = session(chip)
        except DeviceError as error:
            print(f"repl: error: {error}", file=sys.stderr)
            return 1
        interactive = sys.stdin.isatty()
        if interactive:
            _edit_lines(names)
        else:
            # A pipe is a script: no prompts between its results.
            sys.ps1 = sys.ps2 = ""
        code.interact(banner(config), local=names, exitmsg="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
