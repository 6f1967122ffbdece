"""A board with all of `BOARD_FAULTS` in it, one of which a pin switches on: what the bring-up kit has to find.

All faults are in one design, so that it is built once. A fault is a change of what passes a boundary between two blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.boards.board import Board
from hw.boards.top import BoardTop
from hw.chip import Chip, make_chip
from hw.common.config import ChipConfig
from hw.memory.psum import PsumBanks
from hw.memory.sbuf import Sbuf
from hw.tensor.engine import TensorEngine

from .board_faults import (
    BANK,
    BOARD_FAULTS,
    COLUMN,
    LINE,
    LINE_BIT,
    PSUM_BIT,
    PSUM_COLUMN,
    READ_LANES,
    REGISTER_BIT,
    ROW,
    ROW_OF_ARRAY,
    WRITE_LANES,
)

__all__ = ["FaultyTop"]

#: Edits of what goes in or out of a block, by the path of the member; None leaves it as it is.
Edit = Callable[[tuple[Any, ...], Any], Any]


class _Tapped(wiring.Component):
    """`inner` with `edit(path, value)` instead of each value that goes in or out, where that is not None."""

    def __init__(self, inner: Any, edit: Edit) -> None:
        self._inner, self._edit = inner, edit
        super().__init__(wiring.Signature(dict(inner.signature.members)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = self._inner
        inside = {path: value for path, _, value in self._inner.signature.flatten(self._inner)}
        for path, member, outside in self.signature.flatten(self):
            source, target = (outside, inside[path]) if member.flow is In else (inside[path], outside)
            edited = self._edit(path, source)
            m.d.comb += Value.cast(target).eq(Value.cast(source if edited is None else edited))
        return m


def _swapped(value: Any, lanes: tuple[int, int], on: Value) -> Value:
    """The bytes of `value`, two of them exchanged if `on`."""
    value = Value.cast(value)
    whole = [value.word_select(lane, 8) for lane in range(len(value) // 8)]
    other = {lanes[0]: lanes[1], lanes[1]: lanes[0]}
    return Cat(Mux(on, whole[other.get(lane, lane)], whole[lane]) for lane in range(len(whole)))


def _cleared(value: Any, bits: int, on: Value) -> Value:
    """`value` without the ones in the mask `bits`, if `on`."""
    value = Value.cast(value)
    return Mux(on, value & Const(~bits, len(value)), value)


class FaultyTop(wiring.Component):
    """`BoardTop` with all faults in it that its chip can have.

    Parameters
    ----------
    board : Board

    Members
    -------
    rx, tx, leds : as of `BoardTop`
    fault : In(8)
        Which fault it has, numbered as in `BOARD_FAULTS` from 1 on; 0 is none. May change at any time.
    """

    def __init__(self, *, board: Board) -> None:
        self._board = _FaultyBoard(board=board, faulty=self._is)
        super().__init__({**self._board.signature.members, "fault": In(8)})

    def _is(self, name: str) -> Value:
        pins: Any = self
        return Value.cast(pins.fault == list(BOARD_FAULTS).index(name) + 1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pins: Any = self
        board: Any = self._board
        m.submodules.board = board
        m.d.comb += [board.rx.eq(pins.rx), pins.tx.eq(board.tx), pins.leds.eq(board.leds)]
        return m


class _FaultyBoard(BoardTop):
    """`BoardTop` with the faults at the boundary of its chip."""

    def __init__(self, *, board: Board, faulty: Callable[[str], Value]) -> None:
        super().__init__(board=board)
        self._is = faulty

    def elaborate(self, platform: Any) -> Module:
        # What blocks make of others is replaced while they are elaborated; these blocks are as they are everywhere else.
        with mock.patch("hw.boards.top.make_chip", lambda config: _Tapped(self._make_chip(config), self._chip)):
            return super().elaborate(platform)

    def _make_chip(self, config: ChipConfig) -> Any:
        return _FaultyChip(config=config, faulty=self._is) if config.control == "parallel" else make_chip(config)

    def _chip(self, path: tuple[Any, ...], value: Any) -> Any:
        edits: dict[tuple[Any, ...], Callable[[], Any]] = {
            ("m_axi_rdata",): lambda: _swapped(value, READ_LANES, self._is("read_lanes")),
            ("m_axi_wdata",): lambda: _swapped(value, WRITE_LANES, self._is("write_lanes")),
            ("irq",): lambda: (value & ~self._is("irq_dead")) | self._is("irq_stuck"),
            ("debug", "response", "valid"): lambda: value & ~self._is("debug_silent"),
            ("s_axil_wdata",): lambda: _cleared(value, 1 << REGISTER_BIT, self._is("register_bit")),
        }
        return edits[path]() if path in edits else None


class _FaultyChip(Chip):
    """`Chip` with the faults of its memories and of its array."""

    def __init__(self, *, config: ChipConfig, faulty: Callable[[str], Value]) -> None:
        super().__init__(config=config)
        self._is = faulty

    def elaborate(self, platform: Any) -> Module:
        with (
            mock.patch("hw.chip.Sbuf", lambda config: _Tapped(Sbuf(config=config), self._sbuf)),
            mock.patch("hw.chip.PsumBanks", lambda config: _Tapped(PsumBanks(config=config), self._psum)),
            mock.patch("hw.chip.TensorEngine", lambda config: _Tapped(TensorEngine(config=config), self._tensor)),
        ):
            return super().elaborate(platform)

    def _sbuf(self, path: tuple[Any, ...], value: Any) -> Any:
        """A cell that is always 1, whoever writes it."""
        if path[1:] != ("request", "payload"):
            return None
        stuck = self._is("sbuf_bit") & (value.address == LINE)
        whole = Value.cast(value)
        low = len(whole) - len(value.data) + LINE_BIT
        return whole | Const(1 << low, len(whole)) & stuck.replicate(len(whole))

    def _psum(self, path: tuple[Any, ...], value: Any) -> Any:
        """A cell that is always 0."""
        if path == ("write", "bank"):
            self._bank: Signal = value
        if path == ("write", "row"):
            self._row: Signal = value
        if path != ("write", "data"):
            return None
        here = self._is("psum_bit") & (self._bank == BANK) & (self._row == ROW)
        return _cleared(value, 1 << 32 * PSUM_COLUMN + PSUM_BIT, here)

    def _tensor(self, path: tuple[Any, ...], value: Any) -> Any:
        """A column of the array that gives 0; a lane of the moving operand that stays 0."""
        if path == ("psum", "data"):
            return _cleared(value, 0xFFFFFFFF << 32 * COLUMN, self._is("dead_column"))
        if path == ("sbuf_moving", "response", "data"):
            return _cleared(value, 0xFF << 8 * ROW_OF_ARRAY, self._is("dead_row"))
        return None
