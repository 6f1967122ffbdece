"""The designs of simulated boards: the board for a configuration, its Verilog and its library, with faults in it or without."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from hw.boards.board import Board
from hw.common.config import ChipConfig, ConfigError
from sim.board_faults import BOARD_FAULTS

from .build import BuildOptions, build_library
from .sources import HARDWARE, cached_verilog

#: Clocks of a bit: the fewest a UART takes, for the most octets a simulated cycle.
DIVISOR = 8
#: Bits a second that a simulated board calls its own; a pseudo-terminal has no rate.
BAUD = 2_000_000
#: Bytes of memory of a simulated board, by configuration; `OTHER_MEMORY` of all others.
MEMORY: dict[str, int] = {"nano": 64 << 10, "small": 128 << 10}
OTHER_MEMORY = 1 << 20
#: Optimisation of the model: a board runs longer than it is built.
OPTIONS = BuildOptions(x_initial="unique")


def simulated_board(config: ChipConfig | str, *, memory_bytes: int = 0) -> Board:
    """A board of the simulator with the chip of `config`, a configuration or the name of one.

    Raises
    ------
    ConfigError
        if there is none of that name, or `memory_bytes` (0: the usual size) is no size of a board.
    """
    chip = config if isinstance(config, ChipConfig) else ChipConfig.named(config)
    # Primitives of an FPGA have no place in a simulation; hash and cycles are the same without.
    chip = replace(chip, multiplier="generic")
    return Board(
        name=f"sim_{chip.name}", doc="simulated", family="ecp5", device="", package="", speed="", config=chip, oscillator_hz=DIVISOR * BAUD,
        chip_hz=DIVISOR * BAUD, baud=BAUD, memory_bytes=memory_bytes or MEMORY.get(chip.name, OTHER_MEMORY), analyser_depth=512,
    )  # fmt: skip


def board_verilog(board: Board, *, faulty: bool = False) -> str:
    """Verilog of the board's design (or of that with `BOARD_FAULTS`) without clock and pads, from the cache if nothing it is made of has changed."""

    def make() -> str:
        from hw.boards.top import BoardTop
        from sim.verilog import emit

        if faulty:
            from sim.faulty_board import FaultyTop

        top = FaultyTop(board=board) if faulty else BoardTop(board=board)
        return emit(top, name=_top_name(board), initial_values=False)

    parts = {"board": repr(board), "config": repr(sorted(board.config.to_dict().items())), "faulty": str(faulty)}
    places = (*HARDWARE, "sim/faulty_board.py", "sim/board_faults.py") if faulty else HARDWARE
    return cached_verilog(parts, make, label=f"Verilog of board {board.name}", places=places)


def _top_name(board: Board) -> str:
    return "meshium_board_" + re.sub(r"\W", "_", board.name)


def board_library(board: Board, *, component: Any = None, faulty: bool = False, options: BuildOptions = OPTIONS) -> Path:
    """Shared library of the board (or of a `component` with the pins of `BoardTop`) under the harness `board.cpp`."""
    name = _top_name(board)
    if component is None:
        verilog = board_verilog(board, faulty=faulty)
    else:
        from sim.verilog import emit

        verilog = emit(component, name=name, initial_values=False)
    return build_library({f"{name}.v": verilog}, top=name, harness=["board.cpp"], options=options)


def fault_number(name: str, config: ChipConfig) -> int:
    """What the pin `fault` is for a fault, 0 for none (""); `ConfigError` says what is wrong with it."""
    if not name:
        return 0
    if name not in BOARD_FAULTS:
        raise ConfigError(f"fault must be one of {', '.join(BOARD_FAULTS)}, not {name!r}")
    if BOARD_FAULTS[name].inside and config.control != "parallel":
        others = ", ".join(other for other, fault in BOARD_FAULTS.items() if not fault.inside)
        raise ConfigError(f"fault {name!r} needs a config with parallel control, not {config.name!r}, which can have {others}")
    return list(BOARD_FAULTS).index(name) + 1
