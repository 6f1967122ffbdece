"""Cosim of the whole chip on public models of its buses: AXI4-Lite host, AXI4 memory with random pauses, golden chip as the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

from hw.chip import make_chip
from hw.common.config import CONFIGS, ChipConfig
from hw.common.isa import ENGINES
from hw.common.registers import REGISTERS, engine_register
from sim.golden.chip import GoldenChip
from tb.registry import Bench, Gate
from tb.vip import config as built_config
from tb.vip.axi_checker import AxiChecker
from tb.vip.clock import PERIOD_NS, start
from tb.vip.programs import ProgramGenerator, RandomProgram
from tb.vip.scoreboard import Scoreboard
from tb.vip.stream import random_pattern, steps

BENCH = Bench(
    name="chip",
    doc="the whole chip against the golden chip: registers, DRAM and errors after random programs, AXI rules on the way",
    top=make_chip,
    configs=(
        ChipConfig(
            name="mixed4x4", rows=4, cols=4, dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2, output_lanes=4, sbuf_banks=2,
            sbuf_bank_lines=128, psum_banks=2, psum_rows=16, queue_depth=4, dma_outstanding=4, dma_burst_lines=16, semaphores=24,
        ),
    ),
    gates=(Gate(config=replace(CONFIGS["nano"], name="ice40_nano", multiplier="ice40"), family="ice40", quick="identity|share=1.0/faults=1"),),
    ports={"trace_*": "trace"},
    timeout=600,
)  # fmt: skip

DRAM_BYTES = 1 << 18
CYCLES_LIMIT = 200_000
#: What must not depend on timing.
PER_ENGINE = ("CAUSE", "INDEX", "ADDRESS_LO", "ADDRESS_HI", "RETIRED")
WHOLE = ("STATUS", "TENSOR_ROWS", "TENSOR_MACS_LO", "TENSOR_MACS_HI")
RESULTS = (*(engine_register(engine, name) for engine in ENGINES for name in PER_ENGINE), *WHOLE)


class Host:
    """The chip on its buses: registers through AXI4-Lite, DRAM as the memory behind the AXI4 manager.

    Parameters
    ----------
    dut : cocotb handle
    share : float
        Share of cycles in which each channel of the memory may move; 1 never pauses. The patterns are logged.
    """

    def __init__(self, dut: Any, rng: np.random.Generator, *, share: float = 1.0) -> None:
        self.dut = dut
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=DRAM_BYTES)
        self.checker = AxiChecker(dut, built_config())
        if share < 1:
            write, read = self.ram.write_if, self.ram.read_if
            for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
                channel.set_pause_generator(self._pauses(rng, share))

    def _pauses(self, rng: np.random.Generator, share: float) -> Iterator[bool]:
        pattern = random_pattern(rng, share=share)
        self.dut._log.info("memory channel moves: %s", pattern)
        return (not moves for moves in steps(pattern))

    async def begin(self) -> None:
        """Starts clock and reset. Nobody asks for lines of SBUF here."""
        self.dut.debug__request__valid.value = 0
        await start(self.dut)

    async def write(self, name: str, value: int) -> None:
        """Writes a register."""
        await self.registers.write_dword(REGISTERS[name].address, value & 0xFFFFFFFF)

    async def read(self, name: str) -> int:
        """Reads a register."""
        return int(await self.registers.read_dword(REGISTERS[name].address))

    async def run(self, program: RandomProgram) -> dict[str, int]:
        """Runs a program to its interrupt; the registers that must not depend on timing."""
        program.write_to(lambda address, data: self.ram.write(address, bytes(data)))
        for name, value in settings(program).items():
            await self.write(name, value)
        await self.write("CONTROL", 1)
        await with_timeout(RisingEdge(self.dut.irq), CYCLES_LIMIT * PERIOD_NS, "ns")
        results = {name: await self.read(name) for name in RESULTS}
        await self.write("IRQ_STATUS", 0b11)
        return results


def settings(program: RandomProgram) -> dict[str, int]:
    """Registers to write before the doorbell."""
    values = {"DRAM_SIZE_LO": program.dram_bytes, "IRQ_ENABLE": 1}
    for engine in ENGINES:
        values[engine_register(engine, "QUEUE_BASE_LO")] = program.queue_base[engine]
        values[engine_register(engine, "QUEUE_COUNT")] = len(program.queues[engine])
    return values


def run_golden(golden: GoldenChip, program: RandomProgram) -> dict[str, int]:
    """The same on the model."""
    golden.reset()
    program.write_to(golden.write_memory)
    for name, value in (settings(program) | {"CONTROL": 1}).items():
        golden.write_register(REGISTERS[name].address, value & 0xFFFFFFFF)
    golden.wait_interrupt(CYCLES_LIMIT)
    return {name: golden.read_register(REGISTERS[name].address) for name in RESULTS}


@cocotb.test()
async def identity(dut: Any) -> None:
    """What a driver reads first."""
    host = Host(dut, np.random.default_rng(cocotb.RANDOM_SEED))
    golden = GoldenChip(built_config(), dram_bytes=DRAM_BYTES)
    board = Scoreboard("identity")
    await host.begin()
    for name in ("MAGIC", "VERSION", "CONFIG_HASH", "GEOMETRY", "STATUS", "WATCHDOG"):
        board.expect((name, golden.read_register(REGISTERS[name].address)))
        board.observe((name, await host.read(name)))
    board.finish()


@cocotb.test()
@cocotb.parametrize(share=[1.0, 0.5], faults=[0, 1])
async def random_programs(dut: Any, share: float, faults: int) -> None:
    """Random programs one after another, without reset between: registers, then every byte of DRAM."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    host = Host(dut, rng, share=share)
    golden = GoldenChip(built_config(), dram_bytes=DRAM_BYTES)
    registers, dram = Scoreboard("registers"), Scoreboard("dram")
    await host.begin()
    for _ in range(3):
        seed = int(rng.integers(1 << 31))
        program = ProgramGenerator(built_config(), seed, data_lines=1024).generate(40, faults=faults)
        dut._log.info("program seed %d, faults %s", seed, program.faults)
        registers.expect(*run_golden(golden, program).items())
        registers.observe(*(await host.run(program)).items())
        line = built_config().line_bytes
        for address in range(0, program.dram_bytes, line):
            dram.expect((address, bytes(golden.read_memory(address, line))))
            dram.observe((address, bytes(host.ram.read(address, line))))
    registers.finish()
    dram.finish()
    host.checker.finish()
