"""The host link without its UART, octets in and out, and spaces behind it that are as slow and as broken as wanted."""

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect
from amaranth.sim import Simulator

from hw.common.streams import connect_streams
from hw.host.bridge import Bridge
from hw.host.bus import HostBus
from hw.host.deframer import Deframer
from hw.host.framer import Framer
from hw.host.protocol import Space, Status
from hw.host.ring import PacketRing
from sim.golden import host_link

#: Cycles between octets, the least there may be.
SPACING = 12
SIZE = 1 << 12


class Core(wiring.Component):
    """Deframer, buffers, bridge and framer as in `HostLink`."""

    def __init__(self, *, timeout=256):
        self.deframer, self.requests, self.bridge = Deframer(), PacketRing(), Bridge(timeout=timeout, address_bits=16)
        self.responses, self.framer = PacketRing(), Framer()
        octet = wiring.Signature({"valid": Out(1), "data": Out(8)})
        super().__init__(
            {"i": In(octet), "error": In(1), "o": Out(stream.Signature(8)), "restart": In(1)}
            | {space.name.lower(): Out(HostBus()) for space in Space}
        )

    def elaborate(self, platform):
        m = Module()
        names = ("deframer", "requests", "bridge", "responses", "framer")
        deframer, requests, bridge, responses, framer = parts = [getattr(self, name) for name in names]
        m.submodules += parts
        connect(m, wiring.flipped(self.i), deframer.i)
        m.d.comb += [deframer.error.eq(self.error), bridge.restart.eq(self.restart)]
        for writer, ring in ((deframer, requests), (bridge, responses)):
            m.d.comb += [getattr(ring, name).eq(getattr(writer, name)) for name in ("write", "commit", "offset", "data")]
            m.d.comb += writer.full.eq(ring.full)
        connect_streams(m, requests.o, bridge.i)
        connect_streams(m, responses.o, framer.i)
        connect_streams(m, framer.o, wiring.flipped(self.o))
        for space in Space:
            connect(m, getattr(bridge, space.name.lower()), wiring.flipped(getattr(self, space.name.lower())))
        return m


class Words:
    """A space of `SIZE` bytes: beyond it errors, at `dead` no answer. As model and behind the bridge."""

    def __init__(self, *, dead=None):
        self.memory, self.dead, self.accesses = {}, dead, []

    def access(self, address, write, value):
        """What comes back: None for nothing, else (error, word)."""
        self.accesses.append((address, write, value if write else None))
        if address == self.dead:
            return None
        if address >= SIZE:
            return 1, 0xBAD0BAD0
        if write:
            self.memory[address] = value
        return 0, 0xDEADBEEF if write else self.memory.get(address, address * 0x01000193 & 0xFFFFFFFF)

    def _ask(self, *request):
        answer = self.access(*request)
        if answer is None:
            raise host_link.BusTimeout
        if answer[0]:
            raise host_link.BusError
        return answer[1]

    def read(self, address):
        return self._ask(address, False, 0)

    def write(self, address, value):
        self._ask(address, True, value)


async def ticks(ctx, cycles):
    """Waits. (A `repeat` that is never finished, as in what runs beside a test, leaves warnings behind.)"""
    for _ in range(cycles):
        await ctx.tick()


def server(port, words, rng, *, slow):
    """A testbench that answers a `HostBus` from `words`; checks that valid and payload hold, to the answer too."""

    def asked(ctx):
        payload = port.request.payload
        write = ctx.get(payload.write)
        return ctx.get(payload.address), write, ctx.get(payload.data) if write else 0

    async def serve(ctx):
        while True:
            waiting = None
            while True:
                ready = bool(rng.random() < (0.3 if slow else 1.0))
                ctx.set(port.request.ready, ready)
                valid = ctx.get(port.request.valid)
                request = asked(ctx) if valid else None
                assert waiting is None or waiting == request, "valid and payload must hold until ready"
                waiting = request
                await ctx.tick()
                if valid and ready:
                    break
            ctx.set(port.request.ready, 0)
            answer = words.access(request[0], bool(request[1]), request[2])
            while answer is None:
                await ctx.tick()
            await ticks(ctx, int(rng.integers(0, 20)) if slow else 0)
            assert asked(ctx) == request, "a payload must hold until the response"
            ctx.set(port.response.valid, 1)
            ctx.set(port.response.error, answer[0])
            ctx.set(port.response.data, answer[1])
            await ctx.tick()
            ctx.set(port.response.valid, 0)
            ctx.set(port.response.data, 0x55555555)

    return serve


def run(dut, sends, receives, *, spaces, seed, slow=False):
    """Simulates `dut` with the testbench `sends` to its end; `receives` runs beside it."""
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for index, space in enumerate(Space):
        rng = np.random.default_rng((seed, index))
        sim.add_testbench(server(getattr(dut, space.name.lower()), spaces[space], rng, slow=slow), background=True)
    sim.add_testbench(receives, background=True)
    sim.add_testbench(sends)
    sim.run()


async def send(ctx, dut, octets, *, spacing=SPACING):
    """Octets, one each `spacing` cycles."""
    for octet in octets:
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.data, octet)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        await ticks(ctx, spacing - 1)


def receiver(dut, found, *, spacing=SPACING):
    """A testbench that takes an octet each `spacing` cycles, as a UART does, and puts the bodies of its frames into `found`."""
    deframer = host_link.Deframer()

    async def receive(ctx):
        while True:
            ctx.set(dut.o.ready, 1)
            valid, octet = ctx.get(dut.o.valid), ctx.get(dut.o.payload)
            await ctx.tick()
            if valid:
                ctx.set(dut.o.ready, 0)
                found.extend(deframer.feed(bytes((octet,))))
                await ticks(ctx, spacing - 1)

    return receive


async def drained(ctx, found, count, *, limit=40_000):
    """Waits until `count` responses have come."""
    for _ in range(limit // 50):
        if len(found) >= count:
            return
        await ticks(ctx, 50)
    raise AssertionError(f"{count} responses must have come, not {len(found)}")


def statuses(bodies):
    return [Status(body[1]) for body in bodies]
