# amaranth: UnusedElaboratable=no
"""The load DMA: values, order, latency, throughput, errors, reset."""

from dataclasses import replace

import numpy as np
import pytest

from hw.common.isa import Cause
from hw.control.command import EngineState
from hw.dma.walk import DmaWalk
from tb.vip.axi_ram import Timing

from .dma_bench import DmaBench, command, dma_config, expected_bursts, random_command, walk

CONFIG = dma_config()
WIDE = dma_config(dtypes=("int8", "bf16"), adder_stages=2, accumulator_stages=2, cols=8, rows=8, dma_burst_lines=8, dma_outstanding=3)
PACES = {
    "fast": (Timing(), 1.0, 1.0),
    "slow_bus": (Timing(ready=0.3, valid=0.4, latency=(1, 30)), 1.0, 1.0),
    "slow_sbuf": (Timing(latency=(5, 9)), 0.35, 1.0),
    "all_random": (Timing(ready=0.6, valid=0.7, latency=(1, 25)), 0.7, 0.3),
}


def run(commands, *, config=CONFIG, seed=1, timing=None, sbuf=1.0, offer=1.0, **options):
    """A run without errors, checked in full: memories, order of writes, bursts, done pulses."""
    bench = DmaBench("Load", config=config, seed=seed, timing=timing, sbuf=sbuf, offer=offer)
    dram, lines = bench.golden(commands)
    outcome = bench.run(commands, **options)
    np.testing.assert_array_equal(bench.lines, lines, f"seed {seed}")
    np.testing.assert_array_equal(bench.dram, dram, f"seed {seed}")
    assert [address for _, address, _ in bench.sbuf.accesses] == [int(line) for values in commands for line in walk(values)[0]], (
        f"seed {seed}"
    )
    assert [request[1:] for request in bench.ram.requests] == expected_bursts(config, commands), f"seed {seed}"
    # Each done pulse comes in the cycle after its instruction's last line was taken.
    ends = np.cumsum([len(walk(values)[0]) for values in commands]) - 1
    assert outcome.done == [bench.sbuf.accesses[end][0] for end in ends], f"seed {seed}"
    assert not outcome.errors
    return bench, outcome


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("config", [CONFIG, WIDE, replace(CONFIG, dma_outstanding=1, dma_burst_lines=1)], ids=["int8", "bf16", "least"])
def test_random(config, pace):
    timing, sbuf, offer = PACES[pace]
    seed = 11
    rng = np.random.default_rng(seed)
    commands = [random_command(rng, config, most=30) for _ in range(6 if config.dma_outstanding > 1 else 3)]
    bench, _ = run(commands, config=config, seed=seed, timing=timing, sbuf=sbuf, offer=offer)
    assert bench.ram.most_in_flight <= config.dma_outstanding


@pytest.mark.parametrize("burst_lines", [16, 256])
def test_page_crossings(burst_lines):
    """A burst ends at the page from whichever line before it starts."""
    config = replace(CONFIG, dma_burst_lines=burst_lines)
    run([command(3, 4096 - 4 * offset, (19, 1, 4)) for offset in range(18)], config=config)


def test_full_rate_contiguous():
    """Back-to-back instructions with DRAM latency: after the first line, one line in every cycle."""
    commands = [command(0, 64 * index, (48, 1, 4), (2, 48, 192)) for index in range(4)]
    bench, outcome = run(commands, timing=Timing(latency=(40, 40)))
    cycles = [cycle for cycle, _, _ in bench.sbuf.accesses]
    assert cycles == list(range(cycles[0], cycles[0] + 4 * 96)), "a line a cycle"
    assert sum(state == EngineState.BUSY.value for state in outcome.states) == 4 * 96
    assert bench.ram.most_in_flight > 2


def test_full_rate_single_beats():
    """Scattered lines: one address request and one line in every cycle, over instructions too."""
    config = replace(CONFIG, dma_outstanding=16)
    commands = [command(64 * index, 64 * index, (32, 1, 128), (2, 32, 4)) for index in range(3)]
    bench, _ = run(commands, config=config, timing=Timing(latency=(9, 9)))
    requests = [cycle for cycle, _, _ in bench.ram.requests]
    lines = [cycle for cycle, _, _ in bench.sbuf.accesses]
    assert len(requests) == 3 * 64
    assert requests == list(range(requests[0], requests[0] + 3 * 64)), "an address a cycle"
    assert lines == list(range(lines[0], lines[0] + 3 * 64)), "a line a cycle"


def test_small_instructions_overlap():
    """Bursts of later instructions are asked for while data of earlier ones is to come, up to the limit."""
    commands = [command(4 * index, 64 * index, (4, 1, 4)) for index in range(20)]
    bench, outcome = run(commands, timing=Timing(latency=(30, 30)))
    assert bench.ram.most_in_flight == CONFIG.dma_outstanding
    assert outcome.done[-1] < 20 / 8 * 36 + 40, "eight bursts in flight share the latency"


def test_latency():
    bench, outcome = run([command(5, 256, (3, 1, 4))])
    # The request is accepted in the cycle in which it is first seen: the memory is always ready.
    assert bench.ram.requests[0][0] - 1 - outcome.accepted[0] == 8
    assert bench.sbuf.accesses[0][0] - 1 == bench.ram.beats[0], "beats reach SBUF in the cycle after their arrival"
    assert outcome.done == [bench.sbuf.accesses[-1][0]]
    assert outcome.states[-1] == EngineState.IDLE.value


