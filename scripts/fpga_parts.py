"""What FPGAs have, and whether a synthesised design fits: known before place and route, which would take minutes to say it less clearly."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from hw.boards.board import Board
from hw.common.config import ConfigError

#: Resource of each family -> cells of its netlists that take it (regular expression) -> how many. What shares a place with another cell counts
#: as if it did: these are the least that place and route will take, so nothing that fits is refused.
TAKES: dict[str, dict[str, dict[str, int]]] = {
    "ecp5": {
        "LUT4": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        "FF": {"TRELLIS_FF": 1},
        "DP16KD": {"DP16KD": 1},
        "MULT18X18D": {"MULT18X18D": 1},
        "EHXPLLL": {"EHXPLLL": 1},
    },
    "ice40": {
        "LUT4": {"SB_LUT4": 1},
        "FF": {"SB_DFF.*": 1},
        "SB_RAM40_4K": {"SB_RAM40_4K.*": 1},
        "SB_SPRAM256KA": {"SB_SPRAM256KA": 1},
        "SB_MAC16": {"SB_MAC16": 1},
        "SB_PLL40": {"SB_PLL40.*": 1},
    },
    "gowin": {
        "LUT4": {"LUT[1-4]": 1, "ALU": 1},
        "FF": {"DFF.*": 1},
        "RAM16": {"RAM16S.*": 1},
        "BSRAM": {"(SP|SDP|SDPB|DP|DPB|pROM)(X9B?)?": 1},
        "MULT9X9": {"MULT9X9": 1, "MULT18X18": 2},
        "rPLL": {"rPLL": 1},
    },
    "xilinx": {
        "LUT": {"LUT[1-6]": 1, "SRL(16E|C32E)": 1, "RAM(32|64)M": 4, "RAM(32|64)X1D": 2, "RAM128X1D": 4, "RAM256X1S": 4},
        "FF": {"FD[CPRS]E": 1},
        "RAMB18": {"RAMB18E1": 1, "RAMB36E1": 2},
        "DSP48E1": {"DSP48E1": 1},
        "MMCME2": {"MMCME2_.*": 1},
    },
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """An FPGA.

    Parameters
    ----------
    doc : str
        Its name for people.
    source : str
        The document that says what it has.
    has : dict of str to int
        How much of each resource of `TAKES`.
    memory_bits : int
        Bits of all its memories together, LUT RAM included.
    """

    doc: str
    source: str
    has: dict[str, int]
    memory_bits: int


#: By family and device, as `Board` spells them.
PARTS: dict[tuple[str, str], Part] = {
    ("ecp5", "85k"): Part(
        doc="ECP5 LFE5U-85F", source="Lattice FPGA-DS-02012",
        has={"LUT4": 83640, "FF": 83640, "DP16KD": 208, "MULT18X18D": 156, "EHXPLLL": 4}, memory_bits=208 * 18432 + 669 * 1024,
    ),
    ("ecp5", "25k"): Part(
        doc="ECP5 LFE5U-25F", source="Lattice FPGA-DS-02012",
        has={"LUT4": 24288, "FF": 24288, "DP16KD": 56, "MULT18X18D": 28, "EHXPLLL": 2}, memory_bits=56 * 18432 + 194 * 1024,
    ),
    ("ice40", "up5k"): Part(
        doc="iCE40 UP5K", source="Lattice FPGA-DS-02008",
        has={"LUT4": 5280, "FF": 5280, "SB_RAM40_4K": 30, "SB_SPRAM256KA": 4, "SB_MAC16": 8, "SB_PLL40": 1}, memory_bits=30 * 4096 + 4 * 262144,
    ),
    ("gowin", "GW1NR-LV9QN88PC6/I5"): Part(
        doc="Gowin GW1NR-9", source="Gowin DS117E",
        has={"LUT4": 8640, "FF": 6480, "RAM16": 270, "BSRAM": 26, "MULT9X9": 40, "rPLL": 2}, memory_bits=26 * 18432 + 270 * 64,
    ),
    ("xilinx", "xc7a35ti"): Part(
        doc="Artix-7 XC7A35T", source="Xilinx DS180",
        has={"LUT": 20800, "FF": 41600, "RAMB18": 100, "DSP48E1": 90, "MMCME2": 5}, memory_bits=50 * 36864 + 400 * 1024,
    ),
    ("xilinx", "xc7a100t"): Part(
        doc="Artix-7 XC7A100T", source="Xilinx DS180",
        has={"LUT": 63400, "FF": 126800, "RAMB18": 270, "DSP48E1": 240, "MMCME2": 6}, memory_bits=135 * 36864 + 1188 * 1024,
    ),
}  # fmt: skip


def part_of(board: Board) -> Part:
    """The FPGA of a board; `ConfigError` if it is none of those known here."""
    try:
        return PARTS[board.family, board.device]
    except KeyError:
        known = ", ".join(f"{family} {device}" for family, device in PARTS)
        raise ConfigError(f"device must be one of {known}, not {board.family} {board.device!r} (board {board.name})") from None


#: Multipliers of `ChipConfig.multiplier` -> the cell that does them, and how many one does.
_MULTIPLIERS = {"ecp5": ("MULT18X18D", 1), "ice40": ("SB_MAC16", 2), "gowin": ("MULT9X9", 1)}


def require_room(board: Board) -> None:
    """`ConfigError` where the configuration alone tells that it does not fit, before minutes of synthesis do: memories and multipliers."""
    part, config = part_of(board), board.config
    over = []
    memory = 8 * (config.sbuf_bytes + config.psum_bytes + board.memory_bytes)
    if memory > part.memory_bits:
        over.append(
            f"memory: {memory:,} bits needed (SBUF {config.sbuf_bytes >> 10} KiB, PSUM {config.psum_bytes >> 10} KiB, the board's "
            f"{board.memory_bytes >> 10} KiB), {part.memory_bits:,}"
        )
    if config.multiplier in _MULTIPLIERS and not config.has_float:
        cell, each = _MULTIPLIERS[config.multiplier]
        need = -(-config.rows * config.cols // each)
        if config.multiplier == "ecp5" and config.control == "parallel":
            need += 2 * config.output_lanes  # The halves of `Requantise`; the other families' are left to synthesis.
        if need > part.has[cell]:
            over.append(f"{cell}: {need:,} needed, {part.has[cell]:,}")
    _refuse(board, over)


def _refuse(board: Board, over: list[str]) -> None:
    if over:
        raise ConfigError(
            f"config {board.config.name} must fit the FPGA of {board.name}: {'; '.join(over)} on the {part_of(board).doc}: choose a smaller "
            "config (make bitstream CONFIG=...) or a larger board"
        )


def taken(family: str, cells: Counter[str]) -> dict[str, int]:
    """How much of each resource a netlist takes at least."""
    return {
        resource: sum(count * cells[cell] for cell in cells for pattern, count in kinds.items() if re.fullmatch(pattern, cell))
        for resource, kinds in TAKES[family].items()
    }


def require_fit(board: Board, cells: Counter[str]) -> dict[str, int]:
    """What `taken` says; `ConfigError` names every resource of which there is not enough."""
    part, need = part_of(board), taken(board.family, cells)
    over = [f"{resource}: {count:,} needed, {part.has[resource]:,}" for resource, count in need.items() if count > part.has[resource]]
    _refuse(board, over)
    return need
