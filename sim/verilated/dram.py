"""Parameters of the DRAM behind a Verilated chip; the model itself is `dram.h`."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from fractions import Fraction


class DramParameters(ctypes.Structure):
    """Layout of `DramParameters` in dram.h."""

    _fields_ = [
        ("bytes", ctypes.c_uint64),
        ("stall_threshold", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("line_bytes", ctypes.c_uint32),
        ("latency", ctypes.c_uint32),
        ("rate_numerator", ctypes.c_uint32),
        ("rate_denominator", ctypes.c_uint32),
        ("outstanding", ctypes.c_uint32),
        ("reorder", ctypes.c_uint32),
    ]


def probability_threshold(probability: float) -> int:
    """A probability as the harness compares it with 32 random bits."""
    return round(probability * 2**32)


@dataclass(frozen=True, kw_only=True)
class DramModel:
    """How the DRAM of a simulation behaves. Every AXI channel is independent; reads and writes do not share bandwidth.

    Parameters
    ----------
    latency : int
        Cycles from the transfer of a read address to its first beat, and from the last write beat to its response, at least 1.
    bytes_per_cycle : float or None
        Sustained bandwidth of each direction; None: one beat a cycle, as fast as the bus.
    outstanding : int
        Bursts accepted and not yet answered, per direction; beyond, address ready stays low.
    stall_probability : float
        Chance, per channel and cycle, of ready staying low or of a beat or response coming later; 0 to below 1.
        The host's register port stalls as often.
    reorder : bool
        Answers bursts of different IDs in random order, with beats of reads interleaved, as AXI4 allows. Bursts of one
        ID stay in order.
    poison : tuple of (address, bytes)
        Ranges that answer SLVERR: reads return no data, bursts of writes that touch one change nothing.

    Addresses beyond the memory are answered with DECERR.

    Raises
    ------
    ValueError
        if a parameter is outside its limits.
    """

    latency: int = 32
    bytes_per_cycle: float | None = None
    outstanding: int = 64
    stall_probability: float = 0.0
    reorder: bool = False
    poison: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.latency, int) or not 1 <= self.latency <= 1_000_000:
            raise ValueError(f"latency must be an integer from 1 to 1000000, not {self.latency!r}")
        if self.bytes_per_cycle is not None and not 0.001 <= self.bytes_per_cycle <= 1_000_000:
            raise ValueError(f"bytes_per_cycle must be None or 0.001 to 1000000, not {self.bytes_per_cycle!r}")
        if not isinstance(self.outstanding, int) or not 1 <= self.outstanding <= 65536:
            raise ValueError(f"outstanding must be an integer from 1 to 65536, not {self.outstanding!r}")
        if not 0 <= self.stall_probability < 1:
            raise ValueError(f"stall_probability must be at least 0 and below 1, not {self.stall_probability!r}")
        for entry in self.poison:
            if len(entry) != 2 or min(entry) < 0:
                raise ValueError(f"poison must be pairs of address and bytes, not {entry!r}")

    def parameters(self, *, dram_bytes: int, line_bytes: int, seed: int) -> DramParameters:
        """The same for C++."""
        rate = Fraction(0) if self.bytes_per_cycle is None else Fraction(self.bytes_per_cycle).limit_denominator(1000)
        return DramParameters(
            bytes=dram_bytes,
            stall_threshold=probability_threshold(self.stall_probability),
            seed=seed,
            line_bytes=line_bytes,
            latency=self.latency,
            rate_numerator=rate.numerator,
            rate_denominator=rate.denominator,
            outstanding=self.outstanding,
            reorder=int(self.reorder),
        )
