# amaranth: UnusedElaboratable=no
"""The write-back: each row of sums to the place remembered for it, and done when its last row can be read."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.memory.psum import psum_write_latency
from hw.tensor.writeback import Writeback

CONFIG = ChipConfig(rows=2, cols=2, output_lanes=1, psum_banks=4, psum_rows=16, accumulator_stages=2)


@pytest.mark.parametrize("rate", [1.0, 0.5])
@pytest.mark.parametrize("delay", [2, 3, 7, 8])
def test_rows_meet_their_places(delay: int, rate: float) -> None:
    """Every cycle of a random stream; at full rate the queue holds `delay` rows."""
    rng, dut = np.random.default_rng(delay), Writeback(config=CONFIG, delay=delay)
    cycles = 120
    requested = [bool(rng.random() < rate) and cycle < cycles - 20 for cycle in range(cycles)]
    places = [tuple(int(rng.integers(high)) for high in (4, 16, 2, 2)) for _ in range(cycles)]
    latency = delay + psum_write_latency(CONFIG) + 1
    done = []

    async def testbench(ctx: Any) -> None:
        for cycle in range(cycles):
            ctx.set(dut.i_row, requested[cycle])
            ctx.set(dut.i_destination, dict(zip(("bank", "row", "accumulate", "last"), places[cycle], strict=True)))
            arrives = cycle >= delay and requested[cycle - delay]
            ctx.set(dut.i.valid, arrives)
            ctx.set(dut.i.is_float, cycle % 2)
            ctx.set(dut.i.data, [cycle, cycle + 1])
            psum = dut.psum
            _, _, valid, bank, row, accumulate, is_float, data, pulse, flight = await ctx.tick().sample(
                psum.valid, psum.bank, psum.row, psum.accumulate, psum.is_float, psum.data, dut.done, dut.o_flight
            )
            assert valid == arrives, f"seed {delay}, cycle {cycle}"
            if arrives:
                assert (bank, row, accumulate) == places[cycle - delay][:3], f"seed {delay}, cycle {cycle}"
                assert (is_float, list(data)) == (cycle % 2, [cycle, cycle + 1])
            assert pulse == (cycle >= latency and requested[cycle - latency] and places[cycle - latency][3]), f"seed {delay}, cycle {cycle}"
            assert flight == any(requested[max(0, cycle - latency) : cycle]), f"seed {delay}, cycle {cycle}"
            done.append(pulse)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert sum(done) > 10


def test_reset_forgets_rows() -> None:
    dut, reset = Writeback(config=CONFIG, delay=4), Signal()

    async def testbench(ctx: Any) -> None:
        async def request(row: int) -> None:
            ctx.set(dut.i_row, 1)
            ctx.set(dut.i_destination, {"bank": 1, "row": row, "accumulate": 1, "last": 1})
            await ctx.tick()
            ctx.set(dut.i_row, 0)

        await request(3)
        assert ctx.get(dut.o_flight)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert not ctx.get(dut.o_flight)
        await request(7)
        await ctx.tick().repeat(3)
        ctx.set(dut.i.valid, 1)
        assert (ctx.get(dut.psum.valid), ctx.get(dut.psum.row)) == (1, 7)

    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("value", [1, 0, 2.5])
def test_parameters_are_checked(value: Any) -> None:
    with pytest.raises(ValueError, match=f"delay must be an integer from 2, not {value!r}"):
        Writeback(config=CONFIG, delay=value)
