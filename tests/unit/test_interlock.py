# amaranth: UnusedElaboratable=no
"""The interlock: random programs on streams that run ahead as far as they can begin in program order, at the earliest allowed cycle."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.tensor.interlock import Interlock
from hw.tensor.rows import TURN_BITS


@pytest.mark.parametrize("reload_cycles", [1, 2, 7])
@pytest.mark.parametrize("eager", [1.0, 0.3])
def test_order_and_distance(reload_cycles: int, eager: float) -> None:
    """Each stream holds two instructions and begins one with probability `eager` when it may. Checked against the program order."""
    dut, seed = Interlock(reload_cycles=reload_cycles), reload_cycles
    rng = np.random.default_rng(seed)
    program = [str(kind) for kind in rng.choice(["load", "swap"], 120)]
    begun: list[tuple[int, int, str]] = []
    earliest: dict[str, int] = {"load": 0, "swap": 0}

    async def testbench(ctx: Any) -> None:
        waiting: dict[str, list[tuple[int, int]]] = {"load": [], "swap": []}
        index, last_swap = 0, -reload_cycles
        for cycle in range(4000):
            ctx.set(dut.i_load_accepted, 0)
            ctx.set(dut.i_swap_accepted, 0)
            starts = []
            for kind, turn, may in (("load", dut.i_load_turn, dut.o_may_load), ("swap", dut.i_swap_turn, dut.o_may_swap)):
                pulse = dut.i_load_begun if kind == "load" else dut.i_swap_begun
                ctx.set(pulse, 0)
                if waiting[kind]:
                    number, tag = waiting[kind][0]
                    ctx.set(turn, tag)
                    others = "swap" if kind == "load" else "load"
                    older = [item for item in waiting[others] if item[0] < number]
                    allowed = not older and (kind == "swap" or cycle >= last_swap + reload_cycles)
                    assert ctx.get(may) == allowed, f"seed {seed}, cycle {cycle}: {kind} {number}"
                    earliest[kind] += allowed
                    if allowed and rng.random() < eager:
                        ctx.set(pulse, 1)
                        starts.append((kind, number))
            if index < len(program) and len(waiting[program[index]]) < 2 and rng.random() < 0.8:
                kind = program[index]
                ctx.set(dut.i_load_accepted if kind == "load" else dut.i_swap_accepted, 1)
                accepted = (kind, (index, ctx.get(dut.o_load_turn if kind == "load" else dut.o_swap_turn)))
                index += 1
            else:
                accepted = None
            # The swap that is the first in the next cycle, if it is another one than now.
            after = waiting["swap"][any(kind == "swap" for kind, _ in starts) :] + (
                [accepted[1]] if accepted and accepted[0] == "swap" else []
            )
            ctx.set(dut.i_swap_moves, after[:1] != waiting["swap"][:1])
            ctx.set(dut.i_next_swap_turn, after[0][1] if after else int(rng.integers(1 << TURN_BITS)))
            await ctx.tick()
            for kind, number in starts:
                waiting[kind].pop(0)
                begun.append((cycle, number, kind))
                last_swap = cycle if kind == "swap" else last_swap
            if accepted:
                waiting[accepted[0]].append(accepted[1])
            if len(begun) == len(program):
                return
        raise AssertionError(f"seed {seed}: stuck after {len(begun)}")

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    for kind in ("load", "swap"):
        numbers = [number for _, number, name in begun if name == kind]
        assert numbers == [number for number, name in enumerate(program) if name == kind]
    # A swap begins after every load before it, and a load after every swap before it, each a cycle later at least.
    for cycle, number, kind in begun:
        assert all(other_cycle < cycle for other_cycle, other, name in begun if other < number and name != kind), (cycle, number)
    assert min(earliest.values()) > 10


def test_start_forgets() -> None:
    """A swap in the middle of its wavefront and a load nobody used are forgotten."""
    dut = Interlock(reload_cycles=9)

    async def testbench(ctx: Any) -> None:
        for pulses in ((dut.i_load_accepted,), (dut.i_load_begun, dut.i_swap_accepted), (dut.i_swap_begun,)):
            for pulse in pulses:
                ctx.set(pulse, 1)
            await ctx.tick()
            for pulse in pulses:
                ctx.set(pulse, 0)
        ctx.set(dut.i_load_turn, ctx.get(dut.o_load_turn))
        assert (ctx.get(dut.o_load_turn), ctx.get(dut.o_swap_turn), ctx.get(dut.o_may_load)) == (1, 1, 0)
        ctx.set(dut.i_start, 1)
        await ctx.tick()
        ctx.set(dut.i_start, 0)
        ctx.set(dut.i_load_turn, 0)
        assert (ctx.get(dut.o_load_turn), ctx.get(dut.o_swap_turn), ctx.get(dut.o_may_load)) == (0, 0, 1)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_parameters_are_checked(value: Any) -> None:
    with pytest.raises(ValueError, match=f"reload_cycles must be a positive integer, not {value!r}"):
        Interlock(reload_cycles=value)
