# amaranth: UnusedElaboratable=no
"""The tensor engine against the golden model, and to the cycle: latency, blocks in a row, hazards, refusals, states, reset."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import wiring

from hw.common.config import ChipConfig
from hw.control.command import EngineState
from hw.memory.psum import PsumBanks, psum_write_latency
from hw.tensor.engine import TensorEngine, tensor_block_cycles, tensor_latency
from hw.tensor.tile import Tile

from .tensor_bench import Command, golden, load, make_sbuf, multiply, random_program, run, straight

INT8 = ChipConfig(rows=4, cols=4, output_lanes=1, sbuf_banks=2, sbuf_bank_lines=32, psum_banks=2, psum_rows=8)
CONFIGS = {
    "int8": INT8,
    "int8 deep": replace(INT8, rows=3, sbuf_latency=1, adder_stages=2, multiplier_stages=2, accumulator_stages=2, psum_banks=4),
    "int8 1x1": replace(INT8, rows=1, cols=1, psum_rows=16),
    "mixed 2": replace(INT8, dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2),
    "mixed 3": replace(INT8, rows=3, dtypes=("int8", "bf16"), adder_stages=3, accumulator_stages=3, sbuf_latency=3),
    "bf16": replace(INT8, rows=2, cols=2, dtypes=("bf16",), adder_stages=3, accumulator_stages=2),
}
#: Light ones, for the tests of cycles: one adder stage and three.
TIMED = {"int8": INT8, "int8 deep": CONFIGS["int8 deep"], "lag 6": replace(INT8, adder_stages=3)}


def blocks(config: ChipConfig, count: int, *, rows: int, k: int, accumulate: int = 0) -> list[Command]:
    """`count` pairs of a load and a multiplication, as a matmul makes them."""
    dtype, program = config.dtypes[0], []
    for index in range(count):
        program.append(load(config, dtype, straight(index, k)))
        program.append(multiply(config, dtype, straight(32 + index, rows), swap=1, bank=index % 2, accumulate=accumulate))
    return program


@pytest.mark.parametrize("refuse", [0.0, 0.4])
@pytest.mark.parametrize("name", CONFIGS)
def test_random_programs_match_the_golden_model(name: str, refuse: float) -> None:
    config = CONFIGS[name]
    seed = 100 + list(CONFIGS).index(name)
    rng = np.random.default_rng(seed)
    sbuf, program = make_sbuf(config, rng), random_program(config, rng, 10 if config.has_float else 20)
    record = run(TensorEngine(config=config), config, sbuf, program, seed=seed, refuse=refuse, pause=refuse)
    np.testing.assert_array_equal(record.psum, golden(config, sbuf, program), f"{name}, seed {seed}")
    moving = [fields for kind, fields in program if kind == "MultiplyMoving"]
    rows = sum(fields["size0"] * fields["size1"] * fields["size2"] * fields["size3"] for fields in moving)
    assert len(record.rows) == len(record.writes) == rows
    assert (record.refusals > 10) == (refuse > 0)


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("rows", [1, 5, 8])
def test_latency_of_one_block(name: str, rows: int) -> None:
    """Load accepted in cycle 0, multiplication in cycle 1: every event in its cycle."""
    config = TIMED[name]
    engine = TensorEngine(config=config)
    k = config.rows
    record = run(engine, config, make_sbuf(config, np.random.default_rng(1)), blocks(config, 1, rows=rows, k=k))
    tile, written = Tile(config=config).latency, psum_write_latency(config)
    assert engine.latency == tensor_latency(config) == 3 + config.sbuf_latency + tile + written
    assert record.accepted == [0, 1]
    assert record.stationary == list(range(1, 1 + k))
    assert record.rows == [(3 + row, k) for row in range(rows)]
    assert record.writes == [3 + config.sbuf_latency + tile + row for row in range(rows)]
    assert record.done == {"LoadStationary": [k + config.sbuf_latency], "MultiplyMoving": [engine.latency + rows]}


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize(("rows", "short"), [(8, 0), (7, 1), (4, 0), (3, 0), (1, 0), (1, 2)])
def test_blocks_in_a_row_leave_no_bubble(name: str, rows: int, short: int) -> None:
    """F blocks take exactly F times the longer of their streams or the wavefront; the swap is the only thing between them."""
    config = TIMED[name]
    engine, count = TensorEngine(config=config), 5
    k = config.rows - short
    sbuf, program = make_sbuf(config, np.random.default_rng(2)), blocks(config, count, rows=rows, k=k)
    record = run(engine, config, sbuf, program)
    period = engine.block_cycles(rows=rows, k=k)
    assert period == tensor_block_cycles(config, rows=rows, k=k) == max(rows, k, (config.rows - 1) * (config.adder_stages - 1) + 2)
    # The first block's rows come two cycles after its load; then a row is there when its block is, one cycle after.
    loads, starts = [1], [3]
    for _ in range(count - 1):
        loads.append(max(loads[-1] + k, starts[-1] + engine.block_cycles(rows=1, k=1) - 1))
        starts.append(max(starts[-1] + rows, loads[-1] + 1))
    assert [later - earlier for earlier, later in pairwise(starts)][1:] == [period] * (count - 2)
    assert [cycle for cycle, _ in record.rows] == [start + row for start in starts for row in range(rows)]
    assert record.done["MultiplyMoving"] == [engine.latency + start - starts[0] + rows for start in starts]
    np.testing.assert_array_equal(record.psum, golden(config, sbuf, program))


@pytest.mark.parametrize("name", TIMED)
def test_multiplications_in_a_row_leave_no_bubble(name: str) -> None:
    """One stationary block, many short multiplications."""
    config = TIMED[name]
    rows = [1, 2, 1, 3, 1, 1, 4, 2]
    program = [load(config, "int8", straight(0, config.rows))]
    for index, count in enumerate(rows):
        program.append(multiply(config, "int8", straight(8 * index, count), swap=int(index == 0), bank=index % 2, row=8 - count))
    sbuf = make_sbuf(config, np.random.default_rng(3))
    record = run(TensorEngine(config=config), config, sbuf, program)
    assert [cycle for cycle, _ in record.rows] == list(range(3, 3 + sum(rows)))
    np.testing.assert_array_equal(record.psum, golden(config, sbuf, program))


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("accumulate", [0, 1])
def test_accumulating_waits_exactly_for_the_row_in_flight(name: str, extra: int, accumulate: int) -> None:
    """M rows onto the same M rows again and again: M above the write latency never stalls, fewer take one more than it."""
    config = TIMED[name]
    needed = psum_write_latency(config) + 1
    rows, times = needed + extra, 4
    program = [load(config, "int8", straight(0, config.rows))]
    for index in range(times):
        program.append(multiply(config, "int8", straight(4 * index, rows), swap=int(index == 0), row=1, bank=1, accumulate=accumulate))
    sbuf = make_sbuf(config, np.random.default_rng(4))
    record = run(TensorEngine(config=config), config, sbuf, program)
    period = max(rows, needed) if accumulate else rows
    assert [cycle for cycle, _ in record.rows] == [3 + index * period + row for index in range(times) for row in range(rows)]
    # The first state is of cycle 0, in which the load is accepted; while it runs, waiting does not show.
    stalls = [cycle for cycle, state in enumerate(record.states) if state == EngineState.HAZARD and cycle > config.rows]
    assert len(stalls) == sum(1 for cycle in range(config.rows + 1, 3 + times * period - (period - rows)) if (cycle - 3) % period >= rows)
    np.testing.assert_array_equal(record.psum, golden(config, sbuf, program))


def test_other_rows_are_no_hazard() -> None:
    """The same row of another bank, and the next row of the same bank, follow at once."""
    config = INT8
    program = [load(config, "int8", straight(0, 4))]
    for index, (bank, row) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 7)]):
        program.append(multiply(config, "int8", straight(index, 1), swap=int(index == 0), bank=bank, row=row, accumulate=1))
    record = run(TensorEngine(config=config), config, make_sbuf(config, np.random.default_rng(5)), program)
    assert [cycle for cycle, _ in record.rows] == list(range(3, 9))


def test_refusals_cost_what_they_last() -> None:
    """A long stream under random refusals takes its rows plus the refusals, and says MEMORY in each of them."""
    config, seed = INT8, 6
    program = [load(config, "int8", straight(0, 4))]
    program += [multiply(config, "int8", straight(8 * index, 8), swap=int(index == 0), bank=index % 2) for index in range(6)]
    record = run(TensorEngine(config=config), config, make_sbuf(config, np.random.default_rng(seed)), program, seed=seed, refuse=0.5)
    assert record.refusals > 10, f"seed {seed}"
    assert record.rows[-1][0] - 3 + 1 == 48 + record.refusals, f"seed {seed}"
    hidden = [cycle for cycle in record.stationary if cycle >= 3 and cycle not in dict(record.rows)]
    assert record.states.count(EngineState.MEMORY) == record.refusals - len(hidden), f"seed {seed}"


def test_states_of_one_block() -> None:
    """IDLE until a row is requested, BUSY while anything moves, IDLE when done."""
    config = INT8
    engine = TensorEngine(config=config)
    record = run(engine, config, make_sbuf(config, np.random.default_rng(7)), blocks(config, 1, rows=3, k=4))
    done = record.done["MultiplyMoving"][0]
    assert record.states[0] == EngineState.IDLE
    assert set(record.states[1 : done + 2]) == {EngineState.BUSY}
    assert set(record.states[done + 2 :]) == {EngineState.IDLE}


def test_newest_block_counts() -> None:
    """Of three loads before a multiplication the last is used, with its own number of rows; loads need not wait for each other."""
    config = INT8
    program = [load(config, "int8", straight(base, k)) for base, k in ((0, 4), (8, 1), (16, 3))]
    program += [multiply(config, "int8", straight(32, 8), swap=1)]
    program.append(load(config, "int8", straight(24, 2)))  # a load may stay unused
    sbuf = make_sbuf(config, np.random.default_rng(8))
    record = run(TensorEngine(config=config), config, sbuf, program)
    assert record.stationary[:8] == list(range(1, 9))
    assert {lanes for _, lanes in record.rows} == {3}
    np.testing.assert_array_equal(record.psum, golden(config, sbuf, program))


def test_edges_of_the_memories() -> None:
    """First and last line, last bank, last row, the longest instruction, a pattern that runs backwards."""
    config = CONFIGS["int8 deep"]
    last = config.sbuf_lines - 1
    program = [
        load(config, "int8", straight(last, config.rows, -1)),
        multiply(config, "int8", straight(0, config.psum_rows), swap=1, bank=config.psum_banks - 1),
        multiply(config, "int8", straight(last, 1), swap=0, bank=config.psum_banks - 1, row=config.psum_rows - 1, accumulate=1),
        multiply(config, "int8", straight(last, config.psum_rows, -8), swap=0, bank=1),
    ]
    sbuf = make_sbuf(config, np.random.default_rng(9))
    record = run(TensorEngine(config=config), config, sbuf, program)
    np.testing.assert_array_equal(record.psum, golden(config, sbuf, program))


def test_stale_infinities_in_unused_rows_do_not_matter() -> None:
    """A block of one row after a block of NaN and infinities: only the loaded row takes part, and a zero stays +0."""
    config = CONFIGS["mixed 2"]
    sbuf = np.zeros((config.sbuf_lines, config.cols), np.uint8)
    words = sbuf.reshape(-1).view(np.uint16)
    words[: 16 * config.cols] = np.resize(np.array([0x7FC0, 0x7F80, 0xFF80], np.uint16), 16 * config.cols)
    words[16 * config.cols :] = 0x8000
    program = [load(config, "bf16", straight(0, 4, 2)), multiply(config, "bf16", straight(0, 3, 2), swap=1)]
    program += [load(config, "bf16", straight(40, 1, 2)), multiply(config, "bf16", straight(44, 3, 2), swap=1, bank=1)]
    record = run(TensorEngine(config=config), config, sbuf, program)
    np.testing.assert_array_equal(record.psum, golden(config, sbuf, program))
    assert not record.psum[1].any()


class WithPsum(wiring.Component):
    """The engine with real PSUM behind it and a reset of its own."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({})
        self.engine, self.psum, self.reset = TensorEngine(config=config), PsumBanks(config=config), Signal()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.engine = ResetInserter(self.reset)(self.engine)
        m.submodules.psum = self.psum
        wiring.connect(m, self.engine.psum, self.psum.write)
        return m


