# amaranth: UnusedElaboratable=no
"""`UartReceiver` and `UartTransmitter` against a line drawn cycle by cycle, at the edges of the divisor and of the sender's clock."""

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.sim import Simulator

from hw.host.uart import LEAST_DIVISOR, UartReceiver, UartTransmitter

DIVISORS = (8, 9, 12, 33)


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def levels(octet, *, stop=1):
    return [0, *(octet >> bit & 1 for bit in range(8)), stop]


def line_of(bits, *, period, start=0.0):
    """The line at every clock edge, for bits that last `period` clocks each; `start` clocks of idle first."""
    length = int(start + period * len(bits))
    places = (np.arange(length) - start) / period
    return [bits[int(place)] if place >= 0 else 1 for place in places]


async def watch(ctx, dut, line):
    """What the receiver gives for a line, as (cycle, octet), and the cycles of its errors."""
    octets, errors = [], []
    for cycle, level in enumerate(line):
        ctx.set(dut.rx, level)
        if ctx.get(dut.o.valid):
            octets.append((cycle, ctx.get(dut.o.data)))
        if ctx.get(dut.error):
            errors.append(cycle)
        await ctx.tick()
    return octets, errors


@pytest.mark.parametrize("divisor", DIVISORS)
def test_receives_every_octet_back_to_back(divisor):
    """All 256 at the least divisor, in one stream without idle between; each comes half a bit and three cycles after its last bit began."""
    dut = UartReceiver(divisor=divisor)
    octets = list(range(256)) if divisor == 8 else list(range(0, 256, 23))

    async def testbench(ctx):
        bits = [bit for octet in octets for bit in levels(octet)]
        found, errors = await watch(ctx, dut, line_of(bits, period=divisor, start=5) + [1] * 20)
        assert [octet for _, octet in found] == octets and not errors
        # Two flip-flops, the edge seen, and the sample's own register.
        assert [cycle for cycle, _ in found] == [
            5 + 10 * divisor * index + 9 * divisor + (divisor - 1) // 2 + 3 for index in range(len(octets))
        ]

    simulate(dut, testbench)


@pytest.mark.parametrize("off", [-0.03, -0.02, 0.02, 0.03])
@pytest.mark.parametrize("divisor", DIVISORS)
def test_a_sender_whose_clock_is_off(divisor, off):
    """3 % either way, back to back and at any phase of the clock; from 7 % on it cannot work."""
    rng = np.random.default_rng(divisor)
    dut = UartReceiver(divisor=divisor)
    octets = [0x00, 0xFF, 0x55, 0xAA, *(int(value) for value in rng.integers(256, size=2))]

    async def testbench(ctx):
        for phase in (0.1, 0.6):
            bits = [bit for octet in octets for bit in levels(octet)]
            found, errors = await watch(ctx, dut, line_of(bits, period=divisor * (1 + off), start=4 + phase) + [1] * 2 * divisor)
            assert [octet for _, octet in found] == octets and not errors, f"phase {phase}"
        bits = [bit for octet in octets for bit in levels(octet)]
        found, _ = await watch(ctx, dut, line_of(bits, period=divisor * (1 + off / abs(off) * 0.07), start=4) + [1] * 3 * divisor)
        assert [octet for _, octet in found] != octets

    simulate(dut, testbench)


