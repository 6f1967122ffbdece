# amaranth: UnusedElaboratable=no
"""`PacketRing`, `SerialCrc` and `Deframer` alone: what is committed comes out, whatever was written before; the buffer to its last octet."""

import zlib
from collections import deque

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator

from hw.host.crc import RESIDUE, SerialCrc
from hw.host.deframer import Deframer
from hw.host.protocol import CRC_BYTES, FLAG, LONGEST_BODY, RECEIVE_BUFFER
from hw.host.ring import RING_OCTETS, PacketRing
from sim.golden.host_link import frame

from .host_bench import SPACING, ticks


def simulate(dut, testbench, *background):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for process in background:
        sim.add_testbench(process, background=True)
    sim.add_testbench(testbench)
    sim.run()


async def put(ctx, dut, offset, octet, *, commit=False):
    """Writes an octet, or commits `offset` octets; False if there was no room."""
    ctx.set(dut.offset, offset)
    if ctx.get(dut.full):
        return False
    ctx.set(dut.commit if commit else dut.write, 1)
    ctx.set(dut.data, octet)
    await ctx.tick()
    ctx.set(dut.write, 0)
    ctx.set(dut.commit, 0)
    return True


@pytest.mark.parametrize("pace", ["1", "10", "0001"])
def test_packets_come_out_as_committed(pace):
    """Random lengths with some of them given up half way, against a queue; more than once around the memory."""
    dut, expected, found = PacketRing(), [], []
    rng = np.random.default_rng(len(pace))

    async def writes(ctx):
        for _ in range(40):
            packet = bytes(rng.bytes(int(rng.integers(0, 60))))
            for offset in range(int(rng.integers(0, 20))):
                while not await put(ctx, dut, offset, 0xEE):
                    await ctx.tick()
            for offset, octet in enumerate(packet):
                while not await put(ctx, dut, offset, octet):
                    await ctx.tick()
            while not await put(ctx, dut, len(packet), 0, commit=True):
                await ctx.tick()
            expected.extend((len(packet), *packet))
        for _ in range(4000):
            if len(found) == len(expected):
                break
            await ctx.tick()
        assert found == expected and len(expected) > 2 * RING_OCTETS

    async def reads(ctx):
        cycle, waiting = 0, None
        while True:
            ready = pace[cycle % len(pace)] == "1"
            cycle += 1
            ctx.set(dut.o.ready, ready)
            _, _, valid, octet = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            assert waiting in (None, octet if valid else -1), "an octet must hold until ready"
            waiting = octet if valid and not ready else None
            if valid and ready:
                found.append(octet)

    simulate(dut, writes, reads)


def test_latency_and_throughput():
    """The length four cycles after the commit, then an octet every third cycle."""
    dut, cycles = PacketRing(), []

    async def testbench(ctx):
        for offset in range(5):
            await put(ctx, dut, offset, offset + 1)
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.offset, 5)
        ctx.set(dut.commit, 1)
        await ctx.tick()
        ctx.set(dut.commit, 0)
        for cycle in range(1, 30):
            if ctx.get(dut.o.valid):
                cycles.append((cycle, ctx.get(dut.o.payload)))
            await ctx.tick()
        assert cycles == [(4 + 3 * index, octet) for index, octet in enumerate((5, 1, 2, 3, 4, 5))]

    simulate(dut, testbench)


def test_room_to_the_last_octet():
    """`RING_OCTETS` - 1 octets with the lengths; a packet that does not fit can be tried again when one has left."""
    dut = PacketRing()

    async def testbench(ctx):
        left = RING_OCTETS - 1
        while left > 1:
            size = min(200, left - 1)
            for offset in range(size):
                assert await put(ctx, dut, offset, 1)
            assert await put(ctx, dut, size, 0, commit=True)
            assert ctx.get(dut.full), "in the cycle after a commit, whatever room there is"
            await ctx.tick()
            left -= size + 1
        assert not await put(ctx, dut, 0, 1) and not await put(ctx, dut, 0, 0, commit=True)
        ctx.set(dut.o.ready, 1)
        await ticks(ctx, 4)
        ctx.set(dut.o.ready, 0)
        assert await put(ctx, dut, 0, 0, commit=True)

    simulate(dut, testbench)


def test_ring_reset_empties():
    reset = Signal()
    dut = PacketRing()

    async def testbench(ctx):
        await put(ctx, dut, 0, 7)
        await put(ctx, dut, 1, 0, commit=True)
        await ticks(ctx, 4)
        assert ctx.get(dut.o.valid)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        for _ in range(6):
            assert not ctx.get(dut.o.valid)
            await ctx.tick()

    simulate(ResetInserter(reset)(dut), testbench)


