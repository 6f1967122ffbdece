# amaranth: UnusedElaboratable=no
"""The store DMA: values, legal bursts, latency, throughput, errors, reset."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.isa import Cause
from hw.control.command import EngineState
from hw.dma.readahead import ReadAhead
from tb.vip.axi_ram import Timing
from tb.vip.sbuf_memory import SbufMemory

from .dma_bench import DmaBench, command, dma_config, expected_bursts, random_command, walk

CONFIG = dma_config()
WIDE = dma_config(dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2, cols=8, rows=8, dma_burst_lines=8, dma_outstanding=3)
LEAST = replace(CONFIG, dma_outstanding=1, dma_burst_lines=1, sbuf_latency=4)
PACES = {
    "fast": (Timing(), 1.0, 1.0),
    "slow_bus": (Timing(ready=0.3, valid=0.4, latency=(1, 30)), 1.0, 1.0),
    "slow_sbuf": (Timing(latency=(5, 9)), 0.35, 1.0),
    "all_random": (Timing(ready=0.6, valid=0.7, latency=(1, 25)), 0.7, 0.3),
}


def assert_data_first(config, accesses, requests):
    """Every address was raised after all lines of its burst had come from SBUF."""
    owed = 0
    for cycle, _, beats in requests:
        owed += beats
        assert cycle > accesses[owed - 1][0] + config.sbuf_latency


def run(commands, *, config=CONFIG, seed=1, timing=None, sbuf=1.0, offer=1.0, order="free", **options):
    """A run without errors, checked in full: memories, order of reads, bursts, done pulses."""
    bench = DmaBench("Store", config=config, seed=seed, timing=timing, sbuf=sbuf, offer=offer, order=order)
    dram, lines = bench.golden(commands)
    outcome = bench.run(commands, **options)
    np.testing.assert_array_equal(bench.dram, dram, f"seed {seed}")
    np.testing.assert_array_equal(bench.lines, lines, f"seed {seed}")
    assert [access[1:] for access in bench.sbuf.accesses] == [(int(line), 0) for values in commands for line in walk(values)[0]], (
        f"seed {seed}"
    )
    assert [request[1:] for request in bench.ram.requests] == expected_bursts(config, commands), f"seed {seed}"
    assert len(outcome.done) == len(commands) and not outcome.errors
    assert_data_first(config, bench.sbuf.accesses, bench.ram.requests)
    return bench, outcome


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("config", [CONFIG, WIDE, LEAST], ids=["int8", "bf16", "least"])
def test_random(config, pace):
    timing, sbuf, offer = PACES[pace]
    seed = 13
    rng = np.random.default_rng(seed)
    commands = [random_command(rng, config, most=30) for _ in range(6 if config.dma_outstanding > 1 else 3)]
    bench, _ = run(commands, config=config, seed=seed, timing=timing, sbuf=sbuf, offer=offer)
    assert bench.ram.most_in_flight <= config.dma_outstanding


@pytest.mark.parametrize("order", ["data_first", "address_first"])
def test_either_order(order):
    """A memory may wait for the address before it takes data, or for data before it takes the address."""
    rng = np.random.default_rng(3)
    run([random_command(rng, CONFIG, most=30) for _ in range(6)], timing=Timing(ready=0.7, latency=(1, 5)), order=order)


@pytest.mark.parametrize("burst_lines", [16, 256])
def test_page_crossings(burst_lines):
    config = replace(CONFIG, dma_burst_lines=burst_lines)
    run([command(3, 4096 - 4 * offset, (19, 1, 4)) for offset in range(18)], config=config)


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, sbuf_latency=4, dma_burst_lines=4)], ids=["two", "four"])
def test_full_rate_contiguous(config):
    """Back-to-back instructions: after the first beat, one beat in every cycle."""
    commands = [command(0, 512 * index, (48, 1, 4), (2, 48, 192)) for index in range(4)]
    bench, outcome = run(commands, config=config, timing=Timing(latency=(10, 10)))
    assert bench.ram.beats == list(range(bench.ram.beats[0], bench.ram.beats[0] + 4 * 96)), "a beat a cycle"
    assert outcome.states.count(EngineState.HAZARD.value) == 0


def test_full_rate_single_beats():
    """Scattered lines: one address and one beat in every cycle, over instructions too."""
    config = replace(CONFIG, dma_outstanding=16)
    commands = [command(64 * index, 64 * index, (32, 1, 128), (2, 32, 4)) for index in range(3)]
    bench, _ = run(commands, config=config, timing=Timing(latency=(8, 8)))
    requests = [cycle for cycle, _, _ in bench.ram.requests]
    assert requests == list(range(requests[0], requests[0] + 3 * 64)), "an address a cycle"
    assert bench.ram.beats == list(range(bench.ram.beats[0], bench.ram.beats[0] + 3 * 64)), "a beat a cycle"


def test_latency():
    bench, outcome = run([command(5, 256, (3, 1, 4))], timing=Timing(latency=(4, 4)))
    # The models count the cycle after the one in which a transfer is made.
    reads = [cycle - 1 for cycle, _, _ in bench.sbuf.accesses]
    assert reads[0] - outcome.accepted[0] == 4
    assert bench.ram.requests[0][0] - 1 - (reads[-1] + CONFIG.sbuf_latency) == 2
    assert bench.ram.beats[0] - 1 - (reads[-1] + CONFIG.sbuf_latency) == 4
    # The last beat, four cycles to the answer, the pulse in the cycle after it.
    assert outcome.done == [bench.ram.beats[-1] - 1 + 4 + 1]
    assert outcome.states[-1] == EngineState.IDLE.value


@pytest.mark.parametrize("shape", [
    [(1, 0, 0)], [(1, 7, -8), (1, -3, 64)], [(13, 1, 0)], [(13, 0, 4)], [(7, -1, -4)], [(17, 1, 4), (3, 17, 68)],
    [(2, 1, 4), (2, 2, 8), (2, 4, 16), (2, 8, 32)], [(1, 0, 0), (11, 1, 4)], [(5, -2, 8), (3, 30, -4), (2, 1, 400)],
], ids=str)  # fmt: skip
def test_shapes(shape):
    run([command(100, 4000, *shape)], timing=Timing(latency=(2, 6), ready=0.8), sbuf=0.8)


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("burst", [0, 1, 3])
def test_error(burst, resp):
    """The burst is named, no instruction after it completes, what had not begun stays unwritten, the bus ends idle and legal."""
    commands = [command(0, 512, (20, 1, 4)), command(20, 1024, (60, 1, 4)), command(100, 2048, (90, 1, 4)), command(0, 4096, (200, 1, 4))]
    culprit = 1024 + 64 * burst
    bench = DmaBench("Store", config=CONFIG, seed=burst, timing=Timing(latency=(3, 12), valid=0.8, ready=0.7), sbuf=0.7,
                     fault=lambda address: resp if address == culprit else 1)  # fmt: skip
    before = bench.dram.copy()
    good, _ = bench.golden(commands)
    outcome = bench.run(commands)
    assert [error[1:] for error in outcome.errors] == [(Cause.WRITE_ERROR, culprit)]
    assert len(outcome.done) == 1 and outcome.done[0] < outcome.errors[0][0]
    expected = before.copy()
    for _, address, beats in bench.ram.requests:
        if address != culprit:
            expected[address : address + 4 * beats] = good[address : address + 4 * beats]
    np.testing.assert_array_equal(bench.dram, expected)
    assert len(bench.ram.requests) < len(expected_bursts(CONFIG, commands)), "later bursts are not begun"
    assert outcome.states[-1] == EngineState.IDLE.value, "all drained"
    last_read = bench.sbuf.accesses[-1][0]
    assert sum(cycle > outcome.errors[0][0] for cycle, _, _ in bench.sbuf.accesses) <= 1, f"SBUF is left alone, but read in {last_read}"


@pytest.mark.parametrize("sbuf", [1.0, 0.15])
def test_restart(sbuf):
    """After an error and a start the engine works as new: no line or count of what was dropped is left."""
    commands = [command(0, 1024, (16, 1, 4)), command(16, 2048, (16, 1, 4))] + [
        command(32 + index, 4 * index, (9, 1, 4)) for index in range(14)
    ]
    options = {
        "config": CONFIG,
        "seed": 4,
        "timing": Timing(latency=(20, 20)),
        "sbuf": sbuf,
        "fault": lambda address: 2 * (address == 1024),
    }
    stopped = DmaBench("Store", **options).run(commands)
    dropped = len(stopped.accepted)
    assert not stopped.done and dropped < len(commands), "takes nothing after the error"
    bench = DmaBench("Store", **options)
    outcome = bench.run(commands, restart=150, done=len(commands) - dropped)
    assert outcome.accepted[dropped] > outcome.errors[0][0] + 140 and len(outcome.errors) == 1
    for values in commands[dropped:]:
        lines, addresses = walk(values)
        for line, address in list(zip(lines, addresses, strict=True))[-1:]:
            np.testing.assert_array_equal(bench.dram[address : address + 4], bench.lines[line])
    requests = bench.ram.requests[-len(commands) + dropped :]
    assert [request[1:] for request in requests] == expected_bursts(CONFIG, commands[dropped:])
    assert_data_first(CONFIG, [access for access in bench.sbuf.accesses if access[0] > outcome.accepted[dropped]], requests)


def test_reset():
    """A reset in the middle of things leaves nothing behind."""
    rng = np.random.default_rng(5)
    commands = [random_command(rng, CONFIG, most=30, overlap=False) for _ in range(4)]
    for reset_at in (6, 21, 50):
        bench = DmaBench("Store", config=CONFIG, seed=reset_at, timing=Timing(latency=(1, 12), valid=0.7), sbuf=0.8)
        dram, _ = bench.golden(commands)
        outcome = bench.run(commands, reset_at=reset_at)
        assert len(outcome.done) == len(commands)
        np.testing.assert_array_equal(bench.dram, dram)


def test_depth():
    with pytest.raises(ValueError, match="depth must be an integer of at least 4, not 3"):
        ReadAhead(config=CONFIG, depth=3)


@pytest.mark.parametrize("latency", [1, 2, 4])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_read_ahead_room(latency, share):
    """Asks for no more than it has places for, leaves one of them at most, whatever SBUF refuses; loses no line; a line a cycle when it drains."""
    config, depth, count = replace(CONFIG, sbuf_latency=latency), 12, 60
    rng, dut = np.random.default_rng(latency), ReadAhead(config=config, depth=depth)
    lines = rng.integers(0, 256, (config.sbuf_lines, config.line_bytes), dtype=np.uint8)
    memory = SbufMemory(config=config, lines=lines, rng=rng, ready=share)
    got, times, blocked = [], [], 100

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        address, request = 0, dut.sbuf.request
        for now in range(blocked + 3 * count):
            _, _, valid, where, taken, left, line = await ctx.tick().sample(
                request.valid, request.payload.address, dut.i.ready, dut.o.valid, dut.o.payload
            )
            memory.step(bool(valid), int(where), 0, 0, 0)
            if left and now >= blocked:
                got.append(int(line))
                times.append(now)
            address += int(taken)
            if now < blocked:
                assert address <= depth
            ctx.set(dut.i.payload, address)
            ctx.set(dut.i.valid, address < count)
            ctx.set(request.ready, memory.request_ready)
            ctx.set(dut.sbuf.response.valid, memory.response_valid)
            ctx.set(dut.sbuf.response.data, memory.response)
            ctx.set(dut.o.ready, now + 1 >= blocked)
            if now == blocked - 1:
                assert address >= depth - 1 and not valid, "full"
        assert not ctx.get(dut.busy)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert got == [int.from_bytes(line.tobytes(), "little") for line in lines[:count]]
    if share == 1:
        assert times == list(range(times[0], times[0] + count)), "a line a cycle"
