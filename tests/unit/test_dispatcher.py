# amaranth: UnusedElaboratable=no
"""Dispatcher and completion queue by themselves (in a whole sequencer: test_sequencer.py; for ever: tb/formal/dispatcher.py)."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.isa import INSTRUCTIONS, Cause, instructions_of, pack
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
    kinds = [item.name for item in instructions_of(INSTRUCTIONS[name].engine)]
    ctx.set(dut.i.payload.kind, 1 << kinds.index(name))
    ctx.set(dut.i.payload.waits, sum((values.get(f"wait{slot}_count", 0) != 0) << slot for slot in range(2)))
    ctx.set(dut.i.valid, 1)


async def hand(ctx, dut, name, cause=Cause.NONE, **values):
    """The instruction is taken at once, and then the input shows another that must not matter."""
    offer(ctx, dut, name, cause, **values)
    assert ctx.get(dut.i.ready) and ctx.get(dut.o_idle)
    await ctx.tick()
    for name in ("word", "kind", "waits"):
        ctx.set(dut.i.payload[name], -1)
    assert not ctx.get(dut.i.ready) and not ctx.get(dut.o_idle)


def test_one_in_two_cycles_without_waits_and_swap_after_each_load():
    dut = Dispatcher(engine="tensor")
    names = ["LoadStationary", "MultiplyMoving", "MultiplyMoving", "LoadStationary", "LoadStationary", "MultiplyMoving"]

    async def testbench(ctx):
        ctx.set(dut.i_run, 1)
        for channel in ("load_stationary", "multiply_moving"):
            ctx.set(getattr(dut, f"o_{channel}").ready, 1)
            ctx.set(getattr(dut, f"posts_{channel}").ready, 1)
        for index, (name, swap) in enumerate(zip(names, [0, 1, 0, 0, 0, 1], strict=True)):
            await hand(ctx, dut, name, base=index, post1_count=index)
            for item in ("LoadStationary", "MultiplyMoving"):
                assert ctx.get(getattr(dut, f"o_{snake(item)}").valid) == (item == name)
                assert not ctx.get(getattr(dut, f"posts_{snake(item)}").valid)
            command, posts = getattr(dut, f"o_{snake(name)}"), getattr(dut, f"posts_{snake(name)}")
            assert ctx.get(command.payload.base) == index == ctx.get(dut.o_index)
            if name == "MultiplyMoving":
                assert ctx.get(command.payload.swap) == swap
            await ctx.tick()
            assert not ctx.get(command.valid)
            # Its posts, in the cycle after it, in which the next one is taken.
            for item in ("LoadStationary", "MultiplyMoving"):
                assert ctx.get(getattr(dut, f"posts_{snake(item)}").valid) == (item == name)
            assert ctx.get(posts.payload.index) == index == ctx.get(posts.payload.post1.count)
        await ctx.tick()
        assert ctx.get(dut.o_index) == len(names)

    simulate(dut, testbench)


def test_waits_in_order_then_the_command_in_the_next_cycle():
    dut = Dispatcher(engine="load")

    async def testbench(ctx):
        ctx.set(dut.i_run, 1)
        ctx.set(dut.posts_load.ready, 1)
        ctx.set(dut.o_load.ready, 1)
        for _ in range(2):
            await hand(ctx, dut, "Load", wait0_semaphore=3, wait0_count=5, wait1_semaphore=9, wait1_count=7)
            for semaphore, count in ((3, 5), (9, 7)):
                for ready in (0, 0, 1):
                    ctx.set(dut.wait.ready, ready)
                    assert ctx.get(dut.wait.valid) and not ctx.get(dut.o_load.valid)
                    assert (ctx.get(dut.wait.semaphore), ctx.get(dut.wait.count)) == (semaphore, count)
                    await ctx.tick()
            assert ctx.get(dut.o_load.valid) and not ctx.get(dut.wait.valid)
            await ctx.tick()
        await hand(ctx, dut, "Load", wait1_semaphore=4, wait1_count=1)
        assert ctx.get(dut.wait.valid) and ctx.get(dut.wait.semaphore) == 4

    simulate(dut, testbench)


def test_an_erroneous_instruction_takes_no_wait_and_stays():
    dut = Dispatcher(engine="output")

    async def testbench(ctx):
        ctx.set(dut.i_run, 1)
        ctx.set(dut.i.payload.address, 0xABC)
        await hand(ctx, dut, "Evict", cause=Cause.SIZE, wait0_count=1)
        for channel in ("evict", "load_channel"):
            ctx.set(getattr(dut, f"o_{channel}").ready, 1)
            ctx.set(getattr(dut, f"posts_{channel}").ready, 1)
        for _ in range(5):
            assert ctx.get(dut.o_failed) and ctx.get(dut.o_cause) == Cause.SIZE and ctx.get(dut.o_address) == 0xABC
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
        await hand(ctx, dut, "Store")
        for _ in range(5):
            assert not ctx.get(dut.o_store.valid) and not ctx.get(dut.posts_store.valid)
            await ctx.tick()
        ctx.set(dut.i_run, 1)
        ctx.set(dut.posts_store.ready, 1)
        assert ctx.get(dut.o_store.valid)

    simulate(dut, testbench)


@pytest.mark.parametrize("slow", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(2))
def test_completion_against_a_model(seed, slow):
    """Random dispatches and dones of two kinds, answers at once or late: the oldest that is done comes to the head, posts, and retires.

    Which is the oldest is known where both queues have been as they are for a cycle.
    """
    rng = np.random.default_rng(seed)
    dut = Completion(engine="tensor")
    names = ("load_stationary", "multiply_moving")
    seen = {"late": 0, "full": 0, "refused": 0, "unknown": 0, "still": 0, "at once": 0, "ignored": 0}

    async def testbench(ctx):
        flying = {name: [] for name in names}
        due = dict.fromkeys(names, 0)
        head = None  # (index, {slot: count}, refused semaphores)
        index = 0
        is_known, still, retired = False, 0, 0
        for cycle in range(1100):
            rate, ending = ((0.9, 0.1), (0.3, 0.7), (0.15, 0.5), (0.15, 0.5))[cycle // 50 % 4]
            # Now and then nothing happens for a while.
            quiet = cycle % 25 < 5
            kind = names[int(rng.integers(2))]
            # Often the head leaves just as one of the kind that was not there comes and is done at once.
            if head and not all(flying.values()) and any(due.values()):
                kind, rate, ending = next(name for name in names if not flying[name]), 0.7, 0.7
            sent, came = None, {}
            for name in names:
                send = name == kind and rng.random() < rate and not quiet
                counts = [int(rng.integers(3)), int(rng.integers(3))]
                port = getattr(dut, f"i_{name}")
                ctx.set(port.valid, send)
                ctx.set(
                    port.payload,
                    {"post0": {"semaphore": 1, "count": counts[0]}, "post1": {"semaphore": 2, "count": counts[1]}, "index": index},
                )
                came[name] = rng.random() < ending and not quiet
                ctx.set(getattr(dut, f"done_{name}"), came[name])
                assert ctx.get(port.ready) == (len(flying[name]) < IN_FLIGHT), f"seed {seed}, cycle {cycle}"
                seen["full"] += send and not ctx.get(port.ready)
                if send and ctx.get(port.ready):
                    sent = (name, index, counts)
                    index += 1
            inside = [queue[0][0] for queue in flying.values() if queue] + ([head[0]] if head else [])
            pushing = any(ctx.get(getattr(dut, f"i_{name}").valid) for name in names)
            assert ctx.get(dut.o_inflight) == bool(inside or pushing), f"seed {seed}, cycle {cycle}"
            if inside and still >= 4:
                seen["still"] += 1
                assert ctx.get(dut.o_oldest) == min(inside), f"seed {seed}, cycle {cycle}"
            for slot, port in enumerate(dut.post):
                offered = bool(head) and slot in head[1]
                assert ctx.get(port.valid) == offered, f"seed {seed}, cycle {cycle}, slot {slot}"
                answer = offered and rng.random() >= slow and not quiet
                refuse = answer and rng.random() < 0.1
                ctx.set(port.ready, answer)
                ctx.set(port.overflow, refuse)
                if answer:
                    assert (ctx.get(port.semaphore), ctx.get(port.count)) == (slot + 1, head[1].pop(slot))
                    if refuse:
                        head[2].append(slot + 1)
            retires = bool(head) and not head[1]
            assert ctx.get(dut.o_retired) == retired
            retired += retires
            assert ctx.get(dut.o_retire) == retires, f"seed {seed}, cycle {cycle}"
            assert ctx.get(dut.o_overflow) == (retires and bool(head[2]))
            if retires:
                assert ctx.get(dut.o_index) == head[0]
                if head[2]:
                    assert ctx.get(dut.o_semaphore) == min(head[2])
                    seen["refused"] += 1
            was_empty = head is None
            if retires:
                head = None
            ready = [(flying[name][0][0], name) for name in names if due[name]]
            seen["late"] += len(ready) == 2
            seen["unknown"] += len(ready) == 2 and not is_known and was_empty
            before, is_known = is_known, all(flying.values())
            still += 1
            if retires or sent:
                still = 0
            if ready and was_empty and (len(ready) < 2 or before):
                is_known, still = False, 0
                _, name = min(ready)
                due[name] -= 1
                number, made = flying[name].pop(0)
                head = (number, {slot: count for slot, count in enumerate(made) if count}, [])
            if sent:
                flying[sent[0]].append(sent[1:])
            # A done is looked at in the cycle after it, and ignored beyond what is in flight then.
            for name in names:
                seen["at once"] += bool(came[name] and sent and sent[0] == name and due[name] == len(flying[name]) - 1)
                seen["ignored"] += came[name] and due[name] == len(flying[name])
                due[name] += came[name] and due[name] < len(flying[name])
            await ctx.tick()

    simulate(dut, testbench)
    assert min(seen.values()) >= 5, f"seed {seed}: {seen}"


def test_completion_drops_what_is_behind_a_halt():
    dut = Completion(engine="load")

    async def testbench(ctx):
        for index in range(4):
            post = {"semaphore": 1, "count": 1}
            ctx.set(dut.i_load.payload, {"post0": post, "post1": {"semaphore": 0, "count": 0}, "index": index})
            ctx.set(dut.i_load.valid, 1)
            await ctx.tick()
        ctx.set(dut.i_load.valid, 0)
        ctx.set(dut.i_halt_index, 1)
        posted, retired, seen = [], [], []
        for cycle in range(40):
            ctx.set(dut.done_load, cycle < 3)
            # Halted as soon as the first of them has come to the head; no answer before.
            ctx.set(dut.i_halted, cycle >= 2)
            offered = ctx.get(dut.post[0].valid)
            seen.append(offered)
            ctx.set(dut.post[0].ready, offered)
            posted += [int(ctx.get(dut.o_index))] if offered else []
            retired += [int(ctx.get(dut.o_index))] if ctx.get(dut.o_retire) else []
            assert ctx.get(dut.o_undone) == min(cycle, 3)
            await ctx.tick()
        assert posted == retired == [0, 1]
        # It stands still for a cycle, until it is known to be before the halt; the next one comes two cycles after it has left.
        assert seen[:8] == [0, 0, 0, 1, 0, 0, 1, 0]
        # The last is never done: it is in flight until it is given up.
        assert ctx.get(dut.o_inflight)
        ctx.set(dut.i_abandon, 1)
        assert not ctx.get(dut.o_inflight)

    simulate(dut, testbench)


@pytest.mark.parametrize("kind", [Dispatcher, Completion])
def test_refuses_an_unknown_engine(kind):
    with pytest.raises(ValueError, match="engine must be one of load, tensor, output, store, not 'vector'"):
        kind(engine="vector")
