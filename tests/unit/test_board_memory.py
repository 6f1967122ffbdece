# amaranth: UnusedElaboratable=no
"""`BoardMemory`: bursts and host words against arrays, in turns; what its cells become is in tests/flow/test_board_cells.py."""

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.boards.memory import DECERR, OKAY, BoardMemory
from hw.common.config import ChipConfig

BYTES = 4096


def make_config(cols):
    return ChipConfig(name=f"memory{cols}", rows=cols, cols=cols, output_lanes=1, sbuf_bank_lines=64, dma_burst_lines=64)


def simulate(dut, *testbenches, wrapped=None):
    sim = Simulator(wrapped if wrapped is not None else dut)
    sim.add_clock(1e-6)
    for testbench, background in testbenches:
        sim.add_testbench(testbench, background=background)
    sim.run()


async def transfer(ctx, ready):
    """Waits for the clock edge at which `ready` is high; the cycles that took. (It depends on who else is asking, so it is looked at there.)"""
    for cycle in range(1, 2000):
        _, _, accepted = await ctx.tick().sample(ready)
        if accepted:
            return cycle
    raise AssertionError("a request must be accepted")


async def read_burst(ctx, dut, address, beats, *, tag=0, share=1.0, rng=None):
    """Beats as (data, resp), and the cycles from the address' transfer to each beat's."""
    ctx.set(dut.m_axi_arvalid, 1)
    ctx.set(dut.m_axi_araddr, address)
    ctx.set(dut.m_axi_arlen, beats - 1)
    ctx.set(dut.m_axi_arid, tag)
    await transfer(ctx, dut.m_axi_arready)
    ctx.set(dut.m_axi_arvalid, 0)
    found, cycles, waiting = [], [], None
    for cycle in range(1, 50 * beats + 100):
        ready = share >= 1.0 or bool(rng.random() < share)
        ctx.set(dut.m_axi_rready, ready)
        valid = ctx.get(dut.m_axi_rvalid)
        beat = ctx.get(dut.m_axi_rdata), ctx.get(dut.m_axi_rresp), ctx.get(dut.m_axi_rlast), ctx.get(dut.m_axi_rid)
        assert waiting is None or (valid and beat == waiting), "a beat must hold until ready"
        waiting = beat if valid and not ready else None
        await ctx.tick()
        if valid and ready:
            found.append(beat)
            cycles.append(cycle)
            if beat[2]:
                break
    ctx.set(dut.m_axi_rready, 0)
    assert [last for _, _, last, _ in found] == [0] * (beats - 1) + [1] and {name for *_, name in found} == {tag}
    return [(data, resp) for data, resp, _, _ in found], cycles


async def write_burst(ctx, dut, address, lines, *, tag=0, share=1.0, rng=None):
    """The response, and the cycles from the address' transfer to it."""
    ctx.set(dut.m_axi_awvalid, 1)
    ctx.set(dut.m_axi_awaddr, address)
    ctx.set(dut.m_axi_awlen, len(lines) - 1)
    ctx.set(dut.m_axi_awid, tag)
    ctx.set(dut.m_axi_wstrb, -1)
    await transfer(ctx, dut.m_axi_awready)
    ctx.set(dut.m_axi_awvalid, 0)
    cycles = 0
    for index, line in enumerate(lines):
        ctx.set(dut.m_axi_wdata, line)
        ctx.set(dut.m_axi_wlast, index == len(lines) - 1)
        done = False
        while not done:
            offer = share >= 1.0 or bool(rng.random() < share)
            ctx.set(dut.m_axi_wvalid, offer)
            done = offer and ctx.get(dut.m_axi_wready)
            await ctx.tick()
            cycles += 1
    ctx.set(dut.m_axi_wvalid, 0)
    while not ctx.get(dut.m_axi_bvalid):
        await ctx.tick()
        cycles += 1
    assert ctx.get(dut.m_axi_bid) == tag
    response = ctx.get(dut.m_axi_bresp)
    ctx.set(dut.m_axi_bready, 1)
    await ctx.tick()
    ctx.set(dut.m_axi_bready, 0)
    return response, cycles


