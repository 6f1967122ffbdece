"""Cosim of `hw.memory.sbuf.Sbuf`: random traffic on all five ports against a flat numpy memory."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, Combine, with_timeout

from hw.common.config import ChipConfig
from hw.memory.sbuf import PORTS, READERS, Sbuf
from tb.registry import Bench
from tb.vip import config as built_config
from tb.vip.clock import sample, start
from tb.vip.scoreboard import Scoreboard, report
from tb.vip.stream import StreamDriver, random_pattern

_SMALL: dict[str, Any] = {"rows": 4, "cols": 4, "output_lanes": 4, "sbuf_bank_lines": 32}
_FLOAT: dict[str, Any] = {"dtypes": ("int8", "bf16"), "adder_stages": 2, "accumulator_stages": 2}

BENCH = Bench(
    name="sbuf",
    doc="SBUF against a flat memory: data, response latency, priority, write masks, all ports at once",
    top=lambda config: Sbuf(config=config),
    configs=(
        ChipConfig(name="int8_latency1", sbuf_latency=1, sbuf_banks=2, **_SMALL),
        ChipConfig(name="both_latency4", sbuf_latency=4, sbuf_banks=4, **_SMALL, **_FLOAT),
    ),
)


class Traffic:
    """Drivers on the five ports, the model, and a checker that predicts every acceptance and every response.

    Members
    -------
    boards : a Scoreboard of (cycle, word) for each port that reads
    accepted : requests accepted, by port
    waits : cycles in which a request was refused, by port
    """

    def __init__(self, dut: Any, rng: np.random.Generator, shares: dict[str, float]) -> None:
        self.dut, self.rng = dut, rng
        self.config = built_config()
        self.boards = {name: Scoreboard(name) for name in READERS}
        self.accepted, self.waits = dict.fromkeys(PORTS, 0), dict.fromkeys(PORTS, 0)
        self.cycles: dict[str, list[int]] = {name: [] for name in PORTS}
        self.memory = np.zeros((self.config.sbuf_lines, self.config.line_bytes), np.uint8)
        self.drivers = {
            name: StreamDriver(dut, f"{name}__request", pattern=random_pattern(rng, share=shares[name]), rng=rng) for name in PORTS
        }

    async def begin(self) -> None:
        """Reset, then every line written once: memories do not power up zero."""
        lines = self.config.element_bytes
        await start(self.dut)
        cocotb.start_soon(self._check())
        for address in range(0, self.config.sbuf_lines, lines):
            self.send("load", address, write=1, mask=(1 << lines) - 1)
        await self.end()

    def send(self, name: str, address: int, *, write: int, mask: int) -> None:
        """Queues a request with random data."""
        config = self.config
        data = int.from_bytes(self.rng.bytes(config.word_bytes), "little")
        width = config.sbuf_address_width
        payload = address | write << width | mask << (width + 1) | data << (width + 1 + config.element_bytes)
        self.drivers[name].send(payload)

    def send_random(self, count: int, lines: int) -> None:
        """`count` random requests on every port, to the first `lines` lines."""
        for name in PORTS:
            for _ in range(count):
                write = int(self.rng.integers(2)) if name == "output" else int(name == "load")
                self.send(name, int(self.rng.integers(lines)), write=write, mask=int(self.rng.integers(1 << self.config.element_bytes)))

    async def end(self) -> None:
        """Waits until all requests are accepted and answered."""
        await with_timeout(Combine(*(cocotb.start_soon(driver.drained()) for driver in self.drivers.values())), 2, "ms")
        await ClockCycles(self.dut.clk, self.config.sbuf_latency + 2)

    def finish(self) -> None:
        """All scoreboards drained and counted, and as many acceptances as transfers of the drivers."""
        assert self.accepted == {name: driver.sent for name, driver in self.drivers.items()}
        for board in self.boards.values():
            board.finish()

    async def _check(self) -> None:
        now = 0
        while True:
            await sample(self.dut)
            self._requests(now)
            for name in PORTS:
                if getattr(self.dut, f"{name}__response__valid").value == 1:
                    assert name in READERS, f"{name} writes only and must get no response (cycle {now})"
                    self.boards[name].observe((now, int(getattr(self.dut, f"{name}__response__data").value)))
            now += 1

    def _requests(self, now: int) -> None:
        """Predicts who is accepted in this cycle, and makes the accesses in the model."""
        config, dut = self.config, self.dut
        taken: set[int] = set()
        waiting = 0
        for number, name in enumerate(PORTS):
            if getattr(dut, f"{name}__request__valid").value != 1:
                continue
            payload = int(getattr(dut, f"{name}__request__payload").value)
            address = payload & (config.sbuf_lines - 1)
            bank = address // config.sbuf_bank_lines
            free = bank not in taken
            taken.add(bank)
            assert (getattr(dut, f"{name}__request__ready").value == 1) == free, (
                f"{name} must {'' if free else 'not '}be accepted (cycle {now})"
            )
            if not free:
                waiting |= 1 << number
                self.waits[name] += 1
                continue
            self.accepted[name] += 1
            self.cycles[name].append(now)
            self._access(name, now, address, payload >> config.sbuf_address_width)
        assert int(dut.o_waiting.value) == waiting, f"o_waiting must be {waiting:#b} (cycle {now})"

    def _access(self, name: str, now: int, address: int, rest: int) -> None:
        config = self.config
        lines = config.element_bytes
        base = address - address % lines
        if name == "load" or (name == "output" and rest & 1):
            content = (rest >> (1 + lines)).to_bytes(config.word_bytes, "little")
            for line in range(lines):
                if rest >> (1 + line) & 1:
                    self.memory[base + line] = np.frombuffer(content[line * config.line_bytes :][: config.line_bytes], np.uint8)
        else:
            rotated = [base + (address + line) % lines for line in range(lines)]
            self.boards[name].expect((now + config.sbuf_latency, int.from_bytes(self.memory[rotated].tobytes(), "little")))


@cocotb.test()
@cocotb.parametrize(share=[0.15, 0.5, 1.0], region=["one bank", "few lines", "everything"])
async def random_traffic(dut: Any, share: float, region: str) -> None:
    """Every response right and on time, from traffic that hardly meets to five ports fighting for one bank."""
    traffic = Traffic(dut, np.random.default_rng(cocotb.RANDOM_SEED), dict.fromkeys(PORTS, share))
    await traffic.begin()
    config = traffic.config
    traffic.send_random(100, {"one bank": config.sbuf_bank_lines, "few lines": 4, "everything": config.sbuf_lines}[region])
    await traffic.end()
    assert traffic.waits["stationary"] == 0
    if share == 1.0 and region != "everything":
        assert all(traffic.waits[name] >= 100 for name in PORTS[1:]), "every port but the first waits for those above it"
    traffic.finish()


@cocotb.test()
async def a_bank_each(dut: Any) -> None:
    """Every reader streams from a bank of its own, as many ports as there are banks: no request waits, one a cycle each."""
    traffic = Traffic(dut, np.random.default_rng(cocotb.RANDOM_SEED), dict.fromkeys(PORTS, 1.0))
    await traffic.begin()
    config = traffic.config
    names = READERS[: config.sbuf_banks]
    for name in names:
        traffic.cycles[name].clear()
        for index in range(100):
            traffic.send(name, READERS.index(name) * config.sbuf_bank_lines + index % config.sbuf_bank_lines, write=0, mask=0)
    await traffic.end()
    assert not any(traffic.waits.values())
    for name in names:
        assert traffic.cycles[name][-1] - traffic.cycles[name][0] == 99, f"{name}: 100 reads must take 100 cycles"
        traffic.boards[name].finish()
    report(len(names) * 100, name="reads at full rate")
