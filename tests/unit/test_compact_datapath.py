# amaranth: UnusedElaboratable=no
"""The datapath of the compact chip against the golden models: values, cycles, AXI stalls and errors, debug accesses, reset."""

from typing import Any

import numpy as np
import pytest

from hw.common.config import ChipConfig, ConfigError
from hw.common.isa import OutputMode
from hw.compact.bus import Command
from hw.compact.datapath import Datapath
from hw.compact.evict import evict_cycles
from hw.tensor.tile import Tile
from tb.vip.axi_ram import Timing

from .compact_bench import DEBUG_LINES, DRAM_BYTES, DatapathBench, compact_config
from .compact_model import step

NANO, WIDE = compact_config(), compact_config(rows=8, cols=8, sbuf_bank_lines=128, psum_rows=16)
CONFIGS = {"nano": NANO, "wide": WIDE}
TINY = compact_config(sbuf_bank_lines=64)
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
    sbuf = int(rng.integers(max(1, config.sbuf_lines - DEBUG_LINES - count)))
    flags = accumulate | swap << 1 | (lanes & (1 << config.rows) - 1) << 8
    return step(Command.MULTIPLY, sbuf=sbuf, sbuf_stride=stride, count=count, psum=psum, flags=flags)


def evict(mode: OutputMode, count: int, *, psum: int, sbuf: int, stride: int, bias: int = 0, relu: int = 0) -> Any:
    return step(Command.EVICT, sbuf=sbuf, sbuf_stride=stride, count=count, psum=psum, flags=mode | bias << 3 | relu << 4)


@pytest.mark.parametrize(("name", "pace"), [*(("nano", pace) for pace in PACES), ("wide", "stalls")])
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
    """Rows through the array into PSUM, over what was there, then accumulated; read back as they are."""
    config = NANO
    bench = DatapathBench(config=config, seed=count)
    tile = Tile(config=config)

    async def testbench(ctx: Any) -> None:
        rng = bench.rng
        for accumulate, stride in ((0, 1), (0, 1), (1, -1), (1, 0)):
            assert (await bench.check(ctx, load_block(rng, config))).cycles == config.rows + 1
            item = multiply(rng, config, count, psum=64, accumulate=accumulate, stride=stride)
            assert (await bench.check(ctx, item)).cycles == count + 2 + tile.latency
        shown = min(count, 16)
        ended = await bench.check(ctx, evict(OutputMode.RAW, shown, psum=64 + count - shown, sbuf=16, stride=4))
        assert ended.cycles == evict_cycles(config, rows=shown, shifts=None)
        await bench.compare(ctx)

    bench.simulate(testbench)


#: Scale words of columns. The values they meet are small: `test_compact_scaler` has all kinds.
SCALES = {
    "typical": lambda rng, size: rng.integers(1 << 15, 1 << 16, size) | rng.integers(12, 26, size) << 16,
    "any": lambda rng, size: rng.integers(0, 1 << 16, size) | rng.integers(0, 64, size) << 16,
    "short": lambda rng, size: rng.choice([0, 1, 3, 0x4000, 0xFFFF], size) | rng.integers(0, 10, size) << 16,
    "one": lambda rng, size: np.ones(size, np.int64),
}


