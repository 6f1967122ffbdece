# amaranth: UnusedElaboratable=no
"""PSUM: every write and read of a random program against a model that knows each cycle."""

import re
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.lib.data import Const
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.memory import psum
from hw.memory.accumulator import Accumulator
from hw.memory.ports import psum_row_layout
from hw.memory.psum import PsumBanks, psum_write_latency
from sim.golden.psum import PsumModel
from sim.verilog import emit

INT = ChipConfig(rows=4, cols=4, output_lanes=1, psum_banks=2, psum_rows=8)
CONFIGS = {
    "int1": INT,
    "int2": replace(INT, accumulator_stages=2, psum_banks=4),
    "int3": replace(INT, accumulator_stages=3, cols=2),
    "mixed2": replace(INT, cols=2, dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2),
    "mixed3": replace(INT, cols=2, dtypes=("bf16", "int8"), adder_stages=2, accumulator_stages=3),
    "float2": replace(INT, cols=1, dtypes=("bf16",), adder_stages=2, accumulator_stages=2),
}
#: As many rows as these have share a memory, unless told otherwise.
APART = {"int2 apart": replace(INT, accumulator_stages=2, psum_banks=4), "mixed2 apart": CONFIGS["mixed2"]}
CONFIGS |= APART


@pytest.fixture(autouse=True)
def memories(request, monkeypatch):
    """Gives the banks of configurations of `APART` a memory each."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if parameters.get("name") in APART:
        monkeypatch.setattr(psum, "SHARED_ROWS", 0)


SPECIALS = np.array(
    [0, 0x80000000, 0x7FC00000, 0x7F800000, 0xFF800000, 1, 0x807FFFFF, 0x7F7FFFFF, 0x3F800000, 0xBF800000, 0xFFFFFFFF], np.uint32
)


def random_row(rng, config):
    row = rng.integers(0, 1 << 32, config.cols, dtype=np.uint32)
    near = rng.integers(0x3E000000, 0x41000000, config.cols, dtype=np.uint32) | (rng.integers(0, 2, config.cols, dtype=np.uint32) << 31)
    kind = rng.integers(0, 3, config.cols)
    return np.where(kind == 0, row, np.where(kind == 1, near, rng.choice(SPECIALS, config.cols))).astype(np.uint32)


def row_const(config, row):
    return Const(psum_row_layout(config), sum(int(word) << (32 * index) for index, word in enumerate(row)))


def words(config, value):
    number = value.as_bits()
    return np.array([(number >> (32 * index)) & 0xFFFFFFFF for index in range(config.cols)], np.uint32)


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def poison(config):
    """Rows that fill the memories with the bits that would do most harm, as power-up may: (bank, row, data) each."""
    places = [(bank, row) for bank in range(config.psum_banks) for row in range(config.psum_rows)]
    return [(bank, row, SPECIALS[(bank + row) % len(SPECIALS)].repeat(config.cols)) for bank, row in places]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("write_rate", [0.5, 1.0])
def test_random_program_cycle_by_cycle(name, write_rate):
    """Random overwrites and accumulations, hazards included, with random reads: each answer, each refusal and each latency."""
    config = CONFIGS[name]
    rng = np.random.default_rng([11, list(CONFIGS).index(name), int(write_rate * 2)])
    dut = PsumBanks(config=config)
    model, answers = PsumModel(config, write_latency=dut.write_latency), {}
    seen = {"refused": 0, "read": 0, "accumulated": 0}

    async def testbench(ctx):
        fill = poison(config)
        asked = None
        for cycle in range(400):
            filling = cycle < len(fill)
            writing = filling or rng.random() < write_rate
            bank, row = int(rng.integers(config.psum_banks)), int(rng.choice([0, 1, config.psum_rows - 1]))
            accumulate, is_float, data = not filling and bool(rng.integers(2)), int(rng.integers(2)), random_row(rng, config)
            if filling:
                bank, row, data = fill[cycle]
            ctx.set(dut.write.valid, writing)
            ctx.set(dut.write.bank, bank)
            ctx.set(dut.write.row, row)
            ctx.set(dut.write.accumulate, accumulate)
            ctx.set(dut.write.is_float, is_float)
            ctx.set(dut.write.data, row_const(config, data))
            if asked is None and not filling and rng.random() < 0.8:
                asked = (int(rng.integers(config.psum_banks)), int(rng.choice([0, 1, config.psum_rows - 1])))
                ctx.set(dut.read.request.payload.bank, asked[0])
                ctx.set(dut.read.request.payload.row, asked[1])
            ctx.set(dut.read.request.valid, asked is not None)
            _, _, ready, valid, answer = await ctx.tick().sample(dut.read.request.ready, dut.read.response.valid, dut.read.response.data)
            context = f"{name} cycle {cycle}"
            if asked is not None:
                assert ready == (not (writing and accumulate and bank == asked[0])), context
                seen["refused"] += not ready
                if ready:
                    answers[cycle + dut.read_latency] = model.read(bank=asked[0], row=asked[1])
                    asked = None
            assert valid == (cycle in answers), context
            if valid:
                seen["read"] += 1
                np.testing.assert_array_equal(words(config, answer), answers.pop(cycle), context)
            if writing:
                model.write(bank=bank, row=row, accumulate=accumulate, is_float=bool(is_float), data=data)
                seen["accumulated"] += accumulate
            model.end_cycle()

    simulate(dut, testbench)
    assert seen["refused"] > 5 and seen["read"] > 100 and seen["accumulated"] > 50, seen


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("accumulate", [0, 1])
def test_write_latency_and_full_rate(name, accumulate):
    """A read one cycle after `write_latency` sees the row, one before does not; overwriting and accumulating alike, every cycle."""
    config = CONFIGS[name]
    dut, latency = PsumBanks(config=config), psum_write_latency(config)
    assert dut.write_latency == latency == 1 + config.accumulator_stages

    async def testbench(ctx):
        one = 0x3F800000 if config.has_float else 5
        for row in range(config.psum_rows):  # known contents: zero
            ctx.set(dut.write.valid, 1)
            ctx.set(dut.write.row, row)
            await ctx.tick()
        ctx.set(dut.write.valid, 0)
        await ctx.tick().repeat(latency + 1)
        results = {}
        bank = config.psum_banks - 1
        for cycle in range(config.psum_rows + latency + 4):
            row = cycle
            ctx.set(dut.write.valid, row < config.psum_rows)
            ctx.set(dut.write.bank, bank)
            ctx.set(dut.write.row, min(row, config.psum_rows - 1))
            ctx.set(dut.write.is_float, config.has_float)
            ctx.set(dut.write.data, row_const(config, [one] * config.cols))
            target = config.psum_rows - 2
            # The last-but-one row is read every cycle once the last pulse has gone, so the read is never refused.
            ctx.set(dut.write.accumulate, accumulate)
            ctx.set(dut.read.request.valid, row >= config.psum_rows)
            ctx.set(dut.read.request.payload.bank, bank)
            ctx.set(dut.read.request.payload.row, target)
            _, _, valid, answer = await ctx.tick().sample(dut.read.response.valid, dut.read.response.data)
            if valid:
                results[cycle - dut.read_latency - target] = words(config, answer)[0]
        assert set(results) == set(range(2, latency + 4)), results
        for age, value in results.items():
            if age > latency:
                assert value == one, (age, results)

    simulate(dut, testbench)


def test_reset_drops_what_is_on_its_way():
    config = CONFIGS["int3"]  # long enough on the way that the reset comes before the memory is written
    dut, reset = PsumBanks(config=config), Signal()

    async def testbench(ctx):
        async def put(value):
            ctx.set(dut.write.valid, 1)
            ctx.set(dut.write.data, row_const(config, [value] * config.cols))
            await ctx.tick()
            ctx.set(dut.write.valid, 0)

        async def get():
            ctx.set(dut.read.request.valid, 1)
            await ctx.tick()
            ctx.set(dut.read.request.valid, 0)
            (answer,) = await ctx.tick().sample(dut.read.response.data).until(dut.read.response.valid)
            return words(config, answer)[0]

        await put(3)
        await ctx.tick().repeat(dut.write_latency)
        assert await get() == 3
        await put(4)
        ctx.set(dut.read.request.valid, 1)
        await ctx.tick()
        ctx.set(dut.read.request.valid, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        for _ in range(dut.write_latency + 2):
            assert not ctx.get(dut.read.response.valid)
            await ctx.tick()
        assert await get() == 3

    simulate(ResetInserter(reset)(dut), testbench)


@pytest.mark.parametrize("component", [PsumBanks, Accumulator])
def test_rejects_what_is_no_config(component):
    with pytest.raises(TypeError, match="config must be a ChipConfig, not 'base'"):
        component(config="base")


@pytest.mark.parametrize(("name", "memories_of"), [("int2", ["bank0", "bank_copy"]), ("int2 apart", ["bank0", "bank1", "bank2", "bank3"])])
def test_few_rows_share_a_memory(name, memories_of):
    verilog = emit(PsumBanks(config=CONFIGS[name]), name="psum")
    assert sorted(re.findall(r"reg \[\d+:0\] (\w+) \[", verilog)) == memories_of
