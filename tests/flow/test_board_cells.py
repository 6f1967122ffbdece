# amaranth: UnusedElaboratable=no
"""What the memories that only boards have become on each family: the one behind AXI, and the logic analyser's samples. Those of the chips: test_memory_cells,
test_compact_cells."""

from collections import Counter
from pathlib import Path

import pytest
from amaranth.lib import wiring

from hw.boards.boards import BOARDS
from hw.boards.memory import BoardMemory
from hw.debug.analyser import STAMP_BITS, Analyser
from hw.debug.probes import BOARD_PROBES
from sim.synthesis import FLOWS, synthesise
from sim.verilog import emit

#: Beginnings of the names of flip-flops, and of cells that hold words: block RAM, SPRAM, LUT RAM.
FLIP_FLOPS = ("TRELLIS_FF", "SB_DFF", "DFF")
MEMORIES = ("DP16KD", "PDPW16KD", "TRELLIS_DPR16X4", "SB_RAM", "SB_SPRAM", "SP", "SDP", "DP", "RAM16")
PROBE_BITS = sum(BOARD_PROBES.values())


def cells(component: wiring.Component, family: str, folder: Path) -> tuple[dict[str, int], int]:
    """Cells that hold words, and the number of flip-flops."""
    found: Counter[str] = synthesise("dut", emit(component, name="dut", initial_values=False), FLOWS[family], folder=folder).cells
    words = {name: count for name, count in found.items() if name.startswith(MEMORIES)}
    return words, sum(count for name, count in found.items() if name.startswith(FLIP_FLOPS))


@pytest.mark.parametrize(
    ("name", "cell", "kibibytes"), [("ulx3s_85f", "DP16KD", 2), ("icebreaker", "SB_SPRAM256KA", 32), ("tang_nano_9k", "SP", 2)]
)
def test_the_memory_behind_axi(name: str, cell: str, kibibytes: int, tmp_path: Path) -> None:
    """Full cells and nothing else. Registers: what is asked of the memory (a line, mask, address), what it gives (a line), the two sides' states."""
    board = BOARDS[name]
    words, flip_flops = cells(BoardMemory(config=board.config, memory_bytes=board.memory_bytes), board.family, tmp_path)
    assert words == {cell: board.memory_bytes // (kibibytes << 10)}
    address = (board.memory_bytes // board.config.line_bytes - 1).bit_length()
    assert flip_flops <= 2 * 8 * board.config.line_bytes + 2 * address + 40


def test_the_samples_of_the_analyser(tmp_path: Path) -> None:
    """Blocks of 512 words of 36 bits. Registers: value and mask, a sample and the one before, and some that count."""
    words, flip_flops = cells(Analyser(probes=BOARD_PROBES, depth=512), "ecp5", tmp_path)
    assert words == {"DP16KD": -(-(PROBE_BITS + STAMP_BITS) // 36)}
    assert flip_flops <= 5 * PROBE_BITS + 180
