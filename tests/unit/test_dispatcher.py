# amaranth: UnusedElaboratable=no
"""Dispatcher and completion queue by themselves (in a whole sequencer: test_sequencer.py; for ever: tb/formal/dispatcher.py)."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.isa import INSTRUCTIONS, Cause, pack
from hw.control.completion import IN_FLIGHT, Completion
from hw.control.decode import snake
from hw.control.dispatcher import Dispatcher


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def offer(ctx, dut, name, cause=Cause.NONE, **values):
    ctx.set(dut.i.payload.word, pack(INSTRUCTIONS[name], values))
    ctx.set(dut.i.payload.cause, cause)
    ctx.set(dut.i.valid, 1)


def test_one_a_cycle_without_waits_and_swap_after_each_load():
    dut = Dispatcher(engine="tensor")
    names = ["LoadStationary", "MultiplyMoving", "MultiplyMoving", "LoadStationary", "LoadStationary", "MultiplyMoving"]

    async def testbench(ctx):
        ctx.set(dut.i_run, 1)
        for channel in ("load_stationary", "multiply_moving"):
            ctx.set(getattr(dut, f"o_{channel}").ready, 1)
            ctx.set(getattr(dut, f"posts_{channel}").ready, 1)
        for index, (name, swap) in enumerate(zip(names, [0, 1, 0, 0, 0, 1], strict=True)):
            offer(ctx, dut, name, base=index, post1_count=index)
            command, posts = getattr(dut, f"o_{snake(name)}"), getattr(dut, f"posts_{snake(name)}")
            assert ctx.get(command.valid) and ctx.get(dut.i.ready) and ctx.get(posts.valid)
            assert ctx.get(command.payload.base) == index and ctx.get(posts.payload.index) == index == ctx.get(dut.o_index)
            assert ctx.get(posts.payload.post1.count) == index
            if name == "MultiplyMoving":
                assert ctx.get(command.payload.swap) == swap
            await ctx.tick()

    simulate(dut, testbench)


def test_waits_in_order_then_the_command_in_the_next_cycle():
    dut = Dispatcher(engine="load")

    async def testbench(ctx):
        ctx.set(dut.i_run, 1)
        ctx.set(dut.posts_load.ready, 1)
        ctx.set(dut.o_load.ready, 1)
        for _ in range(2):
            offer(ctx, dut, "Load", wait0_semaphore=3, wait0_count=5, wait1_semaphore=9, wait1_count=7)
            for semaphore, count in ((3, 5), (9, 7)):
                for ready in (0, 0, 1):
                    ctx.set(dut.wait.ready, ready)
                    assert ctx.get(dut.wait.valid) and not ctx.get(dut.o_load.valid)
                    assert (ctx.get(dut.wait.semaphore), ctx.get(dut.wait.count)) == (semaphore, count)
                    await ctx.tick()
            assert ctx.get(dut.o_load.valid) and not ctx.get(dut.wait.valid)
            await ctx.tick()
        offer(ctx, dut, "Load", wait1_semaphore=4, wait1_count=1)
        assert ctx.get(dut.wait.valid) and ctx.get(dut.wait.semaphore) == 4

    simulate(dut, testbench)


def test_an_erroneous_instruction_takes_no_wait_and_stays():
    dut = Dispatcher(engine="output")

    async def testbench(ctx):
        ctx.set(dut.i_run, 1)
        offer(ctx, dut, "Evict", cause=Cause.SIZE, wait0_count=1)
        for channel in ("evict", "load_channel"):
            ctx.set(getattr(dut, f"o_{channel}").ready, 1)
            ctx.set(getattr(dut, f"posts_{channel}").ready, 1)
        for _ in range(5):
            assert ctx.get(dut.o_failed) and ctx.get(dut.o_cause) == Cause.SIZE
            assert not ctx.get(dut.wait.valid) and not ctx.get(dut.o_evict.valid) and not ctx.get(dut.i.ready)
            await ctx.tick()

    simulate(dut, testbench)


@pytest.mark.parametrize("missing", ["run", "room"])
def test_nothing_goes_out_without_run_and_room(missing):
    dut = Dispatcher(engine="store")

    async def testbench(ctx):
        ctx.set(dut.i_run, missing != "run")
        ctx.set(dut.posts_store.ready, missing != "room")
        ctx.set(dut.o_store.ready, 1)
        offer(ctx, dut, "Store")
        for _ in range(5):
            assert not ctx.get(dut.o_store.valid) and not ctx.get(dut.posts_store.valid)
            await ctx.tick()
        ctx.set(dut.i_run, 1)
        ctx.set(dut.posts_store.ready, 1)
        assert ctx.get(dut.o_store.valid)

    simulate(dut, testbench)


@pytest.mark.parametrize("seed", range(2))
def test_completion_against_a_model(seed):
    """Random dispatches and dones of two kinds: at most one instruction posts a cycle, always the oldest that is done."""
    rng = np.random.default_rng(seed)
    dut = Completion(engine="tensor")
    names = ("load_stationary", "multiply_moving")
    seen = {"late": 0, "full": 0}

    async def testbench(ctx):
        flying = {name: [] for name in names}
        due = dict.fromkeys(names, 0)
        index = 0
        for cycle in range(350):
            rate = 0.9 if cycle % 100 < 50 else 0.3
            kind = names[int(rng.integers(2))]
            for name in names:
                send = name == kind and rng.random() < rate
                counts = [int(rng.integers(3)), int(rng.integers(3))]
                port = getattr(dut, f"i_{name}")
                ctx.set(port.valid, send)
                ctx.set(
                    port.payload,
                    {"post0": {"semaphore": 1, "count": counts[0]}, "post1": {"semaphore": 2, "count": counts[1]}, "index": index},
                )
                # A done beyond what is in flight is ignored.
                done = rng.random() < 1 - rate
                ctx.set(getattr(dut, f"done_{name}"), done)
                due[name] += done and due[name] < len(flying[name])
                assert ctx.get(port.ready) == (len(flying[name]) < IN_FLIGHT), f"seed {seed}, cycle {cycle}"
                seen["full"] += send and not ctx.get(port.ready)
                if send and ctx.get(port.ready):
                    sent = (name, index, counts)
                    index += 1
                elif name == kind:
                    sent = None
            overflow = [bool(rng.random() < 0.1) for _ in range(2)]
            for slot in range(2):
                ctx.set(dut.post[slot].overflow, overflow[slot])
            ready = [(flying[name][0][0], name) for name in names if due[name]]
            seen["late"] += len(ready) == 2
            assert ctx.get(dut.o_retire) == bool(ready), f"seed {seed}, cycle {cycle}"
            assert ctx.get(dut.o_inflight) == any(flying.values())
            if any(flying.values()):
                assert ctx.get(dut.o_oldest) == min(queue[0][0] for queue in flying.values() if queue)
            posts = [
                (slot, int(ctx.get(post.semaphore)), int(ctx.get(post.count))) for slot, post in enumerate(dut.post) if ctx.get(post.valid)
            ]
            wanted = []
            if ready:
                _, name = min(ready)
                due[name] -= 1
                number, made = flying[name].pop(0)
                assert ctx.get(dut.o_index) == number
                wanted = [(slot, slot + 1, count) for slot, count in enumerate(made) if count]
            assert posts == wanted, f"seed {seed}, cycle {cycle}"
            refused = [semaphore for slot, semaphore, _ in wanted if overflow[slot]]
            assert ctx.get(dut.o_overflow) == bool(refused)
            if refused:
                assert ctx.get(dut.o_semaphore) == refused[0]
            if sent:
                flying[sent[0]].append(sent[1:])
            await ctx.tick()

    simulate(dut, testbench)
    assert min(seen.values()) >= 10, f"seed {seed}: {seen}"


@pytest.mark.parametrize("kind", [Dispatcher, Completion])
def test_refuses_an_unknown_engine(kind):
    with pytest.raises(ValueError, match="engine must be one of load, tensor, output, store, not 'vector'"):
        kind(engine="vector")
