"""The `rtl` device's transport: a Verilated chip with its DRAM and its host, driven a job at a time.

The clock loop, the DRAM model, the protocol checks and the trace log are C++ (`chip.cpp`); Python hands over memory
contents, register accesses and limits. `sim.golden` offers the same methods, so whatever runs on one runs on both.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hw.common.config import ChipConfig
from hw.common.isa import ENGINES
from hw.common.registers import SPACE_BYTES

from . import library
from .build import BuildOptions
from .design import chip_library
from .dram import DramModel, probability_threshold
from .errors import ProtocolError, RegisterError, SimulationError, SimulationTimeout
from .memories import InnerMemories
from .speed import Benchmark

__all__ = ["EVENT_DTYPE", "VerilatedChip"]

#: One entry of the trace log. `kind`: 0 start and 1 done of an instruction on `channel` (bits of `trace_start`), 2 a new state `value`
#: (names in `STATES`) of the engine with index `channel`.
EVENT_DTYPE = np.dtype([("cycle", "<u8"), ("kind", "u1"), ("channel", "u1"), ("value", "u1"), ("unused", "u1", 5)])

#: Names of the values of the `trace_state_*` pins.
STATES = ("idle", "busy", "memory", "hazard", "fetch", "semaphore", "halted", "unknown")

_UNTIL_INTERRUPT, _UNTIL_HOST_IDLE, _UNTIL_DRAM_IDLE = 1, 2, 4
#: Cycles between two returns to Python, so that Ctrl-C and progress work: a fraction of a second.
_CHUNK = 16384
#: Cycles a register access may take.
_REGISTER_LIMIT = 10_000


class VerilatedChip(InnerMemories):
    """A chip in RTL, cycle-accurate.

    Parameters
    ----------
    config : ChipConfig
        The chip to build; building is cached.
    dram_bytes : int or None
        DRAM, from address 0; 16 MiB by default, or what the address bus reaches.
    dram : DramModel
        Its latency, bandwidth and manners.
    seed : int
        Of every random choice: stalls, order, and power-up values with `x_initial="unique"`.
    trace : bool
        Build with VCD tracing: `start_vcd`, `stop_vcd`.
    x_initial : str
        "fast": what is undefined starts at zero. "unique": memories and registers start at random values.
    optimise : str
        Optimisation flag of the compiler.
    component : wiring.Component
        Instead of the chip: something with the same pins.

    Members
    -------
    config, name ("rtl"), memory_bytes
        As given.
    memory : numpy array of uint8
        The DRAM itself, not a copy.

    The chip is in reset state, with zeroed DRAM, when the constructor returns.

    Raises
    ------
    ConfigError, ValueError, ToolError
        for a configuration that makes no chip, a bad size, a missing tool.
    """

    name = "rtl"

    def __init__(
        self,
        config: ChipConfig,
        *,
        dram_bytes: int | None = None,
        dram: DramModel | None = None,
        seed: int = 0,
        trace: bool = False,
        x_initial: str = "fast",
        optimise: str = "-O1",
        component: Any = None,
    ) -> None:
        self._handle: int | None = None
        if component is None:
            config.require_chip()
        if dram_bytes is None:
            dram_bytes = min(16 << 20, 1 << config.axi_address_width)
        if not isinstance(dram_bytes, int) or dram_bytes <= 0 or dram_bytes % config.line_bytes:
            raise ValueError(f"dram_bytes must be a positive multiple of the line size {config.line_bytes}, not {dram_bytes!r}")
        if dram_bytes > 1 << config.axi_address_width:
            raise ValueError(f"dram_bytes must be at most 2**{config.axi_address_width}, what the address bus reaches, not {dram_bytes!r}")
        if not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise ValueError(f"seed must be an integer from 0 to 2**31 - 1, not {seed!r}")
        model = dram or DramModel()
        self.config = config
        self.memory = np.zeros(dram_bytes, np.uint8)
        self._trace = trace
        options = BuildOptions(trace=trace, x_initial=x_initial, optimise=optimise)
        self._library = library.load_or_rebuild(lambda: chip_library(config, component=component, options=options))
        parameters = model.parameters(dram_bytes=dram_bytes, line_bytes=config.line_bytes, seed=seed)
        threshold = probability_threshold(model.stall_probability)
        # Verilator takes seed 0 for "choose one".
        self._handle = self._library.chip_new(
            ctypes.byref(parameters), self.memory.ctypes.data, threshold, 2 if x_initial == "unique" else 0, seed + 1
        )
        for address, count in model.poison:
            self.poison(address, count)
        self._variables = {(item.scope, item.name): item for item in library.variables(self._library.chip_variable, self._handle)}
        self.reset()

    # Lifetime ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Frees the model. Arrays from `sbuf_banks` and `psum_banks` must not be used afterwards. Closing twice is allowed."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._variables = {}
            self._library.chip_delete(handle)

    def __enter__(self) -> VerilatedChip:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _chip(self) -> int:
        if self._handle is None:
            raise SimulationError("the chip must be open, not closed: make another VerilatedChip")
        return self._handle

    # DRAM ----------------------------------------------------------------------------------------------------

    @property
    def memory_bytes(self) -> int:
        """Bytes of DRAM."""
        return len(self.memory)

    def _check_range(self, address: int, count: int) -> None:
        if address < 0 or count < 0 or address + count > self.memory_bytes:
            raise ValueError(f"DRAM range must be within {self.memory_bytes} bytes, not {count} bytes at {address:#x}: raise dram_bytes")

    def write_memory(self, address: int, contents: Any) -> None:
        """Puts bytes (or the bytes of an array) into DRAM."""
        if isinstance(contents, bytes | bytearray | memoryview):
            flat = np.frombuffer(contents, np.uint8)
        else:
            flat = np.ascontiguousarray(contents).reshape(-1).view(np.uint8)
        self._check_range(address, len(flat))
        self.memory[address : address + len(flat)] = flat

    def read_memory(self, address: int, size: int) -> np.ndarray:
        """A copy of bytes of DRAM."""
        self._check_range(address, size)
        return self.memory[address : address + size].copy()

    def poison(self, address: int, size: int) -> None:
        """From now on AXI accesses to this range are answered with SLVERR."""
        self._library.chip_poison(self._chip(), address, address + size)

    # Time ----------------------------------------------------------------------------------------------------

    @property
    def cycle(self) -> int:
        """Clock cycles since the chip was made, those in reset included."""
        return int(self._library.chip_cycle(self._chip()))

    def reset(self, cycles: int = 4) -> None:
        """Pulls the reset pin. Transfers in flight are forgotten; DRAM, SBUF and PSUM keep their contents."""
        self._library.chip_reset(self._chip(), cycles)
        self._raise_errors()

    def run(self, cycles: int) -> None:
        """Lets `cycles` cycles pass."""
        self._advance(cycles, 0)

    def _advance(self, limit: int, until: int, progress: Callable[[int], None] | None = None) -> int:
        """Runs until a condition or the limit; the cycles that passed."""
        done = 0
        while done < limit:
            chunk = min(_CHUNK, limit - done)
            passed = int(self._library.chip_run(self._chip(), chunk, until))
            done += passed
            self._raise_errors()
            if passed < chunk:
                break
            if progress is not None:
                progress(done)
        return done

    def _raise_errors(self) -> None:
        message = self._library.chip_error(self._chip()).decode()
        if message:
            raise (ProtocolError if message.startswith("AXI4") else SimulationError)(message)

    @property
    def interrupt(self) -> bool:
        """The interrupt pin."""
        return bool(self._library.chip_interrupt(self._chip()))

    def wait_interrupt(self, limit_cycles: int, progress: Callable[[int], None] | None = None) -> int:
        """Runs until the interrupt pin is high; the cycles that took.

        `progress` is called with the cycles so far every few thousand cycles.

        Raises
        ------
        SimulationTimeout
            if `limit_cycles` pass without an interrupt.
        ProtocolError, SimulationError
            if the chip misbehaves on its pins, or an assertion fails.
        """
        done = self._advance(limit_cycles, _UNTIL_INTERRUPT, progress)
        if not self.interrupt:
            raise SimulationTimeout(f"no interrupt within {limit_cycles} cycles; {self.describe()}")
        return done

    def wait_dram_idle(self, limit_cycles: int = 100_000) -> int:
        """Runs until every burst has been answered; the cycles that took."""
        done = self._advance(limit_cycles, _UNTIL_DRAM_IDLE)
        if done >= limit_cycles:
            raise SimulationTimeout(f"DRAM still busy after {limit_cycles} cycles; {self.describe()}")
        return done

    @property
    def states(self) -> dict[str, str]:
        """What each engine does now, by the trace pins."""
        packed = int(self._library.chip_states(self._chip()))
        return {name: STATES[packed >> 8 * engine.index & 7] for name, engine in ENGINES.items()}

    def describe(self) -> str:
        """Where each engine stands, in words."""
        return f"cycle {self.cycle}: " + ", ".join(f"{name} engine {state}" for name, state in self.states.items())

    # Registers -----------------------------------------------------------------------------------------------

    def _access(self, write: bool, address: int, value: int) -> int:
        if not 0 <= address < SPACE_BYTES or address % 4:
            raise ValueError(f"register address must be a multiple of 4 below {SPACE_BYTES:#x}, not {address:#x}")
        if not 0 <= value < 2**32:
            raise ValueError(f"register value must fit 32 bits, not {value!r}")
        chip = self._chip()
        self._library.chip_host_push(chip, write, address, value)
        self._advance(_REGISTER_LIMIT, _UNTIL_HOST_IDLE)
        result = library.HostResult()
        if not self._library.chip_host_pop(chip, ctypes.byref(result)):
            raise SimulationTimeout(f"no answer from register {address:#x} within {_REGISTER_LIMIT} cycles; {self.describe()}")
        if result.resp:
            raise RegisterError(f"register {address:#x} must answer OKAY, not response {result.resp}")
        return int(result.data)

    def write_register(self, address: int, value: int) -> None:
        """Writes a register through AXI4-Lite; a few cycles pass."""
        self._access(True, address, int(value))

    def read_register(self, address: int) -> int:
        """Reads a register through AXI4-Lite; a few cycles pass."""
        return self._access(False, address, 0)

    # What happened -------------------------------------------------------------------------------------------

    def events(self) -> np.ndarray:
        """A copy of the trace log, `EVENT_DTYPE`, in order of cycles."""
        count = ctypes.c_uint64()
        address = self._library.chip_events(self._chip(), ctypes.byref(count))
        if not count.value:
            return np.zeros(0, EVENT_DTYPE)
        return np.frombuffer(ctypes.string_at(address, count.value * EVENT_DTYPE.itemsize), EVENT_DTYPE).copy()

    def clear_events(self) -> None:
        """Empties the trace log."""
        self._library.chip_clear_events(self._chip())

    def log_events(self, on: bool) -> None:
        """Switches the trace log, which is on at first; it grows by 16 bytes an event."""
        self._library.chip_log_events(self._chip(), int(on))

    @property
    def statistics(self) -> dict[str, int]:
        """AXI bursts and beats so far: `read_bursts`, `read_beats`, `write_bursts`, `write_beats`."""
        values = (ctypes.c_uint64 * 4)()
        self._library.chip_statistics(self._chip(), values)
        return dict(zip(("read_bursts", "read_beats", "write_bursts", "write_beats"), map(int, values), strict=True))

    def start_vcd(self, path: str | Path) -> None:
        """Writes a waveform from now on; 10 time units a cycle. Needs `trace=True`."""
        if not self._trace:
            raise SimulationError("start_vcd needs a chip built with trace=True")
        if not self._library.chip_trace_start(self._chip(), str(path).encode()):
            raise OSError(f"waveform must be writable, not {str(path)!r}")

    def stop_vcd(self) -> None:
        """Completes and closes the waveform."""
        self._library.chip_trace_stop(self._chip())

    # Speed ---------------------------------------------------------------------------------------------------

    def benchmark(self, job: Callable[[VerilatedChip], object]) -> Benchmark:
        """Times `job(self)` from reset, then a bare C++ loop that toggles the clock over the inputs recorded of the same job.

        The job runs twice, from reset and with the same random choices to come, so it must leave DRAM as it needs it.
        """
        chip = self._chip()
        self.reset()
        begin, start = self.cycle, time.perf_counter()
        job(self)
        seconds, cycles = time.perf_counter() - start, self.cycle - begin
        self.reset()
        self._library.chip_record(chip, 1)
        job(self)
        recorded = int(self._library.chip_recorded(chip))
        self._library.chip_record(chip, 0)
        self.reset()
        bare = float(self._library.chip_replay(chip)) * cycles / recorded
        self.reset()
        return Benchmark(cycles=cycles, seconds=seconds, bare_seconds=bare)
