"""The smallest board that all rungs of the bring-up run on, with a fault or without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from hw.common.config import CONFIGS, ChipConfig
from sim.board_faults import BOARD_FAULTS
from sim.verilated.board import SimulatedBoard, simulated_board

CONFIG = ChipConfig(
    name="tiny", rows=4, cols=4, sbuf_banks=1, sbuf_bank_lines=4096, psum_rows=16, psum_banks=2, dma_burst_lines=16, dma_outstanding=2,
    queue_depth=4, axi_address_width=20, semaphores=8,
)  # fmt: skip
MEMORY_BYTES = 1 << 15


@contextmanager
def faulty_board(fault: str, **options: Any) -> Iterator[SimulatedBoard]:
    """A simulated board that has this fault, in operation; options go to `SimulatedBoard`. Its configuration is one of those that are known."""
    with (
        SimulatedBoard(simulated_board(CONFIG, memory_bytes=MEMORY_BYTES), fault=fault, **options) as simulated,
        mock.patch.dict(CONFIGS, {CONFIG.name: CONFIG}),
    ):
        yield simulated


@contextmanager
def sound_board(**options: Any) -> Iterator[SimulatedBoard]:
    """The same design without a fault: none of those in it is switched on."""
    with faulty_board(next(iter(BOARD_FAULTS)), **options) as simulated:
        simulated.set_fault("")
        yield simulated
