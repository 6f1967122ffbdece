# amaranth: UnusedElaboratable=no
"""What the fetcher asks for and when (its behaviour in a whole sequencer is in test_sequencer.py)."""

import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.control.fetcher import Fetcher

CONFIG = ChipConfig(rows=16, cols=16, output_lanes=1, queue_depth=4, axi_address_width=24)
BEATS = 2
#: The address in the word of an entry with an error.
ADDRESS = (1 << 64) - 1


def simulate(testbench, *, reset=None):
    dut = Fetcher(config=CONFIG, engine="output")
    sim = Simulator(dut if reset is None else ResetInserter(reset)(dut))
    sim.add_clock(1e-6)

    async def run(ctx):
        ctx.set(dut.i_window.high, 1 << 24)
        await testbench(ctx, dut)

    sim.add_testbench(run)
    sim.run()


async def start(ctx, dut, *, base=0x100, count=10):
    ctx.set(dut.i_base, base)
    ctx.set(dut.i_count, count)
    ctx.set(dut.i_start, 1)
    await ctx.tick()
    ctx.set(dut.i_start, 0)


async def requests(ctx, dut, cycles):
    """(cycle, address, beats) of the bursts asked for, all accepted at once."""
    found = []
    ctx.set(dut.fetch.request.ready, 1)
    for cycle in range(cycles):
        if ctx.get(dut.fetch.request.valid):
            found.append((cycle, ctx.get(dut.fetch.request.payload.address), ctx.get(dut.fetch.request.payload.length) + 1))
        await ctx.tick()
    ctx.set(dut.fetch.request.ready, 0)
    return found


async def answer(ctx, dut, data, *, resp=0):
    """The beats of one burst, back to back, and the cycle in which it is looked at."""
    for beat in range(BEATS):
        ctx.set(dut.fetch.response.valid, 1)
        ctx.set(dut.fetch.response.payload.data, (data >> (128 * beat)) & ((1 << 128) - 1))
        ctx.set(dut.fetch.response.payload.last, beat == BEATS - 1)
        ctx.set(dut.fetch.response.payload.resp, resp if beat == 0 else 0)
        assert ctx.get(dut.fetch.response.ready)
        await ctx.tick()
    ctx.set(dut.fetch.response.valid, 0)
    await ctx.tick()


def test_asks_for_as_much_as_there_is_room_for():
    async def testbench(ctx, dut):
        await start(ctx, dut)
        # The cycle after the start is 0: checked in 0 and 1, issued in 2, on the bus from 3, one a cycle.
        assert await requests(ctx, dut, 30) == [(3 + index, 0x100 + 32 * index, BEATS) for index in range(4)]
        for index in range(4):
            await answer(ctx, dut, 0x1111 * (index + 1) << 200 | index)
        assert not await requests(ctx, dut, 10), "the queue is full"
        assert not ctx.get(dut.o_busy)
        for index in range(4):
            assert ctx.get(dut.o.valid) and ctx.get(dut.o.payload.word) == 0x1111 * (index + 1) << 200 | index
            ctx.set(dut.o.ready, 1)
            await ctx.tick()
            ctx.set(dut.o.ready, 0)
        assert [address for _, address, _ in await requests(ctx, dut, 10)] == [0x100 + 32 * index for index in range(4, 8)]

    simulate(testbench)


def test_bursts_back_to_back_are_an_instruction_each_two_cycles_after_their_last_beat():
    async def testbench(ctx, dut):
        await start(ctx, dut)
        assert len(await requests(ctx, dut, 10)) == 4
        found, words = [], [0x1111 * (index + 1) << 200 | index for index in range(4)]

        beats = [(word, beat) for word in words for beat in range(BEATS)]
        ctx.set(dut.o.ready, 1)
        for cycle in range(len(beats) + 2):
            if cycle < len(beats):
                word, beat = beats[cycle]
                ctx.set(dut.fetch.response.payload.data, (word >> (128 * beat)) & ((1 << 128) - 1))
                ctx.set(dut.fetch.response.payload.last, beat == BEATS - 1)
            ctx.set(dut.fetch.response.valid, cycle < len(beats))
            if ctx.get(dut.o.valid):
                found.append((cycle, ctx.get(dut.o.payload.word)))
            await ctx.tick()
        assert found == [(BEATS * index + BEATS + 1, word) for index, word in enumerate(words)]

    simulate(testbench)


