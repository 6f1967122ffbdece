"""A board in simulation: the design that goes onto an FPGA, Verilated, with a pseudo-terminal for its UART.

    with SimulatedBoard(simulated_board("small")) as board:
        device = open_device(f"board:{board.port}", None)

Whatever talks to a board talks to this one through the same host software; only time is another: a cycle takes some microseconds. The clock loop and the
bits on the line are C++ (`board.cpp`).
"""

from __future__ import annotations

import ctypes
import os
import pty
import re
import threading
import time
import tty
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hw.boards.board import Board
from hw.common.config import ChipConfig

from . import library, toolchain
from .build import BuildOptions, build_library
from .cache import BuildCache
from .design import source_texts
from .library import LineCounters, LineParameters

__all__ = ["LineFaults", "SimulatedBoard", "SimulatedBoardError", "board_library", "simulated_board"]

#: Clocks of a bit: the fewest a UART takes, for the most octets a simulated cycle.
DIVISOR = 8
#: Bits a second that a simulated board calls its own; a pseudo-terminal has no rate.
BAUD = 2_000_000
#: Bytes of memory of a simulated board, by configuration; `OTHER_MEMORY` of all others.
MEMORY: dict[str, int] = {"nano": 64 << 10, "small": 128 << 10}
OTHER_MEMORY = 1 << 20
#: Seconds between two returns from the clock loop, for signals and the end.
SLICE_SECONDS = 0.05
#: Optimisation of the model: a board runs longer than it is built.
OPTIONS = BuildOptions(x_initial="unique")


class SimulatedBoardError(RuntimeError):
    """The simulated board came to an end by itself."""


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


@dataclass(frozen=True, kw_only=True)
class LineFaults:
    """What a bad line does to octets, in both directions.

    Parameters
    ----------
    drop, corrupt, duplicate : float
        Chance that an octet is lost, has a bit flipped, comes twice.
    seed : int
        Of these choices.
    """

    drop: float = 0.0
    corrupt: float = 0.0
    duplicate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("drop", "corrupt", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a chance from 0 to 1, not {getattr(self, name)!r}")

    def parameters(self) -> LineParameters:
        """As the harness takes them."""
        chances = (int(chance * 2**32) for chance in (self.drop, self.corrupt, self.duplicate))
        return LineParameters(self.seed, *chances)


def board_verilog(board: Board) -> str:
    """Verilog of the board's design without clock and pads, from the cache if nothing it is made of has changed."""
    parts: dict[str, str | bytes] = {"board": repr(board), "config": repr(sorted(board.config.to_dict().items())), **source_texts()}

    def build(folder: Path) -> None:
        from hw.boards.top import BoardTop
        from sim.verilog import emit

        (folder / "board.v").write_text(emit(BoardTop(board=board), name=_top_name(board), initial_values=False))

    folder = BuildCache(root=toolchain.build_root() / "verilog-cache").get(parts, build, label=f"Verilog of board {board.name}")
    return (folder / "board.v").read_text()


def _top_name(board: Board) -> str:
    return "meshium_board_" + re.sub(r"\W", "_", board.name)


def board_library(board: Board, *, component: Any = None, options: BuildOptions = OPTIONS) -> Path:
    """Shared library of the board (or of a `component` with the pins of `BoardTop`) under the harness `board.cpp`."""
    name = _top_name(board)
    if component is None:
        verilog = board_verilog(board)
    else:
        from sim.verilog import emit

        verilog = emit(component, name=name, initial_values=False)
    return build_library({f"{name}.v": verilog}, top=name, harness=["board.cpp"], options=options)


class SimulatedBoard:
    """A simulated board behind a pseudo-terminal.

    Within a `with` block it serves the terminal in a thread; `serve` does so in the foreground instead.

    Parameters
    ----------
    board : Board
        What is on it: `simulated_board`.
    faults : LineFaults
        Of the line.
    seed : int
        What memories and registers power up with.
    component : wiring.Component
        Instead of `BoardTop`: something with the same pins, such as one with a fault in it.
    vcd : Path or None
        Writes a waveform of the top and its blocks there, 10 time units a cycle, complete once the board is closed. Needs a build of its own.

    Members
    -------
    port : str
        Path of the terminal: the device is `board:PORT`.
    board : Board
    """

    def __init__(
        self, board: Board, *, faults: LineFaults | None = None, seed: int = 0, component: Any = None, vcd: Path | None = None
    ) -> None:
        self._handle: int | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._failure = ""
        self.board = board
        self._library = library.load_or_rebuild(
            lambda: board_library(board, component=component, options=replace(OPTIONS, trace=vcd is not None))
        )
        line = (faults or LineFaults()).parameters()
        # Verilator takes seed 0 for "choose one".
        self._handle = self._library.board_new(board.divisor, ctypes.byref(line), 2, seed + 1)
        if vcd is not None and not self._library.board_trace_start(self._handle, str(vcd).encode()):
            raise OSError(f"waveform must be writable, not {str(vcd)!r}")
        self._master, self._slave = pty.openpty()
        # Open here as well, so that the terminal outlives the hosts that open it; raw, so that octets are octets.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve_until_end, name=f"board {self.port}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends serving, closes the terminal and frees the model. Closing twice is allowed."""
        self.unplug()
        handle, self._handle = self._handle, None
        if handle is not None:
            self._library.board_delete(handle)

    def unplug(self) -> None:
        """Closes the terminal, as pulling the plug does: whoever has it open finds out at the next octet."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for descriptor in (self._master, self._slave):
            with suppress(OSError):
                os.close(descriptor)
        self._master = self._slave = -1

    def serve(self, *, idle_exit: float = 0.0) -> None:
        """Serves the terminal until the process is interrupted, or nothing came in for `idle_exit` seconds.

        Raises
        ------
        SimulatedBoardError
            if the model ends by itself: an assertion in it failed.
        """
        last, since = 0, time.monotonic()
        while not self._ending.is_set():
            self._slice()
            received = self.counters["received"]
            if received != last:
                last, since = received, time.monotonic()
            elif idle_exit and time.monotonic() - since >= idle_exit:
                return

    def _slice(self) -> None:
        code = self._library.board_serve(self._open(), self._master, SLICE_SECONDS)
        message = self._library.board_error(self._open()).decode()
        if code or message:
            raise SimulatedBoardError(message or f"terminal {self.port}: {os.strerror(code)}")

    def _serve_until_end(self) -> None:
        try:
            self.serve()
        except SimulatedBoardError as error:
            self._failure = str(error)

    def _open(self) -> int:
        if self._handle is None:
            raise SimulatedBoardError("the board must be open, not closed: make another SimulatedBoard")
        return self._handle

    @property
    def failure(self) -> str:
        """Why the board came to an end by itself; empty if it did not."""
        return self._failure

    @property
    def cycle(self) -> int:
        """Clock cycles so far."""
        return int(self._library.board_cycle(self._open()))

    @property
    def leds(self) -> int:
        """`leds` of `BoardTop`."""
        return int(self._library.board_leds(self._open()))

    @property
    def resting(self) -> bool:
        """Whether time stands still, as nothing is going on."""
        return bool(self._library.board_resting(self._open()))

    @property
    def counters(self) -> dict[str, int]:
        """Octets `received` from the host, `sent` to it, and what became of others: `dropped`, `corrupted`, `duplicated` by faults, `lost` as the host did not
        take them, `errors` without a stop bit."""
        found = LineCounters()
        self._library.board_counters(self._open(), ctypes.byref(found))
        return {entry[0]: int(getattr(found, entry[0])) for entry in LineCounters._fields_}
