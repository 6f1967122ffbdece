"""The watchdog: never early, never much too late, each flit once, the right queue and reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal

from hw.common.noc_registers import Reason
from hw.noc import watchdog
from hw.noc.flit import Port
from hw.noc.watchdog import Watchdog
from sim.golden.waits import Wait, select_value

from .noc_watch_bench import lean, simulate

N, E, S, W, L = Port


SHAPES = {
    "lean": {},
    "adaptive": {"vcs": 3, "routing": "adaptive"},
    "o1turn": {"vcs": 2, "routing": "o1turn"},
    "fast": {"vcs": 4, "depth": 4, "arbitration": "age"},
    "torus": {"vcs": 4, "topology": "torus", "torus_scheme": "dateline"},
}


@pytest.mark.parametrize("limit", [1, 6, 17])
@pytest.mark.parametrize("shape", ["lean", "fast"])
def test_never_early_and_each_wait_once(shape: str, limit: int) -> None:
    """Waits of random lengths in all queues at once: an error comes after more than the limit and by 3/2 of it, once a wait."""
    config, seed = lean(3, 3, limit, **SHAPES[shape]), 41
    dut = Watchdog(config=config)
    period = (limit + 1) // 2

    async def testbench(ctx: Any) -> None:
        rng, queues = np.random.default_rng(seed), len(dut.queues)
        waits, fired, left = [0] * queues, [False] * queues, [0] * queues
        total, fires, short, first = 0, 0, 0, None
        for cycle in range(40 * limit + 100):
            where = f"seed {seed}, cycle {cycle}"
            assert ctx.get(dut.watch.count) == total, where
            queue = dut.watch.error.queue
            got = (ctx.get(queue.port), ctx.get(queue.vc)) if ctx.get(dut.watch.error.valid) else None
            assert got == first, where
            valid = leave = 0
            for index in range(queues):
                if left[index] == 0:
                    left[index] = int(rng.integers(1, 4 * period + 3))
                    state = "empty" if rng.random() < 0.2 else "leaves"
                else:
                    state = "waits"
                left[index] -= 1
                valid |= (state != "empty") << index
                leave |= (state == "leaves") << index
                if state == "waits":
                    waits[index] += 1
                    ends = cycle % period == period - 1
                    # The end of a period is seen by every wait: the third is never before the limit, nor long after it.
                    if ends and not fired[index] and waits[index] > 2 * period:
                        assert limit < waits[index] <= 3 * period <= 1.5 * limit + 1.5, where
                        fired[index], fires = True, fires + 1
                        total += 1
                        first = first or (int(dut.queues[index][0]), dut.queues[index][1])
                    assert fired[index] or waits[index] < 3 * period, where
                else:
                    short += 0 < waits[index] <= limit
                    waits[index], fired[index] = 0, False
            ctx.set(dut.valid, valid)
            ctx.set(dut.leave, leave)
            await ctx.tick()
        assert fires > 20 and short > 20

    simulate(dut, testbench)


def expected(dut: Watchdog, index: int, values: dict[str, int]) -> Wait:
    """What the probe must say of queue `index`; `waited` left 0."""
    if not values["valid"] >> index & 1:
        return Wait()
    queue = dut.queues[index]
    ways = [(port, vc) for bit, (of, port, vc) in enumerate(dut.ways) if of == queue and values["requests"] >> bit & 1]
    if not ways:
        return Wait(valid=1, reason=Reason.NONE if values["leave"] >> index & 1 else Reason.NO_ROUTE)
    port, vc = ways[0]
    target = dut.targets.index((port, vc))
    owners = [of for bit, (*out, of) in enumerate(dut.owners) if tuple(out) == (port, vc) and values["owner"] >> bit & 1]
    wait = Wait(valid=1, wants_port=port, wants_vc=vc)
    if values["leave"] >> index & 1:
        return wait
    if values["locked"] >> target & 1 and owners != [queue]:
        return wait._replace(reason=Reason.LOCK, owner_port=owners[0][0], owner_vc=owners[0][1])
    if not values["up"] >> port & 1:
        return wait._replace(reason=Reason.LINK)
    return wait._replace(reason=Reason.TURN if values["credit"] >> target & 1 else Reason.CREDIT)


@pytest.mark.parametrize("shape", SHAPES)
def test_probe_against_a_model(shape: str) -> None:
    """Random states of a router: every queue, and the names of queues that are not there."""
    config, seed = lean(3, 3, 1, **SHAPES[shape]), 42
    dut = Watchdog(config=config)

    async def testbench(ctx: Any) -> None:
        rng, seen = np.random.default_rng(seed), set()
        for _ in range(16):
            values = {name: int.from_bytes(rng.bytes(16), "little") for name in ("valid", "leave", "locked", "credit", "up")}
            values = {name: value & (1 << len(getattr(dut, name))) - 1 for name, value in values.items()} | {"requests": 0, "owner": 0}
            values["leave"] &= values["valid"]
            for queue in dut.queues:
                ways = [bit for bit, (of, *_) in enumerate(dut.ways) if of == queue]
                pick = int(rng.integers(len(ways) + 1))
                values["requests"] |= 1 << ways[pick] if pick < len(ways) else 0
            for target in dut.targets:
                bits = [bit for bit, (*out, _) in enumerate(dut.owners) if tuple(out) == target]
                values["owner"] |= 1 << bits[int(rng.integers(len(bits)))]
            for name, value in values.items():
                ctx.set(getattr(dut, name), value)
            for port in range(8):
                for vc in range(16):
                    ctx.set(dut.watch.select.as_value(), select_value(0, port, vc))
                    got = Wait.unpack(ctx.get(dut.watch.probe.as_value()))
                    there = port < len(Port) and vc < config.vcs
                    want = expected(dut, port * config.vcs + vc, values) if there else Wait()
                    assert got == want, f"seed {seed}, {port}, {vc}"
                    seen.add(got.reason)
        assert seen == set(Reason)

    simulate(dut, testbench)


def test_count_saturates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "COUNT_BITS", 4)
    dut = Watchdog(config=lean(2, 2, 1))

    async def testbench(ctx: Any) -> None:
        counts = []
        for _ in range(6):
            ctx.set(dut.valid, 0b11111)
            for _ in range(4):
                await ctx.tick()
            ctx.set(dut.valid, 0)
            await ctx.tick()
            counts.append(ctx.get(dut.watch.count))
        assert counts == [5, 10, 15, 15, 15, 15]

    simulate(dut, testbench)


@pytest.mark.parametrize("how", ["clear", "reset"])
def test_clear_and_reset_in_mid_count(how: str) -> None:
    """Both forget the error and the part of a wait that has passed; what still waits is reported again, a whole limit later."""
    limit, reset = 8, Signal()
    dut = Watchdog(config=lean(2, 2, limit))
    clear = dut.watch.clear if how == "clear" else reset

    async def testbench(ctx: Any) -> None:
        async def until_fired() -> int:
            cycles = 0
            while not ctx.get(dut.watch.error.valid):
                await ctx.tick()
                cycles += 1
                assert cycles < 100
            return cycles

        ctx.set(dut.valid, 0b00100)
        assert limit < await until_fired() <= 12
        for distance in range(14):
            ctx.set(clear, 1)
            await ctx.tick()
            ctx.set(clear, 0)
            assert ctx.get(dut.watch.error.as_value()) == 0 and ctx.get(dut.watch.count) == 0
            for _ in range(distance):
                await ctx.tick()
            fired = ctx.get(dut.watch.error.valid)
            assert not fired or distance > limit
            ctx.set(clear, 1)
            await ctx.tick()
            ctx.set(clear, 0)
            assert limit < await until_fired() <= 12, distance
            assert (ctx.get(dut.watch.error.queue.port), ctx.get(dut.watch.count)) == (S, 1)

    simulate(ResetInserter(reset)(dut), testbench)


def test_one_of_many_is_first() -> None:
    """Errors of one cycle: the lowest port is kept, all are counted; later ones change the count alone."""
    dut = Watchdog(config=lean(2, 2, 2))

    async def testbench(ctx: Any) -> None:
        ctx.set(dut.valid, 0b11010)
        for _ in range(4):
            await ctx.tick()
        assert (ctx.get(dut.watch.error.valid), ctx.get(dut.watch.error.queue.port), ctx.get(dut.watch.count)) == (1, E, 3)
        ctx.set(dut.valid, 0b11111)
        for _ in range(4):
            await ctx.tick()
        assert (ctx.get(dut.watch.error.queue.port), ctx.get(dut.watch.count)) == (E, 5)

    simulate(dut, testbench)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="config must be a NocConfig, not 'fast'"):
        Watchdog(config="fast")
    with pytest.raises(ValueError, match="watchdog_limit must be at least 1, not 0: leave the watchdog out"):
        Watchdog(config=lean(2, 2, 0))
