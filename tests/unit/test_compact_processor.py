"""The compact processor against its model: random programs, with words that arrive and registers that are accessed meanwhile."""

import random

import pytest
from amaranth.hdl import ClockDomain, Module, Value
from amaranth.sim import Simulator

from hw.common.config import CONFIGS
from hw.compact.encoding import CALL_DEPTH, Condition, Input, Operation, Source
from hw.compact.processor import Processor
from sim.golden.processor import CYCLES, ProcessorModel

CONFIG = CONFIGS["nano"]
LENGTH = 200


def random_word(rng, place):
    """Any instruction; jumps go forward, so that every program ends."""
    if rng.random() < 0.3 and place < LENGTH - 2:
        condition = rng.choice([item for item in Condition if item is not Condition.RETURN])
        return 1 << 15 | condition << 11 | rng.randrange(place + 1, min(place + 6, LENGTH))
    source = rng.choice([Source.MEMORY] * 3 + list(Source))
    operand = rng.choice([rng.randrange(256), rng.randrange(8)])
    operation = rng.choice(list(Operation))
    if operation is Operation.OUTPUT:
        operand &= 31
    indexed = rng.randrange(2)
    if source is Source.INPUT and indexed:
        operand = rng.choice([item for item in Input if item is not Input.TIME])
    return indexed << 14 | source << 12 | operation << 8 | operand


def simulate(program, testbench):
    dut = Processor(config=CONFIG, program=program)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)

    async def process(ctx):
        await testbench(ctx, dut)

    simulator.add_testbench(process)
    simulator.run()


def restart(ctx, dut, rng):
    """Starts with a cleared machine: what reset does not clear, the prologue has."""
    flags = {name: rng.randrange(2) for name in ("busy", "error", "moved", "doorbell")}
    ctx.set(dut.bus.busy, flags["busy"])
    ctx.set(dut.bus.error, flags["error"])
    ctx.set(dut.i_moved, flags["moved"])
    ctx.set(dut.i_doorbell, flags["doorbell"])
    address = rng.getrandbits(CONFIG.axi_address_width)
    ctx.set(dut.bus.error_address, address)
    return {Condition[name.upper()]: bool(value) for name, value in flags.items()}, address


def prologue():
    """Clears A, X, carry and the memory that instructions reach without an index; two calls fill the stack."""
    words = [Source.INPUT << 12 | Operation.LOAD << 8, Source.INPUT << 12 | Operation.INDEX << 8, Source.INPUT << 12 | Operation.ADD << 8]
    words += [Operation.STORE << 8 | address for address in range(256)]
    for _ in range(CALL_DEPTH):
        words.append(1 << 15 | Condition.CALL << 11 | len(words) + 1)
    return words


@pytest.mark.parametrize("seed", range(6))
def test_random_programs(seed):
    rng = random.Random(seed)
    start = prologue()
    program = start + [random_word(rng, place) for place in range(LENGTH)]
    program = [word + len(start) if word >> 15 and place >= len(start) else word for place, word in enumerate(program)]
    program.append(1 << 15 | Condition.ALWAYS << 11 | len(program))
    outputs, expected = [], []

    async def testbench(ctx, dut):
        flags, address = restart(ctx, dut, rng)
        model = ProcessorModel(
            program=program, flag=flags.__getitem__, read=lambda which: address, write=lambda port, data, x: expected.append((port, data, x)),
        )  # fmt: skip
        model.stack = [len(start)] * CALL_DEPTH
        ctx.set(dut.registers.read, seed % 2)  # accesses of registers must not show
        steps = 0
        while model.pc != len(program) - 1:
            model.step()
            steps += 1
        for _ in range(1 + CYCLES * steps):
            *_, control, bus, data, x, port, index = await ctx.tick().sample(
                dut.o_write, dut.bus.write, dut.o_data, dut.o_x, dut.o_port, Value.cast(dut.bus.index)
            )
            if control:
                outputs.append((16 + port, data, x))
            if bus:
                outputs.append((index, data, x))
        assert outputs == expected and expected, f"seed {seed}"
        # Two cycles an instruction, neither more nor fewer: every output has come, and the memory is that of the model.
        ctx.set(dut.registers.read, 1)
        for place in range(128):
            ctx.set(dut.registers.read_address, place)
            await ctx.tick().until(dut.registers.taken)
            assert ctx.get(dut.registers.read_data) == model.memory[place], f"seed {seed}, word {place}"

    simulate(program, testbench)


