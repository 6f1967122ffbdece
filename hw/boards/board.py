"""What a board is: its FPGA, its clock, and the chip and host link that are put on it. The boards there are: hw/boards/boards.py."""

from __future__ import annotations

from dataclasses import dataclass

from ..common.config import ChipConfig

#: Families of FPGA there is a flow for.
FAMILIES = ("ecp5", "ice40", "gowin", "xilinx")


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board.

    Parameters
    ----------
    name : str
        Name in commands and of its file in constraints/.
    doc : str
        Board and FPGA in words.
    family : str
        One of `FAMILIES`.
    device, package, speed : str
        Of the FPGA, as the place and route tool spells them.
    config : ChipConfig
        The chip that is put on it.
    oscillator_hz : int
        Clock that comes in at a pin.
    chip_hz : int
        Clock of chip and host link, made by a PLL: what place and route must reach.
    baud : int
        Bits a second of the UART; `chip_hz` / `baud` is at least 8.
    memory_bytes : int
        Bytes of the on-chip memory behind the chip's AXI port, a power of two.
    self_test : bool
        Whether the self-test block is built.
    analyser_depth : int
        Samples of the logic analyser, a power of two; 0 leaves it out.
    """

    name: str
    doc: str
    family: str
    device: str
    package: str
    speed: str
    config: ChipConfig
    oscillator_hz: int
    chip_hz: int
    baud: int
    memory_bytes: int
    self_test: bool = True
    analyser_depth: int = 0

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}, not {self.family!r}")
        if self.memory_bytes < 4096 or self.memory_bytes & (self.memory_bytes - 1):
            raise ValueError(f"memory_bytes must be a power of two of at least 4096, not {self.memory_bytes!r}")
        if self.chip_hz < 8 * self.baud:
            raise ValueError(
                f"chip_hz must be at least 8 * baud ({8 * self.baud}), not {self.chip_hz!r}: the receiver samples a bit 8 times"
            )
        if self.analyser_depth and (self.analyser_depth < 16 or self.analyser_depth & (self.analyser_depth - 1)):
            raise ValueError(f"analyser_depth must be 0 or a power of two of at least 16, not {self.analyser_depth!r}")
