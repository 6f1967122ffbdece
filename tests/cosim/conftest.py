"""A golden chip and a Verilated one with the same contents everywhere, for the tests that run jobs on both."""

import pytest

from sim.golden.chip import GoldenChip
from sim.verilated.chip import VerilatedChip
from sim.verilated.dram import DramModel

from .error_jobs import DRAM_BYTES, fill
from .test_programs import COMPACT, MIXED

#: Chips with the kind of DRAM behind them.
KINDS = {
    "quick": (MIXED, DramModel(latency=6)),
    "stalling": (MIXED, DramModel(latency=21, stall_probability=0.3, reorder=True)),
    "compact": (COMPACT, DramModel(latency=9, stall_probability=0.2)),
}


@pytest.fixture(params=KINDS)
def pair(request):
    """Golden chip and RTL with the same contents everywhere."""
    config, dram = KINDS[request.param]
    with (
        GoldenChip(config, dram_bytes=DRAM_BYTES, seed=3) as golden,
        VerilatedChip(config, dram_bytes=DRAM_BYTES, dram=dram, seed=3) as rtl,
    ):
        fill(golden, rtl, seed=3)
        yield golden, rtl