def test_time_restarts_and_words_arrive_while_stores_go_on():
    store = [Source.INPUT << 12 | Operation.LOAD << 8 | 5, Source.INPUT << 12 | Operation.INDEX << 8 | 128]
    loop = [Operation.STORE << 8 | 9, 1 << 14 | Source.INPUT << 12 | Operation.LOAD << 8 | Input.TIME, Operation.OUTPUT << 8 | 16]
    program = store + loop + [1 << 15 | Condition.ALWAYS << 11 | 2]

    async def testbench(ctx, dut):
        rng = random.Random(1)
        for _ in range(8):
            await ctx.tick()
        words = [rng.getrandbits(32) for _ in range(16)]
        for word in words:
            ctx.set(dut.bus.fetched, 1)
            ctx.set(dut.bus.word, word)
            await ctx.tick()
            ctx.set(dut.bus.fetched, 0)
            for _ in range(rng.randrange(1, 4)):
                await ctx.tick()
        assert ctx.get(dut.o_x) == 128 + len(words)
        found = [ctx.get(dut.memory.data[128 + place]) for place in range(len(words))]
        assert found == words and ctx.get(dut.memory.data[9]) != 0
        ctx.set(dut.i_restart, 1)
        await ctx.tick()
        ctx.set(dut.i_restart, 0)
        elapsed = 0
        while not ctx.get(dut.o_write):
            await ctx.tick()
            elapsed += 1
        before = ctx.get(dut.o_data)
        await ctx.tick().repeat(8)
        assert ctx.get(dut.o_write) and ctx.get(dut.o_data) == before + 8 and before < elapsed, "a loop of four instructions"

    simulate(program, testbench)


@pytest.mark.parametrize("cycle", range(3, 12))
def test_a_word_may_arrive_in_any_cycle_of_a_store(cycle):
    immediate = Source.INPUT << 12
    program = [immediate | Operation.INDEX << 8 | 128, immediate | Operation.LOAD << 8 | 7, Operation.STORE << 8 | 9]
    program += [immediate | Operation.LOAD << 8 | 8, Operation.STORE << 8 | 10, 1 << 15 | Condition.ALWAYS << 11 | 5]

    async def testbench(ctx, dut):
        for number in range(20):
            ctx.set(dut.bus.fetched, number == cycle)
            ctx.set(dut.bus.word, 0x12345678)
            await ctx.tick()
        assert [ctx.get(dut.memory.data[place]) for place in (9, 10, 128)] == [7, 8, 0x12345678]

    simulate(program, testbench)


def test_registers_are_written_between_stores_and_strobes_are_kept():
    # A store, then three instructions that are none.
    program = [Source.INPUT << 12 | Operation.LOAD << 8 | 1, Operation.STORE << 8 | 200, *[Source.SHIFTED << 12 | Operation.LOAD << 8] * 2]
    program.append(1 << 15 | Condition.ALWAYS << 11)

    async def testbench(ctx, dut):
        rng = random.Random(2)
        port = dut.registers
        held = dict.fromkeys(range(8), 0)
        ctx.set(port.write, 1)
        for place in held:
            ctx.set(port.write_strobe, 15)
            ctx.set(port.write_address, place)
            ctx.set(port.write_data, 0)
            await ctx.tick().until(port.written)
        for _ in range(60):
            place, value, strobe = rng.randrange(8), rng.getrandbits(32), rng.randrange(16)
            mask = sum(0xFF << 8 * lane for lane in range(4) if strobe >> lane & 1)
            held[place] = held[place] & ~mask | value & mask
            for name, item in (("write_address", place), ("write_data", value), ("write_strobe", strobe), ("write", 1)):
                ctx.set(getattr(port, name), item)
            waited = 0
            while not ctx.get(port.written):
                await ctx.tick()
                waited += 1
            await ctx.tick()
            assert waited <= 3, "at the first instruction that is no store"
            ctx.set(port.write, 0)
        for place, value in held.items():
            assert ctx.get(dut.memory.data[place]) == value

    simulate(program, testbench)


def test_calls_nest():
    def jump(condition, target=0):
        return 1 << 15 | condition << 11 | target

    def emit(value):
        return [Source.INPUT << 12 | Operation.LOAD << 8 | value, Operation.OUTPUT << 8 | 16]

    program = [jump(Condition.CALL, 6), *emit(1), jump(Condition.CALL, 9), *emit(2)]  # falls into the outer routine: its return is spent
    program += [jump(Condition.CALL, 9), *emit(3)[:1], jump(Condition.RETURN), *emit(4), jump(Condition.RETURN)]
    expected = [4, 1, 4, 2, 4]
    found = []

    async def testbench(ctx, dut):
        for _ in range(40):
            *_, write, data = await ctx.tick().sample(dut.o_write, dut.o_data)
            if write:
                found.append(data)
        assert found[: len(expected)] == expected

    simulate(program, testbench)


def test_reset_begins_again():
    program = [1 << 14 | Source.INPUT << 12 | Operation.LOAD << 8, Operation.OUTPUT << 8 | 17, 1 << 15 | Condition.ALWAYS << 11 | 2]
    domain, top = ClockDomain("sync"), Module()
    dut = Processor(config=CONFIG, program=program)
    top.domains += domain
    top.submodules.dut = dut

    async def process(ctx):
        for length in (12, 3, 4, 5, 12):
            # One cycle to read the first instruction, two of it, two of the second.
            seen = [(await ctx.tick().sample(dut.o_write))[-1] for _ in range(length)]
            assert seen == ([0] * 4 + [1] + [0] * 7)[:length]
            ctx.set(domain.rst, 1)
            await ctx.tick()
            ctx.set(domain.rst, 0)

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run()


@pytest.mark.parametrize(
    "program,message",
    [([], "program must be 1 to 2048 words, not 0"), ([0] * 2049, "not 2049"), ([1 << 16], "words of 16 bits, not 0x10000")],
)
def test_refusals(program, message):
    with pytest.raises(ValueError, match=message):
        Processor(config=CONFIG, program=program)
