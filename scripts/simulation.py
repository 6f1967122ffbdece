"""What commands share: options, opening a device, how fast it simulates."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from hw.common.config import CONFIGS, ChipConfig
from sw.runtime.device import DEVICES, Device, open_device

from .console import working

#: DRAM of a simulated board unless asked otherwise, in MiB: far more than a simulation gets through.
DRAM_MIB = 256


class Probability(click.FloatRange):
    """A number in a range, which NaN is not, although no comparison says so."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As `FloatRange`, and refuses NaN."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--config, --device, --json, --dram-mib, --latency, --stall, --seed."""
    for option in reversed(
        (
            click.option("--config", "config_name", default="base", show_default=True, help=f"Chip configuration: {', '.join(CONFIGS)}."),
            click.option("--device", "device_name", default="rtl", show_default=True, help=f"Where it runs: {', '.join(DEVICES)}."),
            click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of operands and DRAM stalls."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
            click.option("--dram-mib", type=click.IntRange(1, 1 << 16), default=DRAM_MIB, show_default=True, help="DRAM of the board."),
            click.option("--latency", type=click.IntRange(1, 10_000), default=32, show_default=True, help="rtl: cycles to the first beat."),
            click.option("--stall", type=Probability(0, 0.95), default=0.0, show_default=True, help="rtl: chance of a DRAM stall."),
        )
    ):
        command = option(command)
    return command


def check_device(name: str) -> None:
    """Raises click.BadParameter unless there is such a device."""
    if name not in DEVICES:
        raise click.BadParameter(f"--device must be one of {', '.join(DEVICES)}, not {name!r}")


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
        """Thousand simulated cycles a second; 0 on the golden device, which has no cycles."""
        return self.cycles / self.seconds / 1000 if self.seconds else 0.0
