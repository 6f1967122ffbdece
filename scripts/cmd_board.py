"""`meshium simboard`: a simulated board behind a pseudo-terminal, for whatever talks to boards."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from hw.common.config import CONFIGS
from sim.board_faults import BOARD_FAULTS

from .console import console, print_json, working
from .simulation import Probability


@click.command()
@click.option("--config", "config_name", default="small", show_default=True, help=f"Its chip: {', '.join(CONFIGS)}.")
@click.option(
    "--memory-kib", type=click.IntRange(4, 1 << 20), default=None, help="Memory behind the chip, a power of two [what boards have]."
)
@click.option("--fault", metavar="NAME", default="", help=f"A fault in its hardware: {', '.join(BOARD_FAULTS)} [none].")
@click.option("--drop-octets", type=Probability(0, 1), default=0.0, help="Chance that an octet on the line is lost.")
@click.option("--corrupt-octets", type=Probability(0, 1), default=0.0, help="Chance that a bit of an octet flips.")
@click.option("--duplicate-octets", type=Probability(0, 1), default=0.0, help="Chance that an octet comes twice.")
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of these, and of what memories power up with."
)
@click.option("--idle-exit", type=click.FloatRange(0), default=0.0, help="Ends after so many seconds without an octet; 0 never [0].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the port on standard output.")
def simboard(
    config_name: str, memory_kib: int | None, fault: str, drop_octets: float, corrupt_octets: float, duplicate_octets: float, seed: int,
    idle_exit: float, as_json: bool,
) -> int:  # fmt: skip
    """A simulated board: the design of an FPGA in Verilator, its UART a pseudo-terminal, until SIGINT or SIGTERM.

    What it prints is the device to use, as in `meshium run digits --device board:/dev/pts/3`. It uses no processor time while nothing happens.
    """
    from sim.verilated.board import LineFaults, SimulatedBoard, simulated_board

    board = simulated_board(config_name, memory_bytes=(memory_kib or 0) << 10)
    faults = LineFaults(drop=drop_octets, corrupt=corrupt_octets, duplicate=duplicate_octets, seed=seed)
    with working(f"building the simulated board of {board.config.name}"):
        simulation = SimulatedBoard(board, faults=faults, fault=fault, seed=seed)
    try:
        device = f"board:{simulation.port}"
        console.print(
            f"simulated board with config {board.config.name}, {board.memory_bytes} bytes of memory: --device {device}", soft_wrap=True
        )
        if fault:
            console.print(f"its fault: {BOARD_FAULTS[fault].doc}; meshium bringup --device {device} must name it", soft_wrap=True)
        if as_json:
            values = {"device": device, "port": simulation.port, "config": board.config.name, "config_hash": board.config.hash}
            print_json({"ok": True, **values, "fault": fault})
        with _until_signal():
            simulation.serve(idle_exit=idle_exit)
        counters = simulation.counters
        console.print(f"ended after {simulation.cycle:,} cycles, {counters['received']:,} octets in, {counters['sent']:,} out")
    finally:
        simulation.close()
    return 0


class _Ended(BaseException):
    """A signal asked for the end."""


@contextmanager
def _until_signal() -> Iterator[None]:
    """SIGINT and SIGTERM end the block: that is how it is meant to end."""

    def end(number: int, frame: FrameType | None) -> None:
        raise _Ended

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _Ended:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
