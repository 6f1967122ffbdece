"""The testbench of the router must fail on a device that does nothing."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Module, Signal

from hw.noc.router import Router
from tb.runner import TestbenchError, run_tb
from tb.tb_router import BENCH


class DeadRouter(Router):
    """The ports of a router and nothing behind them."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Something clocked, so that the module has the clock and reset the testbench drives.
        beat = Signal()
        m.d.sync += beat.eq(~beat)
        m.d.comb += self.i[0].up.eq(beat)
        for port in (*self.inputs, *self.outputs):
            port._MustUse__used = True
        return m


def test_a_dead_router_fails() -> None:
    with pytest.raises(TestbenchError, match=r"2 of 2 test\(s\) failed") as error:
        run_tb("router", top=lambda config: DeadRouter(config=config), config=BENCH.config("lean"), only="one_cycle|full_rate", seed=1)
    assert "CONFIG=lean SEED=1" in str(error.value)
