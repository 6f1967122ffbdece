"""A linear feedback shift register: pseudo-random lines, and signatures of lines (MISR)."""

from collections.abc import Iterable
from typing import Any

from amaranth.hdl import Const, Value, ValueLike

#: x^32 + x^22 + x^2 + x + 1, primitive: a period of 2^32 - 1. P. Alfke, "Efficient Shift Registers, LFSR Counters, and Long Pseudo-Random Sequence
#: Generators", Xilinx application note XAPP052, 1996, table 3. Bit i of the mask is the coefficient of x^(i + 1): the register moves right, and what
#: falls out (Galois form) is added at these places.
POLYNOMIAL = 0x80200003


def step(state: int) -> int:
    """The state of the register after one step, as an integer."""
    return state >> 1 ^ (POLYNOMIAL if state & 1 else 0)


def stepped(state: ValueLike) -> Value:
    """The state after one step, as hardware."""
    value = Value.cast(state)
    return value[1:] ^ (Const(POLYNOMIAL, 32) & value[0].replicate(32))


def signature(words: Iterable[Any], start: int) -> int:
    """Signature of 32-bit `words`: the register moves a step, and a word is added to it."""
    state = start
    for word in words:
        state = step(state) ^ int(word)
    return state
