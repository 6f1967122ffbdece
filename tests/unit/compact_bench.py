"""Runs commands through the compact chip's `Datapath`, between a strict AXI memory and a debug port, beside a model of what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.compact.bus import Command, Parameter
from hw.compact.datapath import Datapath
from hw.dma.pins import axi_pin_members
from tb.vip.axi_ram import ReadRam, Timing, WriteRam

from .compact_model import DatapathModel, Step

DRAM_BYTES = 1 << 12
#: Lines at the end of SBUF that belong to the debug port.
DEBUG_LINES = 16


def compact_config(**changes: Any) -> ChipConfig:
    """`nano` with an SBUF that is quick to fill."""
    return replace(ChipConfig.named("nano"), **({"sbuf_bank_lines": 128} | changes))


@dataclass(kw_only=True)
class Ended:
    """How a command ended: cycles of `busy`, the words it fetched, the address of an error, cycles of `moved`."""

    cycles: int
    words: list[int]
    error: int | None
    moved: int


@dataclass(kw_only=True)
class Debugger:
    """Random accesses to the debugger's own lines, checked against a model of them; `longest` is the longest wait."""

    rate: float = 0.0
    waiting: tuple[int, int, int] | None = None
    due: tuple[int, int, int] | None = None
    waited: int = 0
    longest: int = 0
    served: int = 0
    expected: dict[int, int] = field(default_factory=dict)