@pytest.mark.parametrize("size", [0, 1, 9])
def test_crc_is_that_of_zlib(size):
    """Octet after octet, nine cycles each; drained it is the CRC, and with it the residue remains."""
    dut = SerialCrc()
    body = np.random.default_rng(size).bytes(size)

    async def octet(ctx, pulse, value=0):
        assert not ctx.get(dut.busy)
        ctx.set(pulse, 1)
        ctx.set(dut.data, value)
        await ctx.tick()
        ctx.set(pulse, 0)
        for _ in range(8):
            assert ctx.get(dut.busy)
            await ctx.tick()

    async def testbench(ctx):
        for again in range(2):
            for value in body:
                await octet(ctx, dut.take, value)
            crc = []
            if again:
                for value in zlib.crc32(body).to_bytes(4, "little"):
                    await octet(ctx, dut.take, value)
                assert ctx.get(dut.value) == RESIDUE
            else:
                for _ in range(4):
                    crc.append(~ctx.get(dut.value) & 0xFF)
                    await octet(ctx, dut.drain)
                assert bytes(crc) == zlib.crc32(body).to_bytes(4, "little")
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)

    simulate(dut, testbench)


class Buffer(wiring.Component):
    """A deframer and its ring, nothing reads."""

    def __init__(self):
        self.deframer, self.ring = Deframer(), PacketRing()
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules += [self.deframer, self.ring]
        for name in ("write", "commit", "offset", "data"):
            m.d.comb += getattr(self.ring, name).eq(getattr(self.deframer, name))
        m.d.comb += self.deframer.full.eq(self.ring.full)
        return m


def run_buffer(octets, *, errors=()):
    """Events (committed lengths, "bad", "dropped") for octets that nobody takes out of the ring; `errors` are indices before which the line fails."""
    dut, events = Buffer(), []

    async def testbench(ctx):
        deframer = dut.deframer
        for index, octet in enumerate(octets):
            if index in errors:
                ctx.set(deframer.error, 1)
                await ctx.tick()
                ctx.set(deframer.error, 0)
                await ticks(ctx, SPACING)
            ctx.set(deframer.i.valid, 1)
            ctx.set(deframer.i.data, octet)
            await ctx.tick()
            ctx.set(deframer.i.valid, 0)
            for cycle in range(SPACING - 1):
                commit, bad, dropped = (ctx.get(item) for item in (deframer.commit, deframer.bad, deframer.dropped))
                if commit or dropped:
                    assert octet == FLAG and cycle == 2
                    events.append("bad" if bad else "dropped" if dropped else ctx.get(deframer.offset))
                assert commit or not bad
                await ctx.tick()

    simulate(dut, testbench)
    return events


def test_the_buffer_holds_what_it_says():
    """`RECEIVE_BUFFER` octets of bodies with their lengths, full at once; then whole frames are dropped, small ones still fit, bad ones too."""
    sizes = [LONGEST_BODY, LONGEST_BODY, RECEIVE_BUFFER - 2 * (LONGEST_BODY + 1) - 1]
    octets = b"".join(frame(bytes(size)) for size in sizes)
    assert run_buffer(octets) == sizes
    assert run_buffer(octets + frame(bytes(7)) + frame(bytes(2)) + b"x~") == [*sizes, "dropped", 2, "bad"]


def test_bad_frames_and_line_errors():
    """Each kind of damage makes one empty packet; flags alone make none."""
    good = frame(b"abc")
    assert run_buffer(b"~~~" + good + b"~~") == [3]
    assert run_buffer(good, errors={2}) == ["bad"] and run_buffer(b"~" + good, errors={0}) == ["bad", 3]
    for damage in (b"ab}~", b"a~", b"abc~", good[:-2] + b"~", frame(bytes(LONGEST_BODY + 1)), bytes(300) + b"~"):
        assert run_buffer(damage + good) == ["bad", 3], damage
    assert run_buffer(frame(b"")) == [0] and len(frame(b"")) == 2 + CRC_BYTES


def test_deframer_reset_in_a_frame():
    """The rest is a bad frame, the next a good one."""
    reset = Signal()
    dut, events = Buffer(), deque()

    async def feed(ctx, octets):
        for octet in octets:
            ctx.set(dut.deframer.i.valid, 1)
            ctx.set(dut.deframer.i.data, octet)
            await ctx.tick()
            ctx.set(dut.deframer.i.valid, 0)
            for _ in range(SPACING - 1):
                if ctx.get(dut.deframer.commit):
                    events.append("bad" if ctx.get(dut.deframer.bad) else ctx.get(dut.deframer.offset))
                await ctx.tick()

    async def testbench(ctx):
        octets = frame(b"abcdef")
        await feed(ctx, octets[:5])
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await feed(ctx, octets[5:] + octets)
        assert list(events) == ["bad", 6]

    simulate(ResetInserter(reset)(dut), testbench)
