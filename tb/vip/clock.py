"""Clock, reset and the one place where a testbench samples.

The clock is made by cocotb. A read right after `RisingEdge` sees the values from before the edge, which is what a register in the
device sees too: `sample` waits for the edge and everything read before the next `await` belongs to that edge. A write made then takes effect after
the edge. So a driver that decides on `valid & ready` read after `sample` decides exactly as the hardware does.
"""

from __future__ import annotations

from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

PERIOD_NS = 10


async def start(dut: Any, *, cycles: int = 3) -> None:
    """Starts `dut.clk` and holds `dut.rst` high for `cycles` edges. On return the device is out of reset and the next edge is its first.

    Drive the inputs to their idle values before.
    """
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, unit="ns").start(start_high=False)
    await ClockCycles(dut.clk, cycles)
    dut.rst.value = 0


async def sample(dut: Any) -> None:
    """Waits for the next rising edge; values read before the next `await` are those of just before it."""
    await RisingEdge(dut.clk)