def test_a_request_holds_until_it_is_accepted_even_if_the_job_is_replaced():
    async def testbench(ctx, dut):
        await start(ctx, dut)
        for _ in range(4):
            await ctx.tick()
        await start(ctx, dut, base=0x800, count=1)
        for _ in range(6):
            assert ctx.get(dut.fetch.request.valid) and ctx.get(dut.fetch.request.payload.address) == 0x100
            await ctx.tick()
        assert [address for _, address, _ in await requests(ctx, dut, 10)] == [0x100, 0x800]
        await answer(ctx, dut, 0xDEAD)
        assert not ctx.get(dut.o.valid), "an instruction of the old job"
        await answer(ctx, dut, 0xCAFE)
        assert ctx.get(dut.o.valid) and ctx.get(dut.o.payload.word) == 0xCAFE

    simulate(testbench)


def test_an_error_in_any_beat_ends_the_queue():
    async def testbench(ctx, dut):
        await start(ctx, dut)
        await requests(ctx, dut, 10)
        ctx.set(dut.o.ready, 1)
        await answer(ctx, dut, 0x1234)
        assert ctx.get(dut.o.valid) and not ctx.get(dut.o.payload.error)
        await answer(ctx, dut, 0x1234, resp=2)
        assert ctx.get(dut.o.valid) and ctx.get(dut.o.payload.error) and ctx.get(dut.o.payload.word) & ADDRESS == 0x120
        for _ in range(2):
            await answer(ctx, dut, 0x5678)
            assert not ctx.get(dut.o.valid)
        # What was on its way before the error was seen is all there is.
        assert len(await requests(ctx, dut, 20)) <= 1

    simulate(testbench)


def test_halt_stops_asking():
    async def testbench(ctx, dut):
        ctx.set(dut.i_halt, 1)
        await start(ctx, dut)
        assert not await requests(ctx, dut, 20)
        ctx.set(dut.i_halt, 0)
        assert len(await requests(ctx, dut, 20)) == 4

    simulate(testbench)


@pytest.mark.parametrize(
    ("base", "count"),
    [(0x110, 1), (1 << 24, 1), ((1 << 24) - 32, 2), (1 << 63, 1), ((1 << 64) - 32, 1), (0x100, (1 << 32) - 1), (0, 1 + (1 << 19)), (0, 1)],
)
def test_a_queue_that_cannot_be_is_one_error_without_traffic(base, count):
    async def testbench(ctx, dut):
        ctx.set(dut.i_window.low, 1)
        await start(ctx, dut, base=base, count=count)
        for _ in range(3):
            assert not ctx.get(dut.o.valid)
            await ctx.tick()
        assert ctx.get(dut.o.valid) and ctx.get(dut.o.payload.error) and ctx.get(dut.o.payload.word) & ADDRESS == base
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        assert not ctx.get(dut.o.valid)
        assert not await requests(ctx, dut, 20)

    simulate(testbench)


@pytest.mark.parametrize("after", range(1, 5))
def test_a_start_while_the_queue_of_another_is_checked_forgets_it(after):
    async def testbench(ctx, dut):
        await start(ctx, dut, base=0x110, count=1)
        for _ in range(after - 1):
            await ctx.tick()
        await start(ctx, dut, base=0x800, count=1)
        assert not ctx.get(dut.o.valid)
        assert [(cycle, address) for cycle, address, _ in await requests(ctx, dut, 20)] == [(3, 0x800)]
        assert not ctx.get(dut.o.valid)

    simulate(testbench)


@pytest.mark.parametrize(("low", "high"), [(0x100, 0x140), (0xE1, 0x15F)])
def test_a_queue_that_just_fits_is_fetched(low, high):
    async def testbench(ctx, dut):
        ctx.set(dut.i_window.low, low)
        ctx.set(dut.i_window.high, high)
        await start(ctx, dut, base=0x100, count=2)
        assert [address for _, address, _ in await requests(ctx, dut, 20)] == [0x100, 0x120]
        assert not ctx.get(dut.o.valid)

    simulate(testbench)


def test_reset_forgets_the_job():
    reset = Signal()

    async def testbench(ctx, dut):
        await start(ctx, dut)
        assert len(await requests(ctx, dut, 5)) == 2
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert not ctx.get(dut.o_busy) and not ctx.get(dut.o.valid)
        assert not await requests(ctx, dut, 20)

    simulate(testbench, reset=reset)


def test_refuses_an_unknown_engine():
    with pytest.raises(ValueError, match="engine must be one of load, tensor, output, store, not ''"):
        Fetcher(config=CONFIG, engine="")
