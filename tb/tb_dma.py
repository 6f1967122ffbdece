"""Cosim of both DMA engines, the read multiplexer and the AXI pins, over the real SBUF, against an AXI4 memory of `cocotbext-axi`.

The strict watcher `tb.vip.axi_checker` stands beside the memory, which itself checks pages and WLAST. Four readers stand in for the fetchers, and
one reads SBUF all the time, so that the engines meet traffic on both sides.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiBus, AxiSlave

from hw.common.config import ChipConfig
from hw.common.isa import Cause
from hw.common.streams import connect_streams
from hw.control.command import command_layout
from hw.dma.axi import AxiError, ReadPort
from hw.dma.load import LoadDma
from hw.dma.pins import AxiPins, axi_pin_members, connect_axi_pins
from hw.dma.read_mux import READERS, ReadMux
from hw.dma.store import StoreDma
from hw.memory.ports import SbufPort
from hw.memory.sbuf import Sbuf
from sim.golden.dma import bursts, pattern_addresses
from tb.registry import Bench
from tb.vip import config as built_config
from tb.vip.axi_checker import AxiChecker
from tb.vip.clock import sample, start
from tb.vip.scoreboard import Scoreboard, report
from tb.vip.stream import StreamDriver, StreamMonitor, random_pattern, steps

FETCHERS = READERS - 1
ENGINES = ("load", "store")


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
DRAM_BYTES = 1 << 16
#: Fetchers read here; loads below; stores write to the upper half.
CODE, STORED = 0x7000, 0x8000


class Dram:
    """What `AxiSlave` reads and writes: an array, and addresses at which it fails (SLVERR)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.bytes = rng.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
        self.bad: set[int] = set()

    async def read(self, address: int, length: int) -> bytes:
        """`length` bytes at `address`."""
        if address in self.bad:
            raise OSError(f"no memory at {address:#x}")
        return self.bytes[address : address + length].tobytes()

    async def write(self, address: int, data: bytes) -> None:
        """Replaces the bytes at `address`."""
        if address in self.bad:
            raise OSError(f"no memory at {address:#x}")
        self.bytes[address : address + len(data)] = np.frombuffer(data, np.uint8)


