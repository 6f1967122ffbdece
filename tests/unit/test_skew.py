# amaranth: UnusedElaboratable=no
"""Unit tests of hw.tensor.skew: every lane on its cycle, and the two undo each other."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.lib import data
from amaranth.sim import Simulator

from hw.tensor.skew import Deskew, Skew

WIDTH = 9
CYCLES = 60


def run(top: Any, port_in: Any, port_out: Any, lanes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """New random words on every lane every cycle; returns what went in and came out, [cycle, lane]."""
    words = np.random.default_rng(seed).integers(0, 1 << WIDTH, (CYCLES, lanes))
    got = np.zeros_like(words)

    async def bench(ctx: Any) -> None:
        for cycle in range(CYCLES):
            for lane in range(lanes):
                ctx.set(port_in[lane], int(words[cycle, lane]))
            got[cycle] = [ctx.get(port_out[lane]) for lane in range(lanes)]
            await ctx.tick()

    m = Module()
    m.domains.sync = ClockDomain()  # a single lane is a wire and has none of its own
    m.submodules.top = top
    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return words, got


@pytest.mark.parametrize(("lanes", "step"), [(1, 1), (2, 1), (5, 1), (4, 3), (3, 6)])
@pytest.mark.parametrize("kind", [Skew, Deskew])
def test_lanes_are_delayed(kind: Any, lanes: int, step: int) -> None:
    dut = kind(width=WIDTH, lanes=lanes, step=step)
    words, got = run(dut, dut.i, dut.o, lanes, seed=lanes)
    for lane in range(lanes):
        delay = (lane if kind is Skew else lanes - 1 - lane) * step
        assert dut.delay(lane) == delay
        np.testing.assert_array_equal(got[delay:, lane], words[: CYCLES - delay, lane], err_msg=f"lane {lane}, seed {lanes}")
    assert dut.span == (lanes - 1) * step


def test_deskew_lines_up_what_skew_spread() -> None:
    lanes, step = 4, 2
    m = Module()
    m.submodules.skew = skew = Skew(width=WIDTH, lanes=lanes, step=step)
    m.submodules.deskew = deskew = Deskew(width=WIDTH, lanes=lanes, step=step)
    port = Signal(data.ArrayLayout(WIDTH, lanes))
    m.d.comb += [skew.i.eq(port), deskew.i.eq(skew.o)]
    words, got = run(m, port, deskew.o, lanes, seed=1)
    np.testing.assert_array_equal(got[skew.span :], words[: CYCLES - skew.span], err_msg="seed 1")


@pytest.mark.parametrize("name", ["width", "lanes", "step"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
@pytest.mark.parametrize("kind", [Skew, Deskew])
def test_parameters_are_checked(kind: Any, name: str, value: Any) -> None:
    parameters: dict[str, Any] = {"width": 8, "lanes": 2, "step": 1, name: value}
    with pytest.raises(ValueError, match=rf"^{name} must be a positive integer, not {value!r}$"):
        kind(**parameters)
