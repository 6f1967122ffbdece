"""`Requantise` against the golden model: values, latency, one value a cycle."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.vector.requantise import Requantise
from sim.golden.requantise import requantise

EDGES = [0, 1, -1, 2, 3, -3, 127, 128, -128, -129, 255, 256, -256, -257, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 5 << 20, -(5 << 20)]


def stimulus(kind: str, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shift = rng.integers(64, size=count)
    multiplier = rng.choice([0, 1, 2, 3, 255, 2**15, 2**16 - 1], size=count)
    if kind == "edges":
        return rng.choice(EDGES, size=count), multiplier, shift
    if kind == "ties":
        # odd * 2**(shift-1): exactly between two integers.
        shift = rng.integers(1, 23, size=count)
        return (2 * rng.integers(-140, 140, size=count) + 1) << (shift - 1), np.ones(count, np.int64), shift
    multiplier = rng.integers(1, 1 << 16, size=count)
    near = rng.integers(-140, 140, size=count) * (1 << np.minimum(shift, 47)) // multiplier + rng.integers(-2, 3, size=count)
    return np.clip(near, -(2**31), 2**31 - 1), multiplier, shift


@pytest.mark.parametrize("kind", ["edges", "ties", "near the range"])
def test_matches_the_golden_model_every_cycle(kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    dut = Requantise()
    count = 1500
    values, multiplier, shift = stimulus(kind, rng, count)
    expected = requantise(values, multiplier, shift)

    async def bench(ctx: Any) -> None:
        for cycle in range(count + Requantise.LATENCY):
            if cycle < count:
                ctx.set(dut.i, int(values[cycle]))
                ctx.set(dut.i_multiplier, int(multiplier[cycle]))
                ctx.set(dut.i_shift, int(shift[cycle]))
            if cycle >= Requantise.LATENCY:
                at = cycle - Requantise.LATENCY
                inputs = f"{values[at]} * {multiplier[at]} >> {shift[at]}"
                assert ctx.get(dut.o) == expected[at], f"{kind}, seed {len(kind)}: {inputs}"
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert len(set(expected.tolist())) > 20


def test_rejects_multipliers_there_are_not() -> None:
    with pytest.raises(ValueError, match=r"^multiplier must be generic, ecp5, ice40, gowin, not 'ecp4'"):
        Requantise(multiplier="ecp4")
