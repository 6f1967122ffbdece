# amaranth: UnusedElaboratable=no
"""Job control beside the semaphores: waits that will be served are never taken for a deadlock."""

import pytest
from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.common.isa import ENGINES, Cause
from hw.control import job
from hw.control.job import SETTLE_CYCLES, JobControl
from hw.control.semaphores import Semaphores

CONFIG = ChipConfig(rows=4, cols=4, output_lanes=1, semaphores=4)


class Settling(wiring.Component):
    """Semaphores and job control as in the chip: the job is judged by what was a cycle ago."""

    inflight: In(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.job = self.job = JobControl()
        m.submodules.semaphores = self.semaphores = Semaphores(config=CONFIG)
        waits = self.semaphores.wait
        m.d.sync += [
            self.job.i_waiting.eq(Cat(port.valid & ~port.ready for port in waits)),
            self.job.i_inflight.eq(self.inflight),
            self.job.i_progress.eq(Cat(port.valid & port.ready for port in waits).any()),
        ]
        return m


def answers_after_the_last_post(first, served):
    """All four engines wait, and a post offered in cycle `first` is the last thing in flight. It is enough for two waits of engine `served`, one behind
    the other. Gives how long after the answer of the post those of the waits and the halt come, as far as they come."""
    dut, passed = Settling(), []

    async def testbench(ctx):
        waits, post = [dut.semaphores.wait[engine] for engine in range(len(ENGINES))], dut.semaphores.post[0][0]
        ctx.set(dut.job.i_start, 1)
        ctx.set(dut.inflight, 1)
        await ctx.tick()
        ctx.set(dut.job.i_start, 0)
        await ctx.tick().repeat(CONFIG.semaphores)
        for engine, port in enumerate(waits):
            ctx.set(port.semaphore, engine)
            ctx.set(port.count, 1)
            ctx.set(port.valid, 1)
        ctx.set(post.semaphore, served)
        ctx.set(post.count, 2)
        await ctx.tick().repeat(first)
        ctx.set(post.valid, 1)
        while not ctx.get(post.ready):
            await ctx.tick()
        for cycle in range(100):
            ready = [engine for engine, port in enumerate(waits) if ctx.get(port.ready)]
            halt = ctx.get(dut.job.o_halt)
            if ready or halt:
                assert ready in ([], [served])
                passed.append(cycle)
            if halt:
                assert ctx.get(dut.job.o_halt_cause) == Cause.DEADLOCK.value
                return
            await ctx.tick()
            # As the completion of an engine: the post is gone and nothing in flight in the cycle after the answer.
            ctx.set(post.valid, 0)
            ctx.set(dut.inflight, 0)
        raise AssertionError("no deadlock")

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    return passed


PHASES = [(first, served) for first in range(1, len(ENGINES) + 1) for served in range(len(ENGINES))]


def test_no_deadlock_before_every_wait_had_its_turn_after_the_last_post():
    """The second wait is raised in the cycle after the first was served, which is seen a cycle later and begins the count anew."""
    found = [answers_after_the_last_post(*phase) for phase in PHASES]
    assert all(halt == two + 2 + SETTLE_CYCLES for _, two, halt in found)
    assert {one for one, _, _ in found} == {1, 2, 3, 4} and all(two - one == 5 for one, two, _ in found)
    assert SETTLE_CYCLES >= 2 * 5, "too little margin"


@pytest.mark.parametrize("phase", PHASES)
def test_too_short_a_settling_is_seen(monkeypatch, phase):
    """That the test above could fail: a wait that would be served is called a deadlock."""
    monkeypatch.setattr(job, "SETTLE_CYCLES", 2)
    assert len(answers_after_the_last_post(*phase)) < 3
