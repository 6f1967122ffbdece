# amaranth: UnusedElaboratable=no
"""All the ways in which a sequencer halts, and what it says then."""

import numpy as np
import pytest

from hw.common.isa import ENGINES, Cause
from hw.control.sequencer import TraceState
from sim.golden.check import first_cause
from tests.unit.random_instructions import random_word
from tests.unit.sequencer_bench import CONFIG, WINDOW, Bench, program, word


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("engine", ENGINES)
def test_a_corrupt_instruction_halts_there(engine, seed):
    rng = np.random.default_rng([seed, ENGINES[engine].index])
    words = program(rng, engine, CONFIG, 8)
    place = int(rng.integers(0, 8))
    cause = Cause.NONE
    while cause is Cause.NONE:
        words[place] = random_word(rng, engine, CONFIG, WINDOW)
        cause, address = first_cause(words[place], engine, CONFIG, *WINDOW, 0 if place else None)
    bench = Bench(CONFIG, engine, words, seed=seed, pause=0.4, work=9)

    async def testbench(b):
        await b.start()
        await b.until(lambda: b.over)
        status = b.status()
        assert (status["cause"], status["index"], status["address"]) == (cause, place, address), f"seed {seed}"
        assert (status["halted"], status["finished"], status["retired"]) == (1, 0, place)
        for _ in range(60):
            await b.cycle()
        assert b.check_order(place) == len(b.waits), "waits of the failing instruction were taken"
        assert sorted(post for _, *post in b.posts) == sorted(list(post) for post in b.wanted_posts(range(place)))
        assert b.status() == status and b.states[-1] is TraceState.HALTED

    bench.run(testbench)


@pytest.mark.parametrize("place", [0, 3, 9])
def test_fetch_error(place):
    words = program(np.random.default_rng(place), "load", CONFIG, 10)
    bench = Bench(CONFIG, "load", words, pause=0.2, seed=place)
    address = bench.base + 64 * place
    bench.bad.add(address)

    async def testbench(b):
        await b.start()
        await b.until(lambda: b.over)
        assert b.status() | {"inflight": 0} == b.status()
        assert (b.status()["cause"], b.status()["index"], b.status()["address"]) == (Cause.FETCH_ERROR, place, address)
        b.check_order(place)
        assert len(b.requests) <= place + 1 + CONFIG.queue_depth

    bench.run(testbench)


OUTSIDE = [
    (0x1000, 4, (0x1000, 4 * 64), True),
    (0x1000, 4, (0x1000, 4 * 64 - 1), False),
    (0x1000, 4, (0x1001, 4 * 64), False),
    (0x1020, 4, (0, 1 << 24), False),
    (0xFFFF00, 4, (0, 1 << 40), True),
    (0xFFFF40, 4, (0, 1 << 40), False),
    (0x1000, 0xFFFFFFFF, (0, 1 << 24), False),
    (1 << 63, 1, (0, (1 << 64) - 1), False),
    ((1 << 64) - 64, 1, (0, (1 << 64) - 1), False),
    (0x1000, 1, ((1 << 64) - 64, (1 << 64) - 1), False),
    (0, 1, (0, 0), False),
]


@pytest.mark.parametrize(("base", "count", "window", "inside"), OUTSIDE)
def test_the_queue_must_lie_in_the_window(base, count, window, inside):
    words = [word("Load", dram=0x1000)] * 4
    bench = Bench(CONFIG, "load", words, base=base, window=window)

    async def testbench(b):
        await b.start(count=count)
        await b.until(lambda: b.over)
        status = b.status()
        if inside:
            assert [address for _, address, _ in b.requests] == [base + 64 * index for index in range(count)]
        else:
            assert (status["cause"], status["index"], status["address"]) == (Cause.FETCH_ERROR, 0, base)
            assert not b.requests and not b.starts

    bench.run(testbench)


def test_the_engines_error_halts_at_the_oldest_in_flight():
    words = [word("Load", dram=0x1000, post0_count=1 + index) for index in range(6)]
    bench = Bench(CONFIG, "load", words, work=40)

    async def testbench(b):
        await b.start()
        await b.until(lambda: len(b.dones) == 2)
        assert len(b.starts) >= 4
        b.completes = False
        b.error = (Cause.READ_ERROR, 0xABC0)
        await b.cycle()
        await b.cycle()
        status = b.status()
        assert (status["halted"], status["cause"], status["index"], status["address"]) == (1, Cause.READ_ERROR, 2, 0xABC0)
        assert b.status()["inflight"], "the engine is still draining"
        started = len(b.starts)
        b.running["load"].clear()
        await b.until(lambda: b.over)
        for _ in range(40):
            await b.cycle()
        assert len(b.starts) == started and [count for *_, count in b.posts] == [1, 2] and b.status()["retired"] == 2

    bench.run(testbench)


def test_error_and_done_in_one_cycle():
    bench = Bench(CONFIG, "load", [word("Load", dram=0x1000, post0_count=1)] * 3, work=40)

    async def testbench(b):
        await b.start()
        await b.until(lambda: len(b.starts) == 3 and b.running["load"][0][0] == b.now)
        b.error = (Cause.READ_ERROR, 0x40)
        await b.cycle()
        b.completes = False
        for _ in range(3):
            await b.cycle()
        assert (b.status()["index"], b.status()["retired"], len(b.posts)) == (1, 1, 1)

    bench.run(testbench)


