"""What the compact chip's datapath becomes on each family: memories are memories, products are the family's multipliers."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.lib import wiring

from hw.common.config import ChipConfig
from hw.compact.datapath import Datapath
from hw.compact.psum import CompactPsum
from hw.compact.sbuf import CompactSbuf
from sim.synthesis import FLOWS, synthesise
from sim.verilog import emit

NANO = ChipConfig.named("nano")


def cells(component: wiring.Component, family: str, folder: Path) -> Counter[str]:
    return synthesise("dut", emit(component, name="dut", initial_values=False), FLOWS[family], folder=folder).cells


def flip_flops(found: Counter[str]) -> int:
    return sum(count for name, count in found.items() if name.startswith(("SB_DFF", "DFF", "TRELLIS_FF")))


def test_ice40(tmp_path: Path) -> None:
    """The whole of it: SBUF in two SPRAMs, PSUM in eight block RAMs, biases and scale words in two, sixteen products in eight DSPs."""
    found = cells(Datapath(config=replace(NANO, multiplier="ice40")), "ice40", tmp_path)
    assert (found["SB_SPRAM256KA"], found["SB_RAM40_4K"], found["SB_MAC16"]) == (2, 10, 8), found
    # Of the 1,166 bits without the memories three quarters are the array's. A bypass around PSUM alone would be 266 more.
    assert flip_flops(found) < 1300, found
    assert found["SB_LUT4"] < 1300, found


@pytest.mark.parametrize(("family", "block", "memory", "count"), [
    ("ecp5", CompactSbuf, "DP16KD", 32),
    ("ecp5", CompactPsum, "DP16KD", 4),
    ("gowin", CompactSbuf, "SP", 32),
])  # fmt: skip
def test_memories(family: str, block: type[wiring.Component], memory: str, count: int, tmp_path: Path) -> None:
    """Block RAM and next to no flip-flops."""
    # All blocks of the list take `config`; their common base does not.
    found = cells(block(config=NANO), family, tmp_path)  # type: ignore[call-arg]
    assert found[memory] == count, found
    assert flip_flops(found) <= 1, found


def test_gowin(tmp_path: Path) -> None:
    """The whole of it with the SBUF of 16 KiB that leaves room on a GW1NR-9."""
    found = cells(Datapath(config=replace(NANO, multiplier="gowin", sbuf_bank_lines=4096)), "gowin", tmp_path)
    assert (found["SP"], found["SDPX9B"], found["MULT9X9"]) == (8, 4, 16), found
    assert flip_flops(found) < 1600, found
