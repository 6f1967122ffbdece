"""What synthesis makes of the multipliers of array and output lanes: counted, so that one that turned into LUTs fails."""

from dataclasses import replace

import pytest
from amaranth.hdl import Module, Signal, signed

from hw.common.config import CONFIGS, ChipConfig, ConfigError
from hw.common.mult18x18d import mult18x18d
from hw.tensor.tile import Tile
from hw.vector.requantise import Requantise
from sim.synthesis import FLOWS, synthesise
from sim.verilog import emit

SMALL, NANO = CONFIGS["small"], CONFIGS["nano"]


@pytest.mark.parametrize(
    ("config", "cell", "count", "most_luts"),
    [
        (replace(SMALL, name="ecp5", rows=4, cols=4, output_lanes=4, multiplier="ecp5"), "MULT18X18D", 16, 20),
        (replace(NANO, name="ice40", multiplier="ice40"), "SB_MAC16", 8, 330),
        (replace(NANO, name="gowin", multiplier="gowin"), "MULT9X9", 16, 20),
    ],
    ids=lambda value: value.name if isinstance(value, ChipConfig) else "",
)
def test_a_4x4_tile_has_one_multiplier_an_element(config: ChipConfig, cell: str, count: int, most_luts: int) -> None:
    """A multiplier in LUTs would take about 70 more of them. iCE40 counts the LUTs of its adders, the others have cells for carries; two products a block."""
    top = f"multiplier_cells_{config.name}"
    cells = synthesise(top, emit(Tile(config=config), name=top, initial_values=False), FLOWS[config.multiplier]).cells
    blocks = {name: number for name, number in cells.items() if name.startswith(("MULT", "SB_MAC", "ALU54"))}
    assert blocks == {cell: count}
    assert sum(number for name, number in cells.items() if "LUT" in name) <= most_luts
    flipflops = sum(number for name, number in cells.items() if "FF" in name)
    # Background 8 and the moving operand 8 an element, a sum of 18 bits, foreground where no register of the block holds it, skews, control.
    assert flipflops < 16 * (8 + 8 + 18 + 8 + 16) + 300


def test_a_requantisation_has_its_registers_in_two_blocks() -> None:
    """In the fabric stay three stages of the shift, the sum, the two halves of the shifter with what they lost, and the result; left to synthesis the
    halves, the multiplier and the products are 3 * 16 + 2 * 32 more."""
    top = "multiplier_cells_requantise"
    cells = synthesise(top, emit(Requantise(multiplier="ecp5"), name=top, initial_values=False), FLOWS["ecp5"]).cells
    assert {name: number for name, number in cells.items() if name.startswith(("MULT", "ALU54"))} == {"MULT18X18D": 2}
    assert cells["TRELLIS_FF"] <= 3 * 6 + 48 + (16 + 3 + 3) + (8 + 4) + 8


@pytest.mark.parametrize("width, is_signed", [(19, True), (18, False)])
def test_operands_wider_than_the_block_are_refused(width: int, is_signed: bool) -> None:
    wide, narrow = Signal(signed(width) if is_signed else width), Signal(8)
    with pytest.raises(ValueError, match=rf"^a must have at most {width - 1} bits, not "):
        mult18x18d(Module(), "block", wide, narrow)
    with pytest.raises(ValueError, match=rf"^b must have at most {width - 1} bits, not "):
        mult18x18d(Module(), "block", narrow, wide)


def test_primitives_are_for_integers() -> None:
    with pytest.raises(
        ConfigError, match=r"multiplier must be generic with .'int8', 'bf16'., not 'ecp5': the families' primitives multiply integers"
    ):
        replace(CONFIGS["base"], multiplier="ecp5")
