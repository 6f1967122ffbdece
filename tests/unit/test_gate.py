# amaranth: UnusedElaboratable=no
"""The burst gate: order, never early, latency, one burst a cycle, reset."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.dma.gate import BurstGate

from .dma_bench import dma_config

CONFIG = dma_config()


def simulate(dut, bench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def run(lengths, *, config=CONFIG, lines=28, offer=1.0, ready=1.0, arrive=1.0, seed=1):
    """Sends bursts of these beats less one; gives (cycle a burst passed, cycle its last line came) and checks order and payload."""
    rng, dut = np.random.default_rng(seed), BurstGate(config=config, lines=lines)
    passed, came = [], []

    async def bench(ctx):
        offered, offering, taken, leaving = 0, False, 0, 0
        for now in range(20000):
            if len(passed) == len(lengths):
                break
            # No more lines ahead of what has passed than the buffer has.
            arriving = len(came) - leaving < lines and len(came) < sum(lengths) + len(lengths) and bool(rng.random() < arrive)
            if not offering and offered < len(lengths):
                offering = bool(rng.random() < offer)
            ctx.set(dut.i.valid, offering)
            if offering:
                ctx.set(dut.i.payload, {"address": 4 * offered, "length": lengths[offered], "last": offered % 2})
            is_ready = bool(rng.random() < ready)
            ctx.set(dut.o.ready, is_ready)
            ctx.set(dut.arrived, arriving)
            out = dut.o.payload
            _, _, i_ready, valid, address, length, last, busy = await ctx.tick().sample(
                dut.i.ready, dut.o.valid, out.address, out.length, out.last, dut.busy
            )
            assert bool(busy) == (taken > len(passed)), f"seed {seed}, cycle {now}"
            if offering and i_ready:
                offered, offering, taken = offered + 1, False, taken + 1
            if valid:
                index = len(passed)
                assert (address, length, last) == (4 * index, lengths[index], index % 2), f"seed {seed}, cycle {now}"
                assert leaving + lengths[index] + 1 <= len(came), f"seed {seed}, cycle {now}: early"
                if is_ready:
                    leaving += lengths[index] + 1
                    passed.append((now, came[leaving - 1]))
            if arriving:
                came.append(now)
        assert len(passed) == len(lengths), f"seed {seed}: stuck"

    simulate(dut, bench)
    return passed


@pytest.mark.parametrize("offer,ready,arrive", [(1.0, 1.0, 1.0), (0.5, 1.0, 1.0), (1.0, 0.4, 1.0), (1.0, 1.0, 0.4), (0.7, 0.7, 0.7)])
@pytest.mark.parametrize("longest", [1, 16, 256])
def test_random(longest, offer, ready, arrive):
    config = replace(CONFIG, dma_burst_lines=longest)
    rng = np.random.default_rng(3)
    lengths = [int(rng.choice([0, 1, longest - 1, int(rng.integers(longest))])) % longest for _ in range(40)]
    run(lengths, config=config, lines=longest + 12, offer=offer, ready=ready, arrive=arrive, seed=longest)


def test_latency():
    """A burst that waits for lines passes in the cycle after the last of them."""
    assert all(now == line + 1 for now, line in run([15, 7, 3, 15]))


def test_a_burst_a_cycle():
    cycles = [now for now, _ in run([0] * 30)]
    assert cycles == list(range(cycles[0], cycles[0] + 30))


def test_reset():
    """Neither burst nor lines are left."""
    dut, reset = BurstGate(config=CONFIG, lines=28), Signal()

    async def bench(ctx):
        for waiting in (1, 0):
            ctx.set(dut.i.payload, {"address": 0, "length": 2, "last": 0})
            ctx.set(dut.i.valid, waiting)
            ctx.set(dut.arrived, 1 - waiting)
            await ctx.tick().repeat(2)
            assert ctx.get(dut.busy) == 1
            ctx.set(dut.i.valid, 0)
            ctx.set(dut.arrived, 0)
            if not waiting:
                ctx.set(reset, 1)
                await ctx.tick()
                ctx.set(reset, 0)
        assert ctx.get(dut.busy) == 0
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        ctx.set(dut.arrived, 1)
        for lines in range(3):
            assert ctx.get(dut.o.valid) == 0, f"after {lines} of three lines"
            await ctx.tick()
        assert ctx.get(dut.o.valid) == 1

    simulate(ResetInserter(reset)(dut), bench)
