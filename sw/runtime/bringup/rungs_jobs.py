"""The last rungs: whole jobs as users run them, ended by the interrupt."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ...compiler.batches import compile_batches
from ...compiler.gemm import Gemm, compile_gemm
from ...compiler.quantise import reference_linear
from ...compiler.queues import CompileError
from ..layout import pack_matrix, unpack_matrix
from ..matmul import reference, run_matmul, within
from .session import Fault, Session, require_int8

#: Shapes of the stress rung, those that fit.
SHAPES = ((16, 16, 16), (33, 24, 17), (64, 8, 40), (7, 50, 9), (96, 64, 32))
#: Cycles after which the digits hang.
LIMIT_CYCLES = 20_000_000
#: Digits that go over a slow link.
SLOW_DIGITS = 40


def stress(session: Session) -> dict[str, Any]:
    """Random products without a pause for the time that was asked for."""
    require_int8(session)
    gemms: list[Gemm] = []
    for m, k, n in SHAPES:
        try:
            gemms.append(
                compile_gemm(m=m, k=k, n=n, dtype="int8", config=session.config, source="dram", dram_bytes=session.device.memory_bytes)
            )
        except CompileError:
            continue
    generator = np.random.default_rng(session.seed)
    begin, done, macs, cycles = time.monotonic(), 0, 0, 0
    while not done or time.monotonic() - begin < session.stress_seconds:
        gemm = gemms[done % len(gemms)]
        shape = gemm.shape
        a = generator.integers(-128, 128, (shape.m, shape.k)).astype(np.int8)
        b = generator.integers(-128, 128, (shape.k, shape.n)).astype(np.int8)
        outcome = run_matmul(session.device, a, b, gemm=gemm)
        exact, bound = reference(a, b)
        if not within(outcome.c, exact, bound)[0]:
            rows, columns = np.nonzero(outcome.c != exact)
            raise Fault(
                f"product {done + 1} ({shape.m}x{shape.k}x{shape.n}) after {time.monotonic() - begin:.1f} s: {len(rows)} of {exact.size} elements are "
                f"wrong, first C[{rows[0]}, {columns[0]}] = {outcome.c[rows[0], columns[0]]} instead of {exact[rows[0], columns[0]]}"
            )
        done, macs, cycles = done + 1, macs + shape.macs, cycles + outcome.cycles
    return {"products": done, "macs": macs, "cycles": cycles}


def digits(session: Session) -> dict[str, Any]:
    """Held-out digits (over a slow link the first of them) in batches that fit; every logit must equal the integer reference."""
    from ...models import digits as network

    require_int8(session)
    device, model = session.device, network.digits()
    count = SLOW_DIGITS if session.slow else len(model.inputs)
    inputs = model.inputs[:count]
    graphs = compile_batches(model.layers, batch=count, config=session.config, dram_bytes=device.memory_bytes)
    expected: np.ndarray = inputs
    for layer in model.layers:
        expected = reference_linear(layer, expected)
    logits, first = [], 0
    for graph in graphs:
        images = inputs[first : first + graph.batch]
        first += graph.batch
        device.run(graph.program, {"input": pack_matrix(images, session.config)}, limit_cycles=LIMIT_CYCLES)
        raw = device.read(graph.program, "output")
        logits.append(unpack_matrix(raw, graph.batch, graph.layers[-1].outputs, graph.output_type, session.config))
    found = np.concatenate(logits)
    wrong = int(np.count_nonzero(found != expected))
    if wrong:
        raise Fault(
            f"{wrong} of {expected.size} logits differ from the integer reference, in {np.count_nonzero((found != expected).any(axis=1))} images"
        )
    right = (found * model.logit_scale).argmax(axis=1) == model.labels[:count]
    return {"images": count, "batches": len(graphs), "accuracy": round(float(right.mean()), 4)}
