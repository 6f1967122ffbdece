# amaranth: UnusedElaboratable=no
"""The compact chip's scaler against the golden requantisation: values and steps."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.compact.scaler import QUOTIENT_STEPS, Scaler, requantise_steps
from sim.golden.requantise import requantise

from .test_requantise import stimulus


def run(testbench: Any, dut: Scaler) -> None:
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


async def load(ctx: Any, dut: Any, x: int, multiplier: int, shift: int, *, zero: int = 0, plain: int = 0) -> None:
    for name, value in (("multiplier", multiplier), ("shift", shift), ("plain", plain), ("load", 1), ("x", ~x), ("zero", 1 - zero)):
        ctx.set(getattr(dut, f"i_{name}"), value)
    await ctx.tick()
    # The number comes after its scale word, which does not stay.
    for name, value in (("multiplier", ~multiplier), ("shift", ~shift), ("load", 0), ("x", x), ("zero", zero)):
        ctx.set(getattr(dut, f"i_{name}"), value)
    await ctx.tick()


async def steps(ctx: Any, dut: Any) -> int:
    """Steps to the last."""
    count, is_last = 0, False
    ctx.set(dut.i_step, 1)
    while not is_last:
        is_last = bool(ctx.get(dut.o_last_step))
        await ctx.tick()
        count += 1
        assert count < 50, "the last step must come"
    return count


@pytest.mark.parametrize("kind", ["edges", "ties", "near the range"])
def test_requantises(kind: str) -> None:
    """Values at the ends of every range, ties and sums near the ends of an octet, each shift; `i_zero` gives 0."""
    rng, count = np.random.default_rng(len(kind)), 500
    dut: Any = Scaler()
    values, multiplier, shift = stimulus(kind, rng, count)
    expected = requantise(values, multiplier, shift)

    async def testbench(ctx: Any) -> None:
        for index in range(count):
            x, factor, places = int(values[index]), int(multiplier[index]), int(shift[index])
            zero = int(rng.random() < 0.05)
            await load(ctx, dut, x, factor, places, zero=zero)
            taken = await steps(ctx, dut)
            context = f"{kind}, seed {len(kind)}: {x} * {factor} >> {places}"
            assert taken == requantise_steps(places), context
            ctx.set(dut.i_step, 0)
            found = ctx.get(dut.o)
            assert found - 256 * (found >> 7) == (0 if zero else expected[index]), context

    run(testbench, dut)
    assert len(set(expected.tolist())) > 20 and requantise_steps(47) == 28 and requantise_steps(0) == 9


def test_plain_octets() -> None:
    """`i_plain` gives the number's octets as they are, whatever the scale word; 0 with `i_zero`."""
    rng = np.random.default_rng(3)
    dut: Any = Scaler()

    async def testbench(ctx: Any) -> None:
        for x in [0, -1, 1 << 31 - 1, -(1 << 31), 0x7F80FF00, *(int(value) for value in rng.integers(-(1 << 31), 1 << 31, 40))]:
            zero = int(rng.random() < 0.1)
            await load(ctx, dut, x, int(rng.integers(1 << 16)), int(rng.integers(64)), zero=zero, plain=1)
            for octet in range(4):
                assert await steps(ctx, dut) == QUOTIENT_STEPS
                assert ctx.get(dut.o) == (0 if zero else x >> 8 * octet & 255), f"octet {octet} of {x:#x}"
            ctx.set(dut.i_step, 0)

    run(testbench, dut)