class DatapathBench:
    """The datapath, its memories filled at random by `seed`, and the model of both."""

    def __init__(
        self, *, config: ChipConfig, seed: int, timing: Timing | None = None, fault: Callable[[int], int] = lambda address: 0, debug: float = 0.0,
        order: str = "free",
    ) -> None:  # fmt: skip
        self.config, self.rng = config, np.random.default_rng(seed)
        self._timing, self._fault, self._order = timing, fault, order
        self.dram = self.rng.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
        self.lines = self.rng.integers(0, 256, (config.sbuf_lines, config.line_bytes), dtype=np.uint8)
        self.model = DatapathModel(config, dram=self.dram, lines=self.lines, fault=fault)
        self.dut: Any = Datapath(config=config)
        self.debugger = Debugger(rate=debug)
        self.reset = Signal()
        self._new_bus()
        self._names = [name for name, member in axi_pin_members(config).items() if member.flow.name == "Out"]
        self._valids = [getattr(self.dut, f"m_axi_{channel}valid") for channel in ("aw", "w", "ar")]
        self._on_bus = False

    def _new_bus(self) -> None:
        options: dict[str, Any] = {
            "config": self.config, "memory": self.dram, "rng": self.rng, "timing": self._timing, "fault": self._fault,
        }  # fmt: skip
        self.reads, self.writes = ReadRam(**options), WriteRam(order=self._order, **options)

    def simulate(self, testbench: Callable[[Any], Any]) -> None:
        """Runs `testbench(ctx)` after SBUF has been filled."""

        async def whole(ctx: Any) -> None:
            await self._fill(ctx)
            await testbench(ctx)

        sim = Simulator(ResetInserter(self.reset)(self.dut))
        sim.add_clock(1e-6)
        sim.add_testbench(whole)
        sim.run()

    async def run(self, ctx: Any, item: Step, *, limit: int = 20000, reset_at: int | None = None) -> Ended:
        """Parameters, then the command, to its end, or to a reset in its cycle `reset_at`."""
        bus = self.dut.bus
        self._on_bus = item.command in (Command.LOAD, Command.STORE, Command.FETCH)
        ctx.set(bus.write, 1)
        for index, value in (*item.parameters.items(), (Parameter.COMMAND, item.command.value)):
            assert not ctx.get(bus.busy)
            ctx.set(bus.index, index)
            ctx.set(bus.data, value & 0xFFFFFFFF)
            await self.cycle(ctx)
        ctx.set(bus.write, 0)
        words, cycles, moved = [], 0, 0
        while ctx.get(bus.busy):
            assert self._on_bus or not any(ctx.get(pin) for pin in self._valids), f"{item} must not use the bus"
            assert cycles < limit, f"{item} is still busy after {limit} cycles"
            if cycles == reset_at:
                await self._reset_all(ctx)
                break
            if ctx.get(bus.fetched):
                words.append(ctx.get(bus.word))
            moved += ctx.get(bus.moved)
            cycles += 1
            await self.cycle(ctx)
        self._on_bus = False
        error = ctx.get(bus.error_address) if ctx.get(bus.error) else None
        return Ended(cycles=cycles, words=words, error=error, moved=moved)

    async def check(self, ctx: Any, item: Step, **options: Any) -> Ended:
        """Runs the step here and in the model: words and error are the model's."""
        self.model.words.clear()
        self.model.run(item)
        ended = await self.run(ctx, item, **options)
        assert ended.words == self.model.words, str(item)
        assert ended.error == self.model.error, str(item)
        return ended

    async def compare(self, ctx: Any) -> None:
        """Both memories against the model's; SBUF is read through the debug port."""
        rate, self.debugger.rate = self.debugger.rate, 0.0
        while self.debugger.waiting or self.debugger.due is not None:
            await self.cycle(ctx)
        own = self.config.sbuf_lines - DEBUG_LINES
        found = [await self.access(ctx, line) for line in range(own)]
        expected = [int.from_bytes(bytes(line), "little") for line in self.model.lines[:own]]
        wrong = [line for line in range(own) if found[line] != expected[line]]
        assert not wrong, (
            f"lines {wrong[:10]}: {[hex(found[line]) for line in wrong[:4]]} must be {[hex(expected[line]) for line in wrong[:4]]}"
        )
        np.testing.assert_array_equal(self.dram, self.model.dram)
        self.debugger.rate = rate

    async def access(self, ctx: Any, line: int, value: int | None = None) -> int:
        """One debug access while no command runs: accepted at once, answered in the next cycle."""
        debug = self.dut.debug
        ctx.set(debug.request.valid, 1)
        ctx.set(debug.request.payload.address, line)
        ctx.set(debug.request.payload.write, value is not None)
        ctx.set(debug.request.payload.data, value or 0)
        assert ctx.get(debug.request.ready)
        await ctx.tick()
        ctx.set(debug.request.valid, 0)
        assert ctx.get(debug.response.valid)
        found = int(ctx.get(debug.response.data))
        await ctx.tick()
        assert not ctx.get(debug.response.valid)
        return found

    async def _fill(self, ctx: Any) -> None:
        for index, line in enumerate(self.lines):
            value = int.from_bytes(bytes(line), "little")
            await self.access(ctx, index, value)
            if index >= self.config.sbuf_lines - DEBUG_LINES:
                self.debugger.expected[index] = value

    async def _reset_all(self, ctx: Any) -> None:
        ctx.set(self.reset, 1)
        self._new_bus()
        self.debugger.waiting = self.debugger.due = None
        await ctx.tick()
        ctx.set(self.reset, 0)
        self._drive(ctx)

    async def cycle(self, ctx: Any) -> None:
        """One clock cycle of everything around the datapath."""
        self._debug_before(ctx)
        if not self._on_bus:
            await ctx.tick()
            return
        pins = {name: int(ctx.get(getattr(self.dut, name))) for name in self._names}
        await ctx.tick()
        self._bus(pins)
        self._drive(ctx)

    def _bus(self, pins: dict[str, int]) -> None:
        """One clock edge at the AXI memories, for the pins of before it."""
        read = (pins["m_axi_arid"], pins["m_axi_araddr"], pins["m_axi_arlen"])
        self.reads.step(bool(pins["m_axi_arvalid"]), read, bool(pins["m_axi_rready"]))
        write, line = (pins["m_axi_awaddr"], pins["m_axi_awlen"]), (pins["m_axi_wdata"], pins["m_axi_wlast"])
        self.writes.step(bool(pins["m_axi_awvalid"]), write, bool(pins["m_axi_wvalid"]), line, bool(pins["m_axi_bready"]))
        assert not pins["m_axi_wvalid"] or pins["m_axi_wstrb"] == (1 << self.config.line_bytes) - 1
        for prefix in ("aw", "ar"):
            assert pins[f"m_axi_{prefix}id"] == 0 and pins[f"m_axi_{prefix}burst"] == 1
            assert 1 << pins[f"m_axi_{prefix}size"] == self.config.line_bytes

    def _drive(self, ctx: Any) -> None:
        dut = self.dut
        beat_id, value, resp, last = self.reads.response
        for pin, driven in (
            (dut.m_axi_arready, self.reads.request_ready), (dut.m_axi_rvalid, self.reads.response_valid), (dut.m_axi_rid, beat_id),
            (dut.m_axi_rdata, value), (dut.m_axi_rresp, resp), (dut.m_axi_rlast, last), (dut.m_axi_awready, self.writes.request_ready),
            (dut.m_axi_wready, self.writes.data_ready), (dut.m_axi_bvalid, self.writes.response_valid), (dut.m_axi_bresp, self.writes.response),
        ):  # fmt: skip
            ctx.set(pin, driven)

    def _debug_before(self, ctx: Any) -> None:
        """The random debugger: looks at the answer that is due, asks, and notes whether it was served."""
        debug, own = self.dut.debug, self.debugger
        if not (own.rate or own.waiting or own.due):
            return
        if own.due is not None:
            assert ctx.get(debug.response.valid), "a debug access is answered in the next cycle"
            line, write, value = own.due
            if write:
                own.expected[line] = value
            else:
                assert ctx.get(debug.response.data) == own.expected[line], f"debug line {line}"
            own.due = None
        else:
            assert not ctx.get(debug.response.valid)
            if own.waiting is None and self.rng.random() < own.rate:
                line = self.config.sbuf_lines - 1 - int(self.rng.integers(DEBUG_LINES))
                own.waiting = (line, int(self.rng.integers(2)), int.from_bytes(self.rng.bytes(self.config.line_bytes), "little"))
                own.waited = 0
        ctx.set(debug.request.valid, own.waiting is not None)
        if own.waiting is not None:
            for name, value in zip(("address", "write", "data"), own.waiting, strict=True):
                ctx.set(debug.request.payload[name], value)
            own.waited += 1
            if ctx.get(debug.request.ready):
                own.due, own.waiting = own.waiting, None
                own.longest, own.served = max(own.longest, own.waited), own.served + 1
