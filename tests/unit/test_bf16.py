# amaranth: UnusedElaboratable=no
"""Unit tests of hw.common.bf16: the multiplier at every stage count, and the rounding, against the bit-exact models."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.common.bf16 import Bf16Multiplier, round_to_bf16
from sim.golden.formats import bf16_product, bf16_round
from tb.vip.float_operands import FP32_SPECIALS, bf16_pairs


def run(stages: int, a: np.ndarray, b: np.ndarray, skip: np.ndarray) -> np.ndarray:
    """Feeds a pair a cycle; the product of pair n is read in cycle n + stages, so latency and throughput are part of the comparison."""
    dut = Bf16Multiplier(stages=stages)
    got = []

    async def bench(ctx: Any) -> None:
        for cycle in range(len(a) + stages):
            ctx.set(dut.a, int(a[cycle % len(a)]) ^ (cycle >= len(a)))
            ctx.set(dut.b, int(b[cycle % len(b)]))
            ctx.set(dut.skip, int(skip[cycle % len(b)]))
            if cycle >= stages:
                got.append(ctx.get(dut.o))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return np.array(got, dtype=np.uint32)


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_products_match_the_model(stages: int) -> None:
    rng = np.random.default_rng(stages)
    a, b = bf16_pairs(rng, 2000)
    skip = rng.random(len(a)) < 0.1
    want = np.where(skip, 0x80000000, bf16_product(a, b))
    got = run(stages, a, b, skip)
    wrong = np.flatnonzero(got != want)
    shown = [f"{a[i]:#06x} * {b[i]:#06x} = {want[i]:#010x}, not {got[i]:#010x} (skip {skip[i]})" for i in wrong[:5]]
    assert not len(wrong), f"seed {stages}: {len(wrong)} of {len(a)} wrong: {shown}"
    assert Bf16Multiplier(stages=stages).stages == stages


def test_rounding_matches_the_model() -> None:
    rng = np.random.default_rng(9)
    high = rng.integers(0, 1 << 16, 1500, dtype=np.uint32)
    low = rng.choice(np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], dtype=np.uint32), 1500)
    bits = np.concatenate([FP32_SPECIALS, high << 16 | low])
    m = Module()
    value, rounded = Signal(32), Signal(16)
    m.d.comb += rounded.eq(round_to_bf16(value))
    got = []

    async def bench(ctx: Any) -> None:
        for item in bits:
            ctx.set(value, int(item))
            got.append(ctx.get(rounded))

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
    want = bf16_round(bits)
    wrong = np.flatnonzero(np.array(got) != want)
    assert not len(wrong), f"seed 9: {[(hex(bits[i]), hex(want[i]), hex(got[i])) for i in wrong[:5]]}"


@pytest.mark.parametrize("stages", [0, 5, 1.0, False, "2"])
def test_stages_are_checked(stages: Any) -> None:
    with pytest.raises(ValueError, match=r"^stages must be an integer from 1 to 4, not "):
        Bf16Multiplier(stages=stages)


def test_width_is_checked() -> None:
    with pytest.raises(ValueError, match=r"^value32 must be 32 bits wide, not 16$"):
        round_to_bf16(Signal(16))
