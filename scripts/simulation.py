"""What commands share: options, opening a device, how fast it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import click

from hw.common.config import CONFIGS, ChipConfig
from sw.runtime.device import BOARD_PREFIX, DEVICES, Device, open_device
from sw.runtime.errors import DeviceError

from .console import working

#: DRAM of a simulated board unless asked otherwise, in MiB: far more than a simulation gets through.
DRAM_MIB = 256
#: Configuration unless asked otherwise; a board has its own.
DEFAULT_CONFIG = "base"
#: Where --baud waits for --device.
_BAUD = "meshium.baud"


class Probability(click.FloatRange):
    """A number in a range, which NaN is not, although no comparison says so."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As `FloatRange`, and refuses NaN."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


def device_options(default: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--device, as `device_name`, and --baud, which becomes part of it."""

    def combined(context: click.Context, parameter: click.Parameter, name: str) -> str:
        baud = context.meta.pop(_BAUD, None)
        if baud is None:
            return name
        if not name.startswith(BOARD_PREFIX):
            raise click.BadParameter(f"--baud must come with --device {BOARD_PREFIX}PORT, not {name!r}")
        if "?" in name:
            raise click.BadParameter(f"the bit rate must be given once, not by --device {name} and by --baud {baud}")
        check_device(f"{name}?baud={baud}")
        return f"{name}?baud={baud}"

    def remember(context: click.Context, parameter: click.Parameter, baud: str | None) -> None:
        context.meta[_BAUD] = baud

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        rate = click.option(
            "--baud", metavar="RATE", is_eager=True, expose_value=False, callback=remember,
            help=f"Bits a second of {BOARD_PREFIX}PORT, as ?baud= behind it [those of the boards, in turn].",
        )  # fmt: skip
        return click.option("--device", "device_name", default=default, show_default=True, callback=combined, help=text)(rate(command))

    return decorate


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--config, --device, --baud, --json, --dram-mib, --latency, --stall, --seed."""
    for option in reversed(
        (
            click.option(
                "--config",
                "config_name",
                default=None,
                help=f"Chip configuration: {', '.join(CONFIGS)} [{DEFAULT_CONFIG}; on a board its own].",
            ),
            device_options("rtl", f"Where it runs: {', '.join(DEVICES)}, {BOARD_PREFIX}PORT or {BOARD_PREFIX}PORT?baud=RATE."),
            click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of operands and DRAM stalls."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
            click.option("--dram-mib", type=click.IntRange(1, 1 << 16), default=DRAM_MIB, show_default=True, help="DRAM of the board."),
            click.option("--latency", type=click.IntRange(1, 10_000), default=32, show_default=True, help="rtl: cycles to the first beat."),
            click.option("--stall", type=Probability(0, 0.95), default=0.0, show_default=True, help="rtl: chance of a DRAM stall."),
        )
    ):
        command = option(command)
    return command


def check_device(name: str, *more: str) -> None:
    """Raises click.BadParameter unless there could be such a device; the message lists `more` names that the command takes itself."""
    if name.startswith(BOARD_PREFIX):
        # Brings in the serial port, which other devices do not need.
        from sw.runtime.board import BoardAddress

        try:
            BoardAddress.parse(name)
        except DeviceError as error:
            raise click.BadParameter(f"--{error}") from error
    elif name not in DEVICES:
        raise click.BadParameter(f"--device must be one of {', '.join((*more, *DEVICES))}, {BOARD_PREFIX}PORT, not {name!r}")


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a command runs its jobs: known before there is a job, so that jobs can be made for it.

    Members
    -------
    name : str
        Of the device.
    config : ChipConfig
    memory_bytes : int
        DRAM that jobs may use.
    board : Device or None
        The open board, if it is one.
    options : dict
        For `simulated`.
    """

    name: str
    config: ChipConfig
    memory_bytes: int
    board: Device | None
    options: dict[str, Any]

    def device(self, dram_bytes: int) -> AbstractContextManager[Device]:
        """The open device, with `dram_bytes` of DRAM where that can be chosen."""
        if self.board is not None:
            return nullcontext(self.board)
        return simulated(self.name, self.config, dram_bytes=dram_bytes, **self.options)

    def time_taken(self, cycles: int, seconds: float, khz: float) -> str:
        """What jobs of so many cycles took, in words."""
        if self.board is None:
            return f"simulated in {seconds:.2f} s, {khz:.1f} kHz"
        hertz, retries = self.board.transport.identity.clock_hz, self.board.transport.link.counters.retries
        repeated = f", frames sent again: {retries}" if retries else ""
        return f"{cycles / hertz * 1e3:.3g} ms at {hertz / 1e6:g} MHz; {seconds:.2f} s with what went over the link{repeated}"


@contextmanager
def target(device_name: str, config_name: str | None, *, dram_mib: int, seed: int, latency: int, stall: float) -> Iterator[Target]:
    """What the options of `common_options` ask for. A board is open until the block ends."""
    check_device(device_name)
    config = None if config_name is None else ChipConfig.named(config_name)
    options = {"seed": seed, "latency": latency, "stall": stall}
    if device_name.startswith(BOARD_PREFIX):
        with working(f"connecting to {device_name}"):
            board = open_device(device_name, config)
        with board:
            yield Target(name=device_name, config=board.config, memory_bytes=board.memory_bytes, board=board, options=options)
    else:
        config = config or ChipConfig.named(DEFAULT_CONFIG)
        limit = min(dram_mib << 20, 1 << config.axi_address_width)
        yield Target(name=device_name, config=config, memory_bytes=limit, board=None, options=options)


@contextmanager
def simulated(name: str, config: ChipConfig, *, dram_bytes: int, seed: int, latency: int = 32, stall: float = 0.0) -> Iterator[Device]:
    """An open device with DRAM of `dram_bytes`, rounded up to whole pages; for "rtl" builds the simulator first where it has not been built."""
    options: dict[str, Any] = {"dram_bytes": -(-dram_bytes // 4096) * 4096, "seed": seed}
    if name == "rtl":
        from sim.verilated.dram import DramModel

        options["dram"] = DramModel(latency=latency, stall_probability=stall)
    with working(f"building the simulator of {config.name}" if name == "rtl" else "opening the golden device"):
        device = open_device(name, config, **options)
    with device:
        yield device


class Stopwatch:
    """Seconds and simulated cycles between its making and `stop`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._cycle = self._now()
        self._start = time.perf_counter()
        self.seconds = 0.0
        self.cycles = 0

    def _now(self) -> int:
        return int(getattr(self._device.transport, "cycle", 0))

    def stop(self) -> None:
        """Fixes both."""
        self.seconds = time.perf_counter() - self._start
        self.cycles = self._now() - self._cycle

    @property
    def khz(self) -> float:
        """Thousand simulated cycles a second; 0 on the golden device, which has no cycles, and on a board, which is not simulated."""
        return self.cycles / self.seconds / 1000 if self.seconds else 0.0
