"""A board with faults in it, one of which a register switches on: what the bring-up kit has to find.

All faults are in one design, so that it is built once. A fault is a change of what passes a boundary between two blocks.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.boards.board import Board
from hw.boards.top import BoardTop
from hw.chip import Chip
from hw.common.config import CONFIGS, ChipConfig
from hw.debug.self_test import SelfTest
from hw.host.protocol import SELF_TEST_BASE, Space
from hw.memory.psum import PsumBanks
from hw.memory.sbuf import Sbuf
from hw.tensor.engine import TensorEngine
from sim.verilated import toolchain
from sim.verilated.board import OPTIONS, SimulatedBoard, simulated_board
from sim.verilated.build import build_library
from sim.verilated.cache import BuildCache
from sim.verilated.design import source_texts
from sim.verilog import emit
from sw.runtime.board import board_link

#: The smallest parallel chip that all rungs run on.
CONFIG = ChipConfig(
    name="tiny", rows=4, cols=4, sbuf_banks=1, sbuf_bank_lines=4096, psum_rows=16, psum_banks=2, dma_burst_lines=16, dma_outstanding=2,
    queue_depth=4, axi_address_width=20, semaphores=8,
)  # fmt: skip
MEMORY_BYTES = 1 << 15
#: Places of the faults.
LINE, LINE_BIT, COLUMN, BANK, ROW, PSUM_COLUMN, PSUM_BIT, ROW_OF_ARRAY = 297, 13, 3, 1, 5, 2, 9, 1
FAULTS = (
    "none",
    "sbuf_bit",
    "dead_column",
    "dead_row",
    "psum_bit",
    "read_lanes",
    "write_lanes",
    "irq_dead",
    "irq_stuck",
    "debug_silent",
    "register_bit",
)
#: Register of the self-test block that switches faults on: it has none of its own there.
SELECT = 63


class Tapped(wiring.Component):
    """`inner` with `edit(path, value)` instead of each value that goes in or out, where that is not None."""

    def __init__(
        self, inner: Any, edit: Callable[[tuple[Any, ...], Any], Any], *, extra: Callable[[Module, Any], None] | None = None
    ) -> None:
        self._inner, self._edit, self._extra = inner, edit, extra
        super().__init__(wiring.Signature(dict(inner.signature.members)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = self._inner
        inside = {path: value for path, _, value in self._inner.signature.flatten(self._inner)}
        for path, member, outside in self.signature.flatten(self):
            source, target = (outside, inside[path]) if member.flow is In else (inside[path], outside)
            edited = self._edit(path, source)
            m.d.comb += Value.cast(target).eq(Value.cast(source if edited is None else edited))
        if self._extra is not None:
            self._extra(m, self)
        return m


def swapped(value: Any, low: int, high: int, on: Any) -> Value:
    """The bytes of `value`, two of them exchanged if `on`."""
    value = Value.cast(value)
    lanes = [value.word_select(lane, 8) for lane in range(len(value) // 8)]
    other = {low: high, high: low}
    return Cat(Mux(on, lanes[other.get(lane, lane)], lanes[lane]) for lane in range(len(lanes)))


def cleared(value: Any, bits: int, on: Any) -> Value:
    """`value` without the ones in the mask `bits`, if `on`."""
    value = Value.cast(value)
    return Mux(on, value & Const(~bits, len(value)), value)


class FaultyTop(BoardTop):
    """`BoardTop` with all faults in it."""

    def __init__(self, *, board: Board) -> None:
        super().__init__(board=board)
        # Kept through the board's RESET, which everybody begins with.
        self._fault = Signal(range(len(FAULTS)), reset_less=True)

    def _is(self, name: str) -> Value:
        return self._fault == FAULTS.index(name)

    def elaborate(self, platform: Any) -> Module:
        def select(m: Module, block: Any) -> None:
            with m.If(block.registers.write & (block.registers.address == SELECT)):
                m.d.sync += self._fault.eq(block.registers.value)

        with (
            mock.patch("hw.boards.top.make_chip", lambda config: Tapped(FaultyChip(config=config, faulty=self._is), self._chip)),
            mock.patch("hw.boards.top.SelfTest", lambda config: Tapped(SelfTest(config=config), lambda path, value: None, extra=select)),
        ):
            return super().elaborate(platform)

    def _chip(self, path: tuple[Any, ...], value: Any) -> Any:
        edits: dict[tuple[Any, ...], Callable[[], Any]] = {
            ("m_axi_rdata",): lambda: swapped(value, 1, 2, self._is("read_lanes")),
            ("m_axi_wdata",): lambda: swapped(value, 0, 3, self._is("write_lanes")),
            ("irq",): lambda: (value & ~self._is("irq_dead")) | self._is("irq_stuck"),
            ("debug", "response", "valid"): lambda: value & ~self._is("debug_silent"),
            # Bit 6 of whatever is written to a register is lost.
            ("s_axil_wdata",): lambda: cleared(value, 1 << 6, self._is("register_bit")),
        }
        return edits[path]() if path in edits else None


class FaultyChip(Chip):
    """`Chip` with the faults of its memories and of its array."""

    def __init__(self, *, config: ChipConfig, faulty: Callable[[str], Value]) -> None:
        super().__init__(config=config)
        self._is = faulty

    def elaborate(self, platform: Any) -> Module:
        with (
            mock.patch("hw.chip.Sbuf", lambda config: Tapped(Sbuf(config=config), self._sbuf)),
            mock.patch("hw.chip.PsumBanks", lambda config: Tapped(PsumBanks(config=config), self._psum)),
            mock.patch("hw.chip.TensorEngine", lambda config: Tapped(TensorEngine(config=config), self._tensor)),
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
            self._bank = value
        if path == ("write", "row"):
            self._row = value
        if path != ("write", "data"):
            return None
        here = self._is("psum_bit") & (self._bank == BANK) & (self._row == ROW)
        return cleared(value, 1 << 32 * PSUM_COLUMN + PSUM_BIT, here)

    def _tensor(self, path: tuple[Any, ...], value: Any) -> Any:
        """A column of the array that gives 0; a lane of the moving operand that stays 0."""
        if path == ("psum", "data"):
            return cleared(value, 0xFFFFFFFF << 32 * COLUMN, self._is("dead_column"))
        if path == ("sbuf_moving", "response", "data"):
            return cleared(value, 0xFF << 8 * ROW_OF_ARRAY, self._is("dead_row"))
        return None


@functools.cache
def faulty_library() -> Path:
    """The one build for all faults."""
    board, name = simulated_board(CONFIG, memory_bytes=MEMORY_BYTES), "meshium_faulty_board"
    parts = {"faulty board": Path(__file__).read_text(), "board": repr(board), **source_texts()}

    def write(folder: Path) -> None:
        (folder / "board.v").write_text(emit(FaultyTop(board=board), name=name, initial_values=False))

    folder = BuildCache(root=toolchain.build_root() / "verilog-cache").get(parts, write, label="Verilog of the faulty board")
    verilog = {f"{name}.v": (folder / "board.v").read_text()}
    return build_library(verilog, top=name, harness=["board.cpp"], options=OPTIONS)


@contextmanager
def faulty_board(fault: str = "none", **options: Any) -> Iterator[SimulatedBoard]:
    """A simulated board that has this fault, powered up; options go to `SimulatedBoard`. Its configuration is one of those that are known."""
    board = simulated_board(CONFIG, memory_bytes=MEMORY_BYTES)
    library = faulty_library()
    with mock.patch("sim.verilated.board.board_library", lambda *_, **__: library):
        simulated = SimulatedBoard(board, **options)
    with simulated, mock.patch.dict(CONFIGS, {CONFIG.name: CONFIG}):
        with board_link(f"board:{simulated.port}") as link:
            link.write(Space.BOARD, SELF_TEST_BASE + 4 * SELECT, [FAULTS.index(fault)])
        yield simulated
