"""Whether a design fits an FPGA: what each resource takes, and what is said before anything slow has been done."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from hw.boards.boards import BOARDS
from hw.common.config import CONFIGS, ConfigError
from scripts import bitstream, fpga_parts
from scripts.bitstream import build, with_config
from scripts.fpga_parts import PARTS, TAKES, Part, part_of, require_fit, require_room, taken


def test_message_names_every_resource_that_overflows() -> None:
    board = replace(BOARDS["icebreaker"], config=replace(CONFIGS["small"], multiplier="ice40"))
    cells = Counter({"SB_LUT4": 42_510, "SB_DFFESR": 9_000, "SB_DFF": 280, "SB_RAM40_4K": 30, "SB_SPRAM256KA": 5, "$scopeinfo": 99})
    with pytest.raises(ConfigError) as error:
        require_fit(board, cells)
    assert str(error.value) == (
        "config small must fit the FPGA of icebreaker: LUT4: 42,510 needed, 5,280; FF: 9,280 needed, 5,280; SB_SPRAM256KA: 5 needed, 4 "
        "on the iCE40 UP5K: choose a smaller config (make bitstream CONFIG=...) or a larger board"
    )
    assert require_fit(board, Counter({"SB_LUT4": 5280}))["LUT4"] == 5280
    with pytest.raises(ConfigError, match="LUT4: 5,281 needed"):
        require_fit(board, Counter({"SB_LUT4": 5281}))


def test_what_the_configuration_tells_is_said_before_elaboration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHIUM_BUILD", str(tmp_path))
    monkeypatch.setattr(bitstream, "make_top", None)
    with pytest.raises(ConfigError, match=r"SB_MAC16: 32 needed, 8 on the iCE40 UP5K: choose a smaller config"):
        build(with_config(BOARDS["icebreaker"], "small"), say=str)
    with pytest.raises(ConfigError, match=r"MULT18X18D: 72 needed, 28 on the ECP5 LFE5U-25F: choose a smaller config"):
        build(with_config(BOARDS["ulx3s_25f"], "small"), say=str)
    with pytest.raises(ConfigError) as error:
        build(with_config(BOARDS["ulx3s_25f"], "base"), say=str)
    assert "memory: 6,422,528 bits needed (SBUF 512 KiB, PSUM 256 KiB, the board's 16 KiB), 1,230,848 on the ECP5 LFE5U-25F" in str(
        error.value
    )


def test_room_at_its_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    board = BOARDS["icebreaker"]
    bits = 8 * (board.config.sbuf_bytes + board.config.psum_bytes + board.memory_bytes)
    monkeypatch.setitem(PARTS, ("ice40", "up5k"), replace(part_of(board), memory_bits=bits))
    require_room(board)
    monkeypatch.setitem(PARTS, ("ice40", "up5k"), replace(part_of(board), memory_bits=bits - 1))
    with pytest.raises(ConfigError, match=rf"memory: {bits:,} bits needed"):
        require_room(board)
    for board in BOARDS.values():
        monkeypatch.undo()
        require_room(board)


@pytest.mark.parametrize("family, cells, need", [
    ("ecp5", {"LUT4": 5, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "TRELLIS_FF": 7, "DP16KD": 3, "MULT18X18D": 2, "EHXPLLL": 1, "PFUMX": 9},
     {"LUT4": 15, "FF": 7, "DP16KD": 3, "MULT18X18D": 2, "EHXPLLL": 1}),
    ("ice40", {"SB_LUT4": 4, "SB_CARRY": 9, "SB_DFFNE": 1, "SB_RAM40_4KNR": 2, "SB_MAC16": 8, "SB_PLL40_PAD": 1},
     {"LUT4": 4, "FF": 1, "SB_RAM40_4K": 2, "SB_SPRAM256KA": 0, "SB_MAC16": 8, "SB_PLL40": 1}),
    ("gowin", {"LUT1": 1, "LUT4": 2, "ALU": 3, "MUX2_LUT5": 4, "DFFRE": 5, "RAM16SDP4": 6, "SDPX9B": 7, "SP": 1, "DPB": 1, "MULT9X9": 8,
               "MULT18X18": 1, "rPLL": 1, "IBUF": 3},
     {"LUT4": 6, "FF": 5, "RAM16": 6, "BSRAM": 9, "MULT9X9": 10, "rPLL": 1}),
    ("xilinx", {"LUT6": 1, "LUT2": 1, "RAM64M": 1, "SRL16E": 1, "FDRE": 2, "RAMB36E1": 2, "RAMB18E1": 1, "DSP48E1": 1, "MMCME2_BASE": 1, "CARRY4": 5},
     {"LUT": 7, "FF": 2, "RAMB18": 5, "DSP48E1": 1, "MMCME2": 1}),
])  # fmt: skip
def test_cells_take_their_resources(family: str, cells: dict[str, int], need: dict[str, int]) -> None:
    assert taken(family, Counter(cells)) == need


def test_every_board_has_a_part_with_the_resources_of_its_family() -> None:
    for board in BOARDS.values():
        assert set(part_of(board).has) == set(TAKES[board.family])
    with pytest.raises(ConfigError, match=r"device must be one of ecp5 85k, .*, not ecp5 '45k' \(board ulx3s_45f\)"):
        part_of(replace(BOARDS["ulx3s_85f"], device="45k", name="ulx3s_45f"))
    assert all(isinstance(part, Part) and part.source for part in fpga_parts.PARTS.values())