async def host(ctx, dut, address, value=None):
    """One access: (error, data), and the cycles from valid to the response."""
    payload = dut.host.request.payload
    for name, item in (("address", address), ("write", value is not None), ("data", value or 0)):
        ctx.set(getattr(payload, name), item)
    ctx.set(dut.host.request.valid, 1)
    cycles = await transfer(ctx, dut.host.request.ready)
    ctx.set(dut.host.request.valid, 0)
    while not ctx.get(dut.host.response.valid):
        await ctx.tick()
        cycles += 1
    result = ctx.get(dut.host.response.error), ctx.get(dut.host.response.data)
    await ctx.tick()
    assert not ctx.get(dut.host.response.valid), "one response a request"
    return result, cycles


def line_at(model, address, cols):
    return int.from_bytes(model[address : address + cols].tobytes(), "little")


@pytest.mark.parametrize("cols", [4, 8, 16])
def test_latency_and_throughput(cols):
    """Addresses are taken a cycle after they came. Reads: the first beat four cycles after that, then one a cycle. Writes: a beat a cycle, then the response.
    Host: four cycles from when it is taken."""
    dut = BoardMemory(config=make_config(cols), memory_bytes=BYTES)
    rng = np.random.default_rng(cols)
    lines = [int.from_bytes(rng.bytes(cols), "little") for _ in range(20)]

    async def testbench(ctx):
        assert await write_burst(ctx, dut, 0, lines, tag=5) == (OKAY, len(lines))
        beats, cycles = await read_burst(ctx, dut, 0, len(lines), tag=3)
        assert beats == [(line, OKAY) for line in lines]
        assert cycles == list(range(4, 4 + len(lines)))
        word = cols // 4 - 1
        assert await host(ctx, dut, 4 * word) == ((0, lines[0] >> 32 * word), 5)
        assert (await host(ctx, dut, 4 * word, 0x12345678))[1] == 5
        assert await host(ctx, dut, 4 * word) == ((0, 0x12345678), 5)

    simulate(dut, (testbench, False))


