"""The testbench of the board must fail on a board that does nothing, or answers what it should not."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Module, Signal

from hw.boards.top import BoardTop
from tb.runner import TestbenchError, run_tb
from tb.tb_board_top import BENCH
from tb.vip.host_board import board_of


class DeadBoard(BoardTop):
    """The pins of a board and nothing behind them: the line idles."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Something clocked, so that the module has the clock and reset the testbench drives.
        beat = Signal()
        m.d.sync += beat.eq(~beat ^ self.rx)
        m.d.comb += [self.tx.eq(1), self.leds[0].eq(beat)]
        return m


class EchoingBoard(DeadBoard):
    """Sends back what it receives."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += self.tx.eq(self.rx)
        return m


@pytest.mark.parametrize(
    ("top", "message"), [(DeadBoard, "responses must come within .* octet times, but nothing does"), (EchoingBoard, "must be")]
)
def test_a_dead_board_fails(top: type[BoardTop], message: str) -> None:
    with pytest.raises(TestbenchError, match=message) as error:
        run_tb(
            "board_top", top=lambda config: top(board=board_of(config)), config=BENCH.config("nano"), module=BENCH.module,
            only="full_rate|lost_responses", seed=1,
        )  # fmt: skip
    assert "2 of 2 test(s) failed" in str(error.value)
