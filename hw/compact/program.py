"""The firmware of the compact chip, assembled: boot, jobs, checks, execution. Its parts: `firmware*.py`."""

from __future__ import annotations

from functools import lru_cache

from ..common.config import ChipConfig, ConfigError
from .assembler import Program
from .firmware import Firmware
from .firmware_check import check
from .firmware_job import boot, end, start
from .firmware_run import run

#: Addresses of DRAM have to fit a word with room for a sum.
ADDRESS_BITS = 31

#: Cycles from reset to the first register access, at most, and from a doorbell to the next one.
BOOT_CYCLES, START_CYCLES = 1600, 2600


@lru_cache
def program(config: ChipConfig) -> Program:
    """The firmware for a configuration.

    Raises
    ------
    ConfigError
        if the processor could not run it.
    """
    if config.control != "compact":
        raise ConfigError(f"control must be compact, not {config.control!r}: only that chip has firmware")
    if config.dtypes != ("int8",):
        raise ConfigError(f"dtypes must be ('int8',) with control compact, not {config.dtypes!r}: choose control parallel for floats")
    if config.axi_address_width > ADDRESS_BITS:
        raise ConfigError(
            f"axi_address_width must be at most {ADDRESS_BITS} with control compact, not {config.axi_address_width}: lower it"
        )
    firmware = Firmware(config)
    boot(firmware)
    start(firmware)
    run(firmware)
    check(firmware)
    end(firmware)
    firmware.subroutines()
    firmware.load_constants("constants")
    return firmware.assemble()
