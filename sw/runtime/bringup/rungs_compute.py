"""Rungs that compute: PSUM, the array, DMA patterns, products back to back, and the digits."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from hw.debug.lfsr import signature
from hw.debug.self_test import PATTERN, Command
from sim.golden.self_test import fill_lines

from ...compiler.batches import compile_batches
from ...compiler.gemm import Gemm, compile_gemm
from ...compiler.quantise import reference_linear
from ...compiler.queues import CompileError
from ..layout import pack_matrix, unpack_matrix
from ..matmul import reference, run_matmul, within
from .compare import bits_of, plural
from .rungs_memory import run_self_test
from .session import BUFFERS, Fault, NotHere, Session

#: Most moving rows of the tensor rung.
TENSOR_ROWS = 32
#: Programs of the DMA rung.
DMA_JOBS = 12
#: Shapes of the stress rung, those that fit.
SHAPES = ((16, 16, 16), (33, 24, 17), (64, 8, 40), (7, 50, 9), (96, 64, 32))
#: Cycles after which the digits hang.
LIMIT_CYCLES = 20_000_000


def _require_int8(session: Session) -> None:
    if "int8" not in session.config.dtypes:
        raise NotHere(f"config {session.config.name!r} has no int8")


def _evict(bank: int, rows: int, base: int, wait: str) -> str:
    return f"evict mode=raw base={base} ap={rows}:4 psum_bank={bank} {wait}"


def _products(session: Session, stationary: np.ndarray, moving: np.ndarray, *, bank: int = 0) -> np.ndarray:
    """uint32 [rows, columns]: moving rows (int8 [m, R]) times a stationary block (int8 [R, C]), through SBUF and PSUM of the device."""
    config = session.config
    size, rows, element = config.cols, len(moving), config.element_bytes
    moving_first = 4 * element * -(-config.rows // 4)
    out = moving_first + 4 * -(-rows // 4)
    inputs = np.concatenate((stationary.astype(np.int8).view(np.uint8).reshape(-1), moving.astype(np.int8).view(np.uint8).reshape(-1)))
    result = BUFFERS + -(-len(inputs) // size) * size
    text = "\n".join(
        (
            f"load base=0 dram={BUFFERS} ap={config.rows}:1:{size}",
            f"load base={moving_first} dram={BUFFERS + config.rows * size} ap={rows}:1:{size} post0=0:1",
            f"lds dtype=int8 base=0 ap={config.rows}:1 wait0=0:1",
            f"mm dtype=int8 base={moving_first} ap={rows}:1 psum_bank={bank} post0=1:1",
            _evict(bank, rows, out, "wait0=1:1 post0=2:1"),
            f"store base={out} dram={result} ap={4 * rows}:1:{size} wait0=2:1",
        )
    )
    session.run_text(text, {"in": (BUFFERS, inputs)})
    return session.device.transport.read_memory(result, 4 * rows * size).view("<u4").reshape(rows, size)


def _expected(stationary: np.ndarray, moving: np.ndarray) -> np.ndarray:
    return (moving.astype(np.int64) @ stationary.astype(np.int64)).astype(np.uint64).astype(np.uint32)


def psum(session: Session) -> dict[str, Any]:
    """Every row of every bank holds numbers of its own, then their complements: products of chosen values, evicted as they are."""
    _require_int8(session)
    config = session.config
    top = 127 * 127 * (config.rows - 1)
    for bank in range(config.psum_banks):
        numbers = np.array([session.rng.randrange(-top, top) for _ in range(config.psum_rows)])
        # ... and patterns: all ones and checkered low bits.
        numbers[: min(4, len(numbers))] = (-1, 0, 0x5555 % top, -(0x5556 % top))[: len(numbers)]
        numbers = numbers[session.rng.sample(range(len(numbers)), len(numbers))]
        for values in (numbers, -1 - numbers):
            moving = _decomposed(values, config.rows)
            stationary = np.full((config.rows, config.cols), 127)
            stationary[0] = 1
            found = _products(session, stationary, moving, bank=bank)
            expected = _expected(stationary, moving)
            if not np.array_equal(expected, found):
                raise Fault(_psum_fault(expected, found, bank))
    return {"banks": config.psum_banks, "rows": config.psum_rows}


def _decomposed(values: np.ndarray, rows: int) -> np.ndarray:
    """Moving rows whose products with (1, 127, 127, ...) are `values`."""
    result = np.zeros((len(values), rows), np.int64)
    for index, value in enumerate(values):
        rest = int(value)
        result[index, 0] = (rest + 63) % 127 - 63
        rest = (rest - int(result[index, 0])) // 127
        for row in range(1, rows):
            result[index, row] = max(-127, min(127, rest))
            rest -= int(result[index, row])
    return result


def _psum_fault(expected: np.ndarray, found: np.ndarray, bank: int) -> str:
    """Names single cells apart from columns that are wrong everywhere."""
    wrong = expected ^ found
    columns = [column for column in range(wrong.shape[1]) if np.count_nonzero(wrong[:, column]) > len(wrong) // 3]
    if columns:
        bits = sorted({bit for column in columns for bit in bits_of(int(np.bitwise_or.reduce(wrong[:, column])))})
        return f"PSUM bank {bank}, or the array: {plural('column', columns)} of most rows wrong in {plural('bit', bits)}; the tensor rung tells which"
    row, column = (int(index[0]) for index in np.nonzero(wrong))
    cells = np.count_nonzero(wrong)
    bits = bits_of(int(wrong[row, column]))
    value = int(found[row, column]) >> bits[0] & 1
    return (
        f"PSUM bank {bank} row {row} column {column}: {plural('bit', bits)} read{'s' * (len(bits) == 1)} {value} instead of {1 - value} "
        f"({found[row, column]:#010x} instead of {expected[row, column]:#010x}); {cells} of {wrong.size} words of the bank are wrong"
    )


def tensor(session: Session) -> dict[str, Any]:
    """Pseudo-random operands, a signature of each column; then, if one is wrong, every element of the array by itself."""
    _require_int8(session)
    by = "self-test" if session.has_self_test and session.config.element_bytes == 1 else "host"
    rows = min(TENSOR_ROWS, session.config.psum_rows)
    seeds = [session.rng.randrange(1, 1 << 32) for _ in range(session.config.line_bytes // 4)]
    lines = np.array(list(fill_lines(seeds, session.config.rows + rows)), "<u4").view(np.int8).reshape(-1, session.config.cols)
    stationary, moving = lines[: session.config.rows], lines[session.config.rows :]
    expected = [signature(column.tolist(), 0) for column in _expected(stationary, moving).T]
    found = _signatures_of_block(session, seeds, rows) if by == "self-test" else [
        signature(column.tolist(), 0) for column in _products(session, stationary, moving).T
    ]  # fmt: skip
    wrong = [column for column in range(session.config.cols) if found[column] != expected[column]]
    if wrong:
        raise Fault(f"{_elements(session)}; wrong signatures of {plural('column', wrong)}")
    return {"rows": rows, "signatures_by": by, "signature": f"{found[0]:#010x}"}


def _signatures_of_block(session: Session, seeds: list[int], rows: int) -> list[int]:
    """Operands and signatures made by the self-test block: nothing but instructions goes over the link."""
    config = session.config
    last = config.rows + rows - 1
    out = 4 * -(-(last + 1) // 4)
    session.write_self_test(PATTERN, *seeds)
    run_self_test(session, Command.FILL, 0, last)
    session.run_text(
        f"lds dtype=int8 base=0 ap={config.rows}:1\nmm dtype=int8 base={config.rows} ap={rows}:1 post0=1:1\n{_evict(0, rows, out, 'wait0=1:1')}"
    )
    words = config.line_bytes // 4
    signatures: list[int] = []
    # A row of 32-bit words is four lines: each has a quarter of the columns.
    for quarter in range(4):
        session.write_self_test(PATTERN, *[0] * words)
        run_self_test(session, Command.SIGNATURE, out + quarter, out + quarter + 4 * (rows - 1), rows=True)
        signatures += [session.self_test_register(PATTERN + word) for word in range(words)]
    return signatures


def _elements(session: Session) -> str:
    """Which elements of the array give wrong products: each multiplies alone."""
    size = session.config.rows
    stationary = np.array([[(7 * row + 3 * column) % 120 + 1 for column in range(size)] for row in range(size)])
    wrong = _products(session, stationary, np.eye(size, dtype=np.int64)) != _expected(stationary, np.eye(size, dtype=np.int64))
    columns = [column for column in range(size) if wrong[:, column].all()]
    rows = [row for row in range(size) if wrong[row].all()]
    if wrong.all():
        return "no element of the array gives its product"
    if columns:
        return f"{plural('column', columns)} of the array {'is' if len(columns) == 1 else 'are'} dead"
    if rows:
        return f"{plural('row', rows)} of the array {'is' if len(rows) == 1 else 'are'} dead"
    single = [f"({row}, {column})" for row, column in zip(*np.nonzero(wrong), strict=True)]
    if single:
        return f"element{'s' * (len(single) > 1)} (row, column) {', '.join(single[:8])} of the array give{'s' * (len(single) == 1)} wrong products"
    return "single products are right, sums of them are not"


def dma(session: Session) -> dict[str, Any]:
    """Random four-dimensional patterns both ways, backwards and across 4 KiB, against the golden chip; the rest of the memory must stay."""
    config = session.config
    width, rng = config.line_bytes, session.rng
    span = min(session.device.memory_bytes, 1 << 16) - BUFFERS
    crossings = 0
    for number in range(DMA_JOBS):
        golden = session.golden()
        half = span // 2 // width
        sizes = [rng.randint(1, 5), rng.randint(1, 4), rng.randint(1, 3)]
        strides = [rng.choice((1, 3, -1, 2)), rng.choice((7, -9, 16)), rng.choice((40, -35, 64))]
        count = int(np.prod(sizes))
        # The pattern walks around its base: keep all of it inside.
        reach = sum(abs(stride) * (size - 1) for size, stride in zip(sizes, strides, strict=True))
        near = 4096 // width
        base = max(reach, near - 2) if number % 2 else reach + rng.randrange(max(1, half - 2 * reach - 1))
        crossings += number % 2
        walk = ",".join(
            f"{size}:{size_stride}:{stride * width}"
            for size, size_stride, stride in zip(sizes, (1, sizes[0], sizes[0] * sizes[1]), strides, strict=True)
        )
        source, target = BUFFERS + base * width, BUFFERS + half * width + (count + base) % 5 * width
        text = f"load base=0 dram={source} ap={walk} post0=0:1\nstore base=0 dram={target} ap={count}:1:{width} wait0=0:1"
        contents = session.bytes(span)
        program = session.program(text, {"all": (BUFFERS, span)})
        session.run(program, {"all": contents})
        expected = _golden_memory(golden, program, contents)
        found = session.device.transport.read_memory(BUFFERS, span)
        if not np.array_equal(expected, found):
            at = int(np.flatnonzero(expected != found)[0])
            inside = target <= BUFFERS + at < target + count * width
            place = "inside" if inside else "outside"
            raise Fault(
                f"memory byte {BUFFERS + at:#x} ({place} the destination of the store) reads {found[at]:#04x}, not {expected[at]:#04x}, after: {text}"
            )
    return {"jobs": DMA_JOBS, "crossings": crossings}


def _golden_memory(golden: Any, program: Any, contents: np.ndarray) -> np.ndarray:
    from ..device import Device

    with Device(golden) as device:
        device.run(program, {"all": contents})
        return device.read(program, "all")


def stress(session: Session) -> dict[str, Any]:
    """Random products without a pause for the time that was asked for."""
    _require_int8(session)
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


def digits_rung(session: Session) -> dict[str, Any]:
    """All held-out digits in batches that fit; every logit must equal the integer reference."""
    from ...models.digits import digits

    _require_int8(session)
    device, model = session.device, digits()
    graphs = compile_batches(model.layers, batch=len(model.inputs), config=session.config, dram_bytes=device.memory_bytes)
    expected: np.ndarray = model.inputs
    for layer in model.layers:
        expected = reference_linear(layer, expected)
    logits, first = [], 0
    for graph in graphs:
        images = model.inputs[first : first + graph.batch]
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
    return {"images": len(model.labels), "batches": len(graphs), "accuracy": model.accuracy(found)}