@pytest.mark.parametrize("divisor", DIVISORS)
def test_glitches_breaks_and_recovery(divisor):
    """Less than half a start bit is none; an octet without a stop bit is an error, once, however long the line stays low."""
    dut = UartReceiver(divisor=divisor)

    async def testbench(ctx):
        glitch = [0] * ((divisor - 1) // 2) + [1] * 12 * divisor
        assert await watch(ctx, dut, glitch) == ([], [])
        broken = line_of(levels(0x5A, stop=0), period=divisor) + [0] * 15 * divisor + [1] * 2 * divisor
        found, errors = await watch(ctx, dut, broken)
        assert not found and len(errors) == 1
        found, errors = await watch(ctx, dut, line_of(levels(0xC3), period=divisor) + [1] * divisor)
        assert [octet for _, octet in found] == [0xC3] and not errors

    simulate(dut, testbench)


def test_receiver_reset_in_the_middle():
    """The rest of an octet after a reset is not one; the next is."""
    reset = Signal()
    dut = UartReceiver(divisor=8)

    async def testbench(ctx):
        line = line_of(levels(0xF0), period=8)
        assert await watch(ctx, dut, line[:30]) == ([], [])
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert await watch(ctx, dut, [1] * 100) == ([], [])
        found, _ = await watch(ctx, dut, line_of(levels(0x0F), period=8) + [1] * 8)
        assert [octet for _, octet in found] == [0x0F]

    simulate(ResetInserter(reset)(dut), testbench)


@pytest.mark.parametrize("divisor", DIVISORS)
def test_sends_without_a_gap(divisor):
    """The line is the octets' bits from the cycle after the first transfer on, each `divisor` cycles; then idle."""
    dut = UartTransmitter(divisor=divisor)
    octets = [0x00, 0xFF, 0x7E, 0xA5]

    async def testbench(ctx):
        assert ctx.get(dut.tx) == 1 and ctx.get(dut.i.ready)
        sent, line = 0, []
        for _ in range(10 * divisor * len(octets) + 2 * divisor):
            ctx.set(dut.i.valid, sent < len(octets))
            ctx.set(dut.i.payload, octets[min(sent, len(octets) - 1)])
            sent += ctx.get(dut.i.ready) and sent < len(octets)
            await ctx.tick()
            line.append(ctx.get(dut.tx))
        expected = [bit for octet in octets for bit in levels(octet) for _ in range(divisor)]
        assert line == expected + [1] * (2 * divisor)

    simulate(dut, testbench)


def test_sends_late_octets_and_resets():
    """An octet that comes after a pause begins at once; a reset lets go of the line."""
    reset = Signal()
    dut = UartTransmitter(divisor=8)

    async def testbench(ctx):
        ctx.set(dut.i.payload, 0)
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(85)
        assert ctx.get(dut.i.ready) and ctx.get(dut.tx) == 1
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        assert ctx.get(dut.tx) == 0 and not ctx.get(dut.i.ready)
        await ctx.tick().repeat(20)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert ctx.get(dut.tx) == 1 and ctx.get(dut.i.ready)

    simulate(ResetInserter(reset)(dut), testbench)


@pytest.mark.parametrize("divisor", [8, 13])
def test_both_ends(divisor):
    """What one sends the other receives, at full rate."""
    m = Module()
    m.submodules.sender = sender = UartTransmitter(divisor=divisor)
    m.submodules.receiver = receiver = UartReceiver(divisor=divisor)
    m.d.comb += receiver.rx.eq(sender.tx)
    octets = [int(value) for value in np.random.default_rng(7).integers(256, size=12)]

    async def testbench(ctx):
        sent, found = 0, []
        for _ in range(10 * divisor * (len(octets) + 1)):
            ctx.set(sender.i.valid, sent < len(octets))
            ctx.set(sender.i.payload, octets[min(sent, len(octets) - 1)])
            sent += ctx.get(sender.i.ready) and sent < len(octets)
            if ctx.get(receiver.o.valid):
                found.append(ctx.get(receiver.o.data))
            await ctx.tick()
        assert found == octets

    simulate(m, testbench)


@pytest.mark.parametrize("part", [UartReceiver, UartTransmitter])
@pytest.mark.parametrize("divisor", [7, 0, -8, 8.5, "8"])
def test_refuses_a_divisor(part, divisor):
    with pytest.raises(
        ValueError, match=f"divisor must be an integer of at least {LEAST_DIVISOR} clocks a bit, not .*: lower the baud rate"
    ):
        part(divisor=divisor)
