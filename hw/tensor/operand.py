"""From the word SBUF answers with to the operand elements of one row."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data

from ..common.config import ChipConfig
from ..common.dtypes import DTYPES


def operand_layout(config: ChipConfig, count: int) -> data.ArrayLayout:
    """`count` operand elements, each as wide as the widest type built."""
    return data.ArrayLayout(8 * config.element_bytes, count)


def operands(config: ChipConfig, count: int, word: Value, is_float: ValueLike) -> Value:
    """The `count` lowest elements of an SBUF word: bf16 as they are, int8 (of line 0, the addressed one) sign-extended.

    Combinational; `is_float` is ignored where one kind is built.
    """
    width = 8 * config.element_bytes
    wide = word[: width * count]
    if width == 8 or not config.has_int:
        return wide
    extended = Cat(Cat(word[8 * lane : 8 * lane + 8], word[8 * lane + 7].replicate(width - 8)) for lane in range(count))
    return Mux(is_float, wide, extended)


def is_float_code(dtype: Value) -> Value:
    """Whether an instruction's `dtype` field names a float type; it has been checked to name a type that is built."""
    codes = [item.code for item in DTYPES.values() if item.is_float]
    return Cat(dtype == code for code in codes).any()


def delay_line(m: Module, values: dict[str, Value], cycles: int, *, valid: str, name: str) -> dict[str, Value]:
    """`values` after `cycles` cycles, by name, in registers called `name`_...; only the value called `valid` is reset."""
    current = dict(values)
    for stage in range(cycles):
        later = {key: Signal(len(value), name=f"{name}_{key}{stage}", reset_less=key != valid) for key, value in current.items()}
        m.d.sync += [later[key].eq(value) for key, value in current.items()]
        current = dict(later)
    return current
