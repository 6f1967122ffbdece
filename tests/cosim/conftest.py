"""A golden chip and a Verilated one with the same contents everywhere, for the tests that run jobs on both."""

import pytest

from sim.golden.chip import GoldenChip
from sim.verilated.chip import DramModel, VerilatedChip

from .error_jobs import DRAM_BYTES, fill
from .test_programs import MIXED

#: Kinds of DRAM.
DRAMS = {"quick": DramModel(latency=6), "stalling": DramModel(latency=21, stall_probability=0.3, reorder=True)}


@pytest.fixture(params=DRAMS)
def pair(request):
    """Golden chip and RTL with the same contents everywhere."""
    with (
        GoldenChip(MIXED, dram_bytes=DRAM_BYTES, seed=3) as golden,
        VerilatedChip(MIXED, dram_bytes=DRAM_BYTES, dram=DRAMS[request.param], seed=3) as rtl,
    ):
        fill(golden, rtl, seed=3)
        yield golden, rtl
