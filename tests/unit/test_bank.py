# amaranth: UnusedElaboratable=no
"""`Bank`: masks, latency, hold, against a dictionary."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.memory.bank import Bank


@pytest.mark.parametrize("lines", [1, 2])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_reads_and_writes(lines: int, seed: int) -> None:
    depth, width = 8, 8
    dut = Bank(depth=depth, lines=lines, line_width=width)
    rng = np.random.default_rng(seed)
    model = [[0] * lines for _ in range(depth)]

    async def bench(ctx: Any) -> None:
        for address in range(depth):
            ctx.set(dut.i_enable, 1)
            ctx.set(dut.i_write, 1)
            ctx.set(dut.i_address, address)
            ctx.set(dut.i_mask, -1 & ((1 << lines) - 1))
            ctx.set(dut.i_data, 0)
            await ctx.tick()
        expected, reads = None, 0
        for cycle in range(400):
            enable, write, address = int(rng.integers(2)), int(rng.integers(2)), int(rng.integers(depth))
            mask, values = int(rng.integers(1 << lines)), rng.integers(256, size=lines)
            for port, value in ((dut.i_enable, enable), (dut.i_write, write), (dut.i_address, address), (dut.i_mask, mask)):
                ctx.set(port, value)
            ctx.set(dut.i_data, sum(int(v) << (width * i) for i, v in enumerate(values)))
            await ctx.tick()
            if enable and not write:
                expected = sum(v << (width * i) for i, v in enumerate(model[address]))
                reads += 1
            if enable and write:
                model[address] = [int(values[i]) if mask >> i & 1 else model[address][i] for i in range(lines)]
            if expected is not None:
                assert ctx.get(dut.o_data) == expected, f"seed {seed}, cycle {cycle}"
        assert reads > 50

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize(("name", "value"), [("depth", 1), ("lines", 0), ("line_width", 0), ("depth", 2.0)])
def test_rejects_bad_parameters(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least [12], not {value!r}"):
        Bank(**({"depth": 8, "lines": 1, "line_width": 8} | {name: value}))
