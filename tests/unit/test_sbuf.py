# amaranth: UnusedElaboratable=no
"""`Sbuf`: values, latency, priority and throughput of all five ports against a flat numpy memory."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.memory.sbuf import PORTS, READERS, Sbuf


def tiny(**changes: Any) -> ChipConfig:
    floats: dict[str, Any] = {"adder_stages": 2, "accumulator_stages": 2} if "bf16" in changes.get("dtypes", ()) else {}
    values: dict[str, Any] = {"rows": 2, "cols": 2, "output_lanes": 2, "sbuf_banks": 2, "sbuf_bank_lines": 16}
    return ChipConfig(**(values | floats | changes))


def simulate(dut: Any, bench: Any) -> None:
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@dataclass
class Harness:
    """Offers requests cycle by cycle and predicts acceptance and responses from a flat memory."""

    ctx: Any
    dut: Sbuf
    config: ChipConfig
    note: str
    cycle: int = 0
    accepted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PORTS, 0))
    answered: dict[str, int] = field(default_factory=lambda: dict.fromkeys(READERS, 0))
    pending: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = np.zeros((self.config.sbuf_lines, self.config.line_bytes), np.uint8)
        self.due: dict[tuple[str, int], int] = {}

    def word(self, address: int) -> int:
        lines = self.config.element_bytes
        base = address - address % lines
        order = [base + (address + i) % lines for i in range(lines)]
        return int.from_bytes(self.memory[order].tobytes(), "little")

    def write(self, request: dict[str, int]) -> None:
        lines, size = self.config.element_bytes, self.config.line_bytes
        data = request["data"].to_bytes(lines * size, "little")
        base = request["address"] - request["address"] % lines
        for i in range(lines):
            if request["mask"] >> i & 1:
                self.memory[base + i] = np.frombuffer(data[i * size : (i + 1) * size], np.uint8)

    async def step(self, offers: dict[str, dict[str, int]]) -> list[str]:
        """One cycle: `offers` for the ports that have nothing pending. Gives the ports accepted."""
        ctx, config = self.ctx, self.config
        for name in PORTS:
            port = getattr(self.dut, name)
            if name not in self.pending and name in offers:
                self.pending[name] = offers[name]
            ctx.set(port.request.valid, name in self.pending)
            if name in self.pending:
                ctx.set(port.request.payload, self.pending[name])
        banks: set[int] = set()
        accepted = []
        waiting = ctx.get(self.dut.o_waiting)
        for number, name in enumerate(PORTS):
            ready = ctx.get(getattr(self.dut, name).request.ready)
            bank = self.pending[name]["address"] // config.sbuf_bank_lines if name in self.pending else None
            if bank is not None:
                assert ready == (bank not in banks), f"{self.note}: {name} in cycle {self.cycle}"
                if bank not in banks:
                    accepted.append(name)
                banks.add(bank)
            assert waiting >> number & 1 == (bank is not None and name not in accepted), f"{self.note}: o_waiting, cycle {self.cycle}"
        for name in PORTS:
            response = getattr(self.dut, name).response
            expected = self.due.pop((name, self.cycle), None)
            assert ctx.get(response.valid) == (expected is not None), f"{self.note}: response of {name}, cycle {self.cycle}"
            if expected is not None:
                assert ctx.get(response.data) == expected, f"{self.note}: data of {name}, cycle {self.cycle}"
                self.answered[name] += 1
        # Requests of one cycle go to different banks, so their order does not matter.
        for name in accepted:
            request = self.pending.pop(name)
            self.accepted[name] += 1
            if name == "load" or (name == "output" and request["write"]):
                self.write(request)
            else:
                self.due[name, self.cycle + config.sbuf_latency] = self.word(request["address"])
        await ctx.tick()
        self.cycle += 1
        return accepted

    async def drain(self) -> None:
        while self.pending or self.due:
            await self.step({})

    async def fill(self, rng: np.random.Generator) -> None:
        """Gives every line a known value: memories do not power up zero."""
        lines = self.config.element_bytes
        for address in range(0, self.config.sbuf_lines, lines):
            data = int.from_bytes(rng.bytes(self.config.word_bytes), "little")
            await self.step({"load": {"address": address, "write": 1, "mask": (1 << lines) - 1, "data": data}})


def random_request(rng: np.random.Generator, config: ChipConfig, name: str, lines: int) -> dict[str, int]:
    return {
        "address": int(rng.integers(lines)),
        "write": int(rng.integers(2)) if name == "output" else int(name == "load"),
        "mask": int(rng.integers(1 << config.element_bytes)),
        "data": int.from_bytes(rng.bytes(config.word_bytes), "little"),
    }


@pytest.mark.parametrize("latency", [1, 2, 3, 4])
@pytest.mark.parametrize("dtypes", [("int8",), ("int8", "bf16")])
@pytest.mark.parametrize("banks", [2, 4])
def test_random_traffic(latency: int, dtypes: tuple[str, ...], banks: int) -> None:
    config = tiny(sbuf_latency=latency, dtypes=dtypes, sbuf_banks=banks)
    seed = 100 * latency + 10 * len(dtypes) + banks
    rng = np.random.default_rng(seed)
    dut = Sbuf(config=config)

    async def bench(ctx: Any) -> None:
        harness = Harness(ctx, dut, config, f"seed {seed}")
        await harness.fill(rng)
        for phase in range(4):
            # The higher the priority the lower the rate, or the others starve.
            rate = rng.uniform(0.1, [0.4, 0.4, 0.6, 0.8, 1.0])
            # Few lines make reads of freshly written lines frequent.
            lines = config.sbuf_lines if phase % 2 else 4
            for _ in range(80):
                await harness.step(
                    {name: random_request(rng, config, name, lines) for name, p in zip(PORTS, rate, strict=True) if rng.random() < p}
                )
            await harness.drain()
        assert all(harness.accepted[name] > 20 for name in PORTS), f"seed {seed}: {harness.accepted}"
        assert all(harness.answered[name] > 20 for name in READERS), f"seed {seed}: {harness.answered}"

    simulate(dut, bench)


def test_single_bank() -> None:
    config = tiny(sbuf_banks=1, sbuf_bank_lines=32)
    rng = np.random.default_rng(7)
    dut = Sbuf(config=config)

    async def bench(ctx: Any) -> None:
        harness = Harness(ctx, dut, config, "seed 7")
        await harness.fill(rng)
        for _ in range(100):
            await harness.step({name: random_request(rng, config, name, 32) for name in PORTS if rng.random() < 0.3})
        await harness.drain()
        assert sum(harness.answered.values()) > 20

    simulate(dut, bench)


def test_every_bank_serves_a_port_at_once() -> None:
    """Throughput: with a bank each, all five ports are accepted in every cycle."""
    config = tiny(sbuf_banks=8)
    rng = np.random.default_rng(3)
    dut = Sbuf(config=config)

    async def bench(ctx: Any) -> None:
        harness = Harness(ctx, dut, config, "seed 3")
        await harness.fill(rng)
        for cycle in range(50):
            offers = {}
            for number, name in enumerate(PORTS):
                offers[name] = random_request(rng, config, name, config.sbuf_bank_lines)
                offers[name]["address"] += (number + cycle) % 8 * config.sbuf_bank_lines
            assert await harness.step(offers) == list(PORTS)
        await harness.drain()

    simulate(dut, bench)


def test_store_is_served_in_the_first_free_cycle() -> None:
    config = tiny()
    dut = Sbuf(config=config)

    async def bench(ctx: Any) -> None:
        harness = Harness(ctx, dut, config, "starvation")
        await harness.fill(np.random.default_rng(5))
        read, write = {"address": 3, "write": 0, "mask": 0, "data": 0}, {"address": 5, "write": 1, "mask": 1, "data": 9}
        higher = {"stationary": read, "moving": read, "output": write, "load": write}
        order = []
        for cycle in range(14):
            # stationary asks for 10 cycles; the others, one request each, follow by priority.
            order += await harness.step(({"stationary": read} if cycle < 10 else {}) | ({} if cycle else {**higher, "store": read}))
        assert order == ["stationary"] * 10 + ["moving", "output", "load", "store"]
        await harness.drain()

    simulate(dut, bench)


def test_reset_drops_responses_and_keeps_contents() -> None:
    config = tiny(sbuf_latency=3)
    m = Module()
    reset = Signal()
    dut = Sbuf(config=config)
    m.submodules.dut = ResetInserter(reset)(dut)

    async def bench(ctx: Any) -> None:
        harness = Harness(ctx, dut, config, "reset")
        await harness.fill(np.random.default_rng(11))
        read = {"address": 3, "write": 0, "mask": 0, "data": 0}
        await harness.step({"moving": read})
        harness.due.clear()
        ctx.set(reset, 1)
        await harness.step({})
        ctx.set(reset, 0)
        for _ in range(5):
            await harness.step({})
        await harness.step({"moving": read})
        await harness.drain()
        assert harness.answered["moving"] == 1

    simulate(m, bench)


def test_rejects_impossible_config() -> None:
    with pytest.raises(TypeError, match="config must be a ChipConfig, not None"):
        Sbuf(config=None)  # type: ignore[arg-type]