@pytest.mark.parametrize("shape", [
    [(1, 0, 0)], [(1, 7, -8), (1, -3, 64)], [(13, 1, 0)], [(13, 0, 4)], [(7, -1, -4)], [(17, 1, 4), (3, 17, 68)],
    [(2, 1, 4), (2, 2, 8), (2, 4, 16), (2, 8, 32)], [(1, 0, 0), (11, 1, 4)], [(5, -2, 8), (3, 30, -4), (2, 1, 400)],
], ids=str)  # fmt: skip
def test_shapes(shape):
    run([command(100, 4000, *shape)], timing=Timing(latency=(2, 6), valid=0.8), sbuf=0.8)


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("at", [0, 1, 15, 16, 40, 59])
def test_error(at, resp):
    """The beat with the error and all after it are not written; the burst is named; a start brings the engine back."""
    first = [command(0, 512, (20, 1, 4)), command(20, 1024, (60, 1, 4)), command(100, 2048, (30, 1, 4))]
    culprit = 1024 + 4 * at
    bench = DmaBench("Load", config=CONFIG, seed=at, timing=Timing(latency=(3, 12), valid=0.8, ready=0.7), sbuf=0.7,
                     fault=lambda address: resp if address == culprit else 1)  # fmt: skip
    before = bench.lines.copy()
    _, good = bench.golden(first)
    outcome = bench.run(first)
    expected = before.copy()
    expected[: 20 + at] = good[: 20 + at]
    np.testing.assert_array_equal(bench.lines, expected)
    assert [error[1:] for error in outcome.errors] == [(Cause.READ_ERROR, 1024 + at // 16 * 64)]
    assert len(outcome.done) == 1 and outcome.done[0] < outcome.errors[0][0]
    assert outcome.states[-1] == EngineState.IDLE.value, "all drained"


@pytest.mark.parametrize("sbuf", [1.0, 0.3])
@pytest.mark.parametrize("stride", [4, 8], ids=["bursts", "single"])
@pytest.mark.parametrize("at", [0, 1, 14, 15, 16, 17, 47])
def test_error_address(at, stride, sbuf):
    """Beats in every cycle, all with errors from one on: the burst of that one is named, whether it ends it or begins it behind another's end."""
    values = command(0, 1024, (48, 1, stride))
    bench = DmaBench("Load", config=CONFIG, seed=at, timing=Timing(latency=(20, 20)), sbuf=sbuf,
                     fault=lambda address: 2 * (address >= 1024 + stride * at))  # fmt: skip
    expected = bench.lines.copy()
    expected[:at] = bench.golden([values])[1][:at]
    outcome = bench.run([values])
    np.testing.assert_array_equal(bench.lines, expected)
    start = at // 16 * 16 if stride == 4 else at
    assert [error[1:] for error in outcome.errors] == [(Cause.READ_ERROR, 1024 + stride * start)]
    # The models count the cycle after the one in which a transfer is made; SBUF takes the line before in the cycle after it.
    written = bench.sbuf.accesses[-1][0] if at else 0
    assert outcome.errors[0][0] == max(bench.ram.beats[at], written) + 1
    assert not outcome.done and outcome.states[-1] == EngineState.IDLE.value, "all drained"


def test_stops_until_start():
    culprit = 1024 + 12
    bench = DmaBench("Load", config=CONFIG, seed=4, timing=Timing(latency=(20, 20)), fault=lambda address: 2 * (address == culprit))
    commands = [command(0, 1024, (16, 1, 4)), command(16, 2048, (16, 1, 4))] + [
        command(32 + index, 4 * index, (1, 0, 0)) for index in range(14)
    ]
    outcome = bench.run(commands)
    assert not outcome.done and len(outcome.accepted) < len(commands), "takes nothing after the error"
    # The same again, but with a start: the commands dropped stay so, the others are executed.
    dropped = len(outcome.accepted)
    resumed = DmaBench("Load", config=CONFIG, seed=4, timing=Timing(latency=(20, 20)), fault=lambda address: 2 * (address == culprit))
    _, lines = resumed.golden(commands[dropped:])
    outcome = resumed.run(commands, restart=50, done=len(commands) - dropped)
    left = [line for values in commands[dropped:] for line in walk(values)[0]]
    np.testing.assert_array_equal(resumed.lines[left], lines[left])
    assert outcome.accepted[dropped] > outcome.errors[0][0] + 40 and len(outcome.errors) == 1


def test_reset():
    """A reset in the middle of things leaves nothing behind."""
    rng = np.random.default_rng(5)
    commands = [random_command(rng, CONFIG, most=30) for _ in range(4)]
    for reset_at in (4, 20, 47):
        bench = DmaBench("Load", config=CONFIG, seed=reset_at, timing=Timing(latency=(1, 12), valid=0.7), sbuf=0.8)
        _, lines = bench.golden(commands)
        outcome = bench.run(commands, reset_at=reset_at)
        assert len(outcome.done) == len(commands)
        np.testing.assert_array_equal(
            bench.lines[[i for c in commands for i in walk(c)[0]]], lines[[i for c in commands for i in walk(c)[0]]]
        )


def test_name():
    with pytest.raises(ValueError, match="name must be Load or Store, not 'Move'"):
        DmaWalk(config=CONFIG, name="Move")
