"""Operands of a matrix product: random by seed, or from .npy files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from sim.golden.formats import bf16_bits

#: Operand type by element type of a file, in either byte order.
FILE_TYPES = {np.dtype(np.int8): "int8", np.dtype(np.float32): "bf16", np.dtype(np.uint16): "bf16", np.dtype("V2"): "bf16"}


class OperandError(ValueError):
    """A file that is not the operand asked for: the message names file, value, limit and remedy."""


def open_operand(path: str, dtype: str | None) -> tuple[np.ndarray, str]:
    """The matrix in `path`, mapped and not yet read (a file may be far larger than any chip takes), and its type: int8 or bf16.

    Raises
    ------
    OperandError
        if it cannot be read, is not a non-empty matrix, or has another type than `dtype`.
    """
    # A pipe would be waited for, and cannot be mapped.
    if not Path(path).is_file():
        reason = "it is no regular file" if Path(path).exists() else "there is none"
        raise OperandError(f"{path or repr(path)} must be a readable .npy file, but {reason}: check the name")
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy parses the header as Python: a damaged one raises nearly anything
        # numpy's own advice on pickled files, which may run code, is not passed on.
        reason = "holds Python objects" if "pickle" in str(error) else str(error)
        raise OperandError(f"{path} must be a readable .npy file of numbers, written by numpy.save: {reason}") from None
    if not isinstance(matrix, np.ndarray):
        raise OperandError(f"{path} must hold one array (.npy), not an archive: save the matrix with numpy.save")
    if matrix.ndim != 2 or matrix.size == 0:
        raise OperandError(f"{path} must hold a non-empty matrix (2 dimensions, each at least 1), not shape {matrix.shape}")
    found = FILE_TYPES.get(matrix.dtype.newbyteorder("="))
    if found is None:
        raise OperandError(f"{path} must hold int8, or for bf16 float32 or uint16 bits, not {matrix.dtype}: convert it with astype")
    if dtype not in (None, found):
        raise OperandError(
            f"{path} holds {matrix.dtype}, which is an operand of {found}, not of --dtype {dtype}: convert it or leave --dtype out"
        )
    return matrix, found


def operand_bits(matrix: np.ndarray) -> np.ndarray:
    """The elements of an opened matrix in memory, as int8 or bf16 bits (uint16).

    int8 stays as it is, float32 is rounded to bf16 (nearest, ties to even; NaN and infinity stay), uint16 and two-byte raw elements (as
    `ml_dtypes.bfloat16` is saved) are bf16 bits.
    """
    native = np.array(matrix, matrix.dtype.newbyteorder("="), order="C")
    if native.dtype == np.float32:
        return bf16_bits(native)
    return native if native.dtype == np.int8 else native.view(np.uint16)


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
        if it does not end in .npz, is a folder, or its folder does not exist or cannot be written to.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise OperandError(f"--save must end in .npz, not {path!r}")
    if not target.parent.is_dir():
        raise OperandError(f"--save must name a file in an existing folder, not {path!r}: create {target.parent} first")
    if target.is_dir():
        raise OperandError(f"--save must name a file, not the folder {path!r}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OperandError(f"--save must name a file in a writable folder, not {path!r}")
    return target
