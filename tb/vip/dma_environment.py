"""What surrounds the DMA engines in cosim: DRAM, command drivers, the model of SBUF, stand-ins for the fetchers, scoreboards."""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import with_timeout
from cocotbext.axi import AxiBus, AxiSlave

from hw.control.command import command_layout
from hw.dma.read_mux import READERS
from sim.golden.dma import bursts, pattern_addresses

from . import config as built_config
from .axi_checker import AxiChecker
from .clock import sample, start
from .scoreboard import Scoreboard
from .stream import StreamDriver, StreamMonitor, random_pattern, steps

FETCHERS = READERS - 1
ENGINES = ("load", "store")
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

    def __init__(self, dut: Any, *, share: float, has_fetchers: bool = True) -> None:
        self.dut, self.config = dut, built_config()
        self.rng = np.random.default_rng(cocotb.RANDOM_SEED)
        self.dram = Dram(self.rng)
        self.lines = np.zeros((self.config.sbuf_lines, self.config.line_bytes), np.uint8)
        self.drivers = {name: StreamDriver(dut, f"i_{name}", rng=self.rng) for name in ENGINES}
        self.moving = StreamDriver(dut, "moving__request", pattern=random_pattern(self.rng, share=0.5), rng=self.rng)
        self.done = dict.fromkeys(ENGINES, 0)
        self.expected_dram: dict[int, bytes] = {}
        self.errors: list[tuple[str, int, int]] = []
        self.boards = {name: Scoreboard(name) for name in ("sbuf lines", "dram lines", "read bursts", "write bursts", "fetched beats")}
        dut.i_start.value = 0
        slave = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, target=self.dram)
        write, read = slave.write_if, slave.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            if share < 1:
                pattern = random_pattern(self.rng, share=share)
                channel.set_pause_generator(not go for go in steps(pattern))
        self._awaited = [deque[int]() for _ in range(FETCHERS)]
        self._fetch_setup(bursts=40 if has_fetchers else 0)
        if not has_fetchers:
            del self.boards["fetched beats"]

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

    async def run(self, engine: str, commands: list[dict[str, int]]) -> None:
        """Sends the commands to one engine and waits until they are done."""
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
        for address, content in sorted(self.expected_dram.items()):
            self.boards["dram lines"].expect((address, content))
            self.boards["dram lines"].observe((address, self.dram.bytes[address : address + size].tobytes()))
        self.boards["read bursts"].observe(*self.checker.reads[0])
        self.boards["write bursts"].observe(*self.checker.writes)
        self.checker.finish()
        for board in self.boards.values():
            board.finish()

    async def _drained(self) -> None:
        while not self.checker.is_idle or any(self._awaited):
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

    def _fetch_setup(self, *, bursts: int) -> None:
        """Fetcher n asks for bursts of n + 1 beats in its own quarter of the code and gets exactly their lines."""
        width = self.config.axi_address_width
        size = self.config.line_bytes
        self._requests = []
        for index in range(FETCHERS):
            driver = StreamDriver(self.dut, f"fetch__{index}__request", pattern=random_pattern(self.rng, share=0.1), rng=self.rng)
            self._requests.append(driver)
            for _ in range(bursts):
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
