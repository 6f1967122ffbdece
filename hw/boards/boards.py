"""The boards there is a bitstream for. Adding one: an entry here, and its pins in constraints/."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from amaranth.lib import wiring

from ..common.config import CONFIGS, ConfigError
from .board import Board

_nano, _small = CONFIGS["nano"], CONFIGS["small"]

_ULX3S: dict[str, Any] = {
    "family": "ecp5", "package": "CABGA381", "speed": "6", "oscillator_hz": 25_000_000,
    "constraints": "ulx3s.lpf", "analyser_depth": 512,
}  # fmt: skip
_ARTY: dict[str, Any] = {
    "family": "xilinx", "package": "csg324", "oscillator_hz": 100_000_000, "chip_hz": 100_000_000, "baud": 2_000_000,
    "leds": (0, 1, 2, 5), "constraints": "arty_a7.xdc",
}  # fmt: skip

#: The boards, largest of each family first.
BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        Board(
            name="ulx3s_85f", doc="Radiona ULX3S with LFE5U-85F-6BG381C", device="85k",
            config=replace(_small, multiplier="ecp5"), chip_hz=100_000_000, baud=2_000_000, memory_bytes=128 << 10,
            programmer="ulx3s", **_ULX3S,
        ),
        Board(
            name="ulx3s_25f", doc="Radiona ULX3S with LFE5U-25F-6BG381C", device="25k",
            config=replace(_nano, multiplier="ecp5"), chip_hz=75_000_000, baud=1_500_000, memory_bytes=16 << 10,
            programmer="ulx3s", seed=2, **_ULX3S,
        ),
        Board(
            name="icebreaker", doc="1BitSquared iCEBreaker with iCE40UP5K-SG48", family="ice40", device="up5k", package="sg48", speed="",
            config=replace(_nano, multiplier="ice40"), oscillator_hz=12_000_000, chip_hz=30_000_000, baud=2_000_000,
            memory_bytes=64 << 10, leds=(5, 0), leds_active_low=True, constraints="icebreaker.pcf",
            programmer="ice40_generic",
        ),
        Board(
            name="tang_nano_9k", doc="Sipeed Tang Nano 9K with GW1NR-LV9QN88PC6/I5", family="gowin", device="GW1NR-LV9QN88PC6/I5",
            package="QN88P", speed="GW1NR-9C", config=replace(_nano, name="nano_16k", sbuf_bank_lines=4096, multiplier="gowin"),
            oscillator_hz=27_000_000, chip_hz=54_000_000, baud=1_000_000, memory_bytes=16 << 10,
            leds=(0, 1, 2, 3, 4, 5), leds_active_low=True, constraints="tang_nano_9k.cst", programmer="tangnano9k",
        ),
        Board(
            name="arty_a7_100", doc="Digilent Arty A7-100 with XC7A100TCSG324-1", device="xc7a100t", speed="-1",
            config=_small, memory_bytes=128 << 10, analyser_depth=1024, programmer="arty_a7_100t", **_ARTY,
        ),
        Board(
            name="arty_a7_35", doc="Digilent Arty A7-35 with XC7A35TICSG324-1L", device="xc7a35ti", speed="-1L",
            config=_small, memory_bytes=64 << 10, programmer="arty_a7_35t", **_ARTY,
        ),
    )
}  # fmt: skip


def board_named(name: str) -> Board:
    """The board of that name; `ConfigError` lists the names there are."""
    try:
        return BOARDS[name]
    except KeyError:
        raise ConfigError(f"board must be one of {', '.join(BOARDS)}, not {name!r}") from None


def make_top(board: Board, *, inner: wiring.Component | None = None) -> wiring.Component:
    """The whole design of a board: the ports of the result are its pads. `inner` takes the place of `BoardTop`, for tests."""
    # These pull in everything a chip is made of; the table of the boards does not need that.
    from .ecp5 import Ecp5Top
    from .gowin import GowinTop
    from .ice40 import Ice40Top
    from .xilinx import XilinxTop

    if inner is None:
        from .top import BoardTop

        inner = BoardTop(board=board, domain="chip")
    tops = {top.FAMILY: top for top in (Ecp5Top, Ice40Top, GowinTop, XilinxTop)}
    return tops[board.family](board=board, inner=inner)
