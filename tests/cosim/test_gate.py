"""The same testbenches on what synthesis makes of the RTL: netlists with the cell models of their family."""

from __future__ import annotations

import re

import pytest

from hw.common.config import ChipConfig
from hw.tensor.tile import Tile
from sim.gates import gate_verilog, models
from sim.synthesis import SynthesisError
from tb.registry import Bench, Gate, benches
from tb.runner import run_gate

RUNS = [(bench, gate) for bench in benches().values() for gate in bench.gates]


@pytest.mark.parametrize(("bench", "gate"), RUNS, ids=[f"{bench.name}-{gate.config.name}" for bench, gate in RUNS])
def test_netlist(bench: Bench, gate: Gate) -> None:
    """`run_gate` raises unless all tests ran, passed and compared something."""
    result = run_gate(bench, gate, only=gate.quick)
    assert sum(result.compared.values()) > 0
    text = result.verilog.read_text()
    assert f"module {bench.name}(" in text
    flipflop = {"ecp5": "TRELLIS_FF", "ice40": r"SB_DFF\w*", "gowin": r"DFF\w*"}[gate.family]
    assert len(re.findall(rf"^  {flipflop} ", text, re.MULTILINE)) > 100, "what ran was the netlist, not the RTL"


def test_tiles_and_the_compact_chip_are_among_them() -> None:
    """4x4 and 8x8 tiles on ECP5, 4x4 on iCE40, whole chip `nano` on iCE40."""
    found = {(bench.name, gate.config.rows, gate.family) for bench, gate in RUNS}
    assert {("tile", 4, "ecp5"), ("tile", 8, "ecp5"), ("tile", 4, "ice40"), ("chip", 4, "ice40")} <= found


def test_a_cell_without_model_is_named() -> None:
    with pytest.raises(SynthesisError, match="cell SB_NOTHING of ice40 must have a model for simulation, and has none"):
        models({"SB_LUT4", "SB_NOTHING"}, "ice40")
    with pytest.raises(SynthesisError, match="family must be one of ecp5, ice40, gowin at gate level, not 'asic'"):
        gate_verilog(Tile(config=ChipConfig(rows=4, cols=4)), name="tile", family="asic")
