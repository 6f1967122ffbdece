"""`meshium bringup`: the ladder a lab walks with a new board, on a board or on a simulated one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hw.common.config import CONFIGS, ChipConfig
from sw.runtime.bringup.ladder import NAMES, Outcome, climb
from sw.runtime.bringup.session import Session
from sw.runtime.device import BOARD_PREFIX

from .bringup_report import result, table, write_report
from .console import console, fail, print_json, working
from .simulation import Probability, check_device, device_options

#: Device that is a simulated board, made for the occasion; configuration of devices that are simulated.
SIMULATED, DEFAULT_CONFIG = "sim", "small"


@click.command()
@device_options(SIMULATED, f"What is tested: {SIMULATED} (a simulated board), {BOARD_PREFIX}PORT, rtl (the bare chip) or golden.")
@click.option("--config", "config_name", default=None, help=f"Configuration: {', '.join(CONFIGS)} [{DEFAULT_CONFIG}; on a board its own].")
@click.option("--only", multiple=True, help=f"Just this rung (may be repeated): {', '.join(NAMES)}.")
@click.option(
    "--loop", "loops", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="Walks up the ladder, for soak tests."
)
@click.option("--stress-seconds", type=click.FloatRange(0, 86400), default=2.0, show_default=True, help="How long the stress rung works.")
@click.option("--report", "report_folder", default=None, help="Writes bringup.json and bringup.html into this folder.")
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of patterns and operands; walk n takes seed + n."
)
@click.option(
    "--drop-octets", type=Probability(0, 0.5), default=0.0, show_default=True, help=f"{SIMULATED}: chance that the line loses an octet."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def bringup(
    device_name: str, config_name: str | None, only: tuple[str, ...], loops: int, stress_seconds: float, report_folder: str | None, seed: int,
    drop_octets: float, as_json: bool,
) -> int:  # fmt: skip
    """Walks up the ladder from the first octet to classified digits, and names whoever is to blame for what does not work.

    A rung that fails stops only those that cannot be tried without it. Exit status 0 only if none failed. After Ctrl-C the
    walks that were completed are reported, with status 130.
    """
    _check(device_name, only, drop_octets)
    config = None if config_name is None else ChipConfig.named(config_name)
    started, begin = datetime.now(UTC), time.monotonic()
    if report_folder:
        # What a soak of days finds must have a place before it begins.
        Path(report_folder).mkdir(parents=True, exist_ok=True)
    with simulated_device(device_name, config, drop_octets=drop_octets, seed=seed) as (name, chosen):
        walks = _soak(loops, lambda walk: Session(name, chosen, seed=seed + walk, stress_seconds=stress_seconds), only, device_name)
    values: dict[str, Any] = {
        "device": device_name, "config": chosen.name if chosen else "", "seed": seed, "started": started.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "seconds": round(time.monotonic() - begin, 3),
    } | result(walks, wanted=loops)  # fmt: skip
    for path in write_report(Path(report_folder), values) if report_folder else []:
        console.print(f"wrote {path}", soft_wrap=True)
    if as_json:
        print_json(values)
    failed = values["failed"]
    verdict = f"{failed} rung{'s' * (failed > 1)} failed; {values['culprits'][0]}" if failed else "no rung failed"
    if len(walks) < loops:
        fail(f"interrupted after {len(walks)} of {loops} walks; {verdict}")
        return 130
    if failed:
        fail(verdict)
    return 1 if failed else 0


def _soak(wanted: int, session: Callable[[int], Session], only: tuple[str, ...], title: str) -> list[list[Outcome]]:
    """So many walks up the ladder, each with a session of its own; fewer, but one at least, after Ctrl-C."""
    walks: list[list[Outcome]] = []
    try:
        for walk in range(wanted):
            with closing(session(walk)) as opened:
                walks.append(climb(opened, only, lambda rung: console.print(f"  {rung} ...", style="dim") if console.is_terminal else None))
            console.print(table(walks[-1], title=f"bring-up of {title}" + (f", walk {walk + 1} of {wanted}" if wanted > 1 else "")))
    except KeyboardInterrupt:
        # A soak is ended by hand as often as not: the walks that were completed count.
        if not walks:
            raise
    return walks


def _check(device_name: str, only: tuple[str, ...], drop_octets: float) -> None:
    """Bad usage, before anything is built."""
    if device_name != SIMULATED:
        check_device(device_name, SIMULATED)
        if drop_octets:
            raise click.BadParameter(f"--drop-octets must come with --device {SIMULATED}, not {device_name!r}")
    for name in only:
        if name not in NAMES:
            raise click.BadParameter(f"--only must be one of {', '.join(NAMES)}, not {name!r}")


@contextmanager
def simulated_device(
    name: str, config: ChipConfig | None, *, drop_octets: float = 0.0, seed: int = 0
) -> Iterator[tuple[str, ChipConfig | None]]:
    """Name and configuration of the device for a session; a simulated board is there until the block ends."""
    if name != SIMULATED:
        yield name, config if name.startswith(BOARD_PREFIX) else config or ChipConfig.named(DEFAULT_CONFIG)
        return
    from sim.verilated.board import LineFaults, SimulatedBoard, simulated_board

    board = simulated_board(config or DEFAULT_CONFIG)
    with working(f"building the simulator of board {board.name}"):
        simulated = SimulatedBoard(board, faults=LineFaults(drop=drop_octets, seed=seed), seed=seed)
    with simulated:
        yield f"{BOARD_PREFIX}{simulated.port}", board.config
