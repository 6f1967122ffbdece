# amaranth: UnusedElaboratable=no
"""Unit tests of hw.common.fp32: every stage count, back to back, against the bit-exact model."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.fp32 import CUTS, SEGMENTS, Fp32Adder
from sim.golden.formats import fp32_add
from tb.vip.float_operands import fp32_pairs


def run(stages: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Feeds a pair a cycle; the sum of pair n is read in cycle n + stages, so latency and throughput are part of the comparison."""
    dut = Fp32Adder(stages=stages)
    got = []

    async def bench(ctx: Any) -> None:
        for cycle in range(len(a) + stages):
            # After the last pair the operands change on, so a sum that comes late is wrong.
            ctx.set(dut.a, int(a[cycle % len(a)]) ^ (cycle >= len(a)))
            ctx.set(dut.b, int(b[cycle % len(b)]))
            if cycle >= stages:
                got.append(ctx.get(dut.o))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return np.array(got, dtype=np.uint32)


@pytest.mark.parametrize("stages", sorted(CUTS))
def test_sums_match_the_model(stages: int) -> None:
    a, b = fp32_pairs(np.random.default_rng(stages), 3000)
    want = fp32_add(a, b)
    got = run(stages, a, b)
    wrong = np.flatnonzero(got != want)
    shown = [f"{a[i]:#010x} + {b[i]:#010x} = {want[i]:#010x}, not {got[i]:#010x}" for i in wrong[:5]]
    assert not len(wrong), f"seed {stages}: {len(wrong)} of {len(a)} wrong: {shown}"


def test_cuts_are_segments_in_order() -> None:
    for stages, cuts in CUTS.items():
        assert list(cuts) == [name for name in SEGMENTS[:-1] if name in cuts]
        assert len(cuts) == stages - 1
        assert Fp32Adder(stages=stages).stages == stages


@pytest.mark.parametrize("stages", [0, 1, 7, 2.0, True, None])
def test_stages_are_checked(stages: Any) -> None:
    with pytest.raises(ValueError, match=r"^stages must be an integer from 2 to 6, not "):
        Fp32Adder(stages=stages)
