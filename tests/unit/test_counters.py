"""Performance counters: every one against a count of the test's own, at any time, with its saturation and when its read is answered."""

import random

import pytest
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.common.isa import ENGINES
from hw.common.registers import REGISTERS, engine_register
from hw.control import counters
from hw.control.counters import COUNTED, COUNTER_REGISTERS, Counters
from hw.control.sequencer import TraceState

CONFIG = ChipConfig(rows=4, cols=8)
ROUND = len(COUNTER_REGISTERS)


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


async def read(ctx, dut, name, *, running=None):
    """What a register reads and after how many cycles; the inputs of the cycles until then come from `running`."""
    ctx.set(dut.bus.address, REGISTERS[name].address)
    ctx.set(dut.bus.read, 1)
    for latency in range(1, 3 * ROUND):
        if running is not None:
            running(ctx)
        await ctx.tick()
        ctx.set(dut.bus.read, 0)
        if ctx.get(dut.bus.answered):
            return ctx.get(dut.bus.read_data), latency
        assert ctx.get(dut.bus.read_data) == 0
    raise AssertionError(f"{name} is never answered")


def bounds(name):
    """Least and most cycles from the pulse to the answer."""
    return (ROUND + 1, 2 * ROUND + 2) if name == COUNTER_REGISTERS[-1] else (3, ROUND + 2)


class Model:
    """Counts what it feeds to the counters, in Python."""

    def __init__(self, dut, seed):
        self.dut, self.rng = dut, random.Random(seed)
        self.counts = dict.fromkeys(COUNTER_REGISTERS, 0)
        self.states = [TraceState.IDLE] * len(ENGINES)
        self.old = []

    def drive(self, ctx):
        """A cycle's inputs."""
        rng, dut, counts = self.rng, self.dut, self.counts
        self.old.append(dict(counts))
        start, running = rng.random() < 0.0005, rng.random() < 0.97
        row, lanes, conflicts = rng.random() < 0.8, rng.randint(0, CONFIG.rows), rng.randrange(8)
        for index in range(len(ENGINES)):
            if rng.random() < 0.1:
                self.states[index] = rng.choice(list(TraceState))
            ctx.set(dut.i_state[index], self.states[index])
        for name, value in (("start", start), ("running", running), ("row", row), ("lanes", lanes), ("conflicts", conflicts)):
            ctx.set(getattr(dut, f"i_{name}"), value)
        if start:
            self.counts = dict.fromkeys(COUNTER_REGISTERS, 0)
        elif running:
            macs = (counts["TENSOR_MACS_HI"] << 32 | counts["TENSOR_MACS_LO"]) + row * lanes * CONFIG.cols
            counts["TENSOR_MACS_LO"], counts["TENSOR_MACS_HI"] = macs & 0xFFFFFFFF, macs >> 32
            counts["CYCLES"] += 1
            counts["TENSOR_ROWS"] += row
            counts["SBUF_CONFLICTS"] += conflicts
            for index, engine in enumerate(ENGINES):
                for counter, state in COUNTED.items():
                    counts[engine_register(engine, counter)] += self.states[index] == state

    def stop(self, ctx):
        for name in ("start", "running"):
            ctx.set(getattr(self.dut, f"i_{name}"), 0)


@pytest.mark.parametrize("seed", range(3))
def test_every_register_reads_what_a_cycle_of_the_access_says(seed):
    dut = Counters(config=CONFIG)
    rng = random.Random(seed)

    async def testbench(ctx):
        model = Model(dut, seed)
        latencies = {name: set() for name in COUNTER_REGISTERS}
        for _ in range(20 * ROUND):
            for _ in range(rng.randrange(8)):
                model.drive(ctx)
                await ctx.tick()
            name = rng.choice(COUNTER_REGISTERS)
            model.old.clear()
            value, latency = await read(ctx, dut, name, running=model.drive)
            low, high = bounds(name)
            assert low <= latency <= high, name
            latencies[name].add(latency)
            if name != COUNTER_REGISTERS[-1]:
                # The turn was two cycles before the answer: in it is what the cycles counted that were two before that, or earlier.
                assert value == model.old[latency - 3][name], (name, latency)
        model.stop(ctx)
        for name in COUNTER_REGISTERS:
            value, latency = await read(ctx, dut, name)
            assert value == model.counts[name], name
        assert len(set.union(*latencies.values())) > ROUND // 2

    simulate(dut, testbench)


