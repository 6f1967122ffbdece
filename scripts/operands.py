"""Operands of a matrix product: random by seed, or from .npy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sim.golden.formats import bf16_bits


class OperandError(ValueError):
    """A file that is not the operand asked for: the message names file, value, limit and remedy."""


def load_operand(path: str, dtype: str | None) -> tuple[np.ndarray, str]:
    """The matrix in `path` as int8 or bf16 bits (uint16), and its type.

    int8 files are taken as they are, float32 is rounded to bf16 (nearest, ties to even; NaN and infinity stay), uint16 and two-byte raw elements
    (as `ml_dtypes.bfloat16` is saved) are bf16 bits.

    Raises
    ------
    OperandError
        if it cannot be read, is not a non-empty matrix, or has another type than `dtype`.
    """
    try:
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise OperandError(f"{path} must be a readable .npy file of numbers: {error}") from None
    if not isinstance(matrix, np.ndarray):
        raise OperandError(f"{path} must hold one array (.npy), not an archive: save the matrix with numpy.save")
    if matrix.ndim != 2 or matrix.size == 0:
        raise OperandError(f"{path} must hold a non-empty matrix (2 dimensions, each at least 1), not shape {matrix.shape}")
    if matrix.dtype == np.int8:
        found, bits = "int8", matrix
    elif matrix.dtype == np.float32:
        found, bits = "bf16", bf16_bits(matrix)
    elif matrix.dtype == np.uint16 or matrix.dtype == np.dtype("V2"):
        found, bits = "bf16", np.ascontiguousarray(matrix).view(np.uint16)
    else:
        raise OperandError(f"{path} must hold int8, or for bf16 float32 or uint16 bits, not {matrix.dtype}: convert it with astype")
    if dtype not in (None, found):
        raise OperandError(
            f"{path} holds {matrix.dtype}, which is an operand of {found}, not of --dtype {dtype}: convert it or leave --dtype out"
        )
    return bits, found


def random_operand(rng: np.random.Generator, rows: int, columns: int, dtype: str) -> np.ndarray:
    """Uniform int8, or bf16 bits of normally distributed numbers."""
    if dtype == "int8":
        return rng.integers(-128, 128, (rows, columns), np.int8)
    return bf16_bits(rng.standard_normal((rows, columns), np.float32))


def check_archive(path: str) -> Path:
    """A name under which an archive can be written.

    Raises
    ------
    OperandError
        if it does not end in .npz or its folder does not exist.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise OperandError(f"--save must end in .npz, not {path!r}")
    if not target.parent.is_dir():
        raise OperandError(f"--save must name a file in an existing folder, not {path!r}: create {target.parent} first")
    return target
