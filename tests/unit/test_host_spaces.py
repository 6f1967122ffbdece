# amaranth: UnusedElaboratable=no
"""What is behind the bridge: registers over AXI4-Lite, words of SBUF lines, who asks for lines, and the board's own registers."""

from collections import deque

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.common.registers import SPACE_BYTES
from hw.host.csr import CsrAccess
from hw.host.lines import AccessMux, WordAccess
from hw.host.protocol import ANALYSER_BASE, BOARD_MAGIC, BOARD_REGISTERS, PROTOCOL_VERSION, RECEIVE_BUFFER, SELF_TEST_BASE
from hw.host.registers import IDENTITY, MOST_COUNTED, BoardRegisters

from .host_bench import ticks


def make_config(cols):
    return ChipConfig(name=f"lines{cols}", rows=cols, cols=cols, output_lanes=1, sbuf_banks=1, sbuf_bank_lines=64)


def simulate(dut, testbench, *background):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for process in background:
        sim.add_testbench(process, background=True)
    sim.add_testbench(testbench)
    sim.run()


async def access(ctx, bus, address, value=None, *, limit=200):
    """(error, data) of one access, and the cycles from its transfer to the response."""
    payload = bus.request.payload
    for name, item in (("address", address), ("write", value is not None), ("data", value or 0)):
        ctx.set(getattr(payload, name), item)
    ctx.set(bus.request.valid, 1)
    for _ in range(limit):
        _, _, accepted, early = await ctx.tick().sample(bus.request.ready, bus.response.valid)
        assert not early, "a response must come after its request"
        if accepted:
            break
    ctx.set(bus.request.valid, 0)
    for cycle in range(1, limit):
        _, _, valid, error, data = await ctx.tick().sample(bus.response.valid, bus.response.error, bus.response.data)
        if valid:
            return (error, data), cycle
    raise AssertionError(f"{address:#x} must be answered")


def registers_behind(axil, memory, rng, *, share, errors=()):
    """An AXI4-Lite subordinate that takes address and data in any order."""

    async def serve(ctx):
        address = data = None
        while True:
            readies = {name: bool(rng.random() < share) for name in ("aw", "w", "ar")}
            if address is not None:
                readies["aw"] = readies["ar"] = False
            if data is not None:
                readies["w"] = False
            for name, ready in readies.items():
                ctx.set(getattr(axil, f"{name}ready"), ready)
            _, _, aw, w, ar, awaddr, wdata, araddr = await ctx.tick().sample(
                axil.awvalid, axil.wvalid, axil.arvalid, axil.awaddr, axil.wdata, axil.araddr
            )
            if ar and readies["ar"]:
                ctx.set(axil.arready, 0)
                await ticks(ctx, int(rng.integers(4)))
                await answer(ctx, "r", 2 if araddr in errors else 0, memory.get(araddr, 0))
            if aw and readies["aw"]:
                address = awaddr
            if w and readies["w"]:
                data = wdata
            if address is not None and data is not None:
                for name in ("awready", "wready", "arready"):
                    ctx.set(getattr(axil, name), 0)
                memory[address] = data
                await ticks(ctx, int(rng.integers(4)))
                await answer(ctx, "b", 2 if address in errors else 0, 0)
                address = data = None

    async def answer(ctx, channel, resp, data):
        ctx.set(getattr(axil, f"{channel}resp"), resp)
        ctx.set(axil.rdata, data)
        ctx.set(getattr(axil, f"{channel}valid"), 1)
        while True:
            _, _, ready = await ctx.tick().sample(getattr(axil, f"{channel}ready"))
            if ready:
                break
        ctx.set(getattr(axil, f"{channel}valid"), 0)
        ctx.set(axil.rdata, 0x55555555)

    return serve


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_registers_over_axi_lite(share):
    """Reads and writes in any pace; SLVERR is an error, and so is what lies beyond the registers, without asking."""
    dut, rng, memory, model = CsrAccess(), np.random.default_rng(int(share * 10)), {}, {}
    bad = SPACE_BYTES - 4

    async def testbench(ctx):
        for _ in range(40):
            address, value = int(rng.integers(8)) * 4, int(rng.integers(1 << 32))
            if rng.random() < 0.5:
                assert (await access(ctx, dut.bus, address, value))[0][0] == 0
                model[address] = value
            else:
                assert (await access(ctx, dut.bus, address))[0] == (0, model.get(address, 0))
        assert (await access(ctx, dut.bus, bad))[0][0] == 1
        assert (await access(ctx, dut.bus, bad, 1))[0][0] == 1
        for beyond in (SPACE_BYTES, 1 << 31):
            (error, _), cycles = await access(ctx, dut.bus, beyond)
            assert error == 1 and cycles == 1
            (error, _), cycles = await access(ctx, dut.bus, beyond, 7)
            assert error == 1 and cycles == 1
        del memory[bad]
        assert memory == model

    simulate(dut, testbench, registers_behind(dut.axil, memory, np.random.default_rng(1), share=share, errors={bad}))


