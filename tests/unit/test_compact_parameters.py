# amaranth: UnusedElaboratable=no
"""Parameters of the compact chip's datapath: written, stepped and wrapped at their widths, commands begun and ended."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.compact.bus import Command, Parameter
from hw.compact.parameters import Parameters

CONFIG = ChipConfig.named("nano")
#: What a step of each does, its width, and the parameter that is its stride.
COUNTERS: dict[str, tuple[int, Parameter | int]] = {
    "sbuf": (14, Parameter.SBUF_STRIDE),
    "dram": (20, Parameter.DRAM_STRIDE),
    "count": (16, -1),
    "psum": (8, 1),
    "row": (2, 1),
}
EDGES = [0, 1, 2, 127, 128, 255, 256, 0x3FFF, 0x4000, 0xFFFF, 0x10000, 0x80000, 0xFFFFF, 0x100000, 0xFFFFFFFF, 0x80000000]


def simulate(dut: Any, testbench: Any) -> None:
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def test_writes_and_steps() -> None:
    """Random and extreme values against arithmetic modulo the widths, steps in any combination."""
    rng = np.random.default_rng(1)
    dut: Any = Parameters(config=CONFIG)
    values = dict.fromkeys(Parameter, 0)
    seen_last = 0

    async def testbench(ctx: Any) -> None:
        nonlocal seen_last
        for index in Parameter:
            if index is not Parameter.COMMAND:
                ctx.set(dut.write, 1)
                ctx.set(dut.index, index)
                await ctx.tick()
        for cycle in range(1500):
            writes = rng.random() < 0.4
            index = Parameter(int(rng.integers(8)))
            data = int(rng.choice(EDGES)) if rng.random() < 0.7 else int(rng.integers(1 << 32))
            # A parameter is not written in a cycle in which it steps: commands are over by then.
            steps = {name for name in COUNTERS if not writes and rng.random() < 0.5}
            swapped = not writes and rng.random() < 0.2
            ctx.set(dut.write, writes)
            ctx.set(dut.index, index)
            ctx.set(dut.data, data)
            ctx.set(dut.i_swapped, swapped)
            for name in COUNTERS:
                ctx.set(getattr(dut, f"i_step_{name}"), name in steps)
            ahead = ctx.get(dut.o_psum_next)
            await ctx.tick()
            if writes:
                values[index] = data
            for name in steps:
                _, change = COUNTERS[name]
                values[Parameter[name.upper()]] += values[change] if isinstance(change, Parameter) else change
            if swapped:
                values[Parameter.FLAGS] &= ~2
            for name, (width, _) in COUNTERS.items():
                expected = values[Parameter[name.upper()]] & (1 << width) - 1
                assert ctx.get(getattr(dut, f"o_{name}")) == expected, f"{name} in cycle {cycle}"
            if not writes:
                assert ahead == ctx.get(dut.o_psum)
            assert ctx.get(dut.o_last) == (values[Parameter.COUNT] & 0xFFFF == 1)
            seen_last += ctx.get(dut.o_last)
            flags = values[Parameter.FLAGS]
            assert ctx.get(dut.o_accumulate) == flags & 1 and ctx.get(dut.o_swap) == flags >> 1 & 1
            assert ctx.get(dut.o_lanes) == flags >> 8 & 15
            found = ctx.get(dut.o_flags)
            assert (found.mode, found.bias, found.relu) == (flags & 7, flags >> 3 & 1, flags >> 4 & 1)

    simulate(dut, testbench)
    assert seen_last > 5


@pytest.mark.parametrize("command", Command)
def test_commands(command: Command) -> None:
    """A command is active, alone, from the cycle after it is written to the one with `i_done`."""
    dut: Any = Parameters(config=CONFIG)

    async def testbench(ctx: Any) -> None:
        names = [item.name.lower() for item in Command if item is not Command.NONE]
        ctx.set(dut.write, 1)
        ctx.set(dut.index, Parameter.COMMAND)
        ctx.set(dut.data, command.value)
        await ctx.tick()
        ctx.set(dut.write, 0)
        for _ in range(3):
            assert [name for name in names if ctx.get(dut.o_active[name])] == [command.name.lower()] * (command is not Command.NONE)
            assert ctx.get(dut.o_busy) == (command is not Command.NONE)
            await ctx.tick()
        ctx.set(dut.i_done, 1)
        await ctx.tick()
        assert not ctx.get(dut.o_busy)

    simulate(dut, testbench)


def test_refuses_what_is_no_config() -> None:
    with pytest.raises(TypeError, match="config must be a ChipConfig, not 'nano'"):
        Parameters(config="nano")  # type: ignore[arg-type]
