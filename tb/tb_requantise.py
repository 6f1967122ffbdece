"""Cosim of requantisation on a family's multiplier blocks: through the primitive's model, its twin and the golden model, cycle for cycle."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from hw.common.config import ChipConfig
from hw.vector.requantise import Requantise
from sim.golden.requantise import requantise
from tb.registry import Bench
from tb.requantise_top import RequantiseTop
from tb.vip.clock import sample, start
from tb.vip.scoreboard import report

BENCH = Bench(
    name="requantise",
    doc="requantisation on multiplier primitives against its behavioural twin and the golden model: corners, ties, latency",
    top=lambda config: RequantiseTop(config=config),
    configs=(ChipConfig(name="ecp5", rows=4, cols=4, output_lanes=1, multiplier="ecp5"),),
)

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
#: Around zero, the ends, and where one half of the value has its sign bit set and the other has not.
VALUES = (INT32_MIN, INT32_MIN + 1, -65537, -65536, -32769, -32768, -1, 0, 1, 32767, 32768, 65535, 65536, 0x7FFF8000, INT32_MAX)
MULTIPLIERS = (0, 1, 2, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)


async def play(dut: Any, values: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> int:
    """Plays one value a cycle; both outputs must be the golden result of `LATENCY` cycles before, in each cycle. Returns the results compared."""
    latency = Requantise.LATENCY
    wanted = requantise(values, multiplier, shift)
    # Neighbours that differ: otherwise a result in the wrong cycle could pass.
    assert (wanted[1:] != wanted[:-1]).sum() > len(wanted) // 8
    for cycle in range(len(values) + latency):
        if cycle < len(values):
            dut.i.value = int(values[cycle]) & 0xFFFFFFFF
            dut.i_multiplier.value = int(multiplier[cycle])
            dut.i_shift.value = int(shift[cycle])
        await sample(dut)
        if cycle >= latency:
            at = cycle - latency
            want, found = int(wanted[at]), (dut.o_primitive.value.to_signed(), dut.o_twin.value.to_signed())
            assert found == (want, want), (
                f"cycle {cycle}, {values[at]} * {multiplier[at]} >> {shift[at]}: primitive and twin must be {want}, not {found[0]}, {found[1]}"
            )
    return len(values)


@cocotb.test()
async def corners(dut: Any) -> None:
    """Corner values times corner multipliers at every shift, those that act as 47 too, in random order."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await start(dut)
    every = np.array([(value, factor, shift) for value in VALUES for factor in MULTIPLIERS for shift in range(64)])
    report(await play(dut, *rng.permutation(every).T))


@cocotb.test()
async def near_the_range(dut: Any) -> None:
    """Random operands whose result is in the range of int8 or just outside, where each bit of the product decides, and any operands."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await start(dut)
    count = 8000
    multiplier, shift = rng.integers(1, 1 << 16, size=count), rng.integers(64, size=count)
    near = rng.integers(-140, 140, size=count) * (1 << np.minimum(shift, 47)) // multiplier + rng.integers(-2, 3, size=count)
    values = np.where(rng.random(count) < 0.8, np.clip(near, INT32_MIN, INT32_MAX), rng.integers(INT32_MIN, INT32_MAX, size=count))
    report(await play(dut, values, multiplier, shift))


@cocotb.test()
async def ties(dut: Any) -> None:
    """Products exactly between two integers, the power of two spread over value and multiplier."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await start(dut)
    count = 4000
    left, right = rng.integers(23, size=count), rng.integers(16, size=count)
    odd = 2 * rng.integers(-140, 140, size=count) + 1
    report(await play(dut, odd << left, 1 << right, left + right + 1))
