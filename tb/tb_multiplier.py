"""Cosim of the families' multipliers: every pair of operands through the primitive's model, its twin and plain arithmetic, cycle for cycle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cocotb
import numpy as np

from hw.common.config import ChipConfig
from tb.multiplier_top import MultiplierTop
from tb.registry import Bench
from tb.vip import config as device_config
from tb.vip.clock import sample, start
from tb.vip.scoreboard import report

_BASE = ChipConfig(rows=4, cols=4, output_lanes=1)

BENCH = Bench(
    name="multiplier",
    doc="the multiplier primitives against their behavioural twins and arithmetic: all 65,536 pairs, swaps, latency",
    top=lambda config: MultiplierTop(config=config),
    configs=tuple(
        replace(_BASE, name=f"{family}_{stages}", multiplier=family, multiplier_stages=stages)
        # Every arrangement of a block's registers; further stages are flip-flops behind it.
        for family, arrangements in (("ecp5", (1, 2, 3, 4)), ("ice40", (1, 2, 3)), ("gowin", (1, 2, 3)))
        for stages in arrangements
    ),
)


def _signed(value: int) -> int:
    return ((value & 0xFF) ^ 0x80) - 0x80


async def play(dut: Any, moving: np.ndarray, background: np.ndarray, swap: np.ndarray) -> int:
    """Plays one value a cycle and lane; both outputs must be the product of then, in each cycle. Returns the products compared."""
    stages = device_config().multiplier_stages
    front: list[int | None] = [None, None]
    wanted: list[tuple[int | None, int | None]] = []
    compared = 0
    for cycle in range(len(moving)):
        dut.i_moving.value = int(moving[cycle, 0]) | int(moving[cycle, 1]) << 8
        dut.i_background.value = int(background[cycle, 0]) | int(background[cycle, 1]) << 8
        dut.i_swap.value = int(swap[cycle, 0]) | int(swap[cycle, 1]) << 1
        products: list[int | None] = []
        for lane in range(2):
            if swap[cycle, lane]:
                front[lane] = int(background[cycle, lane])
            weight = front[lane]
            products.append(None if weight is None else _signed(int(moving[cycle, lane])) * _signed(weight) & 0xFFFF)
        wanted.append((products[0], products[1]))
        await sample(dut)
        if cycle < stages:
            continue
        got, twin = int(dut.o_primitive.value), int(dut.o_twin.value)
        for lane, want in enumerate(wanted[cycle - stages]):
            if want is not None:
                found = got >> 16 * lane & 0xFFFF, twin >> 16 * lane & 0xFFFF
                assert found == (want, want), (
                    f"cycle {cycle}, lane {lane}: primitive and twin must be {want:#06x}, not {found[0]:#06x}, {found[1]:#06x}"
                )
                compared += 1
    return compared


@cocotb.test()
async def every_pair(dut: Any) -> None:
    """65,536 pairs in lane 0, and in another order in lane 1; the stationary operand swaps every 256 cycles, and garbage stands behind it."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await start(dut)
    stationary, operand = np.divmod(np.arange(65536 + 8), 256)
    moving = np.stack([operand & 0xFF, rng.permutation(len(operand)) & 0xFF], axis=1)
    swap = np.stack([operand == 0, operand == 7], axis=1)
    background = np.where(swap, np.stack([stationary & 0xFF, ~stationary & 0xFF], axis=1), rng.integers(0, 256, (len(operand), 2)))
    report(await play(dut, moving, background, swap))


@cocotb.test()
async def swaps(dut: Any) -> None:
    """Swaps in random cycles, back to back too, of both lanes by themselves."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await start(dut)
    shape = (4000, 2)
    report(await play(dut, rng.integers(0, 256, shape), rng.integers(0, 256, shape), rng.random(shape) < 0.4))
