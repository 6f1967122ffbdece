"""`meshium analyse`: captures signals inside a board into a waveform, while another command works on it."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import click

from hw.common.config import CONFIGS, ChipConfig
from hw.debug.probes import BOARD_PROBES
from sw.runtime.analyser import Capture, LogicAnalyser, Trigger
from sw.runtime.board import board_link
from sw.runtime.device import BOARD_PREFIX
from sw.runtime.errors import DeviceError

from .cmd_bringup import SIMULATED, simulated_device
from .console import console, fail, print_json
from .files import written_whole
from .simulation import device_options


@click.command()
@device_options(SIMULATED, f"{SIMULATED} (a simulated board) or {BOARD_PREFIX}PORT.")
@click.option(
    "--config", "config_name", default=None, help=f"Configuration: {', '.join(CONFIGS)} [of {SIMULATED}: small; a board has its own]."
)
@click.option(
    "--trigger", "trigger_text", default=None, help="What to wait for, such as 'trace_state_tensor==busy & !irq' or 'changed(irq)' [now]."
)
@click.option("--count", type=click.IntRange(1, 65535), default=1, show_default=True, help="Which match triggers.")
@click.option("--rising", is_flag=True, help="Count only the first cycle of a row of matching ones.")
@click.option("--before", type=click.IntRange(0), default=64, show_default=True, help="Samples to keep before the trigger.")
@click.option("--compress", is_flag=True, help="Keep only samples that differ from the one before.")
@click.option("--timeout", type=click.FloatRange(0, 86400), default=10.0, show_default=True, help="Seconds to wait for the trigger.")
@click.option("-o", "--output", default="capture.vcd", show_default=True, help="Waveform to write.")
@click.option("--list", "show_probes", is_flag=True, help="Print the names and widths of all probes, and do nothing else.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def analyse(
    device_name: str, config_name: str | None, trigger_text: str | None, count: int, rising: bool, before: int, compress: bool, timeout: float,
    output: str, show_probes: bool, as_json: bool, command: tuple[str, ...],
) -> int:  # fmt: skip
    """Captures the probes of a board's logic analyser around a trigger and writes them as a waveform (VCD).

    COMMAND, after --, is another command of meshium to run meanwhile on the same device, such as: -- run digits
    """
    if show_probes:
        for name, width in BOARD_PROBES.items():
            console.print(f"{name} [{width}]", highlight=False)
        if as_json:
            print_json({"ok": True, "probes": BOARD_PROBES})
        return 0
    if device_name != SIMULATED and not device_name.startswith(BOARD_PREFIX):
        raise click.BadParameter(f"--device must be {SIMULATED} or {BOARD_PREFIX}PORT, which have an analyser, not {device_name!r}")
    if {"--json", "--device", "--baud"} & set(command):
        raise click.BadParameter("COMMAND must come without --json, --device and --baud: it runs on the device that is analysed")
    config = None if config_name is None else ChipConfig.named(config_name)
    trigger = Trigger.parse(trigger_text) if trigger_text is not None else None
    with simulated_device(device_name, config) as (name, _):
        with board_link(name) as link:
            analyser = LogicAnalyser(link)
            analyser.arm(trigger or Trigger(value=0, mask=0), before=before, count=count, rising=rising, compress=compress)
        status = _meanwhile(name, command)
        capture, clock_hz = _captured(name, timeout, trigger_text)
    path = Path(output)
    waveform = io.StringIO()
    capture.write_vcd(waveform, clock_hz=clock_hz)
    with written_whole(path) as stream:
        stream.write(waveform.getvalue().encode())
    values: dict[str, Any] = {
        "ok": status == 0, "device": device_name, "trigger": trigger_text, "samples": len(capture.samples), "first_cycle": capture.cycles[0],
        "last_cycle": capture.cycles[-1], "clock_hz": clock_hz, "output": str(path), "command": list(command), "command_status": status,
    }  # fmt: skip
    console.print(
        f"{len(capture.samples)} samples, cycles {capture.cycles[0]} to {capture.cycles[-1]} around the trigger; wrote {path}",
        soft_wrap=True,
    )
    if as_json:
        print_json(values)
    if status:
        fail(f"the command {' '.join(command)!r} ended with status {status}")
    return 1 if status else 0


def _meanwhile(name: str, command: tuple[str, ...]) -> int:
    """Runs another command of meshium on the device; its exit status."""
    if not command:
        return 0
    from .meshium import cli

    outcome = cli.main(args=[*command, "--device", name], prog_name="meshium", standalone_mode=False)
    return outcome if isinstance(outcome, int) else 0


def _captured(name: str, timeout: float, trigger: str | None) -> tuple[Capture, int]:
    """The capture once it has ended, and the board's clock. The port was somebody else's in between."""
    begin = time.monotonic()
    with board_link(name) as link:
        analyser = LogicAnalyser(link)
        if not analyser.wait(timeout):
            state = analyser.status
            analyser.stop()
            if not state["triggered"]:
                raise DeviceError(
                    f"trigger {trigger!r} did not occur within {time.monotonic() - begin:.1f} s: look at its terms, give a command to run, or raise --timeout"
                )
        return analyser.fetch(), link.board("CLOCK_HZ")
