# amaranth: UnusedElaboratable=no
"""The memories of `small` on ECP5: block RAM where they are large, LUT RAM where they are short, flip-flops never."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.common.config import ChipConfig
from hw.common.streams import Fifo
from hw.control.decode import fetched_layout
from hw.memory.bank import Bank
from hw.memory.psum import PsumBanks
from sim.synthesis import FLOWS, synthesise
from sim.verilog import emit

SMALL = ChipConfig.named("small")
#: Data bits of a DP16KD of 512 words, of a DPR16X4 of 16.
BLOCK_BITS, LUT_RAM_BITS = 36, 4


def sbuf_bank() -> wiring.Component:
    return Bank(depth=SMALL.sbuf_bank_lines // SMALL.element_bytes, lines=SMALL.element_bytes, line_width=8 * SMALL.line_bytes)


def psum_banks() -> wiring.Component:
    return PsumBanks(config=replace(SMALL, psum_banks=2))


def instruction_queue() -> wiring.Component:
    return Fifo(shape=fetched_layout("load"), depth=SMALL.queue_depth)


class Slow(wiring.Component):
    """What must not be mistaken for a block RAM: a memory that is read at once, and cleared."""

    i: In(8)
    o: Out(8)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        words = Array(Signal(8, name=f"word{index}") for index in range(16))
        m.d.sync += [words[self.i[:4]].eq(self.i), self.o.eq(words[self.i[4:]])]
        return m


def cells_of(make: Callable[[], wiring.Component], name: str, folder: Any) -> Any:
    return synthesise(name, emit(make(), name=name, initial_values=False), FLOWS["ecp5"], folder=folder).cells


@pytest.mark.parametrize(
    ("make", "blocks", "lut_rams", "registers"),
    [
        # 64 bits of 2048 words: 9 bits a block of that depth; the block's own register is the output.
        (sbuf_bank, -(-8 * SMALL.line_bytes // (BLOCK_BITS // 4)), 0, 0),
        # All banks' rows of 256 bits lie in one block's depth, and that again for the reader. Registers are those of the pipeline: not one word of
        # storage (64 rows of 256 bits).
        (psum_banks, 2 * -(-32 * SMALL.cols // BLOCK_BITS), 0, 6 * 32 * SMALL.cols + 200),
        # An instruction and its error bit; the registers are the pointers and the level.
        (instruction_queue, 0, -(-(8 * 64 + 1) // LUT_RAM_BITS), 16),
    ],
    ids=["sbuf bank", "psum", "instruction queue"],
)
def test_memories_are_made_of_memory(make: Any, blocks: int, lut_rams: int, registers: int, tmp_path: Any) -> None:
    cells = cells_of(make, make.__name__, tmp_path)
    assert (cells["DP16KD"], cells["TRELLIS_DPR16X4"]) == (blocks, lut_rams), cells
    assert cells["TRELLIS_FF"] <= registers, cells


def test_a_memory_of_flip_flops_is_noticed(tmp_path: Any) -> None:
    """The measure itself: registers that are read at once show as flip-flops, not as memory."""
    cells = cells_of(Slow, "slow", tmp_path)
    assert (cells["DP16KD"], cells["TRELLIS_DPR16X4"]) == (0, 0)
    assert cells["TRELLIS_FF"] >= 16 * 8
