# amaranth: UnusedElaboratable=no
"""The datapath of the compact chip against the golden models: values, cycles, AXI stalls and errors, debug accesses, reset."""

from typing import Any

import numpy as np
import pytest

from hw.common.config import ChipConfig
from hw.common.isa import OutputMode
from hw.compact.bus import Command
from hw.compact.evict import evict_cycles
from hw.tensor.tile import Tile
from tb.vip.axi_ram import Timing

from .compact_bench import DEBUG_LINES, DRAM_BYTES, DatapathBench, compact_config, step

NANO, WIDE = compact_config(), compact_config(rows=8, cols=8, sbuf_bank_lines=128, psum_rows=16)
CONFIGS = {"nano": NANO, "wide": WIDE}
PACES = {
    "fast": {"timing": Timing()},
    "stalls": {"timing": Timing(ready=0.4, valid=0.5, latency=(1, 7)), "debug": 0.5},
    "data_first": {"timing": Timing(ready=0.6, latency=(2, 2)), "order": "data_first", "debug": 0.9},
    "address_first": {"timing": Timing(ready=0.6), "order": "address_first"},
}


def copy(rng: np.random.Generator, config: ChipConfig, command: Command, count: int) -> Any:
    """A LOAD or STORE of `count` lines, or a FETCH of words, with strides of either sign or 0, inside the memories."""
    lines, size = config.sbuf_lines - DEBUG_LINES, 4 if command is Command.FETCH else config.line_bytes
    while True:
        stride, dram_stride = int(rng.integers(-3, 4)), int(rng.integers(-3, 4))
        sbuf, dram = int(rng.integers(lines)), int(rng.integers(DRAM_BYTES // size))
        ends = (sbuf + (count - 1) * stride, dram + (count - 1) * dram_stride)
        if 0 <= ends[0] < lines and 0 <= ends[1] < DRAM_BYTES // size:
            return step(command, sbuf=sbuf, sbuf_stride=stride, dram=dram * size, dram_stride=dram_stride * size, count=count)


def load_block(rng: np.random.Generator, config: ChipConfig, *, rows: int | None = None, row: int = 0) -> Any:
    sbuf = int(rng.integers(config.sbuf_lines - DEBUG_LINES - config.rows))
    return step(Command.LOAD_STATIONARY, sbuf=sbuf, sbuf_stride=1, count=rows or config.rows, row=row)


def multiply(
    rng: np.random.Generator, config: ChipConfig, count: int, *, psum: int, accumulate: int, swap: int = 1, lanes: int = -1, stride: int = 1
) -> Any:
    lines = config.sbuf_lines - DEBUG_LINES - abs(stride) * (count - 1)
    sbuf = int(rng.integers(lines)) + max(0, -stride) * (count - 1)
    flags = accumulate | swap << 1 | (lanes & (1 << config.rows) - 1) << 8
    return step(Command.MULTIPLY, sbuf=sbuf, sbuf_stride=stride, count=count, psum=psum, flags=flags)


def evict(mode: OutputMode, count: int, *, psum: int, sbuf: int, stride: int, bias: int = 0, relu: int = 0) -> Any:
    return step(Command.EVICT, sbuf=sbuf, sbuf_stride=stride, count=count, psum=psum, flags=mode | bias << 3 | relu << 4)


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("name", CONFIGS)
def test_copies(name: str, pace: str) -> None:
    """LOAD, STORE and FETCH of random strides."""
    config, seed = CONFIGS[name], 3
    bench = DatapathBench(config=config, seed=seed, **PACES[pace])  # type: ignore[arg-type]

    async def testbench(ctx: Any) -> None:
        for index in range(12):
            command = (Command.LOAD, Command.STORE, Command.FETCH)[index % 3]
            count = int(bench.rng.choice([1, 2, 3, 17]))
            ended = await bench.check(ctx, copy(bench.rng, config, command, count))
            if pace == "fast":
                assert ended.cycles == {Command.LOAD: 2 * count + 1, Command.FETCH: 2 * count + 1, Command.STORE: 3 * count}[command]
                assert ended.moved >= 2 * count
        await bench.compare(ctx)

    bench.simulate(testbench)
    assert bench.debugger.served > 20 or not bench.debugger.rate, f"seed {seed}"


@pytest.mark.parametrize("count", [1, 2, 127, 128])
def test_products(count: int) -> None:
    """Rows through the array into PSUM, overwritten then accumulated, read back as they are."""
    config = NANO
    bench = DatapathBench(config=config, seed=count)
    tile = Tile(config=config)

    async def testbench(ctx: Any) -> None:
        rng = bench.rng
        for accumulate, stride in ((0, 1), (1, -1), (1, 0)):
            assert (await bench.check(ctx, load_block(rng, config))).cycles == config.rows + 1
            item = multiply(rng, config, count, psum=64, accumulate=accumulate, stride=stride)
            assert (await bench.check(ctx, item)).cycles == count + 2 + tile.latency
        shown = min(count, 32)
        ended = await bench.check(ctx, evict(OutputMode.RAW, shown, psum=64 + count - shown, sbuf=16, stride=4))
        assert ended.cycles == evict_cycles(config, rows=shown, shifts=None)
        await bench.compare(ctx)

    bench.simulate(testbench)
