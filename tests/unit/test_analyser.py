"""The logic analyser against its model: what triggers, what is kept, how it is read; depth, stamps, counts at their limits; reset."""

import random

import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.debug.analyser import (
    ANALYSER_REGISTERS,
    CONTROL,
    DATA_NUMBER,
    GEOMETRY,
    IDENTITY_NUMBER,
    MASK,
    STAMP_BITS,
    STATUS,
    VALUE,
    Analyser,
    identity,
)
from sim.golden.analyser import Settings, capture

WIDTHS = {"irq": 1, "state": 3, "count": 36}


class Bench:
    """An analyser of probes that change at random; `run` arms it and compares what it keeps with the model."""

    def __init__(self, widths=WIDTHS, depth=16, seed=0, spread=4):
        self.widths, self.depth, self.rng, self.spread = widths, depth, random.Random(seed), spread
        self.reset = Signal()
        self.dut = Analyser(probes=widths, depth=depth)
        self.samples = []
        self.bits = sum(widths.values())

    def simulate(self, testbench):
        sim = Simulator(ResetInserter(self.reset)(self.dut))
        sim.add_clock(1e-6)

        async def drive(ctx):
            sample = 0
            async for _ in ctx.tick():
                if self.rng.randrange(self.spread) == 0:
                    sample = self.rng.getrandbits(4) if self.rng.randrange(4) else self.rng.getrandbits(self.bits)
                low = 0
                for name, width in self.widths.items():
                    ctx.set(getattr(self.dut, f"i_{name}"), sample >> low & (1 << width) - 1)
                    low += width
                self.samples.append(sample)

        sim.add_process(drive)
        sim.add_testbench(testbench)
        sim.run()

    async def write(self, ctx, number, value):
        """Writes a register; the number of the sample of that cycle."""
        registers = self.dut.registers
        ctx.set(registers.address, number)
        ctx.set(registers.value, value)
        ctx.set(registers.write, 1)
        now = len(self.samples) - 1
        await ctx.tick()
        ctx.set(registers.write, 0)
        return now

    async def read(self, ctx, number, *, pause=0):
        registers = self.dut.registers
        ctx.set(registers.address, number)
        await ctx.tick().repeat(1 + pause)
        value = ctx.get(registers.data)
        ctx.set(registers.read, 1)
        await ctx.tick()
        ctx.set(registers.read, 0)
        return value

    async def settings(self, ctx, settings):
        for number, value in ((3, settings.after), (4, settings.count)):
            await self.write(ctx, number, value)
        for base, value in ((VALUE, settings.value), (MASK, settings.mask)):
            for word in range(0, self.bits, 32):
                await self.write(ctx, base + word // 32, value >> word & 0xFFFFFFFF)
        modes = {"arm": True, "rising": settings.rising, "change": settings.change, "compress": settings.compress}
        return sum(on << CONTROL[name][0] for name, on in modes.items())

    async def status(self, ctx):
        value = await self.read(ctx, 0)
        return {name for name, (offset, _) in STATUS.items() if value >> offset & 1}

    async def finish(self, ctx, limit=2000):
        for _ in range(limit):
            if "done" in await self.status(ctx):
                return
        raise AssertionError("not done")

    async def fetch(self, ctx):
        """(stamp, sample) of what is kept, oldest first, and which triggered."""
        status, following = await self.status(ctx), await self.read(ctx, 6)
        first, count = (following, self.depth) if "full" in status else (0, following)
        words = -(-(self.bits + STAMP_BITS) // 32)
        await self.write(ctx, 7, first)
        found = []
        for place in range(count):
            assert await self.read(ctx, 7) == (first + place) % self.depth
            raw = 0
            for word in range(words):
                raw |= await self.read(ctx, DATA_NUMBER, pause=self.rng.choice((0, 0, 2))) << 32 * word
            found.append((raw >> self.bits, raw & (1 << self.bits) - 1))
        return found, (await self.read(ctx, 5) - first) % self.depth

    def check(self, found, trigger, kept):
        assert [sample for _, sample in found] == [sample for _, sample in kept.samples]
        gaps = [later[0] - sooner[0] for sooner, later in zip(kept.samples, kept.samples[1:], strict=False)]
        assert [stamp for stamp, _ in found[1:]] == gaps
        assert trigger == kept.trigger


SETTINGS = {
    "first cycle": Settings(after=7),
    "value": Settings(value=0b0100, mask=0b1111, after=5),
    "one bit": Settings(value=1, mask=1, after=15),
    "high bit": Settings(value=1 << 39, mask=1 << 39, after=2),
    "rising": Settings(value=1, mask=1, rising=True, after=8, count=3),
    "no samples after": Settings(value=2, mask=2, after=0),
    "count": Settings(value=0, mask=1, after=3, count=40),
    "change": Settings(mask=0b1110, change=True, after=9, count=2),
    "compress": Settings(value=3, mask=3, after=11, compress=True, count=5),
    "compress change": Settings(mask=1, change=True, after=6, compress=True, count=9),
}


@pytest.mark.parametrize("depth", [16, 64])
@pytest.mark.parametrize("name", SETTINGS)
def test_captures_equal_the_model(name, depth):
    bench, settings = Bench(depth=depth, seed=name), SETTINGS[name]

    async def testbench(ctx):
        await ctx.tick().repeat(3)
        for _ in range(3):
            control = await bench.settings(ctx, settings)
            begin = await bench.write(ctx, 0, control)
            await bench.finish(ctx)
            found, trigger = await bench.fetch(ctx)
            kept = capture(bench.samples[begin - 2 : begin], bench.samples[begin:], depth, settings)
            assert kept.done and kept.trigger is not None
            bench.check(found, trigger, kept)

    bench.simulate(testbench)


def test_data_follows_the_pointer_in_three_cycles():
    """DATA is the word at the new place from the third cycle after the pulse on, not before; it changes once."""
    bench, settings = Bench(spread=1), Settings(after=15)

    async def testbench(ctx):
        await bench.write(ctx, 0, await bench.settings(ctx, settings))
        await bench.finish(ctx)
        registers, place = bench.dut.registers, 5
        words = []
        for number in (place, place + 1):
            await bench.write(ctx, 7, number)
            ctx.set(registers.address, DATA_NUMBER)
            await ctx.tick().repeat(5)
            words.append(ctx.get(registers.data))
        assert words[0] != words[1]
        for number, before, after in ((place, *reversed(words)), (place + 1, *words)):
            await bench.write(ctx, 7, number)
            ctx.set(registers.address, DATA_NUMBER)
            await ctx.tick()
            assert ctx.get(registers.data) == before
            await ctx.tick()
            assert ctx.get(registers.data) == after

    bench.simulate(testbench)


@pytest.mark.parametrize("cycles", range(1, 8))
def test_armed_again_at_the_end_of_a_capture(cycles):
    bench, settings = Bench(seed=cycles), Settings(after=4)

    async def testbench(ctx):
        await ctx.tick().repeat(3)
        control = await bench.settings(ctx, settings)
        await bench.write(ctx, 0, control)
        await ctx.tick().repeat(cycles)
        begin = await bench.write(ctx, 0, control)
        assert "done" not in await bench.status(ctx)
        await bench.finish(ctx)
        bench.check(*await bench.fetch(ctx), capture(bench.samples[begin - 2 : begin], bench.samples[begin:], bench.depth, settings))

    bench.simulate(testbench)


@pytest.mark.parametrize("wait", [0, 1, 30])
def test_force(wait):
    bench, settings = Bench(seed=wait), Settings(value=1 << 38, mask=(1 << 40) - 1, after=4)

    async def testbench(ctx):
        await ctx.tick().repeat(3)
        control = await bench.settings(ctx, settings)
        begin = await bench.write(ctx, 0, control | (wait == 0) << CONTROL["trigger"][0])
        forced = begin
        if wait:
            assert "triggered" not in await bench.status(ctx)
            await ctx.tick().repeat(wait)
            forced = await bench.write(ctx, 0, 1 << CONTROL["trigger"][0])
        await bench.finish(ctx)
        kept = capture(bench.samples[begin - 2 : begin], bench.samples[begin:], bench.depth, settings, force=forced - begin)
        bench.check(*await bench.fetch(ctx), kept)

    bench.simulate(testbench)


@pytest.mark.parametrize("cycles", [1, 9, 60])
def test_stop_keeps_what_there_is(cycles):
    bench, settings = Bench(seed=cycles), Settings(value=1 << 38, mask=(1 << 40) - 1)

    async def testbench(ctx):
        await ctx.tick().repeat(3)
        control = await bench.settings(ctx, settings)
        begin = await bench.write(ctx, 0, control)
        await ctx.tick().repeat(cycles)
        end = await bench.write(ctx, 0, 1 << CONTROL["stop"][0])
        await ctx.tick()
        assert await bench.status(ctx) - {"full"} == {"done"}
        found, _ = await bench.fetch(ctx)
        assert [sample for _, sample in found] == bench.samples[begin:end][-bench.depth :]

    bench.simulate(testbench)


def test_a_long_silence_is_stamped():
    bench = Bench(widths={"a": 2}, spread=1 << 30)
    bench.rng.randrange = lambda *_: 1  # never changes
    limit = (1 << STAMP_BITS) - 1

    async def testbench(ctx):
        await ctx.tick().repeat(3)
        control = await bench.settings(ctx, Settings(value=3, mask=3, compress=True))
        await bench.write(ctx, 0, control)
        await ctx.tick().repeat(limit + 100)
        await bench.write(ctx, 0, 1 << CONTROL["trigger"][0])
        await bench.finish(ctx)
        found, trigger = await bench.fetch(ctx)
        assert len(found) == 3 and trigger == 2
        assert found[1][0] == limit and 0 < found[2][0] < 200

    bench.simulate(testbench)


@pytest.mark.parametrize("cycles", [1, 2, 5, 20])
def test_reset_ends_a_capture(cycles):
    bench = Bench(seed=cycles)

    async def testbench(ctx):
        control = await bench.settings(ctx, Settings(value=1, mask=1, after=15))
        await bench.write(ctx, 0, control)
        await ctx.tick().repeat(cycles)
        ctx.set(bench.reset, 1)
        await ctx.tick()
        ctx.set(bench.reset, 0)
        await ctx.tick().repeat(40)
        assert await bench.status(ctx) == set()
        # And it captures as before: only what is written alone was kept.
        begin = await bench.write(ctx, 0, control)
        await bench.finish(ctx)
        settings = Settings(value=1, mask=1, after=15)
        bench.check(*await bench.fetch(ctx), capture(bench.samples[begin - 2 : begin], bench.samples[begin:], 16, settings))

    bench.simulate(testbench)


def test_identity_and_geometry():
    bench = Bench(depth=32)

    async def testbench(ctx):
        assert await bench.read(ctx, IDENTITY_NUMBER) == identity(WIDTHS, 32)
        geometry = await bench.read(ctx, 2)
        found = {name: geometry >> offset & (1 << width) - 1 for name, (offset, width) in GEOMETRY.items()}
        assert found == {"depth": 32, "width": 40, "stamp": STAMP_BITS}
        assert await bench.read(ctx, 60) == 0

    bench.simulate(testbench)
    others = [
        ({**WIDTHS, "more": 1}, 32),
        ({"irq": 1, "count": 36, "state": 3}, 32),
        (WIDTHS, 64),
        ({"irq": 1, "state": 2, "count": 37}, 32),
    ]
    assert len({identity(WIDTHS, 32), *(identity(*other) for other in others)}) == 5


def test_registers_do_not_overlap():
    numbers = [item.number for item in ANALYSER_REGISTERS]
    assert len(set(numbers)) == len(numbers) and all(0 <= number < 64 for number in numbers)


@pytest.mark.parametrize(
    ("probes", "depth", "words"),
    [
        ({}, 16, "1 to 512 bits together, not 0"),
        ({"a": 500, "b": 13}, 16, "1 to 512 bits together, not 513"),
        ({"a": 1}, 8, "power of two from 16 to 65536, not 8"),
        ({"a": 1}, 24, "not 24"),
        ({"a": 1}, 1 << 17, "not 131072"),
        ({"a": 1}, "16", "not '16'"),
    ],
)
def test_refuses(probes, depth, words):
    with pytest.raises(ValueError, match=words):
        Analyser(probes=probes, depth=depth)
