# amaranth: UnusedElaboratable=no
"""The loader alone: every stationary row in its cycle, sign-extended or not, while `i_may_load` comes at random."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.tensor.loader import Loader
from hw.tensor.rows import TURN_BITS, RowWalker

from .tensor_bench import Command, SbufModel, load, make_sbuf, pattern, random_pattern, straight

INT8 = ChipConfig(rows=4, cols=4, output_lanes=1, sbuf_banks=2, sbuf_bank_lines=32, psum_banks=2, psum_rows=8)
CONFIGS = {
    "int8": INT8,
    "int8 slow": replace(INT8, rows=3, cols=8, sbuf_latency=4),
    "mixed": replace(INT8, rows=5, cols=8, sbuf_latency=1, dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2),
    "bf16": replace(INT8, dtypes=("bf16",), adder_stages=2, accumulator_stages=2),
}


def element_bits(config: ChipConfig, sbuf: np.ndarray, line: int, is_float: bool) -> list[int]:
    """What array columns get of the row at `line`."""
    flat = sbuf.reshape(-1)[line * config.cols :]
    if is_float:
        return [int(word) for word in flat[: 2 * config.cols].view(np.uint16)]
    return [int(byte) & ((1 << 8 * config.element_bytes) - 1) for byte in flat[: config.cols].view(np.int8)]


def run(config: ChipConfig, sbuf: np.ndarray, program: list[Command], *, seed: int, allow: float) -> dict[str, list[Any]]:
    """Offers the commands as fast as they are taken; `i_may_load` stays high from a random cycle until the block begins."""
    dut, rng = Loader(config=config), np.random.default_rng(seed)
    log: dict[str, list[Any]] = {name: [] for name in ("asked", "begun", "rows", "done", "lanes", "turns", "waiting")}
    total = sum(len(list(pattern(fields))) for _, fields in program)

    async def testbench(ctx: Any) -> None:
        memory = SbufModel(config, sbuf, dut.sbuf)
        index, may = 0, False
        for cycle in range(40 * total):
            may = may or bool(rng.random() < allow)
            ctx.set(dut.i_may_load, may)
            ctx.set(dut.i.valid, index < len(program))
            if index < len(program):
                ctx.set(dut.i.payload, program[index][1] | {"turn": index % (1 << TURN_BITS)})
            memory.drive(ctx, cycle, True)
            _, _, *got = await ctx.tick().sample(
                dut.i.ready, dut.sbuf.request.valid, dut.sbuf.request.payload.address, dut.o_begun, dut.o_turn, dut.o_lanes, dut.o_issued,
                dut.o_flight, dut.o_waiting, dut.o.valid, dut.o.row, dut.o.data, dut.done,
            )  # fmt: skip
            ready, asks, line, begun, turn, lanes, issued, flight, waiting, valid, row, words, done = got
            index += index < len(program) and ready
            assert issued == asks, f"seed {seed}, cycle {cycle}"
            in_flight = [asked for asked, _ in log["asked"] if asked + config.sbuf_latency >= cycle]
            assert flight == bool(in_flight), f"seed {seed}, cycle {cycle}"
            if asks:
                memory.accept(cycle, line)
                log["asked"].append((cycle, line))
            if begun:
                assert asks and may, f"seed {seed}, cycle {cycle}: began unasked"
                log["begun"].append(cycle)
                log["turns"].append(turn)
                may = False
            if waiting:
                assert not may, f"seed {seed}, cycle {cycle}: waits for nothing"
                log["waiting"].append(cycle)
            if valid:
                log["rows"].append((cycle, row, list(words)))
            if done:
                log["done"].append(cycle)
            log["lanes"].append(lanes)
            if len(log["done"]) == len(program):
                return
        raise AssertionError(f"seed {seed}: not done: {log}")

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    return log


@pytest.mark.parametrize("allow", [1.0, 0.2])
@pytest.mark.parametrize("name", CONFIGS)
def test_blocks_of_any_shape(name: str, allow: float) -> None:
    config, seed = CONFIGS[name], 20 + list(CONFIGS).index(name)
    rng = np.random.default_rng(seed)
    sbuf, program = make_sbuf(config, rng), []
    for _ in range(15):
        dtype = str(rng.choice(config.dtypes))
        program.append(load(config, dtype, random_pattern(config, rng, int(rng.integers(1, config.rows + 1)), config.dtype(dtype).bytes)))
    log = run(config, sbuf, program, seed=seed, allow=allow)

    cycle = 0
    expected_asks, expected_rows, expected_done = [], [], []
    for index, (_, fields) in enumerate(program):
        # The first row may wait; the others follow without a gap.
        start = log["begun"][index]
        assert start > cycle, f"seed {seed}"
        if allow == 1:
            assert start == cycle + 1, f"seed {seed}"
        lines = list(pattern(fields))
        for row, line in enumerate(lines):
            expected_asks.append((start + row, line))
            expected_rows.append((start + row + config.sbuf_latency, row, element_bits(config, sbuf, line, bool(fields["dtype"]))))
        cycle = start + len(lines) - 1
        expected_done.append(cycle + config.sbuf_latency)
        assert log["lanes"][start + 1] == len(lines), f"seed {seed}"
    assert log["asked"] == expected_asks, f"seed {seed}"
    assert log["rows"] == expected_rows, f"seed {seed}"
    assert log["done"] == expected_done, f"seed {seed}"
    assert log["turns"] == [index % (1 << TURN_BITS) for index in range(len(program))]
    assert (len(log["waiting"]) > 10) == (allow < 1), f"seed {seed}"


def test_reset_and_start() -> None:
    """A reset drops the block and what is on its way; `i_start` forgets only the number of lanes."""
    config = CONFIGS["int8 slow"]
    dut, reset = Loader(config=config), Signal()

    async def testbench(ctx: Any) -> None:
        ctx.set(dut.i_may_load, 1)
        ctx.set(dut.sbuf.request.ready, 1)

        async def begin() -> None:
            ctx.set(dut.i.payload, load(config, "int8", straight(0, 3))[1] | {"turn": 0})
            ctx.set(dut.i.valid, 1)
            await ctx.tick()
            ctx.set(dut.i.valid, 0)

        await begin()
        await ctx.tick().repeat(2)
        assert ctx.get(dut.o_lanes) == 3 and ctx.get(dut.o_flight)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        for _ in range(config.sbuf_latency + 4):
            assert not any(ctx.get(signal) for signal in (dut.sbuf.request.valid, dut.o.valid, dut.done, dut.o_flight, dut.o_lanes))
            await ctx.tick()
        await begin()
        await ctx.tick().repeat(3)
        ctx.set(dut.i_start, 1)
        assert ctx.get(dut.o_lanes) == 3
        await ctx.tick()
        assert ctx.get(dut.o_lanes) == 0

    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match=r"rows must be at most cols \(4\) for a moving row to fit into an SBUF word, not 5"):
        Loader(config=replace(INT8, rows=5))
    with pytest.raises(ValueError, match="instruction must be 'LoadStationary' or 'MultiplyMoving', not 'Evict'"):
        RowWalker(config=INT8, instruction="Evict", limit=4)
    with pytest.raises(ValueError, match="limit must be at least 1, not 0"):
        RowWalker(config=INT8, instruction="LoadStationary", limit=0)
