"""The memory self-test against its model: accesses, registers, cycles, faults of every kind, reset in the middle."""

import random

import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import ChipConfig, ConfigError
from hw.debug.march import BACKGROUNDS, OPERATIONS
from hw.debug.self_test import CONTROL, FOUND, MAX_FAILURES, PATTERN, RESULT, SELF_TEST_REGISTERS, STATUS, Command, SelfTest
from sim.golden.self_test import SelfTestModel
from tests.unit.self_test_bench import FaultyMemory, SelfTestBench

NARROW = ChipConfig(
    name="narrow", rows=4, cols=4, sbuf_banks=1, sbuf_bank_lines=32, psum_rows=8, psum_banks=2, output_lanes=1, dma_burst_lines=16
)
WIDE = ChipConfig(name="wide", rows=8, cols=8, sbuf_banks=2, sbuf_bank_lines=16, psum_rows=8, psum_banks=2)
CONFIGS = pytest.mark.parametrize("config", [NARROW, WIDE], ids=lambda config: config.name)


def control(command: Command, *, alternate: bool = False, rows: bool = False) -> int:
    return command << CONTROL["command"][0] | alternate << CONTROL["alternate"][0] | rows << CONTROL["rows"][0]


def field(value: int, bits: tuple[int, int]) -> int:
    return value >> bits[0] & (1 << bits[1]) - 1


def stuck(line: int, bit: int, value: int):
    def spoil(lines, _):
        lines[line] = lines[line] & ~(1 << bit) | value << bit

    return spoil


def coupled(aggressor: int, victim: int, bit: int):
    """A write to `aggressor` turns a bit of `victim` over."""

    def spoil(lines, line):
        if line == aggressor:
            lines[victim] ^= 1 << bit

    return spoil


FAULTS = {
    "none": {},
    "stuck at 1": {"spoil": stuck(9, 13, 1)},
    "stuck at 0": {"spoil": stuck(0, 31, 0)},
    "last line": {"spoil": stuck(31, 0, 1)},
    "coupled upwards": {"spoil": coupled(3, 20, 5)},
    "coupled downwards": {"spoil": coupled(20, 3, 30)},
    "two addresses, one line": {"alias": lambda line: line & ~4},
    "address bit stuck": {"alias": lambda line: line | 16},
}


async def compare(ctx, bench, model, registers=(0, 1)):
    words = bench.config.line_bytes // 4
    for number in (*registers, *range(PATTERN, PATTERN + words), *range(FOUND, FOUND + words)):
        assert await bench.read(ctx, number) == model.read(number), number


