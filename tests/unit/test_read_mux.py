# amaranth: UnusedElaboratable=no
"""The read multiplexer: every request and beat reaches its place, fetchers first and in turn, one a cycle."""

from collections import deque

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.dma.pins import AxiPins, axi_pin_members
from hw.dma.read_mux import READERS, ReadMux

from .dma_bench import dma_config

CONFIG = dma_config()


def run(wanted, *, ready=1.0, answer=1.0, accept=1.0, ask=1.0, cycles=3000, seed=1):
    """`wanted[i]` addresses of each reader. Returns the requests as [(cycle, id, address, length)]; checks that every beat comes back."""
    rng, dut = np.random.default_rng(seed), ReadMux(config=CONFIG)
    queues = [deque(items) for items in wanted]
    awaited = [deque() for _ in wanted]
    requests: list[tuple[int, int, int, int]] = []
    beats: deque[tuple[int, int, int, int]] = deque()

    async def bench(ctx):
        asking, accepting = [False] * READERS, [False] * READERS
        is_ready, held, answering = False, None, None
        idle = 0
        for now in range(cycles):
            idle = 0 if any(queues) or any(awaited) else idle + 1
            if idle > 20:
                break
            out = dut.request.payload
            readers = [s for p in dut.ports for s in (p.request.ready, p.response.valid, p.response.payload.data, p.response.payload.last)]
            _, _, valid, rid, address, length, taken, *state = await ctx.tick().sample(
                dut.request.valid, out.id, out.address, out.length, dut.response.ready, *readers
            )
            request = (int(rid), int(address), int(length))
            assert held is None or (valid and request == held), f"request must hold until ready (seed {seed})"
            held = request if valid and not is_ready else None
            if valid and is_ready:
                requests.append((now, *request))
                beats.extend((request[0], request[1] + beat, 0, int(beat == request[2])) for beat in range(request[2] + 1))
                # Beats of different readers in any order.
                order = rng.permutation(READERS)
                ordered = sorted(beats, key=lambda item: order[item[0]])
                beats.clear()
                beats.extend(ordered)
            for index in range(READERS):
                granted, got, data, last = state[4 * index : 4 * index + 4]
                if asking[index] and granted:
                    start, count = queues[index].popleft(), 1 + index
                    awaited[index].extend((start + beat, int(beat == count)) for beat in range(count + 1))
                    asking[index] = False
                assert bool(got) == (answering is not None and answering[0] == index), f"beats go to their reader alone (seed {seed})"
                if got and accepting[index]:
                    assert awaited[index].popleft() == (data, last), f"reader {index} (seed {seed})"
                asking[index] = asking[index] or (bool(queues[index]) and bool(rng.random() < ask))
                ctx.set(dut.ports[index].request.valid, asking[index])
                if asking[index]:
                    ctx.set(dut.ports[index].request.payload, {"address": queues[index][0], "length": 1 + index})
            if answering is not None and taken:
                answering = None
            if answering is None and beats and rng.random() < answer:
                answering = beats.popleft()
            ctx.set(dut.response.valid, answering is not None)
            if answering is not None:
                ctx.set(dut.response.payload, dict(zip(("id", "data", "resp", "last"), answering, strict=True)))
            for index in range(READERS):
                accepting[index] = bool(rng.random() < accept)
                ctx.set(dut.ports[index].response.ready, accepting[index])
            is_ready = bool(rng.random() < ready)
            ctx.set(dut.request.ready, is_ready)
        assert not any(queues) and not any(awaited), f"all asked and answered (seed {seed})"

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return requests


def addresses(reader, count):
    return [0x1000 * (reader + 1) + 0x10 * index for index in range(count)]


@pytest.mark.parametrize("ready,answer,accept,ask", [(1, 1, 1, 1), (0.3, 1, 1, 0.5), (1, 0.5, 0.6, 1), (0.6, 0.8, 0.7, 0.3)])
def test_random(ready, answer, accept, ask):
    requests = run([addresses(i, 15) for i in range(READERS)], ready=ready, answer=answer, accept=accept, ask=ask, seed=3)
    for index in range(READERS):
        assert [item[2:] for item in requests if item[1] == index] == [(address, 1 + index) for address in addresses(index, 15)]


