# amaranth: UnusedElaboratable=no
"""The burst splitter against the golden list of bursts; latency and rate; the burst tracker's limit."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.dma.axi import burst_limit
from hw.dma.bursts import BurstSplitter
from hw.dma.tracker import BurstTracker
from sim.golden.dma import bursts, pattern_addresses

from .dma_bench import dma_config

CONFIG = dma_config()
BUSES = {
    "4": CONFIG,
    "4x256": replace(CONFIG, dma_burst_lines=256),
    "16": dma_config(rows=16, cols=16, axi_address_width=40, dma_burst_lines=64),
    "64": dma_config(rows=64, cols=64, dma_burst_lines=256),
    "1 beat": replace(CONFIG, dma_burst_lines=1),
}


def simulate(dut, bench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def split(config: ChipConfig, patterns, *, ready=1.0, offer=1.0, seed=1):
    """Feeds (base, sizes, strides) in lines; returns [(cycle, address, beats, last)] and the cycles in which patterns were taken."""
    rng, dut = np.random.default_rng(seed), BurstSplitter(config=config)
    total, result, taken = len(patterns), [], []

    async def bench(ctx):
        offering, is_ready, held, ended, now = False, False, None, 0, 0
        while ended < total:
            out = dut.o.payload
            _, _, i_ready, valid, address, length, last = await ctx.tick().sample(
                dut.i.ready, dut.o.valid, out.address, out.length, out.last
            )
            burst = (int(address), int(length) + 1, int(last))
            assert held is None or (valid and burst == held), f"burst must hold until ready (seed {seed})"
            held = burst if valid and not is_ready else None
            if valid and is_ready:
                result.append((now, *burst))
                ended += burst[2]
            if offering and i_ready:
                taken.append(now)
                offering = False
            if not offering and len(taken) < total and rng.random() < offer:
                base, sizes, strides = patterns[len(taken)]
                contiguous = int(strides[0] == 1)
                ctx.set(dut.i.payload, {"base": base, "sizes": list(sizes), "strides": list(strides), "is_contiguous": contiguous})
                offering = True
            ctx.set(dut.i.valid, offering)
            is_ready = bool(rng.random() < ready)
            ctx.set(dut.o.ready, is_ready)
            now += 1
            assert now < 20000, f"{ended} of {total} patterns after {now} cycles (seed {seed})"
        _, _, busy = await ctx.tick().sample(dut.busy)
        assert not busy

    simulate(dut, bench)
    return result, taken


def check(config, patterns, **options):
    result, taken = split(config, patterns, **options)
    expected = []
    for base, sizes, strides in patterns:
        size = config.line_bytes
        listed = [(int(a), int(b), 0) for a, b in bursts(pattern_addresses(base * size, sizes, [size * s for s in strides]), config=config)]
        expected += [*listed[:-1], (*listed[-1][:2], 1)]
    assert [item[1:] for item in result] == expected
    return [item[0] for item in result], taken


@pytest.mark.parametrize("ready,offer", [(1.0, 1.0), (0.4, 1.0), (1.0, 0.2), (0.7, 0.7)])
@pytest.mark.parametrize("bus", BUSES)
def test_random(bus, ready, offer):
    config, seed = BUSES[bus], 21
    rng = np.random.default_rng(seed)
    patterns = []
    for _ in range(12):
        sizes = [int(rng.choice([1, 2, 3, 5, 17, 70], p=[0.35, 0.2, 0.15, 0.15, 0.1, 0.05])) for _ in range(4)]
        while np.prod(sizes) > 150:
            sizes[int(rng.integers(4))] = 1
        strides = [int(rng.integers(-200, 201)) for _ in range(4)]
        # Often contiguous in dimension 0, sometimes through the next ones too.
        for dim in range(int(rng.integers(5))):
            strides[dim] = int(np.prod(sizes[:dim]))
        lines = pattern_addresses(0, sizes, strides)
        patterns.append((int(rng.integers(-lines.min(), 4000)), sizes, strides))
    check(config, patterns, ready=ready, offer=offer, seed=seed)


@pytest.mark.parametrize("bus", ["4", "4x256"])
def test_page_crossings(bus):
    """Runs of a prime length from every line before a page's end."""
    page = 4096 // CONFIG.line_bytes
    check(BUSES[bus], [(page - offset, (61, 1, 1, 1), (1, 0, 0, 0)) for offset in range(65)])


