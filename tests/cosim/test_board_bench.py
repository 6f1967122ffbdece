"""The testbench of the board must fail on a board that does nothing, or answers what it should not."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.boards import clocking
from hw.boards.board import LEDS, Board
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


class Unclocked(clocking.FamilyTop):
    """The top of a family whose PLL is a wire, locked while there is no reset."""

    FAMILY = "ecp5"
    EXTRA = {"locked": In(1)}

    def clock(self, m: Module, clock: Signal, locked: Signal) -> None:
        m.d.comb += [clock.eq(self.oscillator), locked.eq(self.locked)]


class WholeBoard(wiring.Component):
    """What a bitstream holds but for the PLL, between the pins of the testbench: the chip is in a clock domain of its own."""

    def __init__(self, *, board: Board) -> None:
        self._board = board
        super().__init__({"clk": In(1), "rst": In(1), "rx": In(1, init=1), "tx": Out(1, init=1), "leds": Out(LEDS)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.top = top = Unclocked(board=self._board, inner=BoardTop(board=self._board, domain="chip"))
        m.d.comb += [
            top.oscillator.eq(self.clk), top.locked.eq(~self.rst), top.rx.eq(self.rx), self.tx.eq(top.tx), self.leds.eq(top.leds),
        ]  # fmt: skip
        return m


def test_the_chip_in_a_domain_of_its_own_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocking, "PowerOnReset", partial(clocking.PowerOnReset, cycles=2))
    result = run_tb(
        "board_top", top=lambda config: WholeBoard(board=board_of(config)), config=BENCH.config("nano"), module=BENCH.module,
        only="identity|product|reset_register", seed=1,
    )  # fmt: skip
    assert len(result.tests) == 5
