# amaranth: UnusedElaboratable=no
"""Unit tests of hw.tensor.pe: random operands, loads and swaps in every cycle, against a model of a few lines."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.tensor.pe import Pe, moving_layout, sum_layout, sum_width
from sim.golden.formats import bf16_product, fp32_add
from tb.vip.tile_traffic import random_elements

INT = ChipConfig(rows=4, cols=4, output_lanes=1)
FLOAT = replace(INT, dtypes=("bf16",), adder_stages=2, accumulator_stages=2)
MIXED = replace(FLOAT, dtypes=("int8", "bf16"))
CYCLES = 400


@dataclass
class Cycle:
    """What is at the inputs in a cycle. `is_float` is that of the sum that comes in now."""

    moving: int
    swap: int
    lane: int
    load: int
    stationary: int
    partial: int
    is_float: int


def stimulus(config: ChipConfig, rng: np.random.Generator) -> list[Cycle]:
    kinds = [str(rng.choice(config.dtypes)) for _ in range(CYCLES)]
    width = 8 * config.element_bytes
    moving, stationary = ([int(random_elements(rng, (1,), kind, special=0.1)[0]) & ((1 << width) - 1) for kind in kinds] for _ in range(2))
    numbers = rng.normal(size=CYCLES).astype(np.float32).view(np.uint32)
    partial = np.where(rng.random(CYCLES) < 0.5, rng.integers(0, 1 << 32, CYCLES, dtype=np.uint32), numbers) & (
        (1 << sum_width(config)) - 1
    )
    swap, lane, load = (rng.random(CYCLES) < share for share in (0.3, 0.8, 0.3))
    rows = zip(moving, swap, lane, load, stationary, partial, kinds, strict=True)
    return [Cycle(m, int(s), int(n), int(d), w, int(p), int(k == "bf16")) for m, s, n, d, w, p, k in rows]


def model(config: ChipConfig, cycles: list[Cycle]) -> list[int | None]:
    """Sum that leaves in each cycle; None where it depends on what was in the registers at power-up."""
    weights: list[int | None] = []
    background: int | None = None
    foreground: int | None = None
    for now in cycles:
        if now.swap:
            foreground = background
        weights.append(foreground)
        if now.load:
            background = now.stationary
    sums: list[int | None] = [None] * len(cycles)
    for cycle in range(config.multiplier_stages, len(cycles) - config.adder_stages):
        then, weight = cycles[cycle - config.multiplier_stages], weights[cycle - config.multiplier_stages]
        if weight is not None:
            sums[cycle + config.adder_stages] = add(cycles[cycle], then, weight) & ((1 << sum_width(config)) - 1)
    return sums


def add(now: Cycle, then: Cycle, weight: int) -> int:
    """`now.partial` plus the product of `then`, in the kind of arithmetic that came with the partial sum."""
    if now.is_float:
        return int(fp32_add(now.partial, bf16_product(then.moving, weight))) if then.lane else int(fp32_add(now.partial, 0x80000000))
    signed = [((value & 0xFF) ^ 0x80) - 0x80 for value in (then.moving, weight)]
    return (now.partial + signed[0] * signed[1]) & 0xFFFFFFFF


@pytest.mark.parametrize("multiplier_stages", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "config",
    [INT, replace(INT, adder_stages=3), FLOAT, MIXED, replace(MIXED, adder_stages=4)],
    ids=lambda config: f"{'+'.join(config.dtypes)}-{config.adder_stages}",
)
def test_every_cycle_matches_the_model(config: ChipConfig, multiplier_stages: int) -> None:
    config = replace(config, multiplier_stages=multiplier_stages)
    seed = multiplier_stages
    cycles = stimulus(config, np.random.default_rng(seed))
    dut = Pe(config=config)
    sums: list[int] = []
    kinds: list[int] = []
    east: list[tuple[int, ...]] = []

    async def bench(ctx: Any) -> None:
        for now in cycles:
            ctx.set(dut.i_moving.data, now.moving)
            ctx.set(dut.i_moving.swap, now.swap)
            ctx.set(dut.i_load, now.load)
            ctx.set(dut.i_stationary, now.stationary)
            ctx.set(dut.i_sum.data, now.partial)
            if config.has_float:
                ctx.set(dut.i_moving.lane, now.lane)
            if config.has_float and config.has_int:
                ctx.set(dut.i_sum.is_float, now.is_float)
                kinds.append(ctx.get(dut.o_sum.is_float))
            sums.append(ctx.get(dut.o_sum.data))
            east.append((ctx.get(dut.o_load), *(ctx.get(dut.o_moving[name]) for name in dut.o_moving.shape().members)))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()

    expected = model(config, cycles)
    assert sum(want is not None for want in expected) > CYCLES * 0.8
    for cycle, (got, want) in enumerate(zip(sums, expected, strict=True)):
        assert want is None or got == want, f"seed {seed}, cycle {cycle}: {got:#010x}, not {want:#010x}"
    members = list(moving_layout(config).members)
    values = [(now.load, *({"data": now.moving, "swap": now.swap, "lane": now.lane}[name] for name in members)) for now in cycles]
    assert east[1:] == values[:-1], "what goes east is one cycle late"
    if kinds:
        assert kinds[config.adder_stages :] == [now.is_float for now in cycles[: -config.adder_stages]]


def test_only_what_is_needed_is_built() -> None:
    assert list(moving_layout(INT).members) == ["data", "swap"]
    assert list(sum_layout(INT).members) == ["data"]
    assert list(moving_layout(FLOAT).members) == ["data", "swap", "lane"]
    assert list(sum_layout(FLOAT).members) == ["data"]
    assert list(sum_layout(MIXED).members) == ["data", "is_float"]
    assert len(Pe(config=INT).i_stationary) == 8
    assert len(Pe(config=MIXED).i_stationary) == 16


def test_config_is_checked() -> None:
    with pytest.raises(TypeError, match=r"^config must be a ChipConfig, not 16$"):
        Pe(config=16)  # type: ignore[arg-type]
