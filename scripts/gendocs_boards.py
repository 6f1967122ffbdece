"""docs/boards.md: the boards, made of hw/boards."""

from __future__ import annotations

from fractions import Fraction
from types import ModuleType

from hw.boards import ecp5, gowin, ice40, xilinx
from hw.boards.board import Board
from hw.boards.boards import BOARDS
from hw.boards.pll import PllSettings
from hw.boards.top import Led

from .bitstream_flows import FLOWS, constraint_files
from .fpga_parts import PARTS, part_of
from .markdown import member_docs, notice, table

_FAMILIES: dict[str, ModuleType] = {"ecp5": ecp5, "ice40": ice40, "gowin": gowin, "xilinx": xilinx}


def _mhz(hz: float | Fraction) -> str:
    return f"{float(hz) / 1e6:g}"


def _settings(board: Board) -> PllSettings:
    settings: PllSettings = _FAMILIES[board.family].pll(board.oscillator_hz, board.chip_hz)
    return settings


def _board_rows() -> list[tuple[object, ...]]:
    return [
        (
            f"`{board.name}`",
            board.doc,
            f"`{board.config.name}` {board.config.hash:08x}",
            _mhz(board.chip_hz),
            f"{board.baud:,} ({board.divisor} clocks a bit)",
            f"{board.memory_bytes >> 10} KiB",
            ", ".join(
                [*(["self-test"] if board.self_test else []), *([f"analyser of {board.analyser_depth}"] if board.analyser_depth else [])]
            )
            or "none",
            f"`make bitstream BOARD={board.name}`" + ("" if board.family in FLOWS else ": a project for Vivado"),
        )
        for board in BOARDS.values()
    ]


def _clock_rows() -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for board in BOARDS.values():
        settings = _settings(board)
        dividers = ", ".join(f"`{name}` {value}" for name, value in settings.dividers.items())
        rows.append(
            (f"`{board.name}`", _mhz(board.oscillator_hz), _mhz(settings.detector_hz), _mhz(settings.vco_hz), _mhz(board.chip_hz), dividers)
        )
    return rows


def _pad_rows() -> list[tuple[object, ...]]:
    return [
        (
            f"`{board.name}`",
            ", ".join(f"`constraints/{path.name}`" for path in constraint_files(board)),
            ", ".join(f"{pad}: {Led(led).name.lower()}" for pad, led in enumerate(board.leds)),
            "0" if board.leds_active_low else "1",
            f"`{board.programmer}`",
        )
        for board in BOARDS.values()
    ]


def boards_page() -> str:
    """docs/boards.md."""
    text = [notice("hw/boards/boards.py"), "# Boards\n"]
    text.append(
        "What each board gets: the chip, the memory behind its AXI port, and the host link of [the board top](howto/board.md), with a clock from a PLL. "
        "`make bitstreams` makes all of them, `make bitstream BOARD=... CONFIG=...` one with another configuration; how fast and how full they came "
        "out stands beside each bitstream, and in [Bitstreams](bitstreams.md).\n"
    )
    text.append(table(("board", "is", "config and hash", "MHz", "baud", "memory", "beside it", "made by"), _board_rows()))
    text.append("## Clocks\n")
    text.append(
        "The settings are found when the hardware is elaborated (`hw/boards/pll.py`): exactly the chip's clock, within the limits of the data sheet, the "
        "fastest phase detector. Frequencies in MHz.\n"
    )
    text.append(table(("board", "oscillator", "phase detector", "VCO", "chip", "dividers"), _clock_rows()))
    text.append(table(("limits of", "source"), [(f"`hw/boards/{name}.py`", family.LIMITS.source) for name, family in _FAMILIES.items()]))
    text.append("## Pins\n")
    text.append("Every pin and standard is held to the tables of amaranth-boards by `tests/flow/test_constraints.py`.\n")
    text.append(table(("board", "files", "pad of `leds`: what it shows", "lit by", "openFPGALoader's name"), _pad_rows()))
    docs = member_docs(Led)
    text.append(table(("LED", "lit when"), [(led.name.lower(), docs[led.name]) for led in Led]))
    text.append("## FPGAs\n")
    text.append("What synthesis must not exceed: looked at before place and route, which would take minutes to fail.\n")
    rows = []
    for part in PARTS.values():
        names = ", ".join(f"`{board.name}`" for board in BOARDS.values() if part_of(board) is part)
        rows.append((part.doc, names, ", ".join(f"{count:,} {resource}" for resource, count in part.has.items()), part.source))
    text.append(table(("FPGA", "boards", "has", "source"), rows))
    return "\n".join(text)
