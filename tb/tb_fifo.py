"""Cosim of `hw.common.streams.Fifo`: the smallest complete testbench, to copy from."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, with_timeout

from hw.common.config import ChipConfig
from hw.common.streams import Fifo
from tb.registry import Bench
from tb.vip.clock import start
from tb.vip.scoreboard import Scoreboard
from tb.vip.stream import StreamDriver, StreamMonitor, patterns

WIDTH = 24

#: The FIFO's depth is the configuration's `queue_depth`.
BENCH = Bench(
    name="fifo",
    doc="the stream FIFO against a queue: order, loss, handshake, full rate",
    top=lambda config: Fifo(shape=WIDTH, depth=config.queue_depth),
    configs=(ChipConfig(name="depth4", queue_depth=4), ChipConfig(name="depth16", queue_depth=16)),
)


async def traffic(dut: Any, *, count: int, offer: str, accept: str) -> StreamMonitor:
    """Sends `count` random words through the device and compares all of them; returns the monitor."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    board = Scoreboard("o")
    driver = StreamDriver(dut, "i", pattern=offer, rng=rng)
    monitor = StreamMonitor(dut, "o", pattern=accept, sink=board.observe)
    await start(dut)
    words = [int(word) for word in rng.integers(1 << WIDTH, size=count)]
    board.expect(*words)
    driver.send(*words)
    await with_timeout(driver.drained(), 2_000 * count, "ns")
    # Draining a full FIFO at one word in `len(accept)` cycles takes the longest.
    await ClockCycles(dut.clk, 20 * len(accept))
    board.finish()
    return monitor


@cocotb.test()
@cocotb.parametrize(offer=range(6), accept=range(6))
async def back_pressure(dut: Any, offer: int, accept: int) -> None:
    """Every pair of patterns: nothing lost, nothing added, in order."""
    choices = patterns(np.random.default_rng(cocotb.RANDOM_SEED))
    await traffic(dut, count=60, offer=choices[offer], accept=choices[accept])


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """One word a cycle without a gap."""
    monitor = await traffic(dut, count=200, offer="1", accept="1")
    assert monitor.cycles[-1] - monitor.cycles[0] == 199, "200 words must take 200 cycles"
