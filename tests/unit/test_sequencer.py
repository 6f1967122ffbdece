# amaranth: UnusedElaboratable=no
"""The whole sequencer: programs of every engine, latency, throughput, restart."""

from dataclasses import replace

import numpy as np
import pytest

from hw.common.config import CONFIGS
from hw.common.isa import ENGINES, Cause
from hw.control.sequencer import Sequencer, TraceState
from tests.unit.sequencer_bench import CONFIG, Bench, program, word


@pytest.mark.parametrize("pause", [0.0, 0.5])
@pytest.mark.parametrize("engine", ENGINES)
def test_programs(engine, pause):
    seed = ENGINES[engine].index + int(10 * pause)
    words = program(np.random.default_rng(seed), engine, CONFIG, 20)
    bench = Bench(CONFIG, engine, words, seed=seed, pause=pause, work=4)

    async def testbench(b):
        assert not any(b.status().values())
        await b.cycle()
        assert b.states[-1] is TraceState.IDLE
        await b.start()
        await b.until(lambda: b.over)
        status = b.status()
        assert (status["finished"], status["halted"], status["retired"], status["cause"]) == (1, 0, len(words), 0)
        assert b.check_order(len(words)) == len(b.waits)
        assert [address for _, address, _ in b.requests] == [b.base + b.size * index for index in range(len(words))]
        # Posts come with their done; only two dones in one cycle can put the younger off.
        order = [index for _, index, _ in b.dones]
        cycles = {index: cycle for cycle, index, _ in b.dones}
        assert sorted(order) == list(range(len(words)))
        if len(set(cycles.values())) == len(cycles):
            wanted = [(cycles[index] + 2, *post) for index in order for post in b.wanted_posts([index])]
            assert b.posts == wanted, f"seed {seed}"
        assert sorted(post for _, *post in b.posts) == sorted(list(post) for post in b.wanted_posts(order)), f"seed {seed}"

    bench.run(testbench)


