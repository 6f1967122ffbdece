"""Waveforms of a simulation at the prompt, with the names PyVerilator has for that."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from typing import Any

from .signals import Clock, Signal, SignalValue


class Waveforms(ABC):
    """What `PyVerilator` writes for viewers. GTKWave is not remote-controlled: the waveform is written for it to open.

    Members
    -------
    vcd_filename : str or None
        The waveform that is being written.
    auto_tracing_mode : str or None
        "clock" or "eval": when samples are taken by themselves.
    curr_time : int
        Of the last sample.
    gtkwave_active : bool
    """

    default_vcd_filename = "gtkwave.vcd"
    #: Of the simulation.
    lib: Any
    clock: Clock | None

    def __init__(self) -> None:
        self.vcd_filename: str | None = None
        self.auto_tracing_mode: str | None = None
        self.curr_time = 0
        self.gtkwave_active = False

    @abstractmethod
    def _require_open(self) -> int:
        """The model's handle, while the simulation is open."""

    def start_vcd_trace(self, filename: str | os.PathLike[str], auto_tracing: bool = True) -> None:
        """Writes a waveform from now on: a sample at every edge of the clock, at every evaluation if there is no clock, or only at
        `add_to_vcd_trace()` without `auto_tracing`."""
        if self.vcd_filename is not None:
            raise ValueError("start_vcd_trace() needs tracing to be off, it is on: call stop_vcd_trace() first")
        if not self.lib.model_trace_start(self._require_open(), os.fsencode(filename)):
            raise OSError(f"waveform must be writable and the design built with tracing: {os.fspath(filename)!r}")
        self.vcd_filename = os.fspath(filename)
        self.auto_tracing_mode = None if not auto_tracing else "clock" if self.clock is not None else "eval"
        self.curr_time = 0
        self.add_to_vcd_trace()

    def _require_trace(self, caller: str) -> None:
        if self.vcd_filename is None:
            raise ValueError(f"{caller}() needs tracing to be on: call start_vcd_trace() first")

    def add_to_vcd_trace(self) -> None:
        """Writes a sample; 10 time units pass."""
        self._require_trace("add_to_vcd_trace")
        # Two samples, so that the newest value has some length in a viewer.
        for _ in range(2):
            self.curr_time += 5
            self.lib.model_trace_dump(self._require_open(), self.curr_time)
        self.flush_vcd_trace()

    def flush_vcd_trace(self) -> None:
        """Makes the file hold everything up to now."""
        self._require_trace("flush_vcd_trace")
        self.lib.model_trace_flush(self._require_open())

    def stop_vcd_trace(self) -> None:
        """Completes and closes the waveform."""
        self._require_trace("stop_vcd_trace")
        self.lib.model_trace_stop(self._require_open())
        self.vcd_filename = None
        self.auto_tracing_mode = None

    def start_gtkwave(self) -> None:
        """Starts a waveform in `gtkwave.vcd`, for a viewer to open, unless one is being written.

        Raises
        ------
        RuntimeError
            if GTKWave is not installed.
        """
        if shutil.which("gtkwave") is None:
            raise RuntimeError("gtkwave must be on PATH, not missing: apt-get install gtkwave, or write a waveform with start_vcd_trace()")
        if self.vcd_filename is None:
            self.start_vcd_trace(self.default_vcd_filename)
        self.gtkwave_active = True

    def send_to_gtkwave(self, objs: Any) -> None:
        """Accepts what PyVerilator would show. Every signal is in the waveform already, so nothing has to be sent."""
        if isinstance(objs, Signal | SignalValue):
            self.send_signal_to_gtkwave(objs.signal if isinstance(objs, SignalValue) else objs)
        elif not self.gtkwave_active:
            raise ValueError("send_to_gtkwave() needs GTKWave: call start_gtkwave() first")

    #: The name in PyVerilator's own examples.
    send_signals_to_gtkwave = send_to_gtkwave

    def send_signal_to_gtkwave(self, sig: Signal) -> None:
        """As `send_to_gtkwave`, for one signal."""
        if not self.gtkwave_active:
            raise ValueError("send_signal_to_gtkwave() needs GTKWave: call start_gtkwave() first")
        if not isinstance(sig, Signal):
            raise TypeError(f"sig must be a Signal, not {sig!r}: use send_to_gtkwave()")

    def stop_gtkwave(self) -> None:
        """Ends what `start_gtkwave` began."""
        if not self.gtkwave_active:
            raise ValueError("stop_gtkwave() needs GTKWave: call start_gtkwave() first")
        self.gtkwave_active = False
        if self.vcd_filename == self.default_vcd_filename:
            self.stop_vcd_trace()
