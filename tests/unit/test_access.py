# amaranth: UnusedElaboratable=no
"""`LineAccess` in front of `Sbuf`: values, latency, how long it waits and what it costs the DMA engines."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.memory.access import PATIENCE, LineAccess
from hw.memory.sbuf import Sbuf


def tiny(**changes: Any) -> ChipConfig:
    floats: dict[str, Any] = {"adder_stages": 2, "accumulator_stages": 2} if "bf16" in changes.get("dtypes", ()) else {}
    values: dict[str, Any] = {"rows": 2, "cols": 2, "output_lanes": 2, "sbuf_banks": 2, "sbuf_bank_lines": 16}
    return ChipConfig(**(values | floats | changes))


class Rig:
    """The two blocks, a host that makes one access at a time, and engines that ask in chosen cycles."""

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self.access: Any = LineAccess(config=config)
        self.sbuf: Any = Sbuf(config=config)
        self.reset = Signal()
        self.m = Module()
        self.m.submodules.access = ResetInserter(self.reset)(self.access)
        self.m.submodules.sbuf = self.sbuf
        for name in ("load", "store"):
            connect(self.m, getattr(self.access, f"sbuf_{name}"), getattr(self.sbuf, name))
        self.memory = np.zeros((config.sbuf_lines, config.line_bytes), np.uint8)

    def run(self, bench: Any, observer: Any = None) -> None:
        sim = Simulator(self.m)
        sim.add_clock(1e-6)

        async def testbench(ctx: Any) -> None:
            self.ctx = ctx
            await bench()

        sim.add_testbench(testbench)
        if observer is not None:
            sim.add_process(observer)
        sim.run()

    def line(self, address: int) -> int:
        return int.from_bytes(self.memory[address].tobytes(), "little")

    async def host(self, address: int, write: int, data: int, limit: int = 60) -> tuple[int, int]:
        """One access: (cycles from its transfer to its answer, data of the answer)."""
        ctx, port = self.ctx, self.access.debug
        ctx.set(port.request.payload, {"address": address, "write": write, "data": data})
        ctx.set(port.request.valid, 1)
        assert ctx.get(port.request.ready) == 1
        for cycle in range(limit):
            await ctx.tick()
            ctx.set(port.request.valid, 0)
            if ctx.get(port.response.valid):
                if write:
                    self.memory[address] = np.frombuffer(data.to_bytes(self.config.line_bytes, "little"), np.uint8)
                return cycle + 1, ctx.get(port.response.data)
            assert ctx.get(port.request.ready) == 0
        raise AssertionError(f"no answer in {limit} cycles")


@pytest.mark.parametrize("latency", [1, 2, 3, 4])
@pytest.mark.parametrize("dtypes", [("int8",), ("int8", "bf16")])
def test_every_line_and_latency_alone(latency: int, dtypes: tuple[str, ...]) -> None:
    config = tiny(sbuf_latency=latency, dtypes=dtypes)
    rig, rng = Rig(config), np.random.default_rng(latency)

    async def bench() -> None:
        for address in rng.permutation(config.sbuf_lines):
            cycles, _ = await rig.host(int(address), 1, int(rng.integers(1 << 16)))
            assert cycles == 3
            await rig.ctx.tick()
        for address in rng.permutation(config.sbuf_lines):
            cycles, data = await rig.host(int(address), 0, 0)
            assert cycles == 3 + latency
            assert data == rig.line(int(address)), f"seed {latency}, line {address}"
            await rig.ctx.tick()

    rig.run(bench)


@pytest.mark.parametrize("write", [0, 1])
def test_turns_against_an_engine_that_asks_in_every_cycle(write: int) -> None:
    """The access waits `PATIENCE` turns of the engine; the engine loses one cycle an access."""
    config = tiny()
    rig = Rig(config)
    engine = rig.access.load if write else rig.access.store
    served = 0
    refused = 0

    async def bench() -> None:
        nonlocal served
        rig.ctx.set(engine.request.payload, {"address": 17, "write": write, "mask": 1, "data": 0x1234})
        rig.ctx.set(engine.request.valid, 1)
        for number in range(8):
            # The engine uses the same bank or the other one: only the port is shared.
            cycles, _ = await rig.host(number * 3, write, number)
            assert cycles == (PATIENCE + 3 if write else PATIENCE + 3 + config.sbuf_latency)
            served += 1
            await rig.ctx.tick()
        rig.ctx.set(engine.request.valid, 0)

    async def count(ctx: Any) -> None:
        nonlocal refused
        async for _, _, valid, ready in ctx.tick().sample(engine.request.valid, engine.request.ready):
            refused += valid and not ready

    rig.run(bench, count)
    assert served == 8
    assert refused == 8


@pytest.mark.parametrize("latency", [1, 2, 4])
@pytest.mark.parametrize("dtypes", [("int8",), ("int8", "bf16")])
def test_random_traffic_of_engines_and_host(latency: int, dtypes: tuple[str, ...]) -> None:
    """Host and engines see one memory; every port gets its own answers; nobody loses more cycles than is promised."""
    config = tiny(sbuf_latency=latency, dtypes=dtypes)
    seed = 10 * latency + len(dtypes)
    rig, rng = Rig(config), np.random.default_rng(seed)
    lines = config.element_bytes
    word_mask = (1 << 8 * config.word_bytes) - 1
    waits: dict[str, int] = {}
    answered = {"store": 0, "host": 0}

    def word(address: int) -> int:
        base = address - address % lines
        return int.from_bytes(rig.memory[[base + (address + i) % lines for i in range(lines)]].tobytes(), "little")

    async def bench() -> None:
        ctx, access = rig.ctx, rig.access
        for address in range(config.sbuf_lines):
            await rig.host(address, 1, int(rng.integers(1 << 16)))
            await ctx.tick()
        engines: dict[str, dict[str, int] | None] = {"load": None, "store": None, "moving": None}
        ports = {"load": access.load, "store": access.store, "moving": rig.sbuf.moving}
        due: list[tuple[int, int]] = []
        host: dict[str, int] | None = None
        expected: int | None = None
        taken = served = 0
        for cycle in range(1500):
            rates = {"load": 0.9, "store": 0.9, "moving": 0.3} if cycle % 500 < 400 else {"load": 0.2, "store": 0.2, "moving": 0.8}
            for name, port in ports.items():
                if engines[name] is None and rng.random() < rates[name]:
                    data = int.from_bytes(rng.bytes(config.word_bytes), "little") & word_mask
                    engines[name] = {"address": int(rng.integers(config.sbuf_lines)), "write": int(name == "load"),
                                     "mask": int(rng.integers(1 << lines)), "data": data}  # fmt: skip
                ctx.set(port.request.valid, engines[name] is not None)
                if engines[name] is not None:
                    ctx.set(port.request.payload, engines[name])
            if host is None and rng.random() < 0.5:
                host = {"address": int(rng.integers(config.sbuf_lines)), "write": int(rng.integers(2)), "data": int(rng.integers(1 << 16))}
                taken = -1
            ctx.set(access.debug.request.valid, host is not None and taken < 0)
            if host is not None:
                ctx.set(access.debug.request.payload, host)
            if host is not None and taken < 0 and ctx.get(access.debug.request.ready):
                taken = cycle
            # Who is served in this cycle: at most one a bank, so the order does not matter.
            if (
                ctx.get(access.sbuf_store.request.valid)
                and ctx.get(access.sbuf_store.request.ready)
                and not ctx.get(access.store.request.ready)
            ):
                assert host is not None and not host["write"]
                expected = word(host["address"]) & ((1 << 8 * config.line_bytes) - 1)
            for name, port in ports.items():
                request = engines[name]
                if request is None:
                    continue
                if not ctx.get(port.request.ready):
                    waits[name] = waits.get(name, 0) + 1
                    continue
                if name == "store":
                    due.append((cycle + latency, word(request["address"])))
                if name == "load":
                    raw = np.frombuffer(request["data"].to_bytes(config.word_bytes, "little"), np.uint8).reshape(lines, -1)
                    for i in range(lines):
                        if request["mask"] >> i & 1:
                            rig.memory[request["address"] - request["address"] % lines + i] = raw[i]
                engines[name] = None
            if host is not None and host["write"] and taken >= 0 and ctx.get(access.sbuf_load.request.valid) \
                    and ctx.get(access.sbuf_load.request.ready) and not ctx.get(access.load.request.ready):  # fmt: skip
                rig.memory[host["address"]] = np.frombuffer(host["data"].to_bytes(config.line_bytes, "little"), np.uint8)
            if ctx.get(access.store.response.valid):
                when, what = due.pop(0)
                assert (when, what) == (cycle, ctx.get(access.store.response.data)), f"seed {seed}, cycle {cycle}"
                answered["store"] += 1
            if ctx.get(access.debug.response.valid):
                assert host is not None and taken >= 0
                if not host["write"]:
                    assert ctx.get(access.debug.response.data) == expected, f"seed {seed}, cycle {cycle}, {host}"
                assert cycle - taken <= 12 * (PATIENCE + 1), f"seed {seed}: waited {cycle - taken} cycles"
                host, served = None, served + 1
            await ctx.tick()
        answered["host"] = served

    rig.run(bench)
    assert answered["host"] > 80, f"seed {seed}: {answered}"
    assert answered["store"] > 300, f"seed {seed}: {answered}"


def test_reset_drops_the_access() -> None:
    rig = Rig(tiny())

    async def bench() -> None:
        ctx, port = rig.ctx, rig.access.debug
        await rig.host(3, 1, 0xABCD)
        await ctx.tick()
        for when in range(5):
            ctx.set(port.request.payload, {"address": 3, "write": 0, "data": 0})
            ctx.set(port.request.valid, 1)
            await ctx.tick()
            ctx.set(port.request.valid, 0)
            for _ in range(when):
                await ctx.tick()
            ctx.set(rig.reset, 1)
            await ctx.tick()
            ctx.set(rig.reset, 0)
            for _ in range(6):
                assert not ctx.get(port.response.valid)
                assert not ctx.get(rig.access.sbuf_store.request.valid)
                await ctx.tick()
            assert await rig.host(3, 0, 0) == (5, 0xABCD)
            await ctx.tick()

    rig.run(bench)
