"""Cosim of both DMA engines, the read multiplexer and the AXI pins, over the real SBUF, against an AXI4 memory of `cocotbext-axi`.

The strict watcher `tb.vip.axi_checker` stands beside the memory, which itself checks pages and WLAST. Four readers stand in for the fetchers, and
one reads SBUF all the time, so that the engines meet traffic on both sides.
"""

from __future__ import annotations

from typing import Any

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import ClockCycles, with_timeout

from hw.common.config import ChipConfig
from hw.common.isa import Cause
from hw.common.streams import connect_streams
from hw.control.command import command_layout
from hw.dma.axi import AxiError, ReadPort
from hw.dma.load import LoadDma
from hw.dma.pins import AxiPins, axi_pin_members, connect_axi_pins
from hw.dma.read_mux import ReadMux
from hw.dma.store import StoreDma
from hw.memory.ports import SbufPort
from hw.memory.sbuf import Sbuf
from sim.golden.dma import bursts
from tb.registry import Bench
from tb.vip.clock import sample
from tb.vip.dma_environment import CODE, FETCHERS, STORED, Environment
from tb.vip.scoreboard import report


class DmaTop(wiring.Component):
    """Both engines with all that lies between them and the pins; the other ports of SBUF and of the multiplexer lead out, for traffic.

    Members
    -------
    i_load, i_store : In(stream of command)
    i_start, done_load, done_store, error_load, error_store : as of the engines
    fetch : In(ReadPort).array(4)
    moving : In(SbufPort)
    m_axi_... : the pins
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_load": In(stream.Signature(command_layout("Load"))), "i_store": In(stream.Signature(command_layout("Store"))),
                "i_start": In(1), "done_load": Out(1), "done_store": Out(1), "error_load": Out(AxiError(config)), "error_store": Out(AxiError(config)),
                "fetch": In(ReadPort(config)).array(FETCHERS), "moving": In(SbufPort(config)), **axi_pin_members(config),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.load = load = LoadDma(config=config)
        m.submodules.store = store = StoreDma(config=config)
        m.submodules.mux = mux = ReadMux(config=config)
        m.submodules.pins = pins = AxiPins(config=config)
        m.submodules.sbuf = sbuf = Sbuf(config=config)
        wiring.connect(m, load.axi, mux.ports[0])
        wiring.connect(m, load.sbuf, sbuf.load)
        wiring.connect(m, store.sbuf, sbuf.store)
        wiring.connect(m, store.axi, pins.write)
        wiring.connect(m, wiring.flipped(self.moving), sbuf.moving)
        for index in range(FETCHERS):
            wiring.connect(m, wiring.flipped(self.fetch[index]), mux.ports[1 + index])
        connect_streams(m, mux.request, pins.read.request)
        connect_streams(m, pins.read.response, mux.response)
        connect_axi_pins(m, self, pins, config)
        connect_streams(m, wiring.flipped(self.i_load), load.i_load)
        connect_streams(m, wiring.flipped(self.i_store), store.i_store)
        wiring.connect(m, load.error, wiring.flipped(self.error_load))
        wiring.connect(m, store.error, wiring.flipped(self.error_store))
        m.d.comb += [
            load.i_start.eq(self.i_start), store.i_start.eq(self.i_start), self.done_load.eq(load.done_load), self.done_store.eq(store.done_store),
        ]  # fmt: skip
        return m


_SMALL: dict[str, Any] = {"sbuf_banks": 2, "sbuf_bank_lines": 256, "axi_address_width": 20, "output_lanes": 4}
BENCH = Bench(
    name="dma",
    doc="load and store DMA over SBUF against an AXI4 memory: every line, burst and completion, under traffic, pauses and errors",
    top=lambda config: DmaTop(config=config),
    configs=(
        ChipConfig(name="int8_4", rows=4, cols=4, dma_burst_lines=16, dma_outstanding=4, **_SMALL),
        ChipConfig(name="bf16_8", rows=8, cols=8, dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2, sbuf_latency=3, **_SMALL),
    ),
)


@cocotb.test()
@cocotb.parametrize(share=[1.0, 0.7, 0.3])
async def random_copies(dut: Any, share: float) -> None:
    """Loads, then both engines at once on separate halves of SBUF, SBUF busy with reads; every line, burst and completion as in the model."""
    environment = Environment(dut, share=share)
    await environment.begin()
    lines = environment.config.sbuf_lines
    for _ in range(600):
        environment.moving.send(int(environment.rng.integers(lines)))
    below, above = range(lines // 2), range(lines // 2, lines)
    loads = [environment.random_command(below, range(CODE), unique=False) for _ in range(10)]
    stores = [environment.random_command(above, range(STORED, 0xC000), unique=False) for _ in range(10)]
    before = dict(environment.done)
    environment.send("load", loads)
    environment.send("store", stores)
    await environment.until("load", before["load"] + 10)
    await environment.until("store", before["store"] + 10)
    assert not environment.errors
    await environment.finish()
    if share == 1.0:
        assert min(environment.checker.most_reads, environment.checker.most_writes) > 1, "several bursts in flight"


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """A long contiguous load from a memory without pauses: a beat a cycle once the first has come. Nobody else reads."""
    environment = Environment(dut, share=1.0, has_fetchers=False)
    await environment.begin()
    size, lines = environment.config.line_bytes, environment.config.sbuf_lines
    checker, cycles = environment.checker, 400
    taken = checker.beats["r"]
    environment.send("load", [environment.command(0, 256, (lines, 1, size))] * 2)
    while checker.beats["r"] < taken + 40:
        await sample(dut)
    taken = checker.beats["r"]
    await ClockCycles(dut.clk, cycles)
    moved = checker.beats["r"] - taken
    assert moved >= cycles * 0.95, f"{moved} beats in {cycles} cycles"
    await environment.until("load", 3)
    report(moved, name="beats at full rate")
    await environment.finish()


@cocotb.test()
@cocotb.parametrize(engine=["load", "store"])
async def error_response(dut: Any, engine: str) -> None:
    """SLVERR stops the engine at the burst with the address named, the bus stays legal, the other engine goes on, a start brings it back."""
    environment = Environment(dut, share=0.7)
    await environment.begin()
    size = environment.config.line_bytes
    base = 0x2000 if engine == "load" else 0x9000
    dram = environment.dram
    dram.bad = {base + 5 * size}
    command = environment.command(16, base, (40, 1, size))
    before, lines = dict(environment.done), environment.lines.copy()
    issued = environment.checker.reads[0] if engine == "load" else environment.checker.writes
    count = len(issued)
    environment.send(engine, [command])

    async def waiting() -> None:
        while not environment.errors:
            await sample(dut)

    await with_timeout(waiting(), 1, "ms")
    await ClockCycles(dut.clk, 400)  # everything in flight drains
    cause = Cause.READ_ERROR if engine == "load" else Cause.WRITE_ERROR
    assert environment.errors == [(engine, cause, base)]
    assert environment.done == before
    other = "store" if engine == "load" else "load"
    lines[16:21] = environment.lines[16:21]
    if engine == "load":
        environment.lines = lines
    # What is dropped is not all made: compare the bursts after this from here on.
    expected = [(int(address), int(beats)) for address, beats in bursts(environment.walk(command)[1], config=environment.config)]
    assert issued[count:] == expected[: len(issued) - count] and len(issued) > count
    issued.extend(expected[len(issued) - count :])
    environment.expected_dram = {}
    dram.bad = set()
    await environment.run(other, [environment.command(100, 0xA000 if other == "store" else 0x1000, (30, 1, size))])
    dut.i_start.value = 1
    await ClockCycles(dut.clk, 1)
    dut.i_start.value = 0
    again = environment.command(200, 0xB000 if engine == "store" else 0x3000, (30, 1, size), (2, 30, 32 * size))
    await environment.run(engine, [again])
    await environment.finish()