@CONFIGS
@pytest.mark.parametrize("fault", FAULTS)
def test_march_equals_the_model_under_back_pressure(config, fault):
    rng = random.Random(f"{config.name} {fault}")
    bench = SelfTestBench(
        config, FaultyMemory(32, **FAULTS[fault]), hold=lambda: rng.choice((0, 0, 1, 3)), wait=lambda: rng.choice((1, 1, 2, 5))
    )
    model = SelfTestModel(config, FaultyMemory(32, **FAULTS[fault]))

    async def testbench(ctx, _):
        for name, (word, alternate) in rng.sample(list(BACKGROUNDS.items()), 1):
            bench.accesses.clear()
            words = [word ^ 0xFF * index for index in range(config.line_bytes // 4)]
            for number, value in (
                (1, 0),
                (2, 31),
                *((PATTERN + i, w) for i, w in enumerate(words)),
                (0, control(Command.MARCH, alternate=alternate)),
            ):
                await bench.write(ctx, number, value)
                model.write(number, value)
            assert await bench.read(ctx, 0) & 1
            await bench.finish(ctx)
            assert bench.accesses == model.accesses, name
            assert len(bench.accesses) == OPERATIONS * 32
            assert bool(field(model.read(1), RESULT["failures"])) == (fault != "none"), name
            if fault != "none":
                await compare(ctx, bench, model)
            else:
                assert await bench.read(ctx, 1) >> RESULT["failures"][0] == 0 and not field(await bench.read(ctx, 0), STATUS["failed"])

    bench.run(testbench)


def test_the_first_failure_is_named():
    bench = SelfTestBench(WIDE, FaultyMemory(32, spoil=stuck(9, 45, 1)))

    async def testbench(ctx, _):
        for number, value in ((1, 4), (2, 20), (PATTERN, 0), (PATTERN + 1, 0), (0, control(Command.MARCH))):
            await bench.write(ctx, number, value)
        await bench.finish(ctx)
        status, result = await bench.read(ctx, 0), await bench.read(ctx, 1)
        assert {name: field(status, STATUS[name]) for name in ("busy", "failed", "failing_element", "ones")} == {
            "busy": 0, "failed": 1, "failing_element": 1, "ones": 0
        }  # fmt: skip
        # Three elements read zeros at line 9, where bit 45 is always one.
        assert (field(result, RESULT["line"]), field(result, RESULT["failures"])) == (9, 3)
        assert [await bench.read(ctx, FOUND + word) for word in range(2)] == [0, 1 << 13]

    bench.run(testbench)
    assert {access.line for access in bench.accesses} == set(range(4, 21))


@CONFIGS
@pytest.mark.parametrize(("first", "last", "rows"), [(0, 31, False), (5, 5, False), (30, 2, False), (3, 31, True), (8, 8, True)])
def test_fill_and_signature_equal_the_model(config, first, last, rows):
    rng = random.Random(f"{first} {last} {rows}")
    bench = SelfTestBench(config, FaultyMemory(32), hold=lambda: rng.choice((0, 2)), wait=lambda: rng.choice((1, 4)))
    model = SelfTestModel(config, FaultyMemory(32))
    seeds = [rng.getrandbits(32) for _ in range(config.line_bytes // 4)]

    async def testbench(ctx, _):
        for command in (Command.FILL, Command.SIGNATURE, Command.SIGNATURE):
            bench.accesses.clear()
            for number, value in (
                (1, first),
                (2, last),
                *((PATTERN + i, w) for i, w in enumerate(seeds)),
                (0, control(command, rows=rows)),
            ):
                await bench.write(ctx, number, value)
                model.write(number, value)
            await bench.finish(ctx)
            assert bench.accesses == model.accesses
            for word in range(len(seeds)):
                assert await bench.read(ctx, PATTERN + word) == model.read(PATTERN + word)
            assert field(await bench.read(ctx, 0), STATUS["line"]) == first
            # One bit of one line is another signature.
            bench.memory.lines[first] ^= 1
            model._memory.lines[first] ^= 1

    bench.run(testbench)
    assert bench.memory.lines == model._memory.lines


@pytest.mark.parametrize(("hold", "wait"), [(0, 1), (2, 1), (0, 3), (1, 4)])
@pytest.mark.parametrize("command", Command)
def test_cycles(command, hold, wait):
    bench = SelfTestBench(NARROW, FaultyMemory(32), hold=lambda: hold, wait=lambda: wait)

    async def testbench(ctx, _):
        await bench.write(ctx, 1, 0)
        await bench.write(ctx, 2, 7)
        begin = await bench.write(ctx, 0, control(command))
        end = await bench.finish(ctx)
        assert bench.asked[0] == begin + 3
        assert bench.asked[1:] == [cycle + 2 for cycle in bench.answered[:-1]]
        assert {answer - ask for ask, answer in zip(bench.asked, bench.answered, strict=True)} == {hold + wait}
        accesses = 8 * (OPERATIONS if command is Command.MARCH else 1)
        assert end == begin + accesses * (hold + wait + 2) + (3 if command is Command.MARCH else 2)

    bench.run(testbench)


class Dead(FaultyMemory):
    def read(self, line):
        return 0x5A


def test_failures_saturate():
    config = ChipConfig(name="deep", rows=4, cols=4, sbuf_banks=1, sbuf_bank_lines=1024, psum_rows=8, output_lanes=1, dma_burst_lines=16)
    bench, model = SelfTestBench(config, Dead(1024)), SelfTestModel(config, Dead(1024))

    async def testbench(ctx, _):
        # Five reads a line: the count passes every number up to the limit, and would pass it.
        for number, value in ((2, MAX_FAILURES // 5 + 1), (0, control(Command.MARCH))):
            await bench.write(ctx, number, value)
            model.write(number, value)
        await bench.finish(ctx)
        assert field(await bench.read(ctx, 1), RESULT["failures"]) == field(model.read(1), RESULT["failures"]) == MAX_FAILURES

    bench.run(testbench)


def test_writes_while_busy_are_lost():
    bench = SelfTestBench(NARROW, FaultyMemory(32), wait=lambda: 6)

    async def testbench(ctx, _):
        await bench.write(ctx, PATTERN, 0x01234567)
        await bench.write(ctx, 2, 7)
        await bench.write(ctx, 0, control(Command.MARCH))
        for number in (0, 1, 2, PATTERN):
            await bench.write(ctx, number, 0x13)
        await bench.finish(ctx)
        assert await bench.read(ctx, PATTERN) == 0x01234567

    bench.run(testbench)
    assert len(bench.accesses) == 8 * OPERATIONS and {access.line for access in bench.accesses} == set(range(8))


def test_command_0_starts_nothing():
    bench = SelfTestBench(NARROW, FaultyMemory(32))

    async def testbench(ctx, _):
        await bench.write(ctx, 0, 0b1100)
        assert not await bench.read(ctx, 0) & 1

    bench.run(testbench)
    assert not bench.accesses


@pytest.mark.parametrize("cycles", range(1, 9))
def test_reset_in_the_middle(cycles):
    dut = SelfTest(config=NARROW)
    reset = Signal()
    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)

    async def testbench(ctx):
        for round_trip in range(2):
            for number, value in ((1, 1), (2, 2), (PATTERN, 0), (0, control(Command.MARCH))):
                ctx.set(dut.registers.address, number)
                ctx.set(dut.registers.value, value)
                ctx.set(dut.registers.write, 1)
                await ctx.tick()
                ctx.set(dut.registers.write, 0)
            await ctx.tick().repeat(2)
            assert ctx.get(dut.sbuf.request.valid) and ctx.get(dut.sbuf.request.payload.address) == 1, round_trip
            ctx.set(dut.sbuf.request.ready, 1)
            for cycle in range(cycles):
                # Read back wrong, so that there is something to forget.
                ctx.set(dut.sbuf.response.valid, cycle % 2)
                ctx.set(dut.sbuf.response.data, 0x77)
                await ctx.tick()
            ctx.set(dut.sbuf.request.ready, 0)
            ctx.set(dut.sbuf.response.valid, 0)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            ctx.set(dut.registers.address, 0)
            for _ in range(3):
                assert not ctx.get(dut.sbuf.request.valid)
                await ctx.tick()
            assert not ctx.get(dut.registers.data) & 0b11

    sim.add_testbench(testbench)
    sim.run()


def test_registers_do_not_overlap():
    numbers = [(item.number, item.access) for item in SELF_TEST_REGISTERS]
    assert len(set(numbers)) == len(numbers) and all(0 <= number < 64 for number, _ in numbers)


def test_a_configuration_that_makes_no_chip_is_refused():
    with pytest.raises(ConfigError, match="rows == cols"):
        SelfTest(config=ChipConfig(name="odd", rows=4, cols=8))