def lines_behind(port, memory, rng, *, share, latency=3):
    """SBUF at the end of a `SbufAccess`."""

    async def serve(ctx):
        while True:
            ready = bool(rng.random() < share)
            ctx.set(port.request.ready, ready)
            payload = port.request.payload
            _, _, valid, address, write, data = await ctx.tick().sample(port.request.valid, payload.address, payload.write, payload.data)
            if not (valid and ready):
                continue
            ctx.set(port.request.ready, 0)
            if write:
                memory[address] = data
            await ticks(ctx, int(rng.integers(latency)))
            ctx.set(port.response.valid, 1)
            ctx.set(port.response.data, memory.get(address, 0))
            await ctx.tick()
            ctx.set(port.response.valid, 0)
            ctx.set(port.response.data, 0)

    return serve


@pytest.mark.parametrize("cols", [4, 8, 16, 32])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_words_of_lines(cols, share):
    """Lines are written when their last word comes, with the words kept before; reads in between see them whole; beyond SBUF is an error."""
    config = make_config(cols)
    dut, memory, model, rng = WordAccess(config=config), {}, {}, np.random.default_rng(cols)
    words = cols // 4

    async def testbench(ctx):
        for line in (0, 1, config.sbuf_lines - 1):
            values = [int(value) for value in rng.integers(1 << 32, size=words)]
            for index, value in enumerate(values):
                before = dict(memory)
                (error, _), cycles = await access(ctx, dut.bus, cols * line + 4 * index, value)
                assert not error
                if index < words - 1:
                    assert memory == before and cycles == 1
                    assert (await access(ctx, dut.bus, cols * line))[0] == (0, before.get(line, 0) & 0xFFFFFFFF)
            model[line] = sum(value << 32 * index for index, value in enumerate(values))
            assert memory == model
            for index in rng.permutation(words):
                assert (await access(ctx, dut.bus, cols * line + 4 * int(index)))[0] == (0, values[index])
        for value in (None, 5):
            (error, _), cycles = await access(ctx, dut.bus, config.sbuf_bytes + 4 * (words - 1), value)
            assert error == 1 and cycles == 1
        assert memory == model

    simulate(dut, testbench, lines_behind(dut.sbuf, memory, np.random.default_rng(2), share=share))


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_two_who_ask_for_lines(share):
    """Each gets its own answers, whoever waits; a request once offered stays."""
    dut, memory = AccessMux(config=make_config(4)), {}
    finished, held = [], {"payload": None}

    def asker(port, base, seed):
        async def ask(ctx):
            rng, model = np.random.default_rng(seed), {}
            for _ in range(40):
                await ticks(ctx, int(rng.integers(4)))
                line, write, value = base + int(rng.integers(8)), bool(rng.random() < 0.5), int(rng.integers(1 << 32))
                for name, item in (("address", line), ("write", write), ("data", value)):
                    ctx.set(getattr(port.request.payload, name), item)
                ctx.set(port.request.valid, 1)
                for _ in range(200):
                    _, _, ready, valid = await ctx.tick().sample(port.request.ready, port.response.valid)
                    assert not valid
                    if ready:
                        break
                assert ready
                ctx.set(port.request.valid, 0)
                for _ in range(100):
                    _, _, valid, data = await ctx.tick().sample(port.response.valid, port.response.data)
                    if valid:
                        break
                assert valid
                if write:
                    model[line] = value
                assert data == model.get(line, 0)
            finished.append(base)

        return ask

    async def watch(ctx):
        request = dut.sbuf.request
        for _ in range(20_000):
            _, _, valid, ready, payload = await ctx.tick().sample(request.valid, request.ready, request.payload.as_value())
            assert held["payload"] in (None, payload if valid else -1), "a request must hold until ready"
            held["payload"] = payload if valid and not ready else None
            if len(finished) == 2:
                return
        raise AssertionError("both must finish")

    server = lines_behind(dut.sbuf, memory, np.random.default_rng(3), share=share)
    simulate(dut, watch, server, asker(dut.host, 0, 4), asker(dut.test, 32, 5))


def make_registers(**options):
    return BoardRegisters(identity={name: 0x11111111 * (index + 1) for index, name in enumerate(IDENTITY)}, **options)