@pytest.mark.parametrize(("name", "scale"), [*(("nano", scale) for scale in SCALES), ("wide", "any")])
def test_output_stage(name: str, scale: str) -> None:
    """EVICT in every mode, with and without bias and ReLU; strides forward, backward and 0; cycles to the last one."""
    config, seed = CONFIGS[name], 7
    bench = DatapathBench(config=config, seed=seed, debug=0.1)
    cols, rows = config.cols, 5

    async def testbench(ctx: Any) -> None:
        rng = bench.rng
        biases = rng.integers(-300, 300, cols) if scale != "any" else rng.integers(-(1 << 31), 1 << 31, cols)
        words = np.concatenate([biases, SCALES[scale](rng, cols)]).astype(np.int64).astype("<u4")
        octets = words.view(np.uint8).tobytes()
        for index in range(8):
            line = octets[index * config.line_bytes : (index + 1) * config.line_bytes]
            bench.model.lines[index] = np.frombuffer(line, np.uint8)
            await bench.access(ctx, index, int.from_bytes(line, "little"))
        assert (await bench.check(ctx, step(Command.LOAD_CHANNEL, sbuf=0, sbuf_stride=1, count=8))).cycles == 9
        await bench.check(ctx, load_block(rng, config))
        await bench.check(ctx, multiply(rng, config, rows, psum=0, accumulate=0))
        shifts = [int(word >> 16 & 63) for word in words[cols:]]
        where = 8
        for mode in (OutputMode.INT8, OutputMode.INT32, OutputMode.RAW):
            lines = 1 if mode == OutputMode.INT8 else 4
            for bias, relu in ((0, 0), (1, 0), (0, 1), (1, 1)) if mode != OutputMode.RAW else ((0, 0),):
                stride = int(rng.choice([0, lines, -lines]))
                count = int(rng.integers(1, 4))
                item = evict(mode, count, psum=rows - count, sbuf=where + (8 if stride < 0 else 0), stride=stride, bias=bias, relu=relu)
                ended = await bench.check(ctx, item)
                assert ended.cycles == evict_cycles(config, rows=count, shifts=None if lines == 4 else shifts), str(item)
                where = 8 + (where + 4) % 84
                await bench.check(ctx, multiply(rng, config, rows, psum=0, accumulate=1, swap=0, lanes=int(rng.integers(1 << config.rows))))
        await bench.compare(ctx)

    bench.simulate(testbench)
    assert bench.debugger.served > 50 and bench.debugger.longest < 40, f"seed {seed}"


@pytest.mark.parametrize("command", [Command.LOAD, Command.STORE, Command.FETCH])
def test_axi_errors(command: Command) -> None:
    """An error at any step ends the command there; the address is said; the next command runs as if nothing had been."""
    seed = 5
    bad: set[int] = set()
    bench = DatapathBench(
        config=NANO,
        seed=seed,
        timing=Timing(ready=0.5, valid=0.5, latency=(1, 3)),
        fault=lambda address: 2 + address // 4 % 2 if address in bad else address // 4 % 2,
    )

    async def testbench(ctx: Any) -> None:
        for at in (0, 1, 6, 7):
            bad.clear()
            bad.add(256 + 4 * at)
            item = step(command, sbuf=20, sbuf_stride=2, dram=256, dram_stride=4, count=8)
            ended = await bench.check(ctx, item)
            assert ended.error == 256 + 4 * at
            await bench.compare(ctx)
            ended = await bench.check(ctx, step(command, sbuf=40, sbuf_stride=1, dram=512, dram_stride=4, count=3))
            assert ended.error is None

    bench.simulate(testbench)


def test_parameters_move_on() -> None:
    """Commands follow each other on the parameters the last one left."""
    bench = DatapathBench(config=NANO, seed=9)

    async def testbench(ctx: Any) -> None:
        await bench.check(ctx, step(Command.LOAD, sbuf=8, sbuf_stride=3, dram=64, dram_stride=-4, count=5))
        await bench.check(ctx, step(Command.LOAD, count=4))
        await bench.check(ctx, step(Command.STORE, count=4, dram_stride=8))
        # The stationary block in two parts, the second swapped in by the first row only.
        await bench.check(ctx, step(Command.LOAD_STATIONARY, sbuf=0, sbuf_stride=1, row=0, count=1))
        await bench.check(ctx, step(Command.LOAD_STATIONARY, count=3))
        await bench.check(ctx, step(Command.MULTIPLY, count=2, psum=126, flags=0xF02))
        await bench.check(ctx, load_block(bench.rng, NANO))
        await bench.check(ctx, step(Command.MULTIPLY, count=3))
        await bench.check(ctx, step(Command.EVICT, psum=126, sbuf=32, sbuf_stride=4, count=2, flags=OutputMode.RAW))
        await bench.check(ctx, step(Command.EVICT, count=3))
        await bench.compare(ctx)

    bench.simulate(testbench)


