"""The one source of every parameter of a chip: RTL, ISA, golden model, compiler, harness and docs read it.

A `ChipConfig` is immutable and checked when it is made, so a configuration that exists can be built.
The named instances are in `CONFIGS`; `ChipConfig.named("base")` finds one, `dataclasses.replace` varies one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .dtypes import DTYPES, Dtype

#: Raised whenever the meaning of an instruction, a register or a field of `ChipConfig` changes.
#: It is part of `ChipConfig.hash`, so a driver never talks to a chip that reads its words differently.
ARCHITECTURE_VERSION = 1


#: What `ChipConfig.control` and `ChipConfig.multiplier` may be.
CONTROLS = ("parallel", "compact")
MULTIPLIERS = ("generic", "ecp5", "ice40", "gowin")

#: Bytes of the longest instruction (`hw.common.isa.ENGINES`, which a test holds this to).
LONGEST_INSTRUCTION_BYTES = 64


class ConfigError(ValueError):
    """A configuration that cannot be built: the message names the field, its value, the limit and the remedy."""


def _field(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, kw_only=True)
class ChipConfig:
    """Parameters of one chip (one node of the mesh). Units: a *line* is `cols` bytes, one byte a lane.

    Raises
    ------
    ConfigError
        if any field is outside its limits, or two fields contradict each other.
    """

    name: str = _field("custom", "Name used in file names and reports; it does not enter the hash.")
    rows: int = _field(16, "R: rows of the array, the contraction (K) dimension of a stationary block.")
    cols: int = _field(16, "C: columns of the array, the output (N) dimension of a stationary block. A chip has rows == cols.")
    dtypes: tuple[str, ...] = _field(("int8",), "Operand types the array multiplies.")
    sbuf_banks: int = _field(8, "Single-ported SBUF banks, each a contiguous range of lines.")
    sbuf_bank_lines: int = _field(4096, "Lines in an SBUF bank.")
    sbuf_latency: int = _field(2, "Cycles from an accepted SBUF read to its data: the memory, then a register after the bank multiplexer.")
    psum_banks: int = _field(8, "PSUM banks; one drains while another fills.")
    psum_rows: int = _field(512, "Rows in a PSUM bank, each of `cols` 32-bit words; also the longest moving operand of one instruction.")
    multiplier_stages: int = _field(1, "Register stages in a PE between its operands and the product.")
    adder_stages: int = _field(1, "Register stages of a PE's adder: the cycles a partial sum takes per row.")
    accumulator_stages: int = _field(1, "Register stages of the adder at a PSUM column.")
    output_lanes: int = _field(
        0, "Lanes the output stage computes per cycle; a row of `cols` takes cols/output_lanes cycles. 0 stands for all `cols`."
    )
    semaphores: int = _field(32, "Hardware semaphores.")
    semaphore_width: int = _field(12, "Bits of a semaphore's counter.")
    queue_depth: int = _field(8, "Instructions buffered per engine between fetch and check.")
    axi_address_width: int = _field(32, "Address bits of the AXI4 master.")
    dma_outstanding: int = _field(16, "Bursts each DMA direction keeps in flight.")
    dma_burst_lines: int = _field(64, "Longest AXI burst in beats; a beat is a line.")
    control: str = _field(
        "parallel",
        "Who runs the instruction queues: `parallel`, a sequencer for each engine; `compact`, one microcoded processor for all, at a fraction "
        "of the area (hw/compact).",
    )
    multiplier: str = _field(
        "generic",
        "Multiplier of a PE: `generic` leaves it to synthesis, `ecp5`, `ice40` and `gowin` instantiate that family's; `ecp5` does so in the "
        "output lanes of a parallel chip, too. They agree cycle for cycle, so this does not enter the hash.",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtypes", tuple(self.dtypes))
        if self.output_lanes == 0:
            object.__setattr__(self, "output_lanes", self.cols)
        for name, low, high in (
            ("rows", 1, 64), ("cols", 1, 64), ("sbuf_banks", 1, 16), ("sbuf_bank_lines", 16, 65536),
            ("sbuf_latency", 1, 4), ("psum_banks", 2, 8), ("psum_rows", 8, 512),
            ("multiplier_stages", 1, 4), ("adder_stages", 1, 6), ("accumulator_stages", 1, 6),
            ("output_lanes", 1, 64), ("semaphores", 4, 32), ("semaphore_width", 4, 16),
            ("queue_depth", 4, 64), ("axi_address_width", 20, 48),
            ("dma_outstanding", 1, 64), ("dma_burst_lines", 1, 256),
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f"{name} must be an integer, not {value!r}")
            if not low <= value <= high:
                raise ConfigError(f"{name} must be {low} to {high}, not {value!r}")
        for name in ("cols", "sbuf_bank_lines", "psum_rows", "output_lanes", "queue_depth", "dma_burst_lines", "psum_banks", "sbuf_banks"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ConfigError(f"{name} must be a power of two, not {value!r}")
        for name, choices in (("control", CONTROLS), ("multiplier", MULTIPLIERS)):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if not self.dtypes:
            raise ConfigError(f"dtypes must name at least one of {', '.join(DTYPES)}, not ()")
        for dtype in self.dtypes:
            if dtype not in DTYPES:
                raise ConfigError(f"dtypes must be among {', '.join(DTYPES)}, not {dtype!r}")
        if len(set(self.dtypes)) != len(self.dtypes):
            raise ConfigError(f"dtypes must not repeat, not {self.dtypes!r}")
        if self.output_lanes > self.cols:
            raise ConfigError(f"output_lanes must be at most cols ({self.cols}), not {self.output_lanes!r}: 0 takes them all")
        if self.has_float and min(self.adder_stages, self.accumulator_stages) < 2:
            raise ConfigError(
                f"adder_stages and accumulator_stages must be at least 2 with {self.dtypes!r}, "
                f"not {self.adder_stages} and {self.accumulator_stages}: an fp32 adder needs a register inside"
            )
        if self.has_float and self.multiplier != "generic":
            raise ConfigError(
                f"multiplier must be generic with {self.dtypes!r}, not {self.multiplier!r}: the families' primitives multiply integers"
            )
        if self.sbuf_lines < 32:
            raise ConfigError(f"sbuf_banks * sbuf_bank_lines must be at least 32 lines, not {self.sbuf_lines}")

    def require_chip(self) -> None:
        """Raises `ConfigError` where a tile could be built of this configuration but a chip could not."""
        if self.rows != self.cols:
            raise ConfigError(f"a chip needs rows == cols, not {self.rows} and {self.cols}: set them equal, or build the tile alone")
        if self.cols < 4 or self.cols > 128:
            raise ConfigError(f"a chip needs cols from 4 to 128 (an AXI data bus of 32 to 1024 bits), not {self.cols}")
        if self.dma_burst_lines * self.line_bytes < LONGEST_INSTRUCTION_BYTES:
            raise ConfigError(
                f"dma_burst_lines must be at least {LONGEST_INSTRUCTION_BYTES // self.line_bytes} with cols {self.cols}, not {self.dma_burst_lines}: "
                f"an instruction of {LONGEST_INSTRUCTION_BYTES} bytes is fetched in one burst"
            )

    # Derived sizes -------------------------------------------------------------------------------------------

    @property
    def has_float(self) -> bool:
        """Whether any operand type is a float."""
        return any(DTYPES[name].is_float for name in self.dtypes)

    @property
    def has_int(self) -> bool:
        """Whether any operand type is an integer."""
        return any(not DTYPES[name].is_float for name in self.dtypes)

    @property
    def element_bytes(self) -> int:
        """E: bytes of the widest operand element; an SBUF word is E lines."""
        return max(DTYPES[name].bytes for name in self.dtypes)

    @property
    def line_bytes(self) -> int:
        """Bytes of a line: one byte a lane. An AXI beat is a line."""
        return self.cols

    @property
    def word_bytes(self) -> int:
        """Bytes of an SBUF word: one widest element a lane."""
        return self.line_bytes * self.element_bytes

    @property
    def sbuf_lines(self) -> int:
        """Lines of the whole SBUF."""
        return self.sbuf_banks * self.sbuf_bank_lines

    @property
    def sbuf_bytes(self) -> int:
        """Bytes of the whole SBUF."""
        return self.sbuf_lines * self.line_bytes

    @property
    def psum_bytes(self) -> int:
        """Bytes of the whole PSUM."""
        return self.psum_banks * self.psum_rows * self.cols * 4

    @property
    def sbuf_address_width(self) -> int:
        """Bits of an SBUF line address."""
        return (self.sbuf_lines - 1).bit_length()

    @property
    def psum_bank_width(self) -> int:
        """Bits of a PSUM bank number."""
        return (self.psum_banks - 1).bit_length()

    @property
    def psum_row_width(self) -> int:
        """Bits of a row number inside a PSUM bank."""
        return (self.psum_rows - 1).bit_length()

    @property
    def axi_data_width(self) -> int:
        """Bits of the AXI data bus: one line."""
        return 8 * self.line_bytes

    def dtype(self, name: str) -> Dtype:
        """The `Dtype` called `name`; `ConfigError` if this configuration does not build it."""
        if name not in self.dtypes:
            raise ConfigError(
                f"dtype must be one of {', '.join(self.dtypes)} on config {self.name!r}, not {name!r}: choose another config or type"
            )
        return DTYPES[name]

    # Identity ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @property
    def hash(self) -> int:
        """32-bit identity of everything a program or a cycle count can tell: `name` and `multiplier` are left out."""
        identity = {key: value for key, value in self.to_dict().items() if key not in ("name", "multiplier")}
        identity["architecture_version"] = ARCHITECTURE_VERSION
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest()
        return int.from_bytes(digest[:4], "little")

    @classmethod
    def named(cls, name: str) -> ChipConfig:
        """The named instance; `ConfigError` lists the names there are."""
        try:
            return CONFIGS[name]
        except KeyError:
            raise ConfigError(f"config must be one of {', '.join(CONFIGS)}, not {name!r}") from None

    @classmethod
    def documentation(cls) -> list[tuple[str, Any, str]]:
        """(field, default, description) of every parameter, in order: the docs table is made from it."""
        return [(item.name, item.default, item.metadata["doc"]) for item in fields(cls)]


_nano = ChipConfig(
    name="nano", rows=4, cols=4, multiplier_stages=2, sbuf_banks=1, sbuf_bank_lines=16384, psum_rows=128, psum_banks=2,
    output_lanes=1, queue_depth=4, axi_address_width=20, dma_outstanding=2, dma_burst_lines=16, control="compact",
)  # fmt: skip
_small = ChipConfig(
    name="small", rows=8, cols=8, multiplier_stages=4, accumulator_stages=2, sbuf_banks=4, sbuf_bank_lines=2048, sbuf_latency=4, psum_rows=64,
    output_lanes=4, queue_depth=4, dma_outstanding=8, dma_burst_lines=32,
)  # fmt: skip
_base = ChipConfig(
    name="base", rows=16, cols=16, dtypes=("int8", "bf16"), adder_stages=3, accumulator_stages=3, axi_address_width=40,
)  # fmt: skip
_large = ChipConfig(
    name="large", rows=32, cols=32, dtypes=("int8", "bf16"), adder_stages=3, accumulator_stages=3,
    axi_address_width=40,
)  # fmt: skip

#: The named instances, smallest first.
CONFIGS: dict[str, ChipConfig] = {config.name: config for config in (_nano, _small, _base, _large)}
