"""How rows become SBUF words: element sizes, beats and the control bits that travel with them."""

from dataclasses import dataclass

from amaranth.hdl import Const, Module, Signal, Value, ValueLike
from amaranth.lib import data, enum

from ..common.config import ChipConfig, ConfigError
from ..common.isa import OutputMode


class Kind(enum.Enum, shape=2):
    """Size of an output element; its value is log2 of the bytes."""

    INT8 = 0
    BF16 = 1
    WIDE = 2

    @property
    def bytes(self) -> int:
        """Bytes of an element."""
        return 1 << int(self.value)


#: The kind of each output mode.
KINDS: dict[OutputMode, Kind] = {
    OutputMode.INT8: Kind.INT8,
    OutputMode.RAW: Kind.WIDE,
    OutputMode.BF16: Kind.BF16,
    OutputMode.INT32: Kind.WIDE,
    OutputMode.FP32: Kind.WIDE,
}
#: Modes that add and compare as fp32.
FLOAT_MODES = (OutputMode.BF16, OutputMode.FP32)


@dataclass(frozen=True, kw_only=True)
class Beats:
    """How a row of one kind is cut. A beat is what the lanes compute in a cycle; a unit is the smallest beat of any kind."""

    step: int
    """Elements of a beat."""
    step_units: int
    """Units of a beat."""
    word_units: int
    """Units of an SBUF write, a whole number of beats."""
    lines: int
    """Lines of an SBUF write."""

    @property
    def word_beats(self) -> int:
        """Beats of an SBUF write."""
        return self.word_units // self.step_units


def unit_elements(config: ChipConfig) -> int:
    """Elements of a unit: the beat of 32-bit elements, of which the fewest fit a word.

    Raises
    ------
    ConfigError
        if `cols` is below 4: a 32-bit element would not fit a line.
    """
    if config.cols < 4:
        raise ConfigError(f"cols must be at least 4 for an output stage, not {config.cols}")
    return min(config.output_lanes, config.word_bytes // Kind.WIDE.bytes)


def beats_of(config: ChipConfig, kind: Kind) -> Beats:
    """The cut of rows of `kind`; all counts are powers of two. A write never holds more than one row."""
    unit = unit_elements(config)
    word = min(config.cols, config.word_bytes // kind.bytes)
    step = min(config.output_lanes, word)
    return Beats(step=step, step_units=step // unit, word_units=word // unit, lines=word * kind.bytes // config.line_bytes)


def built_kinds(config: ChipConfig) -> tuple[Kind, ...]:
    """The kinds that this configuration needs."""
    return (*((Kind.INT8,) if config.has_int else ()), *((Kind.BF16,) if config.has_float else ()), Kind.WIDE)


def lane_step(config: ChipConfig, lane: int) -> int:
    """The smallest beat that uses `lane`: its elements are at multiples of this, plus the lane's number."""
    return min(step for kind in Kind if (step := beats_of(config, kind).step) > lane)


class RowTag(data.StructLayout):
    """Control bits of a row: `address` (first line), `kind`, `is_float` (adds as fp32), `bias`, `relu`, `last` (of its Evict)."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"address": config.sbuf_address_width, "kind": Kind, "is_float": 1, "bias": 1, "relu": 1, "last": 1})


class BeatTag(data.StructLayout):
    """Control bits of a beat: those of its row, with `address` and `last` of its SBUF write, `select` (first unit), `word_last`."""

    def __init__(self, config: ChipConfig) -> None:
        units = config.cols // unit_elements(config)
        super().__init__(dict(RowTag(config).members) | {"select": range(units), "word_last": 1})


def choose(m: Module, name: str, options: list[ValueLike], select: Value, skip: int) -> Value:
    """`options[select >> skip]`, as a signal called `name` if there is a choice at all."""
    values = [Value.cast(option) for option in options]
    if len(values) == 1:
        return values[0]
    result = Signal(len(values[0]), name=name)
    with m.Switch(select[skip:]):
        for index, value in enumerate(values):
            with m.Case(Const(index, len(select) - skip)):
                m.d.comb += result.eq(value)
    return result