@pytest.mark.parametrize(
    "item",
    [
        step(Command.LOAD, sbuf=0, sbuf_stride=1, dram=0, dram_stride=4, count=9),
        step(Command.STORE, sbuf=0, sbuf_stride=1, dram=0, dram_stride=4, count=9),
        step(Command.FETCH, dram=0, dram_stride=4, count=9),
        step(Command.LOAD_STATIONARY, sbuf=0, sbuf_stride=1, row=0, count=4),
        step(Command.MULTIPLY, sbuf=0, sbuf_stride=1, psum=0, flags=0xF02, count=9),
        step(Command.LOAD_CHANNEL, sbuf=0, sbuf_stride=1, count=8),
        step(Command.EVICT, sbuf=4, sbuf_stride=1, psum=0, flags=OutputMode.INT8, count=2),
        step(Command.EVICT, sbuf=4, sbuf_stride=4, psum=0, flags=OutputMode.INT32, count=2),
    ],
    ids=lambda item: item.command.name,
)
def test_reset_in_mid_command(item: Any) -> None:
    """After a reset in any phase of a command the datapath is idle, and every command works."""
    config = TINY
    bench = DatapathBench(config=config, seed=11, timing=Timing(latency=(2, 2)))

    async def testbench(ctx: Any) -> None:
        rng, dut = bench.rng, bench.dut
        for reset_at in (0, 2, 5, 18):
            await bench.run(ctx, item, reset_at=reset_at)
            for signal in (
                dut.bus.busy,
                dut.bus.error,
                dut.bus.fetched,
                dut.bus.moved,
                dut.m_axi_arvalid,
                dut.m_axi_awvalid,
                dut.m_axi_wvalid,
            ):
                assert not ctx.get(signal), f"{signal.name} {reset_at} cycles in"
            # What the broken command did to the memories is undefined: the model goes on from what is there.
            for line in range(config.sbuf_lines - DEBUG_LINES):
                bench.model.lines[line] = np.frombuffer((await bench.access(ctx, line)).to_bytes(config.line_bytes, "little"), np.uint8)
            bench.model.dram[:] = bench.dram
            await bench.check(ctx, copy(rng, config, Command.LOAD, 2))
            await bench.check(ctx, step(Command.LOAD_CHANNEL, sbuf=40, sbuf_stride=1, count=8))
            await bench.check(ctx, load_block(rng, config))
            await bench.check(ctx, multiply(rng, config, 3, psum=5, accumulate=0))
            await bench.check(ctx, evict(OutputMode.INT8, 2, psum=5, sbuf=9, stride=1, bias=1))
            await bench.check(ctx, evict(OutputMode.RAW, 3, psum=5, sbuf=12, stride=4))
            await bench.check(ctx, copy(rng, config, Command.STORE, 2))
            await bench.check(ctx, copy(rng, config, Command.FETCH, 2))
            await bench.compare(ctx)

    bench.simulate(testbench)


def test_refused_configurations() -> None:
    with pytest.raises(TypeError, match="config must be a ChipConfig, not 'nano'"):
        Datapath(config="nano")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="control must be compact, not 'parallel'"):
        Datapath(config=ChipConfig.named("small"))
    with pytest.raises(ConfigError, match=r"dtypes must be .* not .'bf16',"):
        Datapath(config=compact_config(dtypes=("bf16",), adder_stages=2, accumulator_stages=2))
    with pytest.raises(ConfigError, match="a chip needs rows == cols"):
        Datapath(config=compact_config(rows=8))
