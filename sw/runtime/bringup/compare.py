"""What differs between two pieces of memory, in words: stuck bits, lanes that changed places, addresses that are not told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bits_of(value: int) -> list[int]:
    """Numbers of the bits that are set."""
    return [bit for bit in range(value.bit_length()) if value >> bit & 1]


def listed(numbers: Sequence[int], *, most: int = 8) -> str:
    """Numbers in words, the first of them if there are many."""
    shown = ", ".join(str(number) for number in numbers[:most])
    return f"{shown} and {len(numbers) - most} more" if len(numbers) > most else shown


def plural(word: str, numbers: Sequence[int]) -> str:
    """`word` and the numbers: "column 3", "columns 1, 2"."""
    return f"{word}{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def swapped_lanes(expected: np.ndarray, found: np.ndarray) -> str:
    """Which byte lanes carry those of others, in words; empty if it is not that. Both uint8 [lines, lanes]."""
    lanes = expected.shape[1]
    moved = {}
    for lane in range(lanes):
        if np.array_equal(found[:, lane], expected[:, lane]):
            continue
        sources = [other for other in range(lanes) if np.array_equal(found[:, lane], expected[:, other])]
        if not sources:
            return ""
        moved[lane] = sources[0]
    pairs = sorted({tuple(sorted((lane, source))) for lane, source in moved.items() if moved.get(source) == lane})
    text = [f"byte lanes {low} and {high} are swapped" for low, high in pairs]
    text += [f"byte lane {lane} carries lane {source}" for lane, source in moved.items() if moved.get(source) != lane]
    return "; ".join(text)


def stuck_bits(expected: np.ndarray, found: np.ndarray, unit: str) -> str:
    """Bits of columns that are the same in every row and should not be, in words: unsigned [rows, columns]; empty if there are none."""
    text = []
    wrong = expected ^ found
    for column in range(expected.shape[1]):
        for bit in bits_of(int(np.bitwise_or.reduce(wrong[:, column]))):
            values, right = found[:, column] >> bit & 1, expected[:, column] >> bit & 1
            if len(set(values.tolist())) == 1 and len(set(right.tolist())) == 2:
                text.append(f"{unit} {column} bit {bit} is stuck at {values[0]}")
    return "; ".join(text[:8]) + (f" and {len(text) - 8} more" if len(text) > 8 else "")


def first_difference(expected: np.ndarray, found: np.ndarray, unit: str) -> str:
    """The first row that differs, and how many do: uint8 [rows, bytes]."""
    rows = np.flatnonzero((expected != found).any(axis=1))
    row = int(rows[0])
    return f"{unit} {row} reads {found[row].tobytes().hex()} instead of {expected[row].tobytes().hex()} (lane 0 first); {len(rows)} of {len(expected)} differ"


def explain(expected: np.ndarray, found: np.ndarray, unit: str) -> str:
    """What is wrong with lines of bytes, in words: the pattern of the fault if one is known, and the first place."""
    pattern = swapped_lanes(expected, found) or stuck_bits(expected, found, "byte lane") or aliases(expected, found, unit)
    place = first_difference(expected, found, unit)
    return f"{pattern}; {place}" if pattern else place


def aliases(expected: np.ndarray, found: np.ndarray, unit: str) -> str:
    """Whether wrong lines hold what others should: an address bit that does nothing, in words; empty if it is not that."""
    known = {line.tobytes(): index for index, line in enumerate(expected)}
    wrong = np.flatnonzero((expected != found).any(axis=1))
    sources = [known.get(found[row].tobytes()) for row in wrong]
    if len(known) < len(expected) or any(source is None for source in sources):
        return ""
    flipped = {int(row) ^ int(source) for row, source in zip(wrong, sources, strict=True) if source is not None}
    if len(flipped) == 1 and flipped.copy().pop().bit_count() == 1:
        return f"address bit {flipped.pop().bit_length() - 1} of {unit}s is not decoded"
    return f"{unit}s hold what belongs to others"
