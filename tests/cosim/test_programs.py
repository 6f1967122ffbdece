"""Random whole-chip programs on the Verilated chip against the golden chip: memories, registers and errors, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from hw.common.config import CONFIGS, ChipConfig
from hw.common.isa import ENGINES
from hw.common.registers import REGISTERS, engine_register
from sim.golden.chip import GoldenChip
from sim.verilated.chip import VerilatedChip
from sim.verilated.dram import DramModel
from tb.vip.programs import ProgramGenerator, RandomProgram

#: Small enough to build quickly, with floats and more than one SBUF bank in use.
MIXED = ChipConfig(
    name="mixed", rows=4, cols=4, dtypes=("int8", "bf16"), adder_stages=3, accumulator_stages=2, sbuf_banks=4, sbuf_bank_lines=512,
    psum_rows=64, queue_depth=4, dma_outstanding=4, dma_burst_lines=16, semaphores=24,
)  # fmt: skip
#: As small, behind one processor.
COMPACT = replace(
    MIXED, name="compact", dtypes=("int8",), adder_stages=1, accumulator_stages=1, psum_banks=2, axi_address_width=20, control="compact"
)
CONFIGURATIONS = {"nano": CONFIGS["nano"], "small": CONFIGS["small"], "mixed": MIXED}
PER_ENGINE = ("CAUSE", "INDEX", "ADDRESS_LO", "ADDRESS_HI", "RETIRED")
WHOLE = ("STATUS", "TENSOR_ROWS", "TENSOR_MACS_LO", "TENSOR_MACS_HI")


def run(chip, program: RandomProgram) -> dict[str, int]:
    """Runs the program from reset; the registers that must not depend on timing."""
    chip.reset()
    program.write_to(chip.write_memory)

    def write(name: str, value: int) -> None:
        chip.write_register(REGISTERS[name].address, value & 0xFFFFFFFF)

    write("DRAM_SIZE_LO", program.dram_bytes)
    write("IRQ_ENABLE", 1)
    for engine in ENGINES:
        write(engine_register(engine, "QUEUE_BASE_LO"), program.queue_base[engine])
        write(engine_register(engine, "QUEUE_COUNT"), len(program.queues[engine]))
    write("CONTROL", 1)
    chip.wait_interrupt(2_000_000)
    names = [engine_register(engine, name) for engine in ENGINES for name in PER_ENGINE] + list(WHOLE)
    return {name: chip.read_register(REGISTERS[name].address) for name in names}


def compare(program: RandomProgram, golden: GoldenChip, rtl: VerilatedChip, label: str) -> None:
    expected, found = run(golden, program), run(rtl, program)
    assert found == expected, f"{label}: registers differ, faults {program.faults}"
    assert np.array_equal(rtl.read_memory(0, program.dram_bytes), golden.read_memory(0, program.dram_bytes)), f"{label}: DRAM differs"
    failed = any(expected[engine_register(engine, "CAUSE")] for engine in ENGINES)
    assert failed == bool(program.faults), label
    if failed:
        return  # lines and rows that a halted engine would have written first are undefined
    lines = min(program.config.sbuf_lines, 2048)
    assert np.array_equal(np.asarray(rtl.sbuf)[:lines], golden.sbuf[:lines]), f"{label}: SBUF differs"
    for bank, row in program.psum_written:
        assert np.array_equal(np.asarray(rtl.psum)[bank, row], golden.psum[bank, row]), f"{label}: PSUM {bank}, {row} differs"


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("stalls", [False, True])
def test_random_programs(name, stalls):
    config = CONFIGURATIONS[name]
    dram = DramModel(latency=37, stall_probability=0.3) if stalls else DramModel(latency=8)
    with GoldenChip(config, dram_bytes=1 << 20) as golden, VerilatedChip(config, dram_bytes=1 << 20, dram=dram, seed=7) as rtl:
        for seed in range(12):
            program = ProgramGenerator(config, seed).generate(120, faults=(0, 0, 1, 2)[seed % 4])
            compare(program, golden, rtl, f"config {name}, stalls {stalls}, seed {seed}")
