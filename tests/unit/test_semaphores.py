# amaranth: UnusedElaboratable=no
"""Semaphores against a plain counter model, every port in every cycle, counters pushed to both edges."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.common.isa import COUNT_BITS, ENGINES
from hw.control.semaphores import POSTS, Semaphores

CONFIG = ChipConfig(rows=4, cols=4, output_lanes=1)
ENGINE_COUNT = len(ENGINES)


class Model:
    """Takes by engine, then posts by engine and slot, each seeing what the ones before did."""

    def __init__(self, config):
        self.top = (1 << config.semaphore_width) - 1
        self.counts = [0] * config.semaphores

    def cycle(self, waits, posts):
        ready, overflow = [], []
        for semaphore, count in waits:
            served = semaphore is None or (semaphore < len(self.counts) and self.counts[semaphore] >= count)
            if served and semaphore is not None:
                self.counts[semaphore] -= count
            ready.append(served)
        for semaphore, count in posts:
            refused = semaphore is not None and (semaphore >= len(self.counts) or self.counts[semaphore] + count > self.top)
            if not refused and semaphore is not None:
                self.counts[semaphore] += count
            overflow.append(refused)
        return ready, overflow


def simulate(config, testbench):
    dut = Semaphores(config=config)
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def run(ctx):
        await testbench(ctx, dut)

    sim.add_testbench(run)
    sim.run()


def drive(ctx, port, request):
    semaphore, count = request
    ctx.set(port.valid, semaphore is not None)
    ctx.set(port.semaphore, semaphore or 0)
    ctx.set(port.count, count)


def answers(ctx, dut, waits, posts):
    """The answers to the ports that are valid (the others read as the model's idle)."""
    ready = [waits[e][0] is None or bool(ctx.get(dut.wait[e].ready)) for e in range(ENGINE_COUNT)]
    overflow = [posts[p][0] is not None and bool(ctx.get(dut.post[p // POSTS][p % POSTS].overflow)) for p in range(ENGINE_COUNT * POSTS)]
    return ready, overflow


@pytest.mark.parametrize(
    ("semaphores", "width", "counts", "seed"),
    [(32, 12, 1 << COUNT_BITS, 0), (4, 4, 6, 0), (4, 4, 6, 1), (5, 4, 20, 0), (6, 16, 1 << COUNT_BITS, 0)],
)
def test_random_traffic(semaphores, width, counts, seed):
    config = ChipConfig(rows=4, cols=4, output_lanes=1, semaphores=semaphores, semaphore_width=width)
    rng = np.random.default_rng(seed)
    seen = {"served": 0, "refused": 0, "overflow": 0, "posted": 0}

    async def testbench(ctx, dut):
        model = Model(config)
        waits = [(None, 0)] * ENGINE_COUNT
        for cycle in range(250):
            # A wait that was refused is made again: valid holds until ready. Phases of many posts and of many waits reach both edges.
            eager = 0.9 if cycle // 50 % 2 else 0.3

            def request(probability):
                if rng.random() >= probability:
                    return None, 0
                high = 32 if rng.random() < 0.1 else 3
                return int(rng.integers(high)), int(rng.integers(1, counts))

            waits = [old if old[0] is not None else request(1.1 - eager) for old in waits]
            posts = [request(eager) for _ in range(ENGINE_COUNT * POSTS)]
            clear = rng.random() < 0.01
            ctx.set(dut.i_clear, clear)
            for engine in range(ENGINE_COUNT):
                drive(ctx, dut.wait[engine], waits[engine])
                for slot in range(POSTS):
                    drive(ctx, dut.post[engine][slot], posts[engine * POSTS + slot])
            got = answers(ctx, dut, waits, posts)
            ready, overflow = model.cycle(waits, posts)
            assert got == (ready, overflow), f"seed {seed}, cycle {cycle}: waits {waits}, posts {posts}"
            if clear:
                model.counts = [0] * semaphores
            for index, (semaphore, _) in enumerate(waits):
                if semaphore is not None:
                    seen["served" if ready[index] else "refused"] += 1
                    # One that can never be served (no such semaphore, count above the width) is given up.
                    if ready[index] or semaphore >= semaphores or rng.random() < 0.05:
                        waits[index] = (None, 0)
            seen["overflow"] += sum(overflow)
            seen["posted"] += sum(semaphore is not None for semaphore, _ in posts) - sum(overflow)
            await ctx.tick()

    simulate(config, testbench)
    assert min(seen.values()) >= 20, f"seed {seed}: {seen}"


def test_everything_of_a_cycle_takes_effect_together():
    config = ChipConfig(rows=4, cols=4, output_lanes=1, semaphore_width=4)

    async def testbench(ctx, dut):
        async def cycle(waits=(), posts=()):
            """One cycle of {engine: (semaphore, count)} waits and posts by (engine, slot)."""
            waits, posts = dict(waits), dict(posts)
            for engine in range(ENGINE_COUNT):
                drive(ctx, dut.wait[engine], waits.get(engine, (None, 0)))
                for slot in range(POSTS):
                    drive(ctx, dut.post[engine][slot], posts.get((engine, slot), (None, 0)))
            result = (
                {engine: ctx.get(dut.wait[engine].ready) for engine in waits},
                {key: ctx.get(dut.post[key[0]][key[1]].overflow) for key in posts},
            )
            await ctx.tick()
            return result

        # A wait does not see this cycle's posts, and sees them in the next.
        assert await cycle({2: (7, 5)}, {(0, 1): (7, 5)}) == ({2: 0}, {(0, 1): 0})
        assert await cycle({2: (7, 6)}) == ({2: 0}, {})
        assert await cycle({2: (7, 5)}) == ({2: 1}, {})
        # Two waits on one semaphore: the lower engine first, the other only if enough is left.
        await cycle(posts={(3, 0): (7, 9)})
        assert await cycle({1: (7, 6), 3: (7, 4)}) == ({1: 1, 3: 0}, {})
        assert await cycle({0: (7, 1), 3: (7, 2)}) == ({0: 1, 3: 1}, {})
        # All eight posts add up; the one that does not fit is refused, a later smaller one is made.
        fill = {(engine, slot): (7, 1) for engine in range(4) for slot in range(2)}
        assert await cycle(posts=fill) == ({}, dict.fromkeys(fill, 0))
        assert await cycle(posts={(0, 0): (7, 8), (0, 1): (7, 6), (1, 0): (7, 1)}) == ({}, {(0, 0): 1, (0, 1): 0, (1, 0): 0})
        assert await cycle(posts={(2, 0): (7, 1)}) == ({}, {(2, 0): 1})
        # A take makes room for a post of its own cycle.
        assert await cycle({3: (7, 15)}, {(0, 0): (7, 15)}) == ({3: 1}, {(0, 0): 0})
        assert await cycle({3: (7, 15)}) == ({3: 1}, {})
        assert await cycle({3: (7, 1)}) == ({3: 0}, {})

    simulate(config, testbench)


def test_served_every_cycle():
    """Throughput: post and take one a cycle for ever, a cycle apart."""

    async def testbench(ctx, dut):
        drive(ctx, dut.post[0][0], (1, 3))
        drive(ctx, dut.wait[1], (1, 3))
        served = []
        for _ in range(20):
            _, _, ready = await ctx.tick().sample(dut.wait[1].ready)
            served.append(int(ready))
        assert served == [0] + [1] * 19

    simulate(CONFIG, testbench)


def test_clear():
    async def testbench(ctx, dut):
        drive(ctx, dut.post[0][0], (4, 9))
        await ctx.tick()
        ctx.set(dut.i_clear, 1)
        await ctx.tick()
        ctx.set(dut.i_clear, 0)
        drive(ctx, dut.post[0][0], (None, 0))
        drive(ctx, dut.wait[0], (4, 1))
        assert not ctx.get(dut.wait[0].ready)

    simulate(CONFIG, testbench)


def test_refuses_another_config():
    with pytest.raises(TypeError, match="config must be a ChipConfig, not 'base'"):
        Semaphores(config="base")