class Environment:
    """Drivers, memory, watcher, counters of the device; `lines` is the model of SBUF."""

    def __init__(self, dut: Any, *, share: float) -> None:
        self.dut, self.config = dut, built_config()
        self.rng = np.random.default_rng(cocotb.RANDOM_SEED)
        self.dram = Dram(self.rng)
        self.lines = np.zeros((self.config.sbuf_lines, self.config.line_bytes), np.uint8)
        self.drivers = {name: StreamDriver(dut, f"i_{name}", rng=self.rng) for name in ENGINES}
        self.moving = StreamDriver(dut, "moving__request", pattern=random_pattern(self.rng, share=0.5), rng=self.rng)
        self.done = dict.fromkeys(ENGINES, 0)
        self.errors: list[tuple[str, int, int]] = []
        self.boards = {name: Scoreboard(name) for name in ("sbuf lines", "dram lines", "read bursts", "write bursts", "fetched beats")}
        dut.i_start.value = 0
        slave = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, target=self.dram)
        write, read = slave.write_if, slave.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            if share < 1:
                pattern = random_pattern(self.rng, share=share)
                channel.set_pause_generator(not go for go in steps(pattern))
        self._fetch_setup()

    async def begin(self) -> None:
        """Reset, the watchers, and the whole SBUF loaded, since it does not power up zero."""
        await start(self.dut)
        self.checker = AxiChecker(self.dut, self.config)
        cocotb.start_soon(self._watch())
        lines = self.config.sbuf_lines
        await self.run("load", [self.command(0, 0, (lines, 1, self.config.line_bytes))])

    def command(self, base: int, dram: int, *dimensions: tuple[int, int, int]) -> dict[str, int]:
        """Fields of a Load or Store; a dimension is (size, stride in lines, dram_stride in bytes)."""
        values = {"base": base, "dram": dram}
        for dim in range(4):
            size, stride, dram_stride = dimensions[dim] if dim < len(dimensions) else (1, 0, 0)
            values |= {f"size{dim}": size, f"stride{dim}": stride, f"dram_stride{dim}": dram_stride}
        return values

    def random_command(self, lines: range, dram: range, *, unique: bool) -> dict[str, int]:
        """A command within the ranges of SBUF lines and DRAM bytes; with `unique` no address twice."""
        size = self.config.line_bytes
        while True:
            sizes = [int(self.rng.choice([1, 2, 3, 7, 20])) for _ in range(4)]
            strides = [int(self.rng.integers(-30, 31)) for _ in range(4)]
            steps_ = [int(self.rng.integers(-200, 201)) for _ in range(4)]
            for dim in range(int(self.rng.integers(4))):
                steps_[dim] = int(np.prod(sizes[:dim]))
            values = self.command(0, 0, *((sizes[dim], strides[dim], steps_[dim] * size) for dim in range(4)))
            sbuf, byte = self.walk(values)
            if len(sbuf) > 150 or np.ptp(sbuf) >= len(lines) or np.ptp(byte) > len(dram) - size:
                continue
            if unique and (len(set(sbuf)) < len(sbuf) or len(set(byte)) < len(byte)):
                continue
            values["base"] = int(self.rng.integers(lines.start - sbuf.min(), lines.stop - sbuf.max()))
            values["dram"] = size * int(self.rng.integers((dram.start - byte.min()) // size, (dram.stop - byte.max()) // size))
            return values

    def walk(self, values: dict[str, int]) -> tuple[Any, Any]:
        """(SBUF line, DRAM byte) of every line of the command."""
        sizes = [values[f"size{dim}"] for dim in range(4)]
        strides = {key: [values[f"{key}{dim}"] for dim in range(4)] for key in ("stride", "dram_stride")}
        return pattern_addresses(values["base"], sizes, strides["stride"]), pattern_addresses(values["dram"], sizes, strides["dram_stride"])

    def send(self, engine: str, commands: list[dict[str, int]]) -> None:
        """Queues the commands, does them in the model and notes their bursts."""
        layout = command_layout(engine.capitalize())
        size = self.config.line_bytes
        for values in commands:
            bits = 0
            for name, member in layout:
                bits |= (values[name] & ((1 << member.width) - 1)) << member.offset
            self.drivers[engine].send(bits)
            sbuf, byte = self.walk(values)
            board = self.boards["read bursts" if engine == "load" else "write bursts"]
            board.expect(*((int(address), int(beats)) for address, beats in bursts(byte, config=self.config)))
            if engine == "load":
                for line, address in zip(sbuf, byte, strict=True):
                    self.lines[line] = self.dram.bytes[address : address + size]
            else:
                written = {int(address): self.lines[line].tobytes() for line, address in zip(sbuf, byte, strict=True)}
                self.expected_dram.update(written)

    expected_dram: dict[int, bytes]

    async def run(self, engine: str, commands: list[dict[str, int]]) -> None:
        """Sends the commands to one engine and waits until they are done."""
        self.expected_dram = getattr(self, "expected_dram", {})
        self.send(engine, commands)
        await self.until(engine, self.done[engine] + len(commands))

    async def until(self, engine: str, count: int) -> None:
        """Waits until `engine` has completed `count` commands."""
        async def waiting() -> None:
            while self.done[engine] < count:
                await sample(self.dut)

        await with_timeout(waiting(), 3, "ms")

    async def finish(self) -> None:
        """Stores the whole SBUF and compares it, and all DRAM written, with the model; everything drained and counted."""
        size, lines = self.config.line_bytes, self.config.sbuf_lines
        await self.run("store", [self.command(0, 0xC000, (lines, 1, size))])
        await with_timeout(self._drained(), 3, "ms")
        for line in range(lines):
            self.boards["sbuf lines"].expect((line, self.lines[line].tobytes()))
            at = 0xC000 + line * size
            self.boards["sbuf lines"].observe((line, self.dram.bytes[at : at + size].tobytes()))
        for address, line in sorted(self.expected_dram.items()):
            self.boards["dram lines"].expect((address, line))
            self.boards["dram lines"].observe((address, self.dram.bytes[address : address + size].tobytes()))
        self.boards["read bursts"].observe(*self.checker.reads[0])
        self.boards["write bursts"].observe(*self.checker.writes)
        self.checker.finish()
        for board in self.boards.values():
            board.finish()

    async def _drained(self) -> None:
        while self._fetching or not self.checker.is_idle or any(self._awaited):
            await sample(self.dut)

    async def _watch(self) -> None:
        while True:
            await sample(self.dut)
            for name in ENGINES:
                self.done[name] += getattr(self.dut, f"done_{name}").value == 1
                if getattr(self.dut, f"error_{name}__valid").value == 1:
                    address = int(getattr(self.dut, f"error_{name}__address").value)
                    self.errors.append((name, int(getattr(self.dut, f"error_{name}__cause").value), address))

    # The fetchers -------------------------------------------------------------------------------------------

    def _fetch_setup(self) -> None:
        """Fetcher n asks for bursts of n + 1 beats in its own quarter of the code and gets exactly their lines."""
        width = self.config.axi_address_width
        size = self.config.line_bytes
        self._fetching, self._awaited = 0, [deque[int]() for _ in range(FETCHERS)]
        self._requests = []
        for index in range(FETCHERS):
            driver = StreamDriver(self.dut, f"fetch__{index}__request", pattern=random_pattern(self.rng, share=0.1), rng=self.rng)
            self._requests.append(driver)
            for _ in range(40):
                address = CODE + 0x400 * index + size * int(self.rng.integers(0x400 // size - 4))
                driver.send(address | index << width)
                for beat in range(index + 1):
                    at = address + beat * size
                    self._awaited[index].append(int.from_bytes(self.dram.bytes[at : at + size].tobytes(), "little"))
            StreamMonitor(self.dut, f"fetch__{index}__response", sink=self._fetched(index), pattern=random_pattern(self.rng, share=0.7))

    def _fetched(self, index: int) -> Any:
        data_bits = self.config.axi_data_width

        def sink(payload: int) -> None:
            self.boards["fetched beats"].expect((index, self._awaited[index].popleft()))
            self.boards["fetched beats"].observe((index, payload & ((1 << data_bits) - 1)))

        return sink


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
    """A long contiguous load from a memory without pauses: a beat a cycle once the first has come, as the memory allows."""
    environment = Environment(dut, share=1.0)
    await environment.begin()
    size, lines = environment.config.line_bytes, environment.config.sbuf_lines
    checker, cycles = environment.checker, 400
    taken = checker.beats["r"]
    environment.expected_dram = {}
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
    environment.expected_dram = {}
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
