"""The firmware of the compact chip on the model of its processor, against the golden chip: checks, programs, windows, errors, watchdog."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from hw.common.config import CONFIGS, ConfigError
from hw.common.isa import BY_OPCODE, ENGINES, INSTRUCTIONS, Cause, instructions_of, pack, unpack
from hw.common.registers import REGISTERS, engine_register
from hw.compact.encoding import Condition
from hw.compact.program import BOOT_CYCLES, START_CYCLES, program
from sim.golden.check import first_cause
from sim.golden.chip import GoldenChip
from sim.golden.processor import CYCLES
from tb.vip.programs import ProgramGenerator

from .compact_machine import CompactMachine
from .random_instructions import legal_values, random_word

NANO = CONFIGS["nano"]
#: Fewer semaphores, more PSUM banks, a wider line, an address bus as wide as can be.
WIDE = replace(
    NANO,
    name="wide",
    rows=8,
    cols=8,
    semaphores=21,
    semaphore_width=5,
    psum_banks=4,
    psum_rows=32,
    sbuf_bank_lines=2048,
    axi_address_width=31,
)
CONFIGURATIONS = {"nano": NANO, "wide": WIDE}
DRAM_BYTES = 1 << 18
NAMES = [engine_register(engine, name) for engine in ENGINES for name in ("CAUSE", "INDEX", "ADDRESS_LO", "ADDRESS_HI", "RETIRED")]
NAMES += ["STATUS", "IRQ_STATUS", "ERROR_ENGINE", "TENSOR_ROWS", "TENSOR_MACS_LO", "TENSOR_MACS_HI", "SBUF_CONFLICTS"]


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def pair(request):
    config = CONFIGURATIONS[request.param]
    return GoldenChip(config, dram_bytes=DRAM_BYTES), CompactMachine(config, dram_bytes=DRAM_BYTES)


def execute(chip, queues, bases, registers):
    """Runs a job; the registers a host sees after it."""
    values = {"IRQ_ENABLE": 3, "DRAM_BASE_LO": 0, "DRAM_BASE_HI": 0, "DRAM_SIZE_LO": DRAM_BYTES, "DRAM_SIZE_HI": 0, "WATCHDOG": 1 << 20}
    for engine in ENGINES:
        raw = b"".join(word.to_bytes(ENGINES[engine].instruction_bytes, "little") for word in queues.get(engine, ()))
        if raw:
            chip.write_memory(bases[engine], raw)
        values[engine_register(engine, "QUEUE_BASE_LO")] = bases[engine]
        values[engine_register(engine, "QUEUE_BASE_HI")] = 0
        values[engine_register(engine, "QUEUE_COUNT")] = len(queues.get(engine, ()))
    for name, value in (values | registers).items():
        chip.write_register(REGISTERS[name].address, value)
    chip.write_register(REGISTERS["CONTROL"].address, 1)
    found = {name: chip.read_register(REGISTERS[name].address) for name in NAMES}
    chip.write_register(REGISTERS["IRQ_STATUS"].address, 3)
    return found


def is_long(config, word, engine):
    """Whether an instruction runs, and would take a model of single steps too long."""
    if first_cause(word, engine, config, 0, DRAM_BYTES, 0)[0]:
        return False
    values = unpack(BY_OPCODE[engine, word & 0xFF], word)
    return prod(values.get(f"size{dim}", 1) for dim in range(4)) > 500


#: Queues 4 KiB apart, behind the data.
BASES = {engine: DRAM_BYTES - (4 - item.index << 12) for engine, item in ENGINES.items()}


def both(pair, queues, label, **registers):
    """The same on both, which start with the same contents; they must agree on everything."""
    golden, machine = pair
    machine.dram.data[:] = golden.memory
    machine.sbuf[:] = golden.sbuf
    machine.psum[:] = golden.psum
    expected, found = (execute(chip, queues, BASES, registers) for chip in pair)
    assert found == expected, label
    assert np.array_equal(golden.memory, machine.dram.data) and np.array_equal(golden.sbuf, machine.sbuf), label
    assert np.array_equal(golden.psum, machine.psum), label
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_any_word_meets_its_check(pair, engine):
    config = pair[0].config
    rng = np.random.default_rng(ENGINES[engine].index)
    causes = set()
    for number in range(150):
        window = (0, DRAM_BYTES - (4 << 12))
        word = random_word(rng, engine, config, window)
        if is_long(config, word, engine):
            continue
        first = [] if number % 4 else [pack(INSTRUCTIONS["LoadStationary"], dict.fromkeys(("size0", "size1", "size2", "size3"), 1))]
        queues = {engine: [*(first if engine == "tensor" else []), word]}
        found = both(pair, queues, f"{engine} {number}: {word:#x}")
        causes.add(Cause(found[engine_register(engine, "CAUSE")]))
    assert len(causes) > 4, causes


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_every_field_at_its_edges(pair, name):
    """A legal instruction with one field at either end of its range: sizes, strides and addresses saturate the arithmetic of the checks."""
    config, instruction = pair[0].config, INSTRUCTIONS[name]
    rng = np.random.default_rng(5)
    stationary = pack(INSTRUCTIONS["LoadStationary"], dict.fromkeys(("size0", "size1", "size2", "size3"), 1))
    for item in instruction.all_fields:
        for value in {item.low, item.high, item.high - 1, 1}:
            values = legal_values(rng, instruction, config, (0, DRAM_BYTES - (4 << 12)))
            values |= {slot: 0 for slot in values if slot.endswith("_count")}
            if item.name == "opcode":
                continue
            queue = [pack(instruction, values | {item.name: value})]
            if is_long(config, queue[0], instruction.engine):
                continue
            if name == "MultiplyMoving":
                queue.insert(0, stationary)
            both(pair, {instruction.engine: queue}, f"{name}.{item.name} = {value}")


def test_random_programs(pair):
    golden, machine = pair
    for seed in range(6):
        made = ProgramGenerator(golden.config, seed, data_lines=2048).generate(60, faults=(0, 1, 2)[seed % 3])
        results = []
        for chip in pair:
            made.write_to(chip.write_memory)
            results.append(execute(chip, {}, made.queue_base, {"DRAM_SIZE_LO": made.dram_bytes} | {
                engine_register(engine, "QUEUE_COUNT"): len(made.queues[engine]) for engine in ENGINES
            }))  # fmt: skip
        assert results[0] == results[1], f"seed {seed}, faults {made.faults}"
        assert np.array_equal(golden.read_memory(0, made.dram_bytes), machine.read_memory(0, made.dram_bytes)), seed


def test_windows_and_queues_at_their_edges(pair):
    config = pair[0].config
    reach = 1 << config.axi_address_width
    load = pack(INSTRUCTIONS["Load"], dict.fromkeys(("size0", "size1", "size2", "size3"), 1) | {"dram": 4096})
    base = BASES["load"]
    for label, registers in {
        "a window that begins behind the line": {"DRAM_BASE_LO": 8192},
        "a window that ends before it": {"DRAM_SIZE_LO": 4096},
        "a window of nothing": {"DRAM_SIZE_LO": 0},
        "a size that wraps": {"DRAM_BASE_LO": 8, "DRAM_SIZE_LO": 0xFFFFFFFF},
        "a size of many bits": {"DRAM_SIZE_LO": 0, "DRAM_SIZE_HI": 1},
        "a base of many bits": {"DRAM_BASE_HI": 1},
        "a base at the end": {"DRAM_BASE_LO": reach},
        "a queue of too many": {"LOAD_QUEUE_COUNT": 0xFFFFFFFF},
        "a count that overflows when it is bytes": {"LOAD_QUEUE_COUNT": 1 << 26},
        "a queue to the last byte": {"DRAM_SIZE_LO": base + 64},
        "a queue over the last byte": {"DRAM_SIZE_LO": base + 63},
        "a queue from the first byte": {"DRAM_BASE_LO": base, "DRAM_SIZE_LO": 4096},
        "a queue before the first byte": {"DRAM_BASE_LO": base + 64, "DRAM_SIZE_LO": 4096},
        "a queue of a high address": {"LOAD_QUEUE_BASE_HI": 7},
        "a queue off by a byte": {"LOAD_QUEUE_BASE_LO": base + 1},
        "a queue off its place": {"LOAD_QUEUE_BASE_LO": base + 32},
    }.items():
        both(pair, {"load": [load]}, label, **registers)


@pytest.mark.parametrize("name", ["Load", "Store"])
def test_bus_errors(name):
    """Every line of a pattern of four dimensions can be the one that errs."""
    engine = INSTRUCTIONS[name].engine
    sizes, strides = (3, 2, 1, 2), (8, -64, 4, 512)
    values = {"base": 100, "dram": 8192}
    for dim in range(4):
        values |= {f"size{dim}": sizes[dim], f"stride{dim}": dim + 1, f"dram_stride{dim}": strides[dim]}
    for address in (8192, 8208, 8128, 8704, 8640):
        pair = GoldenChip(NANO, dram_bytes=DRAM_BYTES), CompactMachine(NANO, dram_bytes=DRAM_BYTES)
        for chip in pair:
            chip.poison(address, 1)
        found = both(pair, {engine: [pack(INSTRUCTIONS[name], values)] * 2}, f"{name} {address}")
        assert found[engine_register(engine, "ADDRESS_LO")] == address and found[engine_register(engine, "RETIRED")] == 0
    pair = GoldenChip(NANO, dram_bytes=DRAM_BYTES), CompactMachine(NANO, dram_bytes=DRAM_BYTES)
    for chip in pair:
        chip.poison(BASES[engine] + 64 + 60, 1)
    found = both(pair, {engine: [pack(INSTRUCTIONS[name], values)] * 2}, f"{name}, fetch")
    assert found[engine_register(engine, "CAUSE")] == Cause.FETCH_ERROR and found[engine_register(engine, "INDEX")] == 1


def test_bounds_of_boot_and_start():
    machine = CompactMachine(NANO, dram_bytes=DRAM_BYTES)
    assert machine.boot_steps * CYCLES <= BOOT_CYCLES
    seen = {}
    original = machine._flag

    def flag(condition):
        seen["polls"] = seen.get("polls", 0) + (condition is Condition.DOORBELL)
        return original(condition)

    machine.processor.flag = flag
    for registers in ({}, {engine_register(engine, "QUEUE_COUNT"): 0xFFFFFFFF for engine in ENGINES}):
        for name, value in ({"DRAM_SIZE_LO": DRAM_BYTES} | registers).items():
            machine.write_register(REGISTERS[name].address, value)
        machine.doorbell, machine.since, begin = True, machine.cycle, machine.cycle
        while machine.doorbell:
            machine._step()
        assert machine.cycle - begin <= START_CYCLES
        while not machine.control >> 1 & 1:
            machine._step()


def test_watchdog():
    machine = CompactMachine(NANO, dram_bytes=DRAM_BYTES)
    for engine in ("load", "store"):
        machine.reset()
        machine.datapath.hang = True
        found = execute(machine, {engine: [0]}, BASES, {"WATCHDOG": 1000})
        assert found[engine_register(engine, "CAUSE")] == Cause.WATCHDOG
        index = ENGINES[engine].index
        assert found["STATUS"] == 0b1110 | 1 << 8 + index | (0xF ^ 1 << index) << 12 and found["ERROR_ENGINE"] == 1 << 31 | index
        cycles = machine.read_register(REGISTERS["CYCLES"].address)
        assert 1000 < cycles < 1000 + START_CYCLES + 500
        machine.datapath.hang = False
        machine.write_register(REGISTERS["CONTROL"].address, 1)
        assert not machine.doorbell, "stuck until reset"


@pytest.mark.parametrize(
    "change,message",
    [
        ({"control": "parallel"}, "control must be compact, not 'parallel'"),
        ({"dtypes": ("int8", "bf16"), "adder_stages": 2, "accumulator_stages": 2}, "dtypes must be \\('int8',\\) with control compact"),
        ({"axi_address_width": 32}, "axi_address_width must be at most 31 with control compact, not 32: lower it"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ConfigError, match=message):
        program(replace(NANO, **change))


def test_every_instruction_has_a_path():
    assert {f"execute.{item.name}" for engine in ENGINES for item in instructions_of(engine)} - {"execute.Evict"} <= set(
        program(NANO).labels
    )