@pytest.mark.parametrize("cols", [4, 16, 32, 64])
def test_line_sizes(cols):
    """From sixteen beats an instruction to two instructions a beat, from an odd base."""
    config = replace(CONFIG, rows=cols, cols=cols, sbuf_bank_lines=256)
    words = program(np.random.default_rng(cols), "tensor", config, 7)
    bench = Bench(config, "tensor", words, pause=0.3, base=0x1FA0)

    async def testbench(b):
        await b.start()
        await b.until(lambda: b.over)
        b.check_order(len(words))
        assert {length for _, _, length in b.requests} == {max(32 // cols, 1)}

    bench.run(testbench)


def test_an_empty_queue_is_finished_in_the_third_cycle():
    bench = Bench(CONFIG, "store", [], base=3)

    async def testbench(b):
        assert not b.status()["finished"]
        await b.start()
        for _ in range(2):
            assert b.status() == dict.fromkeys(b.status(), 0)
            await b.cycle()
        assert b.status() == dict.fromkeys(b.status(), 0) | {"finished": 1}
        for _ in range(20):
            await b.cycle()
        assert not b.requests and b.status()["finished"]

    bench.run(testbench)


def test_two_dones_in_one_cycle_post_in_turn():
    """The older instruction first, whichever channel it is of; the head is empty for a cycle between them."""
    words = [
        word("LoadStationary", post0_count=1, post1_count=2), word("MultiplyMoving", post0_count=3, post1_count=4),
        word("LoadStationary", post0_count=5, post1_count=6),
    ]  # fmt: skip
    bench = Bench(CONFIG, "tensor", words, work=1)

    async def testbench(b):
        b.completes = False
        await b.start()
        await b.until(lambda: len(b.starts) == 3)
        await b.cycle()
        b.completes = True
        await b.until(lambda: b.over)
        cycles = [cycle for cycle, *_ in b.posts]
        first = cycles[0]
        assert [(cycle - first, count) for cycle, _, _, count in b.posts] == [(0, 1), (0, 2), (2, 3), (2, 4), (4, 5), (4, 6)]
        assert [cycle - first for cycle, *_ in b.dones] == [-2, -2, -1]

    bench.run(testbench)


def test_latency_of_every_step():
    """Start to fetch 4; last beat to command 9 (word, queue, look, check of 5 + 0, head); last wait to command 1; done to post 2; retired to finished 2."""
    words = [word("Load", dram=0x1000), word("Load", dram=0x1000, wait0_count=1, wait1_count=1, post1_count=1)]
    bench = Bench(CONFIG, "load", words, latency=6, work=2)

    async def testbench(b):
        await b.start()
        begin = b.now - 1
        await b.until(lambda: b.over)
        assert [cycle - begin for cycle, *_ in b.requests] == [4, 5]
        last_beat = b.requests[0][0] + 6 + 16 - 1
        assert b.starts[0][0] == last_beat + 9
        assert b.waits[1][0] == b.waits[0][0] + 1 and b.starts[1][0] == b.waits[1][0] + 1
        assert b.posts[0][0] == b.dones[1][0] + 2
        # It retires in the cycle of its last answer.
        await b.until(lambda: b.finished)
        assert b.finished[0] == b.posts[-1][0] + 2
        assert set(b.states[: last_beat - begin]) <= {TraceState.IDLE, TraceState.FETCH}
        assert TraceState.FETCH in b.states and TraceState.BUSY in b.states

    bench.run(testbench)


@pytest.mark.parametrize(("depth", "latency"), [(4, 20), (8, 20), (8, 100)])
def test_throughput_hides_latency_as_far_as_the_queue_reaches(depth, latency):
    """16-byte lines, two beats an instruction, 2 cycles a check: `depth` instructions a round trip, at most one in 2 cycles."""
    config = replace(CONFIGS["base"], queue_depth=depth)
    words = [word("LoadStationary")] * 64
    bench = Bench(config, "tensor", words, latency=latency, work=1)

    async def testbench(b):
        await b.start()
        await b.until(lambda: b.over)
        cycles = [cycle for cycle, *_ in b.starts]
        # A place is free again when the checker takes the instruction: the round trip is latency + beats + queue + new request.
        period = max(2.0, (latency + 5) / depth)
        measured = (cycles[-1] - cycles[15]) / (len(cycles) - 16)
        assert measured <= period * 1.05, measured
        return_trips = [cycle for cycle, *_ in b.requests]
        assert return_trips[depth - 1] - return_trips[0] == depth - 1

    bench.run(testbench)


def test_checked_instructions_go_out_one_in_two_cycles():
    """A full queue behind the checker empties at one instruction in two cycles once the engine takes them."""
    bench = Bench(CONFIG, "tensor", [word("LoadStationary")] * 8, work=1)

    async def testbench(b):
        b.accepts = False
        await b.start()
        for _ in range(120):
            await b.cycle()
        b.accepts = True
        await b.until(lambda: b.over)
        assert np.diff([cycle for cycle, *_ in b.starts][:5]).tolist() == [2, 2, 2, 2]

    bench.run(testbench)


def test_engine_takes_at_most_eight_in_flight():
    bench = Bench(CONFIG, "store", [word("Store", dram=0x1000, post0_count=1)] * 12)

    async def testbench(b):
        b.completes = False
        await b.start()
        for _ in range(400):
            await b.cycle()
        assert len(b.starts) == 8
        b.completes = True
        await b.until(lambda: b.over)
        b.check_order(12)
        assert len(b.posts) == 12

    bench.run(testbench)


@pytest.mark.parametrize("after", [1, 4, 9, 20, 33, 60])
def test_start_in_mid_operation_begins_afresh(after):
    """Beats of the old job that are still on their way are dropped."""
    words = program(np.random.default_rng(after), "load", CONFIG, 6)
    bench = Bench(CONFIG, "load", words, pause=0.3, seed=after, latency=12)

    async def testbench(b):
        b.memory |= {0x8000 + 64 * index: 0xFF for index in range(20)}
        await b.start(base=0x8000, count=20)
        for _ in range(after):
            await b.cycle()
        b.starts.clear()
        b.waits.clear()
        old = b.requests[:]
        await b.start()
        await b.until(lambda: b.over)
        status = b.status()
        assert (status["finished"], status["retired"], status["cause"]) == (1, 6, 0), f"{len(old)} old requests"
        b.check_order(6)

    bench.run(testbench)


def test_restart_after_halt_and_after_finish():
    bench = Bench(CONFIG, "output", [word("Evict"), 0xFF])

    async def testbench(b):
        await b.start()
        await b.until(lambda: b.over)
        assert (b.status()["cause"], b.status()["index"]) == (Cause.ILLEGAL_OPCODE, 1)
        b.memory[b.base + 32] = b.words[1] = word("Evict")
        for _ in range(2):
            b.starts.clear()
            await b.start()
            assert b.status() == dict.fromkeys(b.status(), 0)
            await b.until(lambda: b.over)
            assert b.status() == dict.fromkeys(b.status(), 0) | {"finished": 1, "retired": 2}
            b.check_order(2)

    bench.run(testbench)


def test_refuses_an_unknown_engine():
    with pytest.raises(ValueError, match="engine must be one of load, tensor, output, store, not 'scalar'"):
        Sequencer(config=CONFIG, engine="scalar")
