"""Job control: start, end, deadlock, watchdog, first error."""

import pytest
from amaranth.sim import Simulator

from hw.common.isa import ENGINES, Cause
from hw.control.job import SETTLE_CYCLES, JobControl

ALL = (1 << len(ENGINES)) - 1


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


async def start(ctx, dut, watchdog=0):
    ctx.set(dut.i_watchdog, watchdog)
    ctx.set(dut.i_start, 1)
    assert ctx.get(dut.o_start)
    await ctx.tick()
    ctx.set(dut.i_start, 0)
    assert ctx.get(dut.o_running) and not ctx.get(dut.o_done)


def test_ends_when_all_have_finished():
    dut = JobControl()

    async def testbench(ctx):
        await start(ctx, dut)
        for engines in range(ALL):
            ctx.set(dut.i_finished, engines)
            assert not ctx.get(dut.o_ended), engines
            await ctx.tick()
        ctx.set(dut.i_finished, ALL)
        ctx.set(dut.i_active, 1)
        assert not ctx.get(dut.o_ended)  # an engine still drains
        ctx.set(dut.i_active, 0)
        assert ctx.get(dut.o_ended)
        await ctx.tick()
        assert not ctx.get(dut.o_running) and ctx.get(dut.o_done) and not ctx.get(dut.o_error)
        assert not ctx.get(dut.o_ended)

    simulate(dut, testbench)


def test_start_is_ignored_while_running():
    dut = JobControl()

    async def testbench(ctx):
        await start(ctx, dut)
        ctx.set(dut.i_start, 1)
        assert not ctx.get(dut.o_start)

    simulate(dut, testbench)


@pytest.mark.parametrize("waiting", range(1, ALL + 1))
def test_deadlock_halts_the_waiting_engines(waiting):
    dut = JobControl()

    async def testbench(ctx):
        await start(ctx, dut)
        ctx.set(dut.i_finished, ALL & ~waiting)
        ctx.set(dut.i_waiting, waiting)
        for _ in range(SETTLE_CYCLES):
            assert not ctx.get(dut.o_halt)
            await ctx.tick()
        assert ctx.get(dut.o_halt) == waiting and ctx.get(dut.o_halt_cause) == Cause.DEADLOCK.value
        assert not ctx.get(dut.o_ended)
        await ctx.tick()
        ctx.set(dut.i_waiting, 0)
        ctx.set(dut.i_halted, waiting)
        assert ctx.get(dut.o_failed)
        for _ in range(SETTLE_CYCLES + 2):
            assert not ctx.get(dut.o_halt)
            await ctx.tick()
        assert ctx.get(dut.o_done) and ctx.get(dut.o_error)
        assert ctx.get(dut.o_first_valid) and 1 << ctx.get(dut.o_first_engine) == waiting & -waiting

    simulate(dut, testbench)


@pytest.mark.parametrize("disturbance", ["i_inflight", "i_active", "i_progress"])
def test_no_deadlock_while_anything_moves(disturbance):
    dut = JobControl()

    async def testbench(ctx):
        await start(ctx, dut)
        ctx.set(dut.i_waiting, ALL)
        for _ in range(5):
            ctx.set(getattr(dut, disturbance), 1)
            for _ in range(3 * SETTLE_CYCLES):
                await ctx.tick()
                assert not ctx.get(dut.o_halt)
            ctx.set(getattr(dut, disturbance), 0)
            for _ in range(SETTLE_CYCLES - 1):
                await ctx.tick()
                assert not ctx.get(dut.o_halt)

    simulate(dut, testbench)


def test_error_leaves_waiting_engines_alone():
    dut = JobControl()

    async def testbench(ctx):
        await start(ctx, dut)
        ctx.set(dut.i_halted, 0b0100)
        ctx.set(dut.i_waiting, 0b1011)
        for _ in range(SETTLE_CYCLES):
            assert not ctx.get(dut.o_ended)
            await ctx.tick()
        assert ctx.get(dut.o_ended) and not ctx.get(dut.o_halt)
        assert ctx.get(dut.o_error) and ctx.get(dut.o_first_engine) == 2

    simulate(dut, testbench)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 1), (1, 0), (0, 1)])
def test_watchdog(before, after):
    """The chip is stuck if something is in flight once all have halted, two cycles after the order: a transfer may begin or end in between."""
    dut, limit = JobControl(), 17

    async def testbench(ctx):
        await start(ctx, dut, watchdog=limit)
        ctx.set(dut.i_finished, 0b0001)
        ctx.set(dut.i_inflight, before << 1)
        for _ in range(limit):
            assert not ctx.get(dut.o_halt)
            await ctx.tick()
        ctx.set(dut.i_progress, 1)  # just in time
        await ctx.tick()
        ctx.set(dut.i_progress, 0)
        for _ in range(limit + 1):
            assert not ctx.get(dut.o_halt)
            await ctx.tick()
        for _ in range(2):
            assert ctx.get(dut.o_halt) == 0b1110 and ctx.get(dut.o_halt_cause) == Cause.WATCHDOG.value and not ctx.get(dut.o_ended)
            await ctx.tick()
        ctx.set(dut.i_halted, 0b1110)
        ctx.set(dut.i_inflight, after << 1)
        assert ctx.get(dut.o_ended) and ctx.get(dut.o_failed) and not ctx.get(dut.o_halt)
        await ctx.tick()
        # Nobody sees a job that is done and has no error yet.
        assert ctx.get(dut.o_done) and ctx.get(dut.o_error) and not ctx.get(dut.o_running) and ctx.get(dut.o_stuck) == after
        ctx.set(dut.i_start, 1)
        assert ctx.get(dut.o_start) == (not after)


def test_watchdog_of_a_job_that_goes_on_after_all():
    """Something moves in the cycle of the order: the job ends when that is over, and not stuck."""
    dut, limit = JobControl(), 40

    async def testbench(ctx):
        await start(ctx, dut, watchdog=limit)
        while not ctx.get(dut.o_halt):
            await ctx.tick()
        await ctx.tick()
        ctx.set(dut.i_progress, 1)
        ctx.set(dut.i_inflight, 1)
        await ctx.tick()
        ctx.set(dut.i_progress, 0)
        ctx.set(dut.i_halted, ALL)
        for _ in range(limit - 2):
            assert not ctx.get(dut.o_ended)
            await ctx.tick()
        ctx.set(dut.i_progress, 1)
        await ctx.tick()
        ctx.set(dut.i_progress, 0)
        ctx.set(dut.i_inflight, 0)
        for _ in range(SETTLE_CYCLES):
            assert not ctx.get(dut.o_ended)
            await ctx.tick()
        assert ctx.get(dut.o_ended)
        await ctx.tick()
        assert ctx.get(dut.o_done) and ctx.get(dut.o_error) and not ctx.get(dut.o_stuck)

    simulate(dut, testbench)


def test_watchdog_zero_is_off():
    dut = JobControl()

    async def testbench(ctx):
        await start(ctx, dut, watchdog=0)
        for _ in range(200):
            await ctx.tick()
            assert not ctx.get(dut.o_halt) and ctx.get(dut.o_running)

    simulate(dut, testbench)
