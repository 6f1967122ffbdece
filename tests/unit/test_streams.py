# amaranth: UnusedElaboratable=no
"""`Fifo` under random back-pressure at every depth, `Stage` and `WideStage` alike, and what `connect_streams` refuses."""

from collections import deque

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal, Value, signed, unsigned
from amaranth.lib import data, stream
from amaranth.sim import Simulator

from hw.common.streams import Fifo, Stage, WideStage, connect_streams


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("pace", ["1010", "1", "0111", "1000"])
@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8])
def test_order_flags_and_level(depth, pace):
    """Against a deque, with random sources and a sink that is ready as `pace` says."""
    seed = depth * 31 + len(pace)
    rng = np.random.default_rng(seed)
    dut = Fifo(shape=8, depth=depth)

    async def testbench(ctx):
        model: deque = deque()
        words = 0
        valid, word = False, 0
        for cycle in range(300):
            if not valid:
                valid, word = bool(rng.random() < (0.9 if cycle < 150 else 0.4)), int(rng.integers(256))
            ready = pace[cycle % len(pace)] == "1"
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.payload, word)
            ctx.set(dut.o.ready, ready)
            assert ctx.get(dut.level) == len(model), f"seed {seed}, cycle {cycle}"
            assert ctx.get(dut.i.ready) == (len(model) < depth) and ctx.get(dut.o.valid) == bool(model)
            if model:
                assert ctx.get(dut.o.payload) == model[0], f"seed {seed}, cycle {cycle}"
            accepted = bool(valid and ctx.get(dut.i.ready))
            if model and ready:
                model.popleft()
            if accepted:
                model.append(word)
                valid = False
                words += 1
            await ctx.tick()
        assert words >= 60

    simulate(dut, testbench)


@pytest.mark.parametrize(("depth", "period"), [(1, 2), (2, 1), (3, 1), (8, 1)])
def test_latency_and_throughput(depth, period):
    """A word comes out the cycle after it went in; one a cycle from depth 2, every other cycle at depth 1."""
    dut = Fifo(shape=8, depth=depth)

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        went, came = [], []
        for cycle in range(40):
            if ctx.get(dut.i.ready):
                went.append(cycle)
            if ctx.get(dut.o.valid):
                came.append(cycle)
            await ctx.tick()
        assert set(np.diff(went)) == {period}
        assert came == [cycle + 1 for cycle in went if cycle < 39]

    simulate(dut, testbench)


def test_reset_empties():
    reset = Signal()
    dut = Fifo(shape=8, depth=4)

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        for word in range(3):
            ctx.set(dut.i.payload, word)
            await ctx.tick()
        ctx.set(dut.i.valid, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert ctx.get(dut.level) == 0 and not ctx.get(dut.o.valid)
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, 77)
        await ctx.tick()
        assert ctx.get(dut.o.payload) == 77

    simulate(ResetInserter(reset)(dut), testbench)


def wide_stage():
    """Of octets, the bits in the middle early."""
    return WideStage(shape=data.StructLayout({"low": 3, "middle": 2, "high": 3}), early=("middle",))


def nothing_early():
    return WideStage(shape=data.StructLayout({"low": 8, "none": 0}), early=("none",))


STAGES = pytest.mark.parametrize("make", [lambda: Stage(shape=8), wide_stage, nothing_early], ids=["Stage", "WideStage", "nothing early"])


