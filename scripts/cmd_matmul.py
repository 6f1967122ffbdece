"""`meshium matmul`: one product C[M, N] = A[M, K] B[K, N] on a device, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from hw.common.config import ChipConfig
from sim.golden.formats import bf16_to_values
from sw.compiler.gemm import SOURCES, Gemm, compile_gemm
from sw.runtime.matmul import MatmulResult, reference, run_matmul, within

from .console import console, cycle_progress, fail, print_json, working
from .files import written_whole
from .operands import OperandError, check_archive, open_operand, operand_bits, random_operand
from .simulation import Stopwatch, Target, check_device, common_options, simulated, target

#: Size of what neither options nor files give.
DEFAULT_SIZE = 128


@dataclass(frozen=True, kw_only=True)
class Operands:
    """Files opened so far and the sizes they and the options give."""

    a: np.ndarray | None
    b: np.ndarray | None
    m: int
    k: int
    n: int
    dtype: str


def _operands(m: int | None, k: int | None, n: int | None, dtype: str | None, a_path: str | None, b_path: str | None) -> Operands:
    """Reads the files and settles the sizes."""
    for name, size in (("--m", m), ("--k", k), ("--n", n)):
        if size is not None and size < 1:
            raise OperandError(f"{name} must be at least 1, not {size}")
    a = b = None
    if a_path is not None:
        a, dtype = open_operand(a_path, dtype)
        m, k = _agree("--m", m, a.shape[0], a_path), _agree("--k", k, a.shape[1], a_path)
    if b_path is not None:
        b, dtype = open_operand(b_path, dtype)
        if a is not None and a.shape[1] != b.shape[0]:
            raise OperandError(f"columns of A must equal rows of B, not {a.shape[1]} ({a_path}) and {b.shape[0]} ({b_path})")
        k, n = _agree("--k", k, b.shape[0], b_path), _agree("--n", n, b.shape[1], b_path)
    m, k, n = (DEFAULT_SIZE if size is None else size for size in (m, k, n))
    return Operands(a=a, b=b, m=m, k=k, n=n, dtype="int8" if dtype is None else dtype)


def _agree(option: str, value: int | None, found: int, path: str) -> int:
    if value is not None and value != found:
        raise OperandError(f"{option} must be {found} as in {path}, not {value}: leave it out")
    return found


@click.command()
@click.option("--m", type=int, default=None, help=f"Rows of A and C [{DEFAULT_SIZE}].")
@click.option("--k", type=int, default=None, help=f"Columns of A, rows of B [{DEFAULT_SIZE}].")
@click.option("--n", type=int, default=None, help=f"Columns of B and C [{DEFAULT_SIZE}].")
@click.option("--dtype", default=None, help="Operand type: int8 or bf16 [that of the files, else int8].")
@click.option("--source", default="sbuf", show_default=True, help=f"Where operands start: {', '.join(SOURCES)}.")
@click.option("--a", "a_path", default=None, help=".npy file of A: int8; float32 (rounded to bf16) or uint16 (bf16 bits).")
@click.option("--b", "b_path", default=None, help=".npy file of B.")
@click.option("--save", default=None, help="Writes a, b and c to this .npz file.")
@common_options
def matmul(
    m: int | None, k: int | None, n: int | None, dtype: str | None, source: str, a_path: str | None, b_path: str | None, save: str | None,
    config_name: str | None, device_name: str, seed: int, as_json: bool, dram_mib: int, latency: int, stall: float,
) -> int:  # fmt: skip
    """One matrix product C[M, N] = A[M, K] B[K, N], checked.

    int8 gives int32, which must equal numpy's int64 product wrapped to 32 bits; bf16 gives fp32, which must be within the error bound of its
    number of roundings of the float64 product. On rtl every bit must also equal the golden model's.

    Cycles run from the first tensor instruction to the last PSUM write for --source sbuf, from doorbell to the end of the job for dram.
    """
    check_device(device_name)
    archive = check_archive(save) if save is not None else None
    given = _operands(m, k, n, dtype, a_path, b_path)
    with target(device_name, config_name, dram_mib=dram_mib, seed=seed, latency=latency, stall=stall) as chosen:
        values, complaint, gemm = _multiply(chosen, given, source, seed, archive)
        _report(values, gemm, chosen)
    if as_json:
        print_json(values)
    if complaint:
        fail(complaint)
    return 1 if complaint else 0


def _multiply(chosen: Target, given: Operands, source: str, seed: int, archive: Path | None) -> tuple[dict[str, Any], str, Gemm]:
    """What is reported, what is wrong (nothing: empty), and the program."""
    config = chosen.config
    with working("compiling"):
        gemm = compile_gemm(
            m=given.m, k=given.k, n=given.n, dtype=given.dtype, config=config, source=source, dram_bytes=chosen.memory_bytes
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    a = random_operand(rng, given.m, given.k, given.dtype) if given.a is None else operand_bits(given.a)
    b = random_operand(rng, given.k, given.n, given.dtype) if given.b is None else operand_bits(given.b)

    dram_bytes = gemm.program.dram_bytes
    with chosen.device(dram_bytes) as device:
        watch = Stopwatch(device)
        with cycle_progress(f"{given.m}x{given.k}x{given.n}", gemm.expected_cycles) as progress:
            outcome = run_matmul(device, a, b, gemm=gemm, progress=progress)
        watch.stop()
    ok, worst, complaint = _check(outcome, a, b, config, chosen.name, dram_bytes)

    if ok and archive:
        plain = {"a": a, "b": b} if given.dtype == "int8" else {"a": bf16_to_values(a), "b": bf16_to_values(b)}
        try:
            with written_whole(archive) as stream:
                np.savez(stream, **plain, c=outcome.c)
        except OSError as error:
            raise OperandError(f"--save could not write {archive}, which is left as it was: {error}") from error
    values = {
        "ok": ok, "max_abs_err": worst, "cycles": outcome.cycles, "macs": gemm.shape.macs, "utilisation": outcome.utilisation,
        "sim_seconds": watch.seconds, "sim_khz": watch.khz, "config_hash": config.hash, "config": config.name, "device": chosen.name,
        "m": given.m, "k": given.k, "n": given.n, "dtype": given.dtype, "source": source, "seed": seed,
    }  # fmt: skip
    return values, complaint, gemm


def _check(
    outcome: MatmulResult, a: np.ndarray, b: np.ndarray, config: ChipConfig, device_name: str, dram_bytes: int
) -> tuple[bool, float, str]:
    """Whether the result is right by numpy and, for anything but the golden device itself, bit for bit by the golden model."""
    with working("checking"):
        ok, worst = within(outcome.c, *reference(a, b))
        if not ok:
            return False, worst, f"result is off by up to {worst} from the reference"
        if device_name == "golden":
            return True, worst, ""
        with simulated("golden", config, dram_bytes=dram_bytes, seed=1) as device:
            golden = run_matmul(device, a, b, gemm=outcome.gemm).c
    different = int(np.count_nonzero(golden.view(np.uint32) != outcome.c.view(np.uint32)))
    return different == 0, worst, f"{different} of {golden.size} results differ in bits from the golden model" if different else ""


def _report(values: dict, gemm: Gemm, chosen: Target) -> None:
    """For people."""
    shape = f"{values['m']}x{values['k']}x{values['n']}"
    console.print(
        f"{shape} {values['dtype']} from {values['source']} on {values['config']} ({values['device']}): {'right' if values['ok'] else 'WRONG'}"
    )
    console.print(f"  largest error {values['max_abs_err']:g}, {values['macs']:,} multiply-accumulates, {len(gemm.plan.steps)} tile steps")
    if values["cycles"]:
        taken = chosen.time_taken(values["cycles"], values["sim_seconds"], values["sim_khz"])
        console.print(f"  {values['cycles']:,} cycles, {values['utilisation']:.2%} of peak; {taken}")
    else:
        console.print(f"  {values['sim_seconds']:.2f} s; this device has no cycles")
