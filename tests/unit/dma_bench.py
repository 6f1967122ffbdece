"""One DMA engine between a strict AXI memory and an SBUF port, in the Amaranth simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.hdl import ResetInserter, Signal
from amaranth.lib import data
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.common.isa import DMA_MAX_LINES
from hw.control.command import command_layout
from hw.dma.load import LoadDma
from hw.dma.store import StoreDma
from sim.golden.dma import bursts, pattern_addresses
from tb.vip.axi_ram import ReadRam, Timing, WriteRam
from tb.vip.sbuf_memory import SbufMemory

DRAM_BYTES = 1 << 16


def dma_config(**changes: Any) -> ChipConfig:
    """A chip whose DMA is quick to simulate: 1024 SBUF lines of 4 bytes."""
    values: dict[str, Any] = {
        "rows": 4, "cols": 4, "output_lanes": 1, "sbuf_banks": 2, "sbuf_bank_lines": 512, "psum_rows": 8, "axi_address_width": 20,
        "dma_outstanding": 8, "dma_burst_lines": 16,
    }  # fmt: skip
    return ChipConfig(**(values | changes))


def command(base: int, dram: int, *dimensions: tuple[int, int, int]) -> dict[str, int]:
    """Fields of a Load or Store; each dimension is (size, stride in lines, dram_stride in bytes), the missing ones have size 1."""
    values = {"base": base, "dram": dram}
    for dim in range(4):
        size, stride, dram_stride = dimensions[dim] if dim < len(dimensions) else (1, 0, 0)
        values |= {f"size{dim}": size, f"stride{dim}": stride, f"dram_stride{dim}": dram_stride}
    return values


def walk(values: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """(SBUF line, DRAM byte) of each line the command moves, in order."""
    sizes = [values[f"size{dim}"] for dim in range(4)]
    assert np.prod(sizes) <= DMA_MAX_LINES
    return (
        pattern_addresses(values["base"], sizes, [values[f"stride{dim}"] for dim in range(4)]),
        pattern_addresses(values["dram"], sizes, [values[f"dram_stride{dim}"] for dim in range(4)]),
    )


def expected_bursts(config: ChipConfig, commands: list[dict[str, int]]) -> list[tuple[int, int]]:
    """(address, beats) of all bursts of the commands."""
    return [(int(a), int(b)) for values in commands for a, b in bursts(walk(values)[1], config=config)]


def random_command(rng: np.random.Generator, config: ChipConfig, *, most: int = 60, overlap: bool = True) -> dict[str, int]:
    """A legal command of at most `most` lines: strides of either sign or zero, contiguous or not; without `overlap` no line is hit twice."""
    size_bytes = config.line_bytes
    while True:
        sizes = [int(rng.choice([1, 1, 2, 3, 5, 7, 16, 17])) for _ in range(4)]
        if np.prod(sizes) > most:
            continue
        strides = [int(rng.integers(-20, 21)) for _ in range(4)]
        lines = [int(rng.integers(-300, 301)) for _ in range(4)]
        if rng.random() < 0.7:
            lines[0] = 1
            if rng.random() < 0.5:
                lines[1] = sizes[0]
        values = {"base": 0, "dram": 0}
        for dim in range(4):
            values |= {f"size{dim}": sizes[dim], f"stride{dim}": strides[dim], f"dram_stride{dim}": lines[dim] * size_bytes}
        sbuf, dram = walk(values)
        if np.ptp(sbuf) >= config.sbuf_lines or np.ptp(dram) > DRAM_BYTES - size_bytes:
            continue
        if not overlap and (len(set(sbuf)) < len(sbuf) or len(set(dram)) < len(dram)):
            continue
        values["base"] = int(rng.integers(-sbuf.min(), config.sbuf_lines - sbuf.max()))
        values["dram"] = int(rng.integers(-dram.min() // size_bytes, (DRAM_BYTES - dram.max()) // size_bytes)) * size_bytes
        return values


@dataclass(kw_only=True)
class Outcome:
    """What a run showed, in cycles from the first: `accepted` and `done` of each command, `errors` as (cycle, cause, address)."""

    accepted: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    errors: list[tuple[int, int, int]] = field(default_factory=list)
    states: list[int] = field(default_factory=list)
    cycles: int = 0


class DmaBench:
    """Runs commands through `LoadDma` ("Load") or `StoreDma` ("Store"); `dram` and `lines` are the memories, filled at random by `seed`."""

    def __init__(
        self, kind: str, *, config: ChipConfig, seed: int, timing: Timing | None = None, sbuf: float = 1.0, offer: float = 1.0,
        fault: Any = lambda address: 0, order: str = "free",
    ) -> None:  # fmt: skip
        self.kind, self.config = kind, config
        self.rng = np.random.default_rng(seed)
        self.dram = self.rng.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
        self.lines = self.rng.integers(0, 256, (config.sbuf_lines, config.line_bytes), dtype=np.uint8)
        self._offer, self._timing, self._fault, self._order, self._share = offer, timing, fault, order, sbuf
        self.dut: Any = LoadDma(config=config) if kind == "Load" else StoreDma(config=config)
        self._reset = Signal()
        self._sim = Simulator(ResetInserter(self._reset)(self.dut))
        self._sim.add_clock(1e-6)
        self._new_models()

    def _new_models(self) -> None:
        options: dict[str, Any] = {
            "config": self.config,
            "memory": self.dram,
            "rng": self.rng,
            "timing": self._timing,
            "fault": self._fault,
        }
        self.ram: Any = ReadRam(**options) if self.kind == "Load" else WriteRam(order=self._order, **options)
        self.sbuf = SbufMemory(config=self.config, lines=self.lines, rng=self.rng, ready=self._share)

    def golden(self, commands: list[dict[str, int]]) -> tuple[np.ndarray, np.ndarray]:
        """(dram, lines) after the commands, from what the memories hold now."""
        dram, lines = self.dram.copy(), self.lines.copy()
        size = self.config.line_bytes
        for values in commands:
            for line, address in zip(*walk(values), strict=True):
                if self.kind == "Load":
                    lines[line] = dram[address : address + size]
                else:
                    dram[address : address + size] = lines[line]
        return dram, lines

    def run(
        self, commands: list[dict[str, int]], *, done: int | None = None, limit: int = 20000, restart: int = 0, reset_at: int = 0
    ) -> Outcome:  # fmt: skip
        """Runs until `done` (all, by default) are done or the engine has stopped and the bus is idle.

        `restart` cycles after an error a start pulse follows; in cycle `reset_at` comes a reset, after which the commands begin anew.
        """
        self._expected = len(commands) if done is None else done
        outcome = Outcome()

        async def bench(ctx: Any) -> None:
            await _Run(self, ctx, outcome, commands, limit=limit, restart=restart, reset_at=reset_at).loop()

        self._sim.add_testbench(bench)
        self._sim.run()
        return outcome


class _Run:
    """One run: samples the engine before each edge, steps the models, drives the engine after it."""

    def __init__(
        self, bench: DmaBench, ctx: Any, outcome: Outcome, commands: list[dict[str, int]], *, limit: int, restart: int, reset_at: int
    ) -> None:
        self.bench, self.ctx, self.outcome, self.commands = bench, ctx, outcome, commands
        self.limit, self.restart, self.reset_at = limit, restart, reset_at
        dut, request = bench.dut, bench.dut.sbuf.request
        self.i, self.done = (dut.i_load, dut.done_load) if bench.kind == "Load" else (dut.i_store, dut.done_store)
        self.common = [
            self.i.ready, self.done, dut.error.valid, dut.error.cause, dut.error.address, dut.o_state, request.valid,
            request.payload.address, request.payload.write, request.payload.mask, request.payload.data,
        ]  # fmt: skip
        axi = dut.axi
        if bench.kind == "Load":
            self.bus = [axi.request.valid, axi.request.payload.address, axi.request.payload.length, axi.response.ready]
        else:
            self.bus = [
                axi.request.valid, axi.request.payload.address, axi.request.payload.length, axi.data.valid, axi.data.payload.data,
                axi.data.payload.last, axi.response.ready,
            ]  # fmt: skip
        self.offering = False

    async def loop(self) -> None:
        quiet, start_at = 0, 0
        outcome, bench = self.outcome, self.bench
        for now in range(self.limit):
            _, _, *values = await self.ctx.tick().sample(*self.common, *self.bus)
            if self.reset_at and now == self.reset_at:
                return await self._restart_after_reset()
            self._step(now, [int(getattr(value, "value", value)) for value in values])
            if outcome.errors and self.restart and not start_at:
                start_at = now + self.restart
            self.ctx.set(bench.dut.i_start, now + 1 == start_at)
            finished = bench.ram.is_idle and (len(outcome.done) == bench._expected or (outcome.errors and not self.restart))
            quiet = quiet + 1 if finished else 0
            if quiet > 20:
                outcome.cycles = now
                return None
        raise AssertionError(f"{len(outcome.done)} of {bench._expected} commands done after {self.limit} cycles")

    def _step(self, now: int, values: list[int]) -> None:
        outcome, bench, ctx = self.outcome, self.bench, self.ctx
        ready, done, error, cause, address, state, *request = values[:11]
        bus = values[11:]
        if done:
            outcome.done.append(now)
        if error:
            outcome.errors.append((now, cause, address))
        outcome.states.append(state)
        if self.offering and ready:
            outcome.accepted.append(now)
            self.offering = False
        bench.sbuf.step(bool(request[0]), *request[1:])
        axi = bench.dut.axi
        if bench.kind == "Load":
            bench.ram.step(bool(bus[0]), (0, bus[1], bus[2]), bool(bus[3]))
            _, beat, resp, last = bench.ram.response
            for name, value in (("data", beat), ("resp", resp), ("last", last)):
                ctx.set(axi.response.payload[name], value)
        else:
            bench.ram.step(bool(bus[0]), (bus[1], bus[2]), bool(bus[3]), (bus[4], bus[5]), bool(bus[6]))
            ctx.set(axi.data.ready, bench.ram.data_ready)
            ctx.set(axi.response.payload, bench.ram.response)
        ctx.set(axi.request.ready, bench.ram.request_ready)
        ctx.set(axi.response.valid, bench.ram.response_valid)
        ctx.set(bench.dut.sbuf.request.ready, bench.sbuf.request_ready)
        ctx.set(bench.dut.sbuf.response.valid, bench.sbuf.response_valid)
        ctx.set(bench.dut.sbuf.response.data, bench.sbuf.response)
        if not self.offering and len(outcome.accepted) < len(self.commands):
            self.offering = bool(bench.rng.random() < bench._offer)
            if self.offering:
                ctx.set(self.i.payload, data.Const(command_layout(bench.kind), _pack(bench.kind, self.commands[len(outcome.accepted)])))
        ctx.set(self.i.valid, self.offering)

    async def _restart_after_reset(self) -> None:
        """Resets engine, bus and SBUF port in the middle of things, then runs all the commands again."""
        bench, ctx = self.bench, self.ctx
        bench._new_models()
        for name in ("request", "response"):
            port = getattr(bench.dut.axi, name)
            ctx.set(port.ready if name == "request" else port.valid, 0)
        if bench.kind == "Store":
            ctx.set(bench.dut.axi.data.ready, 0)
        for signal in (bench.dut.sbuf.request.ready, bench.dut.sbuf.response.valid, self.i.valid):
            ctx.set(signal, 0)
        ctx.set(bench._reset, 1)
        await ctx.tick()
        ctx.set(bench._reset, 0)
        self.offering, self.reset_at = False, 0
        # Emptied in place, because the tests hold a reference to it; the type checker wants no second __init__.
        self.outcome.__init__()  # type: ignore[misc]
        await self.loop()


def _pack(kind: str, values: dict[str, int]) -> int:
    bits = 0
    for name, member in command_layout(kind):
        bits |= (values[name] & ((1 << member.width) - 1)) << member.offset
    return bits
