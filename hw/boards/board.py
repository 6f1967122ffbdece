"""What a board is: its FPGA, its clock, and the chip and host link that are put on it. The boards there are: hw/boards/boards.py."""

from __future__ import annotations

from dataclasses import dataclass

from ..common.config import ChipConfig, ConfigError
from ..common.registers import SPACE_BYTES
from ..host.protocol import ANALYSER_BASE, BLOCK_BYTES

#: Families of FPGA there is a flow for.
FAMILIES = ("ecp5", "ice40", "gowin", "xilinx")
#: LEDs of `hw.boards.top.BoardTop`.
LEDS = 8
#: How far the UART may be off its bit rate: half of what the receiver takes, the other half is the host's.
MAX_BAUD_ERROR = 0.01


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
        Bits a second of the UART; `chip_hz` / `baud` is at least 8, and within 1 % of a whole number.
    memory_bytes : int
        Bytes of the on-chip memory behind the chip's AXI port, a power of two.
    self_test : bool
        Whether the self-test block is built.
    analyser_depth : int
        Samples of the logic analyser, a power of two; 0 leaves it out.
    leds : tuple of int
        Which LED of `BoardTop` each pad of the port `leds` shows, pad 0 first.
    leds_active_low : bool
        Whether a pad lights its LED by 0.
    constraints : str
        File in constraints/; boards that differ in nothing but the FPGA share one. Empty: none, a board of the simulator.
    programmer : str
        Name that openFPGALoader gives the board.
    seed : int
        Of the placement, the one to begin with: it met the clock when it was chosen. Any may do; a good one spares the others.

    Raises
    ------
    ValueError
        if any field is outside its limits, or clock and baud rate contradict each other.
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
    leds: tuple[int, ...] = tuple(range(LEDS))
    leds_active_low: bool = False
    constraints: str = ""
    programmer: str = ""
    seed: int = 1

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ConfigError(f"family must be one of {', '.join(FAMILIES)}, not {self.family!r}")
        if self.memory_bytes < 4096 or self.memory_bytes & (self.memory_bytes - 1):
            raise ConfigError(f"memory_bytes must be a power of two of at least 4096, not {self.memory_bytes!r}")
        if self.baud < 1:
            raise ConfigError(f"baud must be at least 1, not {self.baud!r}")
        if self.chip_hz < 8 * self.baud:
            raise ConfigError(
                f"chip_hz must be at least 8 * baud ({8 * self.baud}), not {self.chip_hz!r}: the receiver samples a bit 8 times"
            )
        if self.baud_error > MAX_BAUD_ERROR:
            raise ConfigError(
                f"baud must be within {100 * MAX_BAUD_ERROR:g} % of chip_hz ({self.chip_hz}) divided by a whole number, not {self.baud!r}: "
                f"{self.chip_hz // self.divisor} is"
            )
        if self.analyser_depth and (self.analyser_depth < 16 or self.analyser_depth & (self.analyser_depth - 1)):
            raise ConfigError(f"analyser_depth must be 0 or a power of two of at least 16, not {self.analyser_depth!r}")
        if not self.leds or not all(0 <= led < LEDS for led in self.leds):
            raise ConfigError(f"leds must name LEDs of the board top, 0 to {LEDS - 1}, at least one, not {self.leds!r}")

    @property
    def divisor(self) -> int:
        """Clocks of a bit on the UART."""
        return round(self.chip_hz / self.baud)

    @property
    def link_address_bits(self) -> int:
        """Bits of a byte address that the host link must have: those of its largest space, and one to tell what is beyond it."""
        return (max(self.memory_bytes, self.config.sbuf_bytes, SPACE_BYTES, ANALYSER_BASE + BLOCK_BYTES) - 1).bit_length() + 1

    @property
    def baud_error(self) -> float:
        """How far the UART is off `baud`, as a fraction of it."""
        return abs(self.chip_hz / self.divisor - self.baud) / self.baud
