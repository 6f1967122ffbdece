"""How matrices lie in DRAM: row-major, each row padded with zeros to whole lines.

An int8 row is a multiple of one line, a bf16 row of two lines, a 32-bit row of four: `cols` elements a group, so tile t of a row begins
at line t * bytes of an element (docs/interfaces.md, "Units and orders").
"""

from __future__ import annotations

import numpy as np

from hw.common.config import ChipConfig


def tiles(count: int, width: int) -> int:
    """Tiles of `width` that `count` elements take."""
    return -(-count // width)


def row_lines(columns: int, element_bytes: int, config: ChipConfig) -> int:
    """Lines of one padded row."""
    return tiles(columns, config.cols) * element_bytes


def matrix_bytes(rows: int, columns: int, element_bytes: int, config: ChipConfig) -> int:
    """Bytes of a padded matrix."""
    return rows * row_lines(columns, element_bytes, config) * config.line_bytes


def pack_matrix(matrix: np.ndarray, config: ChipConfig) -> np.ndarray:
    """The bytes of a 2-D matrix of 1-, 2- or 4-byte elements as they lie in DRAM."""
    rows, columns = matrix.shape
    width = tiles(columns, config.cols) * config.cols
    padded = np.zeros((rows, width), matrix.dtype.newbyteorder("<"))
    padded[:, :columns] = matrix
    return padded.view(np.uint8).reshape(-1)


def unpack_matrix(raw: np.ndarray, rows: int, columns: int, dtype: np.dtype | type | str, config: ChipConfig) -> np.ndarray:
    """The matrix that lies in `raw`: the inverse of `pack_matrix`."""
    kind = np.dtype(dtype).newbyteorder("<")
    width = tiles(columns, config.cols) * config.cols
    return np.ascontiguousarray(raw).view(kind).reshape(rows, width)[:, :columns].astype(np.dtype(dtype))