@pytest.mark.parametrize("name", ["int8", "mixed 3"])
def test_done_is_the_first_cycle_in_which_the_last_row_can_be_read(name: str) -> None:
    """With real PSUM: a read accepted with the done pulse gets the new last row, one a cycle earlier the row as it was."""
    config = CONFIGS[name]
    top = WithPsum(config)
    row = config.psum_rows - 1
    sbuf = make_sbuf(config, np.random.default_rng(10))
    program = [load(config, "int8", straight(0, 2)), multiply(config, "int8", straight(20, 3), swap=1, bank=1, row=row - 2)]
    done = tensor_latency(config) + 3
    answers: dict[int, list[int]] = {}

    def each_cycle(ctx: Any, cycle: int) -> None:
        ctx.set(top.psum.read.request.valid, 1)
        ctx.set(top.psum.read.request.payload, {"bank": 1, "row": row})
        if ctx.get(top.psum.read.response.valid):
            answers[cycle - top.psum.read_latency] = list(ctx.get(top.psum.read.response.data))

    record = run(top.engine, config, sbuf, program, top=top, each_cycle=each_cycle)
    assert record.done["MultiplyMoving"] == [done]
    expected = golden(config, sbuf, program)[1, row]
    assert expected.any()
    assert answers[done] == list(expected) and answers[done - 1] == [0] * config.cols


