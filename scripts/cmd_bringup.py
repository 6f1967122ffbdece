"""`meshium bringup`: the ladder a lab walks with a new board, on a board or on a simulated one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hw.common.config import CONFIGS, ChipConfig
from sw.runtime.bringup.ladder import FAILED, NAMES, Outcome, climb
from sw.runtime.bringup.session import Session
from sw.runtime.device import BOARD_PREFIX

from .bringup_report import culprits, summary, table, write_report
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

    A rung that fails stops only those that cannot be tried without it. Exit status 0 only if none failed.
    """
    _check(device_name, only, drop_octets)
    config = None if config_name is None else ChipConfig.named(config_name)
    started, begin = datetime.now(UTC), time.monotonic()
    walks: list[list[Outcome]] = []
    with simulated_device(device_name, config, drop_octets=drop_octets, seed=seed) as (name, chosen):
        for walk in range(loops):
            session = Session(name, chosen, seed=seed + walk, stress_seconds=stress_seconds)
            try:
                walks.append(
                    climb(session, only, lambda rung: console.print(f"  {rung} ...", style="dim") if console.is_terminal else None)
                )
            finally:
                session.close()
            console.print(table(walks[-1], title=f"bring-up of {device_name}" + (f", walk {walk + 1} of {loops}" if loops > 1 else "")))
    failed = sum(item.status == FAILED for walk_outcomes in walks for item in walk_outcomes)
    identity = next((item.figures for item in walks[0] if item.rung == "identity"), {})
    values: dict[str, Any] = {
        "ok": failed == 0, "device": device_name, "config": identity.get("config", chosen.name if chosen else ""), "seed": seed,
        "started": started.strftime("%Y-%m-%d %H:%M:%S UTC"), "seconds": round(time.monotonic() - begin, 3), "culprits": culprits(walks),
        "rungs": summary(walks), "loops": [[item.as_dict() for item in walk_outcomes] for walk_outcomes in walks],
    }  # fmt: skip
    for path in write_report(Path(report_folder), values) if report_folder else []:
        console.print(f"wrote {path}", soft_wrap=True)
    if as_json:
        print_json(values)
    if failed:
        fail(f"{failed} rung{'s' * (failed > 1)} failed; {values['culprits'][0]}")
    return 1 if failed else 0


def _check(device_name: str, only: tuple[str, ...], drop_octets: float) -> None:
    """Bad usage, before anything is built."""
    if device_name != SIMULATED:
        check_device(device_name)
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
