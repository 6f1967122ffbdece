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
import threading
import time
import tty
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hw.boards.board import Board

from . import library
from .board_build import DIVISOR, OPTIONS, board_library, fault_number, simulated_board
from .library import LineCounters, LineParameters

__all__ = ["DIVISOR", "LineFaults", "SimulatedBoard", "SimulatedBoardError", "simulated_board"]

#: Seconds between two returns from the clock loop, for signals and the end.
SLICE_SECONDS = 0.05


class SimulatedBoardError(RuntimeError):
    """The simulated board came to an end by itself."""


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
    fault : str
        One of `BOARD_FAULTS`: a fault of the hardware, from power-up on. Needs a build of its own, the same for all of them.
    vcd : Path or None
        Writes a waveform of the top and its blocks there, 10 time units a cycle, complete once the board is closed. Needs a build of its own.

    Members
    -------
    port : str
        Path of the terminal: the device is `board:PORT`.
    board : Board

    Raises
    ------
    ConfigError
        if there is no such `fault`, or not in a chip of this configuration.
    ValueError
        if there are both `fault` and `component`.
    OSError
        if the waveform cannot be written.
    """

    def __init__(
        self,
        board: Board,
        *,
        faults: LineFaults | None = None,
        fault: str = "",
        seed: int = 0,
        component: Any = None,
        vcd: Path | None = None,
    ) -> None:
        self._handle: int | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._failure = ""
        self.board = board
        if fault and component is not None:
            raise ValueError(f"fault must be none with a component, which has no pin for it, not {fault!r}")
        number = fault_number(fault, board.config)
        self._library = library.load_or_rebuild(
            lambda: board_library(board, component=component, faulty=bool(fault), options=replace(OPTIONS, trace=vcd is not None))
        )
        line = (faults or LineFaults()).parameters()
        # Verilator takes seed 0 for "choose one".
        self._handle = self._library.board_new(board.divisor, ctypes.byref(line), 2, seed + 1)
        self._faulty = bool(fault)
        self._library.board_set_fault(self._handle, number)
        if vcd is not None and not self._library.board_trace_start(self._handle, str(vcd).encode()):
            raise OSError(f"waveform must be writable, not {str(vcd)!r}")
        self._master, self._slave = pty.openpty()
        # Open here as well, so that the terminal outlives the hosts that open it; raw, so that octets are octets.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)

    def set_fault(self, fault: str) -> None:
        """Another fault from now on, "" for none; only of a board that was made with one.

        Raises
        ------
        ConfigError
            as when it is made.
        ValueError
            if the board was made without a fault: there are none in its design.
        """
        if not self._faulty:
            raise ValueError(f"fault must be given when the board is made, not {fault!r} later")
        self._library.board_set_fault(self._open(), fault_number(fault, self.board.config))

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