@pytest.mark.parametrize("cycle", [3, 6, 9, 14])
def test_reset_in_mid_operation(cycle: int) -> None:
    """After a reset nothing of before comes out, and the next program runs as on a fresh engine."""
    config = TIMED["lag 6"]
    rng = np.random.default_rng(cycle)
    sbuf, program = make_sbuf(config, rng), random_program(config, rng, 4)
    top = WithPsum(config)
    before = (blocks(config, 8, rows=5, k=3, accumulate=1), cycle, top.reset)
    record = run(top.engine, config, sbuf, program, top=top, before=before)
    np.testing.assert_array_equal(record.psum, golden(config, sbuf, program), f"seed {cycle}")
    assert len(record.writes) == len(record.rows)
    assert record.accepted[0] == 0 and record.stationary[0] == 1


@pytest.mark.parametrize("unused_load", [False, True])
def test_start_forgets_the_stationary_block(unused_load: bool) -> None:
    """After `i_start` no lane takes part until the next load, and that load and its swap begin at once."""
    config = INT8
    sbuf = make_sbuf(config, np.random.default_rng(11))
    engine = TensorEngine(config=config)
    earlier = blocks(config, 2, rows=4, k=4) + [load(config, "int8", straight(0, 4))] * unused_load
    program = [multiply(config, "int8", straight(3, 2), swap=0, bank=1, row=6), *blocks(config, 1, rows=4, k=3)]
    record = run(engine, config, sbuf, program, before=(earlier, 100, engine.i_start))
    assert [lanes for _, lanes in record.rows] == [0, 0, 3, 3, 3, 3]
    assert [cycle for cycle, _ in record.rows] == [2, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(record.psum, golden(config, sbuf, program))


def test_rejects_more_rows_than_columns() -> None:
    with pytest.raises(ValueError, match=r"rows must be at most cols \(4\) for a moving row to fit into an SBUF word, not 5"):
        TensorEngine(config=replace(INT8, rows=5))