def test_an_older_error_replaces_a_younger_one():
    """The check of instruction 2 fails while 0 is still in flight; then 0 fails: the end state is that of running them in order."""
    bench = Bench(CONFIG, "load", [word("Load", dram=0x1000)] * 2 + [0xFF], work=300)

    async def testbench(b):
        await b.start()
        await b.until(lambda: b.status()["halted"])
        assert (b.status()["cause"], b.status()["index"], b.status()["address"]) == (Cause.ILLEGAL_OPCODE, 2, 0xFF)
        b.error = (Cause.READ_ERROR, 0x40)
        await b.cycle()
        await b.cycle()
        assert (b.status()["cause"], b.status()["index"], b.status()["address"]) == (Cause.READ_ERROR, 0, 0x40)

    bench.run(testbench)


@pytest.mark.parametrize("slot", [0, 1])
def test_an_overflowing_post_halts(slot):
    words = [word("Evict", post0_count=1, post0_semaphore=2 * index, post1_count=2, post1_semaphore=2 * index + 1) for index in range(5)]
    bench = Bench(CONFIG, "output", words, work=8)
    bench.refused_posts.add(2 + slot)

    async def testbench(b):
        await b.start()
        await b.until(lambda: b.over)
        status = b.status()
        assert (status["halted"], status["cause"], status["index"], status["address"]) == (1, Cause.SEMAPHORE_OVERFLOW, 1, 2 + slot)
        # Those dispatched before still end, but neither count nor post; nothing is dispatched after.
        assert len(b.starts) == len(b.dones) > 2
        assert (status["retired"], len(b.posts)) == (2, 4)

    bench.run(testbench)


@pytest.mark.parametrize("gap", range(4))
def test_an_overflow_before_a_halt_lets_nothing_between_them_retire(gap):
    """The engine has halted at the last instruction when the post of the first overflows; those between are done by then, and have nothing to post."""
    bench = Bench(CONFIG, "output", [word("Evict", post0_count=1), word("Evict"), word("Evict"), 0xFF])
    bench.refused_posts.add(0)

    async def testbench(b):
        b.completes = False
        await b.start()
        await b.until(lambda: b.status()["halted"])
        assert (b.status()["cause"], b.status()["index"]) == (Cause.ILLEGAL_OPCODE, 3)
        b.running["evict"][1] = (b.now + 1 + gap, 1)
        b.running["evict"][2] = (b.now + 2 + gap, 2)
        b.completes = True
        await b.until(lambda: b.over)
        for _ in range(10):
            await b.cycle()
        status = b.status()
        assert (status["cause"], status["index"], status["address"]) == (Cause.SEMAPHORE_OVERFLOW, 0, 0)
        assert (status["retired"], len(b.posts), len(b.dones)) == (1, 1, 3)

    bench.run(testbench)


def test_an_overflow_of_the_last_post_is_not_a_finish():
    bench = Bench(CONFIG, "output", [word("Evict", post0_count=1)])
    bench.refused_posts.add(0)

    async def testbench(b):
        await b.start()
        await b.until(lambda: b.status()["retired"] == 1)
        for _ in range(10):
            await b.cycle()
        assert b.status()["halted"] and not b.finished

    bench.run(testbench)


@pytest.mark.parametrize("slot", [0, 1])
def test_deadlock_names_instruction_and_semaphore(slot):
    words = [word("Evict"), word("Evict", wait0_count=1 - slot, wait0_semaphore=7, wait1_count=slot, wait1_semaphore=9), word("Evict")]
    bench = Bench(CONFIG, "output", words)
    bench.serves = False

    async def testbench(b):
        await b.start()
        await b.until(lambda: b.status()["waiting"] and not b.status()["inflight"])
        await b.cycle()
        assert b.states[-1] is TraceState.SEMAPHORE
        b.halt = Cause.DEADLOCK
        await b.cycle()
        status = b.status()
        assert (status["halted"], status["cause"], status["index"], status["address"]) == (1, Cause.DEADLOCK, 1, 9 if slot else 7)
        b.serves = True
        for _ in range(20):
            await b.cycle()
        assert len(b.starts) == 1 and not b.waits

    bench.run(testbench)


@pytest.mark.parametrize(("accepts", "index"), [(True, 0), (False, 0)])
def test_watchdog_names_the_oldest_unfinished_instruction(accepts, index):
    bench = Bench(CONFIG, "tensor", [word("LoadStationary"), word("MultiplyMoving"), word("LoadStationary")])
    bench.accepts, bench.completes = accepts, False

    async def testbench(b):
        await b.start()
        for _ in range(80):
            await b.cycle()
        b.halt = Cause.WATCHDOG
        await b.cycle()
        status = b.status()
        assert (status["halted"], status["cause"], status["index"], status["address"]) == (1, Cause.WATCHDOG, index, 0)

    bench.run(testbench)


def test_watchdog_looks_at_both_channels_and_leaves_the_finished_alone():
    bench = Bench(CONFIG, "tensor", [word("LoadStationary"), word("MultiplyMoving"), word("LoadStationary")], work=40)

    async def testbench(b):
        await b.start()
        await b.until(lambda: len(b.starts) == 3)
        b.running["multiply_moving"].clear()
        await b.until(lambda: len(b.dones) == 2)
        for _ in range(4):
            await b.cycle()
        assert b.status()["retired"] == 2
        b.halt = Cause.WATCHDOG
        await b.cycle()
        assert (b.status()["cause"], b.status()["index"]) == (Cause.WATCHDOG, 1)
        await b.start()
        await b.until(lambda: b.over)
        b.halt = Cause.WATCHDOG
        await b.cycle()
        assert b.status()["finished"] and not b.status()["cause"]

    bench.run(testbench)
