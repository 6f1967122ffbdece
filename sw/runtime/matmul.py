"""Runs one matrix product on a device and checks it against numpy."""

from __future__ import annotations

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


def run_matmul(device: Device, a: np.ndarray, b: np.ndarray, *, source: str = "sbuf") -> MatmulResult:
    """A[M, K] times B[K, N] on `device`: int8 arrays, or uint16 arrays of bf16 bits."""
    dtype = "int8" if a.dtype == np.int8 else "bf16"
    gemm = compile_gemm(
        m=a.shape[0], k=a.shape[1], n=b.shape[1], dtype=dtype, config=device.config, source=source, dram_bytes=device.memory_bytes
    )
    inputs = {"a": pack_matrix(a, device.config), "b": pack_matrix(b, device.config)}
    result = None
    for index, program in enumerate(gemm.programs):
        result = device.run(program, inputs if index == 0 else None, limit_cycles=gemm.limit_cycles)
    assert result is not None
    kind = np.int32 if dtype == "int8" else np.float32
    c = unpack_matrix(device.read(gemm.programs[-1], "c"), a.shape[0], b.shape[1], kind, device.config)
    cycles = result.tensor_span if source == "sbuf" else result.cycles
    return MatmulResult(c=c, cycles=cycles, utilisation=result.utilisation(gemm.shape.macs, cycles), gemm=gemm, result=result)


def reference(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The product by numpy alone, and how far each element of a correct result may be from it.

    int8: int64 arithmetic wrapped to int32, distance 0. bf16: float64. Products of bf16 are exact in fp32, and a sum of K terms in any
    order is
    rounded at most K - 1 times (2K with the tiles' partial sums), each time by at most 2**-24 of a partial sum, which is at most sum
    |a||b|;
    a product or sum below the normal range is off by at most 2**-126 once more. Where the exact result is not finite, or intermediate
    sums may
    overflow, no distance is stated (NaN): there only the golden model decides.
    """
    if a.dtype == np.int8:
        exact = (a.astype(np.int64) @ b.astype(np.int64)).astype(np.uint64).astype(np.uint32).view(np.int32)
        return exact, np.zeros(exact.shape)
    left, right = bf16_to_values(a).astype(np.float64), bf16_to_values(b).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        value = left @ right
        magnitude = np.abs(left) @ np.abs(right)
    terms = a.shape[1]
    bound = 2 * terms * (2.0**-24 * magnitude + 2.0**-126)
    return value, np.where(magnitude < 2.0**127, bound, np.nan)


def within(c: np.ndarray, value: np.ndarray, bound: np.ndarray) -> tuple[bool, float]:
    """Whether `c` is as near to `value` as stated everywhere, and the largest distance (where a bound is stated)."""
    stated = ~np.isnan(bound)
    distance = np.abs(c.astype(np.float64) - value.astype(np.float64))[stated]
    worst = float(distance.max()) if distance.size else 0.0
    return bool(np.all(distance <= bound[stated])), worst
