"""What synthesis makes of the array's multipliers: counted, so that one that turned into LUTs fails."""

from dataclasses import replace

import pytest

from hw.common.config import CONFIGS, ChipConfig, ConfigError
from hw.tensor.tile import Tile
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


def test_primitives_are_for_integers() -> None:
    with pytest.raises(
        ConfigError, match=r"multiplier must be generic with .'int8', 'bf16'., not 'ecp5': the families' primitives multiply integers"
    ):
        replace(CONFIGS["base"], multiplier="ecp5")