@pytest.mark.parametrize("cols", [4, 8])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_everybody_at_once(cols, share):
    """Reads, writes and the host in thirds of the memory, at random, beyond its end too; nobody waits for ever."""
    seed = cols * 10 + int(share * 10)
    dut = BoardMemory(config=make_config(cols), memory_bytes=BYTES)
    model = np.zeros(BYTES, np.uint8)
    third = BYTES // 4
    done = {"writer": 0, "host": 0}

    async def writer(ctx):
        rng = np.random.default_rng((seed, 1))
        for _ in range(12):
            beats = int(rng.integers(1, 9))
            address = int(rng.integers(third // cols - beats)) * cols
            beyond = rng.random() < 0.2
            lines = [int.from_bytes(rng.bytes(cols), "little") for _ in range(beats)]
            response, _ = await write_burst(ctx, dut, address + (BYTES if beyond else 0), lines, share=share, rng=rng)
            assert response == (DECERR if beyond else OKAY)
            if not beyond:
                model[address : address + beats * cols] = np.frombuffer(b"".join(line.to_bytes(cols, "little") for line in lines), np.uint8)
            done["writer"] += 1

    async def hosts(ctx):
        rng = np.random.default_rng((seed, 2))
        for _ in range(25):
            address = third + int(rng.integers(third // 4)) * 4
            if rng.random() < 0.5:
                value = int(rng.integers(1 << 32))
                assert (await host(ctx, dut, address, value))[0][0] == 0
                model[address : address + 4] = np.frombuffer(value.to_bytes(4, "little"), np.uint8)
            elif rng.random() < 0.2:
                assert (await host(ctx, dut, address + BYTES))[0][0] == 1
                assert (await host(ctx, dut, address + BYTES, 5))[0][0] == 1
            else:
                (error, data), _ = await host(ctx, dut, address)
                assert (error, data) == (0, line_at(model, address, 4))
            done["host"] += 1

    async def reader(ctx):
        rng = np.random.default_rng((seed, 3))
        for _ in range(12):
            beats = int(rng.integers(1, 9))
            address = 2 * third + int(rng.integers(third // cols - beats)) * cols
            beyond = rng.random() < 0.2
            found, _ = await read_burst(ctx, dut, address + (BYTES if beyond else 0), beats, share=share, rng=rng)
            assert {resp for _, resp in found} == {DECERR if beyond else OKAY}
            if not beyond:
                assert [data for data, _ in found] == [line_at(model, address + cols * beat, cols) for beat in range(beats)]
        while done != {"writer": 12, "host": 25}:
            await ctx.tick()
        for address in range(0, 2 * third, 8 * cols):
            found, _ = await read_burst(ctx, dut, address, 8)
            assert [data for data, _ in found] == [line_at(model, address + cols * beat, cols) for beat in range(8)]

    async def fill(ctx):
        rng = np.random.default_rng((seed, 4))
        for address in range(0, BYTES, 64 * cols):
            block = rng.bytes(64 * cols)
            model[address : address + len(block)] = np.frombuffer(block, np.uint8)
            await write_burst(ctx, dut, address, [line_at(model, address + cols * beat, cols) for beat in range(64)])
        state["filled"] = True
        await reader(ctx)

    state = {"filled": False}

    def after(run):
        async def testbench(ctx):
            while not state["filled"]:
                await ctx.tick()
            await run(ctx)

        return testbench

    simulate(dut, (fill, False), (after(writer), True), (after(hosts), True))


def test_they_take_turns():
    """With all three always waiting, each is served every third time."""
    dut = BoardMemory(config=make_config(4), memory_bytes=BYTES)
    order = []

    async def testbench(ctx):
        for name in ("m_axi_arvalid", "m_axi_awvalid", "m_axi_wvalid", "m_axi_rready", "m_axi_bready"):
            ctx.set(getattr(dut, name), 1)
        ctx.set(dut.host.request.valid, 1)
        for _ in range(60):
            taken = ctx.get(dut.m_axi_arready), ctx.get(dut.m_axi_awready), ctx.get(dut.host.request.ready)
            assert sum(taken) <= 1
            if sum(taken):
                order.append(taken.index(1))
            await ctx.tick()

    simulate(dut, (testbench, False))
    assert len(order) >= 12 and all(order[index] == (order[0] + index) % 3 for index in range(len(order)))


def test_a_request_given_up_before_its_turn_does_nothing():
    """The bridge may give up in the very cycle in which the memory chooses: no write, no response, and the next one is served."""
    dut = BoardMemory(config=make_config(4), memory_bytes=BYTES)

    async def testbench(ctx):
        await host(ctx, dut, 8, 0x1111)
        for write in (1, 0):
            ctx.set(dut.host.request.payload, {"address": 8, "write": write, "data": 0x2222})
            ctx.set(dut.host.request.valid, 1)
            await ctx.tick()
            ctx.set(dut.host.request.valid, 0)
            assert ctx.get(dut.host.request.ready)
            for _ in range(10):
                assert not ctx.get(dut.host.response.valid)
                await ctx.tick()
        assert await host(ctx, dut, 8) == ((0, 0x1111), 5)

    simulate(dut, (testbench, False))


def test_reset_in_the_middle_of_a_burst():
    """Idle afterwards, contents kept."""
    reset = Signal()
    dut = BoardMemory(config=make_config(4), memory_bytes=BYTES)

    async def testbench(ctx):
        await write_burst(ctx, dut, 0, [11, 12, 13, 14])
        for valid, ready in ((dut.m_axi_arvalid, dut.m_axi_arready), (dut.m_axi_awvalid, dut.m_axi_awready)):
            ctx.set(valid, 1)
            ctx.set(dut.m_axi_arlen, 3)
            ctx.set(dut.m_axi_awlen, 3)
            assert await transfer(ctx, ready) == 2, "an idle memory takes it in the cycle after"
            ctx.set(valid, 0)
            await ctx.tick()
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            for _ in range(4):
                assert not ctx.get(dut.m_axi_rvalid) and not ctx.get(dut.m_axi_wready) and not ctx.get(dut.m_axi_bvalid)
                await ctx.tick()
            assert [data for data, _ in (await read_burst(ctx, dut, 0, 4))[0]] == [11, 12, 13, 14]

    simulate(dut, (testbench, False), wrapped=ResetInserter(reset)(dut))


@pytest.mark.parametrize("size", [2048, 4097, 6144, 1 << 33, "4096"])
def test_refuses_a_size(size):
    with pytest.raises(ValueError, match=r"memory_bytes must be a power of two from 4096 to 4294967296 \(axi_address_width\), not"):
        BoardMemory(config=make_config(4), memory_bytes=size)
