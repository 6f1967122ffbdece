# amaranth: UnusedElaboratable=no
"""The streamer alone: rows, lanes, destinations, and exactly the stalls that swaps, rows in flight and SBUF cause."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.memory.psum import psum_write_latency
from hw.tensor.rows import TURN_BITS
from hw.tensor.streamer import Streamer

from .tensor_bench import Command, SbufModel, make_sbuf, multiply, pattern, random_pattern, straight

INT8 = ChipConfig(rows=4, cols=4, output_lanes=1, sbuf_banks=2, sbuf_bank_lines=32, psum_banks=2, psum_rows=8)
CONFIGS = {
    "int8": INT8,
    "int8 slow": replace(INT8, rows=3, cols=8, sbuf_latency=4, accumulator_stages=6, psum_banks=8),
    "mixed": replace(INT8, rows=5, cols=8, sbuf_latency=1, dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2),
    "bf16": replace(INT8, dtypes=("bf16",), adder_stages=2, accumulator_stages=3),
}


def element_bits(config: ChipConfig, sbuf: np.ndarray, line: int, is_float: bool) -> list[int]:
    """What array rows get of the row at `line`."""
    flat = sbuf.reshape(-1)[line * config.cols :]
    if is_float:
        return [int(word) for word in flat[: 2 * config.rows].view(np.uint16)]
    return [int(byte) & ((1 << 8 * config.element_bytes) - 1) for byte in flat[: config.rows].view(np.int8)]


def random_commands(config: ChipConfig, rng: np.random.Generator, count: int) -> list[Command]:
    """Multiplications of a few rows to a few places, so that rows in flight meet; some swap."""
    program = []
    for _ in range(count):
        dtype = str(rng.choice(config.dtypes))
        rows = int(rng.choice([1, 1, 2, 3, config.psum_rows]))
        where = {"bank": int(rng.choice([0, config.psum_banks - 1])), "row": int(rng.choice([0, config.psum_rows - rows]))}
        fields = random_pattern(config, rng, rows, config.dtype(dtype).bytes)
        program.append(multiply(config, dtype, fields, swap=int(rng.integers(2)), accumulate=int(rng.integers(4) > 0), **where))
    return program


class Expected:
    """Walks the program row by row and says, cycle by cycle, what the streamer must do."""

    def __init__(self, config: ChipConfig, sbuf: np.ndarray, program: list[Command]) -> None:
        self.rows = []
        for _, fields in program:
            lines = list(pattern(fields))
            for index, line in enumerate(lines):
                place = (fields["psum_bank"], fields["psum_row"] + index, fields["accumulate"], int(index == len(lines) - 1))
                bits = element_bits(config, sbuf, line, bool(fields["dtype"]))
                swaps = index == 0 and bool(fields["swap"])
                self.rows.append({"line": line, "place": place, "bits": bits, "swaps": swaps, "is_float": fields["dtype"]})
        self.latency = psum_write_latency(config)
        self.sent: dict[tuple[int, int], int] = {}

    def held(self, index: int, cycle: int, may_swap: bool) -> bool:
        row = self.rows[index]
        bank, number, accumulates, _ = row["place"]
        recent = self.sent.get((bank, number), -100) >= cycle - self.latency
        return (row["swaps"] and not may_swap) or bool(accumulates and recent)


@pytest.mark.parametrize(("refuse", "allow"), [(0.0, 1.0), (0.4, 1.0), (0.3, 0.2)])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_row_and_every_stall(name: str, refuse: float, allow: float) -> None:
    config, seed = CONFIGS[name], 30 + list(CONFIGS).index(name)
    rng = np.random.default_rng(seed)
    sbuf, program = make_sbuf(config, rng), random_commands(config, rng, 30)
    expected, dut = Expected(config, sbuf, program), Streamer(config=config)
    seen = {"hazard": 0, "refused": 0, "swapped": 0}
    leaving: dict[int, tuple[Any, ...]] = {}

    async def testbench(ctx: Any) -> None:
        memory = SbufModel(config, sbuf, dut.sbuf)
        index, sent, may, lanes, background = 0, 0, False, 0, 1
        lengths = [len(list(pattern(fields))) for _, fields in program]
        for cycle in range(20 * len(expected.rows)):
            context = f"{name}, seed {seed}, cycle {cycle}"
            may, ready = may or bool(rng.random() < allow), bool(rng.random() >= refuse)
            ctx.set(dut.i_may_swap, may)
            ctx.set(dut.i_lanes, background)
            ctx.set(dut.i.valid, index < len(program))
            if index < len(program):
                ctx.set(dut.i.payload, program[index][1] | {"turn": index % (1 << TURN_BITS)})
            memory.drive(ctx, cycle, ready)
            place = dut.o_destination
            _, _, *got = await ctx.tick().sample(
                dut.i.ready, dut.sbuf.request.valid, dut.sbuf.request.payload.address, dut.o_hazard, dut.o_refused, dut.o_row, dut.o_swapped,
                dut.o_lanes, dut.o_flight, place.bank, place.row, place.accumulate, place.last,
                dut.o.valid, dut.o.swap, dut.o.is_float, dut.o.lanes, dut.o.data,
            )  # fmt: skip
            accepted, asks, line, hazard, refused, row, swapped, row_lanes, flight = got[:9]
            assert flight == (sent < sum(lengths[:index])), context
            index += index < len(program) and accepted
            # From cycle 2 on there is always a row to send: commands follow each other without a bubble.
            working = cycle >= 2 and sent < len(expected.rows)
            held = working and expected.held(sent, cycle, may)
            assert (asks, hazard) == (working and not held, held), context
            assert (refused, row) == (asks and not ready, asks and ready), context
            seen["hazard"] += hazard
            seen["refused"] += refused
            if asks:
                assert line == expected.rows[sent]["line"], context
            assert swapped == (row and expected.rows[sent]["swaps"]), context
            if row:
                wanted = expected.rows[sent]
                if swapped:
                    lanes, may, background = background, False, int(rng.integers(1, config.rows + 1))
                    seen["swapped"] += 1
                assert (row_lanes, tuple(got[9:13])) == (lanes, wanted["place"]), context
                memory.accept(cycle, line)
                expected.sent[wanted["place"][:2]] = cycle
                flags = (int(wanted["swaps"]), wanted["is_float"], (1 << lanes) - 1, wanted["bits"])
                leaving[cycle + config.sbuf_latency] = flags
                sent += 1
            assert got[13] == (cycle in leaving), context
            if cycle in leaving:
                assert (*got[14:17], list(got[17])) == leaving.pop(cycle), context
            if sent == len(expected.rows) and not leaving:
                return
        raise AssertionError(f"{name}, seed {seed}: {sent} of {len(expected.rows)} rows sent")

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert seen["hazard"] > 0 and seen["swapped"] > 5 and (seen["refused"] > 10) == (refuse > 0), seen


def test_reset_and_start() -> None:
    """A reset drops rows on their way, what is in flight to PSUM, and lanes; `i_start` forgets the lanes."""
    config = CONFIGS["int8 slow"]
    dut, reset = Streamer(config=config), Signal()

    async def testbench(ctx: Any) -> None:
        ctx.set(dut.i_may_swap, 1)
        ctx.set(dut.i_lanes, 2)
        ctx.set(dut.sbuf.request.ready, 1)

        async def begin(swap: int) -> None:
            ctx.set(dut.i.payload, multiply(config, "int8", straight(0, 3), swap=swap, accumulate=1)[1] | {"turn": 0})
            ctx.set(dut.i.valid, 1)
            await ctx.tick()
            ctx.set(dut.i.valid, 0)

        await begin(1)
        await ctx.tick().repeat(3)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        for _ in range(config.sbuf_latency + 1):
            assert not any(ctx.get(signal) for signal in (dut.sbuf.request.valid, dut.o.valid, dut.o_hazard, dut.o_flight))
            await ctx.tick()
        await begin(0)
        await ctx.tick()
        assert (ctx.get(dut.o_row), ctx.get(dut.o_lanes)) == (1, 0)
        await ctx.tick().repeat(3)
        for start, lanes in ((0, 2), (1, 0)):
            await begin(1)
            await ctx.tick().repeat(20)
            ctx.set(dut.i_start, start)
            await ctx.tick()
            ctx.set(dut.i_start, 0)
            await begin(0)
            await ctx.tick().repeat(20)
            assert ctx.get(dut.o_lanes) == lanes

    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match=r"rows must be at most cols \(4\) for a moving row to fit into an SBUF word, not 5"):
        Streamer(config=replace(INT8, rows=5))
