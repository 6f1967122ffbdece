# amaranth: UnusedElaboratable=no
"""The LEDs of `BoardTop`: what each shows, from which cycle, and for how long. The chip is a stand-in whose pins the tests set; a second has 512 cycles."""

from dataclasses import replace
from unittest import mock

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from hw.boards.top import BEATS, BoardTop, Led
from hw.chip import make_chip
from hw.common.isa import ENGINES
from hw.control.counters import TraceState
from hw.host.protocol import Space
from sim.golden.host_link import frame, pack_request
from sim.verilated.board import simulated_board

HZ = 512
TICK = HZ // BEATS
BOARD = replace(simulated_board("nano"), oscillator_hz=HZ, chip_hz=HZ, baud=HZ // 8, memory_bytes=4096, self_test=False, analyser_depth=0)
BIT = BOARD.divisor


class Pins(wiring.Component):
    """A chip that does nothing but have pins."""

    def __init__(self, config):
        super().__init__(wiring.Signature(dict(make_chip(config).signature.members)))

    def elaborate(self, platform):
        return Module()


def simulate(testbench):
    """Runs `testbench(ctx, dut, chip, lit)`; `lit()` is the set of LEDs that are on."""
    chip = Pins(BOARD.config)
    dut = BoardTop(board=BOARD)

    async def run(ctx):
        def lit():
            return {led for led in Led if ctx.get(dut.leds) >> led & 1}

        await testbench(ctx, dut, chip, lit)

    with mock.patch("hw.boards.top.make_chip", lambda config: chip):
        sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(run)
    sim.run()


def test_the_heart_beats_once_a_second():
    async def testbench(ctx, dut, chip, lit):
        seen = []
        for _ in range(2 * HZ + 1):
            assert lit() <= {Led.HEARTBEAT}
            seen.append(Led.HEARTBEAT in lit())
            await ctx.tick()
        # A register behind the counter: off for half a second, on for half a second.
        assert seen == [False] + ([False] * (HZ // 2) + [True] * (HZ // 2)) * 2

    simulate(testbench)


def test_states_of_engines():
    """Two cycles later, for as long as it lasts: halted engines do not run."""
    shown = {TraceState.IDLE: set(), TraceState.HALTED: {Led.HALTED}}

    async def testbench(ctx, dut, chip, lit):
        for engine in ENGINES:
            for state in TraceState:
                ctx.set(getattr(chip, f"trace_state_{engine}"), state)
                for _ in range(2):
                    assert lit() == set()
                    await ctx.tick()
                ctx.set(getattr(chip, f"trace_state_{engine}"), TraceState.IDLE)
                for _ in range(2):
                    assert lit() == shown.get(state, {Led.RUNNING}), (engine, state)
                    await ctx.tick()

    simulate(testbench)


def test_one_engine_runs_another_has_halted():
    async def testbench(ctx, dut, chip, lit):
        ctx.set(chip.trace_state_load, TraceState.HALTED)
        ctx.set(chip.trace_state_store, TraceState.BUSY)
        await ctx.tick().repeat(2)
        assert lit() == {Led.RUNNING, Led.HALTED}

    simulate(testbench)


def test_the_interrupt():
    async def testbench(ctx, dut, chip, lit):
        for level in (1, 1, 0, 1, 0):
            ctx.set(chip.irq, level)
            await ctx.tick()
            assert lit() == ({Led.IRQ} if level else set())

    simulate(testbench)


class Shown:
    """How an event shows on a dark LED: from the next cycle on, or if it comes with a tick from the next tick on; until the tick after the next."""

    def __init__(self):
        self.cycle, self.on, self.off = 0, 0, 0

    def step(self, event):
        """A cycle passes in which there was an event or not."""
        if event:
            next_tick = (self.cycle // TICK + 1) * TICK
            self.on = next_tick + 1 if self.cycle % TICK == 0 else self.cycle + 1
            self.off = next_tick + TICK + 1
        self.cycle += 1

    @property
    def lit(self):
        """In this cycle."""
        return self.on <= self.cycle < self.off


async def burst(ctx, chip, write, step):
    """One beat over AXI; `step(event)` passes a cycle."""
    prefix, data = ("aw", "w") if write else ("ar", "r")
    request, accepted = getattr(chip, f"m_axi_{prefix}valid"), getattr(chip, f"m_axi_{prefix}ready")
    mine, other = (
        getattr(chip, f"m_axi_{data}{'valid' if write else 'ready'}"),
        getattr(chip, f"m_axi_{data}{'ready' if write else 'valid'}"),
    )
    ctx.set(request, 1)
    while not ctx.get(accepted):
        await step(0)
    await step(0)
    ctx.set(request, 0)
    ctx.set(mine, 1)
    while not ctx.get(other):
        await step(0)
    await step(1)
    ctx.set(mine, 0)
    if write:
        ctx.set(chip.m_axi_bready, 1)
        while not ctx.get(chip.m_axi_bvalid):
            await step(0)
        await step(0)
        ctx.set(chip.m_axi_bready, 0)


@pytest.mark.parametrize("write", [False, True])
def test_a_beat_is_shown_until_the_tick_after_the_next(write):
    """Wherever it comes between two ticks: for at least a tick, which is a sixteenth of a heartbeat, and at most two."""

    async def testbench(ctx, dut, chip, lit):
        shown = Shown()
        spans, span = [], 0

        async def step(event):
            nonlocal span
            await ctx.tick()
            shown.step(event)
            assert (Led.MEMORY in lit()) == shown.lit, shown.cycle
            if shown.lit:
                span += 1
            elif span:
                spans.append(span)
                span = 0

        for place in range(TICK):
            while shown.cycle < shown.off + 1 or shown.cycle % TICK != place:
                await step(0)
            await burst(ctx, chip, write, step)
        while shown.cycle < shown.off + 1:
            await step(0)
        assert set(spans) == set(range(TICK, 2 * TICK)), sorted(set(spans))

    simulate(testbench)


async def send(ctx, dut, octets, *, stop=1):
    """Octets over the line."""
    for octet in octets:
        for level in (0, *(octet >> bit & 1 for bit in range(8)), stop):
            ctx.set(dut.rx, level)
            await ctx.tick().repeat(BIT)
    ctx.set(dut.rx, 1)


async def watch(ctx, lit, cycles):
    """All LEDs that were on in so many cycles."""
    found = set()
    for _ in range(cycles):
        await ctx.tick()
        found |= lit()
    return found - {Led.HEARTBEAT}


def test_octets_that_come_and_go():
    """A request shows as RECEIVING, its response as SENDING, and both go out once the line is quiet."""
    request = frame(pack_request(sequence=0, space=Space.BOARD, address=0, count=1, restart=True))

    async def testbench(ctx, dut, chip, lit):
        await send(ctx, dut, request[:-1])
        # The last octet came at most two bits ago: it shows. Nobody has answered.
        assert lit() - {Led.HEARTBEAT} == {Led.RECEIVING}
        await send(ctx, dut, request[-1:])
        assert await watch(ctx, lit, 40 * 10 * BIT) == {Led.RECEIVING, Led.SENDING}
        assert await watch(ctx, lit, 2 * TICK) == set()

    simulate(testbench)


@pytest.mark.parametrize("octets, stop", [(b"U", 0), (b"~bad frame~", 1)])
def test_an_error_of_the_line_stays(octets, stop):
    """An octet without a stop bit; a frame with a wrong CRC."""

    async def testbench(ctx, dut, chip, lit):
        assert Led.LINK_ERROR not in await watch(ctx, lit, 2 * TICK)
        await send(ctx, dut, octets, stop=stop)
        await watch(ctx, lit, 20 * BIT)
        for _ in range(HZ):
            assert Led.LINK_ERROR in lit()
            await ctx.tick()

    simulate(testbench)
