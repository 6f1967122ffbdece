# amaranth: UnusedElaboratable=no
"""Semaphores against plain counters, all ports at once, counters pushed to both edges."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.common.isa import COUNT_BITS, ENGINES
from hw.control.semaphores import POSTS, Semaphores

CONFIG = ChipConfig(rows=4, cols=4, output_lanes=1)
ENGINE_COUNT = len(ENGINES)


def simulate(config, testbench):
    dut = Semaphores(config=config)
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def run(ctx):
        await testbench(ctx, dut)

    sim.add_testbench(run)
    sim.run()


def ports_of(dut):
    return [dut.wait[engine] for engine in range(ENGINE_COUNT)] + [dut.post[n // POSTS][n % POSTS] for n in range(ENGINE_COUNT * POSTS)]


async def ready(ctx):
    """After reset the counters are cleared, and nothing is looked at."""
    for _ in range(CONFIG.semaphores):
        await ctx.tick()


def drive(ctx, port, request):
    semaphore, count = request or (0, 0)
    ctx.set(port.valid, request is not None)
    ctx.set(port.semaphore, semaphore)
    ctx.set(port.count, count)


@pytest.mark.parametrize(
    ("semaphores", "width", "counts", "seed"),
    [(32, 12, 1 << COUNT_BITS, 0), (4, 4, 6, 0), (4, 4, 6, 1), (5, 4, 20, 0), (6, 16, 1 << COUNT_BITS, 0)],
)
def test_random_traffic(semaphores, width, counts, seed):
    """Every answer against counters that take it in its cycle; nobody waits longer than all others have turns."""
    config = ChipConfig(rows=4, cols=4, output_lanes=1, semaphores=semaphores, semaphore_width=width)
    rng = np.random.default_rng(seed)
    top = (1 << width) - 1
    seen = {"served": 0, "refused": 0, "overflow": 0, "posted": 0}

    async def testbench(ctx, dut):
        counters = [0] * semaphores
        ports = ports_of(dut)
        requests, ages, enough = [None] * len(ports), [0] * len(ports), [0] * len(ports)
        before, withdrawn = list(requests), [-2] * len(ports)
        heirs = set()  # Ports whose request follows one withdrawn at once: it may inherit the turn.
        resting = semaphores  # Cycles until requests are looked at.
        for cycle in range(900):
            # Phases of many posts and of many waits reach both edges.
            eager = 0.5 if cycle // 100 % 2 else 0.05
            for number in range(len(ports)):
                is_post = number >= ENGINE_COUNT
                # A port rests for a cycle after a withdrawal.
                if requests[number] is None and before[number] is None and rng.random() < (eager if is_post else 0.55 - eager):
                    high = 32 if rng.random() < 0.1 else 3
                    requests[number], ages[number] = (int(rng.integers(high)), int(rng.integers(1, counts))), 0
                    enough[number] = 0
                    (heirs.add if withdrawn[number] == cycle - 1 else heirs.discard)(number)
                elif requests[number] is not None and not is_post and rng.random() < 0.02:
                    requests[number], withdrawn[number] = None, cycle
                drive(ctx, ports[number], requests[number])
            clear = cycle > 1 and rng.random() < 0.005
            ctx.set(dut.i_clear, clear)
            answered = [number for number, port in enumerate(ports) if ctx.get(port.ready)]
            assert len(answered) <= 1
            where = f"seed {seed}, cycle {cycle}"
            for number in range(len(ports)):
                if requests[number] is None:
                    continue
                semaphore, count = requests[number]
                ages[number] += not resting
                if number >= ENGINE_COUNT:
                    assert ages[number] <= len(ports) + 5, f"{where}: post {number} waits"
                    continue
                # A wait that could be served for that many cycles on end has been.
                able = semaphore < semaphores and counters[semaphore] >= count
                enough[number] = enough[number] + (not resting) if able else 0
                assert enough[number] <= len(ports) + 5, f"{where}: wait {number} starves"
                seen["refused"] += not able
            for number in answered:
                # One withdrawn in the cycle of its answer has been served.
                semaphore, count = requests[number] or before[number]
                assert ages[number] + 2 * (number in heirs) >= (5 if requests[number] else 4), where
                if number < ENGINE_COUNT:
                    assert semaphore < semaphores and counters[semaphore] >= count, where
                    counters[semaphore] -= count
                    seen["served"] += 1
                else:
                    refused = semaphore >= semaphores or counters[semaphore] + count > top
                    assert ctx.get(ports[number].overflow) == refused, where
                    seen["overflow" if refused else "posted"] += 1
                    counters[semaphore if not refused else 0] += 0 if refused else count
                requests[number], enough[number] = None, 0
            if clear:
                counters = [0] * semaphores
                ages, enough = [0] * len(ports), [0] * len(ports)
            resting = semaphores if clear else max(resting - 1, 0)
            before = list(requests)
            await ctx.tick()

    simulate(config, testbench)
    assert min(seen.values()) >= 10, f"seed {seed}: {seen}"


def test_latency_alone_and_from_post_to_wait():
    async def testbench(ctx, dut):
        log = []
        await ready(ctx)
        drive(ctx, dut.wait[1], (1, 3))
        for cycle in range(16):
            # In every fourth cycle the wait is looked at and refused; the post is answered in 6 + 4.
            if cycle == 6:
                drive(ctx, dut.post[0][0], (1, 3))
            for name, port in (("wait", dut.wait[1]), ("post", dut.post[0][0])):
                if ctx.get(port.ready):
                    log.append((name, cycle))
            await ctx.tick()
            if log and log[-1] == ("post", cycle):
                drive(ctx, dut.post[0][0], None)
            if log and log[-1] == ("wait", cycle):
                drive(ctx, dut.wait[1], None)
        assert [name for name, _ in log] == ["post", "wait"]
        assert log[0][1] in (10, 11) and log[1][1] - log[0][1] in (1, 2, 3, 4)

    simulate(CONFIG, testbench)


def test_throughput_is_a_request_a_cycle():
    async def testbench(ctx, dut):
        ports = ports_of(dut)[ENGINE_COUNT:]
        await ready(ctx)
        for port in ports:
            drive(ctx, port, (2, 1))
        served = 0
        for _ in range(50):
            served += sum(ctx.get(port.ready) for port in ports)
            await ctx.tick()
        assert served == 46

    simulate(CONFIG, testbench)


@pytest.mark.parametrize("when", range(5))
def test_clear_forgets_counters_and_requests(when):
    async def testbench(ctx, dut):
        await ready(ctx)
        drive(ctx, dut.post[0][0], (4, 9))
        for _ in range(when):
            await ctx.tick()
        ctx.set(dut.i_clear, 1)
        await ctx.tick()
        ctx.set(dut.i_clear, 0)
        drive(ctx, dut.post[0][0], None)
        drive(ctx, dut.wait[0], (4, 1))
        for _ in range(CONFIG.semaphores + 10):
            assert not ctx.get(dut.wait[0].ready)
            assert not ctx.get(dut.post[0][0].ready)
            await ctx.tick()

    simulate(CONFIG, testbench)


def test_refuses_another_config():
    with pytest.raises(TypeError, match="config must be a ChipConfig, not 'base'"):
        Semaphores(config="base")