@STAGES
@pytest.mark.parametrize("pace", ["1010", "1", "0111", "1000"])
def test_stage_order_and_flags(make, pace):
    """Against a deque of two words; what it drives does not depend on what comes in the same cycle."""
    seed = 71 + len(pace)
    rng = np.random.default_rng(seed)
    dut = make()

    async def testbench(ctx):
        model: deque = deque()
        words = 0
        valid, word = False, 0
        for cycle in range(300):
            ready = pace[cycle % len(pace)] == "1"
            for _ in range(2):
                # Twice: with the inputs of the cycle before, then with those of this one.
                assert ctx.get(dut.i.ready) == (len(model) < 2) and ctx.get(dut.o.valid) == bool(model), f"seed {seed}, cycle {cycle}"
                assert not model or ctx.get(Value.cast(dut.o.payload)) == model[0], f"seed {seed}, cycle {cycle}"
                if not valid:
                    valid, word = bool(rng.random() < (0.9 if cycle < 150 else 0.4)), int(rng.integers(256))
                ctx.set(dut.i.valid, valid)
                ctx.set(Value.cast(dut.i.payload), word)
                ctx.set(dut.o.ready, ready)
            accepted = bool(valid and len(model) < 2)
            if model and ready:
                model.popleft()
            if accepted:
                model.append(word)
                valid = False
                words += 1
            await ctx.tick()
        assert words >= 60

    simulate(dut, testbench)


@STAGES
def test_stage_latency_throughput_and_reset(make):
    reset = Signal()
    dut = make()

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        for cycle in range(40):
            assert ctx.get(dut.i.ready) == 1 and ctx.get(dut.o.valid) == (cycle > 0), "a word a cycle, each a cycle later"
            assert cycle == 0 or ctx.get(Value.cast(dut.o.payload)) == cycle - 1
            ctx.set(Value.cast(dut.i.payload), cycle)
            await ctx.tick()
        ctx.set(dut.o.ready, 0)
        await ctx.tick()
        assert ctx.get(dut.i.ready) == 0
        ctx.set(reset, 1)
        await ctx.tick()
        assert ctx.get(dut.i.ready) == 1 and ctx.get(dut.o.valid) == 0

    simulate(ResetInserter(reset)(dut), testbench)


@pytest.mark.parametrize("early", [(), ("middle", "none"), ("low", "middle", "high")])
def test_wide_stage_refuses_names(early):
    with pytest.raises(ValueError, match=r"early must name some members of the payload, but not all, of low, middle, high, not \("):
        WideStage(shape=data.StructLayout({"low": 3, "middle": 2, "high": 3}), early=early)


@pytest.mark.parametrize("depth", [0, -1, 1.5, "4"])
def test_fifo_refuses_a_depth(depth):
    with pytest.raises(ValueError, match="depth must be a positive integer, not"):
        Fifo(shape=8, depth=depth)


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        (unsigned(8), signed(8)),
        (unsigned(8), unsigned(9)),
        (data.StructLayout({"a": 4, "b": 4}), data.StructLayout({"b": 4, "a": 4})),
        (data.StructLayout({"a": 4, "b": 4}), data.StructLayout({"a": 4, "c": 4})),
        (data.StructLayout({"a": unsigned(4)}), data.StructLayout({"a": signed(4)})),
        (data.StructLayout({"a": 8}), unsigned(8)),
    ],
)
def test_connect_refuses_payloads_that_differ(source, sink):
    with pytest.raises(TypeError, match=r"payload shapes must be equal, not .* \(source\) and .* \(sink\)"):
        connect_streams(Module(), stream.Signature(source).create(), stream.Signature(sink).create())


def test_connect_passes_everything():
    layout = data.StructLayout({"a": signed(4), "b": 4})
    first, second = Fifo(shape=layout, depth=2), Fifo(shape=layout, depth=2)
    m = Module()
    m.submodules += [first, second]
    connect_streams(m, first.o, second.i)

    async def testbench(ctx):
        ctx.set(first.i.payload, {"a": -3, "b": 12})
        ctx.set(first.i.valid, 1)
        await ctx.tick()
        ctx.set(first.i.valid, 0)
        await ctx.tick()
        assert ctx.get(second.o.valid) and not ctx.get(first.o.valid)
        assert (ctx.get(second.o.payload.a), ctx.get(second.o.payload.b)) == (-3, 12)

    simulate(m, testbench)
