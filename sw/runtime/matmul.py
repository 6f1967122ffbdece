"""Runs one matrix product on a device and checks it against numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.golden.formats import bf16_to_values

from ..compiler.gemm import Gemm, compile_gemm
from .device import Device
from .layout import pack_matrix, unpack_matrix
from .result import RunResult


@dataclass(frozen=True, kw_only=True)
class MatmulResult:
    """A product and what it took.

    Members
    -------
    c : numpy array
        int32 or float32 [M, N].
    cycles : int
        From `sbuf`: first tensor instruction to last PSUM write; from `dram`: doorbell to end. 0 on the golden device.
    utilisation : float
        M*K*N over what the array could have done in those cycles.
    gemm : Gemm
    result : RunResult
        Of the job that computed.
    """

    c: np.ndarray
    cycles: int
    utilisation: float
    gemm: Gemm
    result: RunResult


def run_matmul(
    device: Device,
    a: np.ndarray,
    b: np.ndarray,
    *,
    source: str = "sbuf",
    gemm: Gemm | None = None,
    progress: Callable[[int], None] | None = None,
) -> MatmulResult:
    """A[M, K] times B[K, N] on `device`: int8 arrays, or uint16 arrays of bf16 bits; `gemm` saves compiling again.

    Raises
    ------
    ValueError
        if the operands are not two matrices of one of these types that fit each other.
    """
    _check_operands(a, b)
    dtype = "int8" if a.dtype == np.int8 else "bf16"
    if gemm is None:
        m, k, n = *a.shape, b.shape[1]
        gemm = compile_gemm(m=m, k=k, n=n, dtype=dtype, config=device.config, source=source, dram_bytes=device.memory_bytes)
    source = gemm.source
    inputs = {"a": pack_matrix(a, device.config), "b": pack_matrix(b, device.config)}
    result = device.run(gemm.program, inputs, limit_cycles=gemm.limit_cycles, progress=progress)
    kind = np.int32 if dtype == "int8" else np.float32
    c = unpack_matrix(device.read(gemm.program, "c"), a.shape[0], b.shape[1], kind, device.config)
    cycles = result.tensor_span if source == "sbuf" else result.cycles
    return MatmulResult(c=c, cycles=cycles, utilisation=result.utilisation(gemm.shape.macs, cycles), gemm=gemm, result=result)


def _check_operands(a: np.ndarray, b: np.ndarray) -> None:
    for name, matrix in (("a", a), ("b", b)):
        if matrix.ndim != 2 or not matrix.size:
            raise ValueError(f"{name} must be a non-empty matrix, not of shape {matrix.shape}")
        if matrix.dtype not in (np.int8, np.uint16):
            raise ValueError(
                f"{name} must be int8, or uint16 bits of bf16, not {matrix.dtype}: convert it (bf16: sim.golden.formats.bf16_bits)"
            )
    if a.dtype != b.dtype:
        raise ValueError(f"a and b must have the same type, not {a.dtype} and {b.dtype}")
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"columns of a must equal rows of b, not {a.shape[1]} and {b.shape[0]}")


def reference(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The product by numpy alone, and how far each element of a correct result may be from it.

    int8: int64 arithmetic wrapped to int32, distance 0. bf16: float64, subnormal operands as zero. A product of two bf16 is exact in fp32, and a
    sum of K terms, in whatever order, is rounded at most 2K times (within a block, and where blocks are added up), each time by at most 2**-24
    of a partial sum, itself at most sum |a||b|; flushing to zero adds at most 2**-126 each time. Where intermediate sums may leave the range of
    fp32 no distance is stated (NaN), and only the golden model decides. Infinity and NaN that come from the operands must come out as they are.
    """
    if a.dtype == np.int8:
        exact = (a.astype(np.int64) @ b.astype(np.int64)).astype(np.uint64).astype(np.uint32).view(np.int32)
        return exact, np.zeros(exact.shape)
    # Signalling NaN make numpy warn even when they are only converted.
    with np.errstate(invalid="ignore", over="ignore"):
        left, right = (_flushed(bf16_to_values(bits).astype(np.float64)) for bits in (a, b))
        value = left @ right
    magnitude = np.abs(np.where(np.isfinite(left), left, 0)) @ np.abs(np.where(np.isfinite(right), right, 0))
    bound = 2 * a.shape[1] * (2.0**-24 * magnitude + 2.0**-126)
    return value, np.where(magnitude < 2.0**127, bound, np.nan)


def _flushed(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < 2.0**-126, 0.0, values)


def within(c: np.ndarray, value: np.ndarray, bound: np.ndarray) -> tuple[bool, float]:
    """Whether `c` is as near to `value` as stated everywhere, and the largest distance among finite values with a stated bound."""
    stated = ~np.isnan(bound)
    result, exact, limit = c.astype(np.float64)[stated], value.astype(np.float64)[stated], bound[stated]
    finite = np.isfinite(exact)
    same = np.array_equal(result[~finite], exact[~finite], equal_nan=True)
    distance = np.abs(result[finite] - exact[finite])
    return bool(same and np.all(distance <= limit[finite])), float(distance.max()) if distance.size else 0.0