def test_all_are_there_as_soon_as_the_job_has_ended():
    """Whatever turn it is: nothing of the last cycles is missed."""

    async def testbench(ctx):
        for wait in range(ROUND + 1):
            model = Model(dut, wait)
            ctx.set(dut.i_start, 1)
            await ctx.tick()
            for _ in range(ROUND + wait):
                model.drive(ctx)
                ctx.set(dut.i_start, 0)
                await ctx.tick()
            model.stop(ctx)
            name = COUNTER_REGISTERS[wait % ROUND]
            assert (await read(ctx, dut, name))[0] == model.counts[name], name

    dut = Counters(config=CONFIG)
    simulate(dut, testbench)


def test_start_clears_what_was_counted_and_counts_at_once():
    dut = Counters(config=CONFIG)

    async def testbench(ctx):
        model = Model(dut, 7)
        for distance in range(2 * ROUND):
            for _ in range(60 + distance):
                model.drive(ctx)
                await ctx.tick()
            ctx.set(dut.i_running, 1)
            ctx.set(dut.i_start, 1)
            await ctx.tick()
            ctx.set(dut.i_start, 0)
            for _ in range(distance):
                await ctx.tick()
            ctx.set(dut.i_running, 0)
            name = COUNTER_REGISTERS[distance % ROUND]
            assert (await read(ctx, dut, "CYCLES"))[0] == distance
            assert (await read(ctx, dut, name))[0] <= distance * CONFIG.rows * CONFIG.cols

    simulate(dut, testbench)


def test_saturation_and_the_carry_of_macs(monkeypatch):
    """With counters of 9 bits, as those of 32 take long."""
    monkeypatch.setattr(counters, "HIGH", 4)
    dut, largest = Counters(config=CONFIG), 1 << 9

    async def testbench(ctx):
        cycles = 0
        ctx.set(dut.i_running, 1)
        ctx.set(dut.i_row, 1)
        ctx.set(dut.i_lanes, 3)
        ctx.set(dut.i_state[3], TraceState.BUSY)
        seen = {"below": 0, "full": 0}
        for _ in range(40):
            for _ in range(17):
                await ctx.tick()
            ctx.set(dut.i_running, 0)
            cycles += 17
            await ctx.tick()
            expected = cycles if cycles < largest else 0xFFFFFFFF
            seen["full" if cycles >= largest else "below"] += 1
            for name in ("CYCLES", "STORE_BUSY", "TENSOR_ROWS"):
                assert (await read(ctx, dut, name))[0] == expected, name
            macs = cycles * 3 * CONFIG.cols
            assert (await read(ctx, dut, "TENSOR_MACS_HI"))[0] == macs // largest
            assert (await read(ctx, dut, "TENSOR_MACS_LO"))[0] == macs % largest
            ctx.set(dut.i_running, 1)
        assert min(seen.values()) > 5
        # From full to none.
        ctx.set(dut.i_start, 1)
        await ctx.tick()
        ctx.set(dut.i_running, 0)
        ctx.set(dut.i_start, 0)
        assert (await read(ctx, dut, "CYCLES"))[0] == (await read(ctx, dut, "TENSOR_MACS_HI"))[0] == 0

    simulate(dut, testbench)


def test_span_from_the_first_tensor_instruction_to_the_last_row():
    dut = Counters(config=CONFIG)

    async def testbench(ctx):
        for begin in (0, 3):
            ctx.set(dut.i_running, 0)
            ctx.set(dut.i_start, 1)
            await ctx.tick()
            ctx.set(dut.i_start, 0)
            assert ctx.get(dut.tensor_span) == 0
            ctx.set(dut.i_running, 1)
            for cycle in range(20):
                ctx.set(dut.i_tensor_start, cycle in (begin, begin + 4))
                ctx.set(dut.i_tensor_done, cycle in (9, 14))
                await ctx.tick()
                if cycle >= 14:
                    # To the last PSUM write in cycle 13, both included.
                    assert ctx.get(dut.tensor_span) == 14 - begin

    simulate(dut, testbench)


def test_other_registers_get_no_answer():
    dut = Counters(config=CONFIG)

    async def testbench(ctx):
        ctx.set(dut.i_running, 1)
        for name in set(REGISTERS) - set(COUNTER_REGISTERS):
            ctx.set(dut.bus.address, REGISTERS[name].address)
            ctx.set(dut.bus.read, 1)
            await ctx.tick()
            ctx.set(dut.bus.read, 0)
            # Nor does the address of a counter get one that comes without a pulse, or with that of a write.
            ctx.set(dut.bus.address, REGISTERS["CYCLES"].address)
            ctx.set(dut.bus.write, 1)
            for _ in range(ROUND + 5):
                await ctx.tick()
                assert not ctx.get(dut.bus.answered) and not ctx.get(dut.bus.read_data)
            ctx.set(dut.bus.write, 0)

    simulate(dut, testbench)