def test_priority_and_turns():
    """While fetchers ask they are served in turn, one request a cycle; the DMA gets what they leave: the cycle before they are known, and the end."""
    requests = run([addresses(0, 10), *(addresses(i, 8) for i in range(1, READERS))])
    assert [item[1] for item in requests] == [0] + [1, 2, 3, 4] * 8 + [0] * 9
    assert [item[0] for item in requests] == list(range(requests[0][0], requests[0][0] + 42)), "one request a cycle"


def test_latency():
    # Offered in cycle 1 (set after the first edge), at the output one cycle later, for a fetcher two.
    assert run([[0x40], [], [], [], []]) == [(2, 0, 0x40, 1)]
    for index in range(1, READERS):
        wanted = [[0x40] if reader == index else [] for reader in range(READERS)]
        assert run(wanted) == [(3, index, 0x40, 1 + index)]


@pytest.mark.parametrize("index", range(1, READERS))
def test_one_fetcher(index):
    """A fetcher alone gets every second cycle, the DMA those between; the DMA alone gets every cycle."""
    wanted = [addresses(reader, 10) if reader == index else [] for reader in range(READERS)]
    assert [item[0] for item in run(wanted)] == list(range(3, 23, 2))
    wanted[0] = addresses(0, 20)
    assert [item[:2] for item in run(wanted)] == [(2 + now, index if now % 2 and now < 20 else 0) for now in range(30)]


def test_unknown_id():
    """A beat for nobody is dropped, so that it cannot block the bus."""
    dut = ReadMux(config=CONFIG)

    async def bench(ctx):
        ctx.set(dut.response.payload, {"id": 7, "data": 1, "resp": 0, "last": 1})
        ctx.set(dut.response.valid, 1)
        assert ctx.get(dut.response.ready)
        assert not any(ctx.get(port.response.valid) for port in dut.ports)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def test_pins():
    """Every channel reaches its pins one cycle later with the constants AXI wants; no output pin follows an input pin in the same cycle."""
    dut = AxiPins(config=CONFIG)

    async def bench(ctx):
        ctx.set(dut.read.request.payload, {"id": 3, "address": 0x1234C, "length": 9})
        ctx.set(dut.write.request.payload, {"address": 0x8000, "length": 255})
        ctx.set(dut.write.data.payload, {"data": 0xDEADBEEF, "last": 1})
        for stream in (dut.read.request, dut.write.request, dut.write.data):
            ctx.set(stream.valid, 1)
        for name, value in {"rid": 5, "rdata": 0x01234567, "rresp": 2, "rlast": 1, "rvalid": 1, "bresp": 3, "bvalid": 1}.items():
            ctx.set(getattr(dut, f"m_axi_{name}"), value)
        outputs = [name for name, member in axi_pin_members(CONFIG).items() if member.flow.name == "Out"]
        before = [ctx.get(getattr(dut, name)) for name in outputs]
        for pin in ("awready", "wready", "arready"):
            ctx.set(getattr(dut, f"m_axi_{pin}"), 1)
        assert [ctx.get(getattr(dut, name)) for name in outputs] == before
        for pin in ("awready", "wready", "arready"):
            ctx.set(getattr(dut, f"m_axi_{pin}"), 0)
        await ctx.tick()
        pins = {name[6:]: ctx.get(getattr(dut, name)) for name in outputs}
        assert pins == {
            "awid": 0, "awaddr": 0x8000, "awlen": 255, "awsize": 2, "awburst": 1, "awlock": 0, "awcache": 3, "awprot": 0, "awqos": 0, "awvalid": 1,
            "wdata": 0xDEADBEEF, "wstrb": 15, "wlast": 1, "wvalid": 1, "bready": 1,
            "arid": 3, "araddr": 0x1234C, "arlen": 9, "arsize": 2, "arburst": 1, "arlock": 0, "arcache": 3, "arprot": 0, "arqos": 0, "arvalid": 1,
            "rready": 1,
        }  # fmt: skip
        beat = dut.read.response
        assert ctx.get(beat.valid) and ctx.get(dut.write.response.valid) and ctx.get(dut.write.response.payload) == 3
        assert [ctx.get(beat.payload[name]) for name in ("id", "data", "resp", "last")] == [5, 0x01234567, 2, 1]

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
