"""Devices and tests made to fail: what tests/cosim/test_runner.py shows the runner. Not a testbench, so not in tb/ and not registered."""

from __future__ import annotations

from typing import Any

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import ClockCycles

from tb.tb_fifo import WIDTH
from tb.vip.clock import start
from tb.vip.scoreboard import Scoreboard


class Dead(wiring.Component):
    """The ports of the FIFO and nothing behind them: every output is stuck.

    Parameters
    ----------
    ready : int
        What `i.ready` is stuck at: 0, a device that hangs; 1, a device that swallows everything.
    """

    def __init__(self, *, ready: int) -> None:
        self._ready = ready
        super().__init__({"i": In(stream.Signature(WIDTH)), "o": Out(stream.Signature(WIDTH)), "level": Out(3)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.i.ready.eq(self._ready)
        # Something clocked, so that the module has the clock and reset the testbench drives.
        m.d.sync += self.level.eq(0)
        return m


class Babbling(Dead):
    """Sends zeros nobody asked for."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.o.valid.eq(1)
        return m


@cocotb.test()
async def compares_nothing(dut: Any) -> None:
    """Passes in cocotb's eyes, having looked at nothing."""
    await start(dut)
    await ClockCycles(dut.clk, 5)


@cocotb.test()
async def finishes_empty(dut: Any) -> None:
    """A scoreboard that nothing was ever put in must not finish."""
    await start(dut)
    Scoreboard("empty").finish()


@cocotb.test()
async def compares_one(dut: Any) -> None:
    """The only good one."""
    await start(dut)
    board = Scoreboard("level")
    board.expect(0)
    board.observe(int(dut.level.value))
    board.finish()


@cocotb.test(skip=True)
async def skipped(dut: Any) -> None:
    """Never runs."""


@cocotb.test()
async def never_ends(dut: Any) -> None:
    """Must be killed."""
    await start(dut)
    while True:
        await ClockCycles(dut.clk, 1000)


@cocotb.test()
async def dies(dut: Any) -> None:
    """Takes the simulator with it before results are written."""
    import os

    await start(dut)
    os._exit(0)
