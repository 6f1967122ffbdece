"""What the tests of the self-test share: memories with faults, a bench that answers its port, registers by the cycle."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from amaranth.sim import Simulator

from hw.debug.self_test import SelfTest
from sim.golden.self_test import Access


class FaultyMemory:
    """Lines with what `spoil(lines, line, write)` does to them after each write, and `alias(line)` to addresses."""

    def __init__(
        self, lines: int, *, spoil: Callable[[list[int], int], None] | None = None, alias: Callable[[int], int] | None = None
    ) -> None:
        self.lines = [0x5A5A5A5A1234 + 77 * line for line in range(lines)]
        self._spoil, self._alias = spoil, alias

    def read(self, line: int) -> int:
        return self.lines[self._alias(line) if self._alias else line]

    def write(self, line: int, data: int) -> None:
        self.lines[self._alias(line) if self._alias else line] = data
        if self._spoil:
            self._spoil(self.lines, line)


class SelfTestBench:
    """A self-test on a memory that takes a request after `hold()` cycles and answers `wait()` cycles later."""

    def __init__(self, config: Any, memory: Any, *, hold: Callable[[], int] = lambda: 0, wait: Callable[[], int] = lambda: 1) -> None:
        self.config, self.memory, self.hold, self.wait = config, memory, hold, wait
        self.dut = SelfTest(config=config)
        self.accesses: list[Access] = []
        self.cycle = 0
        #: Cycles of requests seen first, and of answers.
        self.asked: list[int] = []
        self.answered: list[int] = []

    def run(self, testbench: Callable[[Any, Any], Any]) -> None:
        sim = Simulator(self.dut)
        sim.add_clock(1e-6)

        async def port(ctx: Any) -> None:
            request, response = self.dut.sbuf.request, self.dut.sbuf.response
            while True:
                ctx.set(response.valid, 0)
                if not ctx.get(request.valid):
                    await ctx.tick()
                    continue
                self.asked.append(self.cycle)
                payload = ctx.get(request.payload)
                held = (payload.address, payload.write, payload.data)
                for _ in range(self.hold()):
                    await ctx.tick()
                    again = ctx.get(request.payload)
                    assert ctx.get(request.valid) and held == (again.address, again.write, again.data), "valid and payload hold until ready"
                ctx.set(request.ready, 1)
                await ctx.tick()
                ctx.set(request.ready, 0)
                for _ in range(self.wait() - 1):
                    assert not ctx.get(request.valid), "one access at a time"
                    await ctx.tick()
                line, write, data = held
                if write:
                    self.memory.write(line, data)
                    ctx.set(response.data, random.getrandbits(len(response.data)))
                else:
                    data = self.memory.read(line)
                    ctx.set(response.data, data)
                self.accesses.append(Access(line=line, write=bool(write), data=data))
                ctx.set(response.valid, 1)
                self.answered.append(self.cycle)
                await ctx.tick()

        async def clock(ctx: Any) -> None:
            async for _ in ctx.tick():
                self.cycle += 1

        async def main(ctx: Any) -> None:
            await testbench(ctx, self)

        sim.add_testbench(port, background=True)
        sim.add_process(clock)
        sim.add_testbench(main)
        sim.run()

    async def write(self, ctx: Any, number: int, value: int) -> int:
        """Writes a register; the cycle of the pulse."""
        registers = self.dut.registers
        ctx.set(registers.address, number)
        ctx.set(registers.value, value)
        ctx.set(registers.write, 1)
        cycle = self.cycle
        await ctx.tick()
        ctx.set(registers.write, 0)
        return cycle

    async def read(self, ctx: Any, number: int) -> int:
        """Reads a register: its value in the cycle after the address."""
        ctx.set(self.dut.registers.address, number)
        await ctx.tick()
        return int(ctx.get(self.dut.registers.data))

    async def finish(self, ctx: Any, limit: int = 100_000) -> int:
        """Waits until busy is over; the cycle in which it was."""
        ctx.set(self.dut.registers.address, 0)
        await ctx.tick()
        for _ in range(limit):
            await ctx.tick()
            if not ctx.get(self.dut.registers.data) & 1:
                return self.cycle - 1
        raise AssertionError(f"busy for {limit} cycles")