def test_wrapped_sizes():
    """The longest dimension and one burst more than a run: counts at the top of their width."""
    config = BUSES["4x256"]
    check(config, [(0, (65535, 1, 1, 1), (1, 0, 0, 0)), (0, (1, 257, 1, 1), (0, 1, 0, 0)), (5, (255, 257, 1, 1), (1, 255, 0, 0))])


@pytest.mark.parametrize("ready", [1.0, 0.3])
def test_patterns_stay_apart(ready):
    """A pattern that goes on where the one before it ends begins a burst of its own."""
    check(CONFIG, [(5 * index, (5, 1, 1, 1), (1, 0, 0, 0)) for index in range(12)], ready=ready)
    check(CONFIG, [(index, (1, 1, 1, 1), (0, 0, 0, 0)) for index in range(12)], ready=ready)


def test_rate_and_latency():
    scattered = [(100 * index, (20, 2, 1, 1), (2, 41, 0, 0)) for index in range(3)]
    cycles, taken = check(CONFIG, scattered)
    assert cycles == list(range(cycles[0], cycles[0] + 120)), "one burst a cycle"
    assert cycles[0] - taken[0] == 4
    whole = [(16 * index, (32, 1, 1, 1), (1, 0, 0, 0)) for index in range(8)]
    cycles, taken = check(CONFIG, whole)
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles))), "one burst a cycle over patterns"
    assert cycles[0] - taken[0] == 4


def test_limit():
    assert [burst_limit(config) for config in BUSES.values()] == [16, 256, 64, 64, 1]


@pytest.mark.parametrize("outstanding", [1, 2, 5, 8])
def test_tracker(outstanding):
    """Never more in flight than allowed, order kept, an offer withdrawn leaves no trace, the address channel holds."""
    config, seed = replace(CONFIG, dma_outstanding=outstanding), 7
    rng, dut = np.random.default_rng(seed), BurstTracker(config=config)

    async def bench(ctx):
        offered, taken, requested, ended, held, ready, most = 0, [], [], 0, None, False, 0
        popping = False
        for _ in range(400):
            request, oldest = dut.request.payload, dut.oldest.payload
            _, _, i_ready, valid, address, length, waits, first, last = await ctx.tick().sample(
                dut.i.ready, dut.request.valid, request.address, request.length, dut.oldest.valid, oldest.address, oldest.last
            )
            if offered and i_ready:
                taken.append(offered)
            assert held is None or (valid and (address, length) == held), f"address channel must hold (seed {seed})"
            held = (address, length) if valid and not ready else None
            if valid and ready:
                requested.append((int(address), int(length)))
            if waits:
                assert (first, last) == (taken[ended], taken[ended] // 4 % 2), f"oldest first (seed {seed})"
                ended += popping
            most = max(most, len(taken) - ended)
            offered = 4 * int(rng.integers(1, 1000)) if rng.random() < 0.7 else 0
            ready = bool(rng.random() < 0.6)
            # Only what the bus has taken is answered.
            popping = len(requested) > ended and bool(rng.random() < 0.5)
            ctx.set(dut.i.payload, {"address": offered, "length": offered % 16, "last": offered // 4 % 2})
            ctx.set(dut.i.valid, offered != 0)
            ctx.set(dut.request.ready, ready)
            ctx.set(dut.oldest.ready, popping)
        assert most == outstanding, f"seed {seed}"
        assert ended > 40 and [item[0] for item in requested] == taken[: len(requested)] and len(taken) - len(requested) <= 2

    simulate(dut, bench)