@pytest.mark.parametrize(("self_test", "analyser"), [(False, False), (True, False), (False, True), (True, True)])
def test_board_registers(self_test, analyser):
    """Every register, what may be written, blocks that are there and that are not, the counters to their ends."""
    dut = make_registers(self_test=self_test, analyser=analyser)
    fixed = {name: 0x11111111 * (index + 1) for index, name in enumerate(IDENTITY)} | {
        "MAGIC": BOARD_MAGIC, "PROTOCOL": PROTOCOL_VERSION, "RECEIVE_BUFFER": RECEIVE_BUFFER, "FEATURES": self_test | analyser << 1,
        "STATUS": 0, "RESET": 0, "BAD_FRAMES": 0, "DROPPED_FRAMES": 0, "LINE_ERRORS": 0, "SCRATCH": 0,
    }  # fmt: skip
    written, reads = [], []

    async def read(ctx, name):
        (error, value), cycles = await access(ctx, dut.bus, BOARD_REGISTERS[name].address)
        assert not error and cycles == 1
        return value

    async def testbench(ctx):
        for name in BOARD_REGISTERS:
            assert await read(ctx, name) == fixed[name], name
            assert (await access(ctx, dut.bus, BOARD_REGISTERS[name].address, 0xFFFFFFFE))[0][0] == 0
            assert await read(ctx, name) == (0xFFFFFFFE if name == "SCRATCH" else fixed[name])
        for address in (0x38, 0x3C, 0x40, 0x80, 0xFC, 0x300, 1 << 16, 1 << 31):
            for value in (None, 1):
                assert (await access(ctx, dut.bus, address, value))[0][0] == 1, hex(address)
        for event, name in ((dut.i_bad, "BAD_FRAMES"), (dut.i_dropped, "DROPPED_FRAMES"), (dut.i_error, "LINE_ERRORS")):
            ctx.set(event, 1)
            await ticks(ctx, 3)
            ctx.set(event, 0)
            assert await read(ctx, name) == 3
            ctx.set(event, 1)
            await ticks(ctx, MOST_COUNTED + 5)
            ctx.set(event, 0)
            assert await read(ctx, name) == MOST_COUNTED
        ctx.set(dut.i_irq, 1)
        assert await read(ctx, "STATUS") == 1
        for base, port, present in ((SELF_TEST_BASE, dut.self_test, self_test), (ANALYSER_BASE, dut.analyser, analyser)):
            for number in (0, 1, 63):
                ctx.set(port.data, 0xABCD0000 + number)
                (error, value), _ = await access(ctx, dut.bus, base + 4 * number)
                assert error == (not present) and (not present or value == 0xABCD0000 + number)
                assert (await access(ctx, dut.bus, base + 4 * number, number + 7))[0][0] == (not present)
            assert written == [(base, number, number + 7) for number in (0, 1, 63)]
            assert reads == [(base, number) for number in (0, 1, 63)]
            written.clear()
            reads.clear()

    async def watch(ctx):
        while True:
            values = await ctx.tick().sample(
                dut.self_test.write, dut.self_test.read, dut.analyser.write, dut.analyser.read, dut.self_test.address, dut.self_test.value
            )
            for base, write, taken in ((SELF_TEST_BASE, *values[2:4]), (ANALYSER_BASE, *values[4:6])):
                if write:
                    written.append((base, values[6], values[7]))
                if taken:
                    reads.append((base, values[6]))

    simulate(dut, testbench, watch)


def test_reset_register_is_a_pulse():
    """One cycle, for bit 0 alone."""
    dut, pulses = make_registers(self_test=False, analyser=False), []
    place = BOARD_REGISTERS["RESET"].address

    async def testbench(ctx):
        for value in (1, 2, 0xFFFFFFFF):
            await access(ctx, dut.bus, place, value)
            await ticks(ctx, 3)
        await access(ctx, dut.bus, place)
        await access(ctx, dut.bus, place + 0x40, 1)
        await ticks(ctx, 3)
        assert sum(pulses) == 2

    async def watch(ctx):
        while True:
            pulses.append((await ctx.tick().sample(dut.reset))[2])

    simulate(dut, testbench, watch)


@pytest.mark.parametrize("part", ["csr", "words", "mux"])
def test_reset_in_the_middle_of_an_access(part):
    """The access is forgotten, the next is answered."""
    reset = Signal()
    dut = {"csr": CsrAccess, "words": lambda: WordAccess(config=make_config(8)), "mux": lambda: AccessMux(config=make_config(4))}[part]()
    memory = {}

    async def testbench(ctx):
        bus = dut.host if part == "mux" else dut.bus
        for name in bus.request.payload.shape():
            ctx.set(getattr(bus.request.payload, name[0]), 0)
        ctx.set(bus.request.valid, 1)
        await ticks(ctx, 3)
        ctx.set(bus.request.valid, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        seen = deque()
        for _ in range(10):
            seen.append((await ctx.tick().sample(bus.response.valid))[2])
        assert not any(seen)
        ctx.set(bus.request.valid, 1)
        end = dut.axil.arready if part == "csr" else dut.sbuf.request.ready
        ctx.set(end, 1)
        await ctx.tick()
        ctx.set(end, 0)
        ctx.set(bus.request.valid, 0)
        if part == "csr":
            ctx.set(dut.axil.rvalid, 1)
        else:
            ctx.set(dut.sbuf.response.valid, 1)
        assert (await ctx.tick().sample(bus.response.valid))[2]
        assert not memory

    simulate(ResetInserter(reset)(dut), testbench)


@pytest.mark.parametrize(("identity", "message"), [
    ({}, "identity must be CONFIG_HASH, MEMORY_BYTES, SBUF_BYTES, CLOCK_HZ, not nothing"),
    (dict.fromkeys(IDENTITY, 1 << 32), "CONFIG_HASH must fit 32 bits, not 4294967296"),
])  # fmt: skip
def test_refuses_an_identity(identity, message):
    with pytest.raises(ValueError, match=message):
        BoardRegisters(identity=identity, self_test=True, analyser=True)
