"""Rungs that compute: PSUM, the array, DMA patterns."""

from __future__ import annotations

from typing import Any

import numpy as np

from hw.debug.lfsr import signature
from hw.debug.self_test import Command
from sim.golden.self_test import fill_lines

from ..device import Device
from .compare import bits_of, plural
from .session import BUFFERS, Fault, Session, require_int8

#: Most moving rows of the tensor rung.
TENSOR_ROWS = 32
#: Programs of the DMA rung, and bytes of its windows over a slow link.
DMA_JOBS, SLOW_DMA_JOBS, SLOW_WINDOW = 12, 4, 512


def _evict(bank: int, rows: int, base: int, wait: str) -> str:
    return f"evict mode=raw base={base} ap={rows}:4 psum_bank={bank} {wait}"


def _products(session: Session, stationary: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """uint32 [rows, columns]: moving rows (int8 [m, R]) times a stationary block (int8 [R, C]), through SBUF and PSUM bank 0 of the device."""
    rows = len(moving)
    first = _operands(session, stationary, moving)
    out = first + 4 * -(-rows // 4)
    session.run_text(f"{_multiply(session, first, rows, 0)} post0=1:1\n{_evict(0, rows, out, 'wait0=1:1')}")
    return session.read_sbuf(out, 4 * rows).view("<u4").reshape(rows, session.config.cols)


def _operands(session: Session, stationary: np.ndarray, moving: np.ndarray) -> int:
    """Puts a stationary block and moving rows into SBUF; the first line of the moving rows."""
    first = 4 * -(-session.config.rows // 4)
    for line, matrix in ((0, stationary), (first, moving)):
        session.write_sbuf(line, np.ascontiguousarray(matrix.astype(np.int8)).view(np.uint8).reshape(-1))
    return first


def _multiply(session: Session, first: int, rows: int, bank: int) -> str:
    return f"lds dtype=int8 base=0 ap={session.config.rows}:1\nmm dtype=int8 base={first} ap={rows}:1 psum_bank={bank}"


def _expected(stationary: np.ndarray, moving: np.ndarray) -> np.ndarray:
    return (moving.astype(np.int64) @ stationary.astype(np.int64)).astype(np.uint64).astype(np.uint32)


def psum(session: Session) -> dict[str, Any]:
    """Every row of every bank holds a number of its own, then its complement: products of chosen values, evicted as they are."""
    require_int8(session)
    config = session.config
    rows, top = config.psum_rows, 127 * 127 * (config.rows - 1)
    # A bank gets the rows from its own number on, so that no two banks hold the same. As many banks at once as SBUF has room for.
    first = 4 * -(-config.rows // 4)
    out = first + 4 * -(-(rows + config.psum_banks) // 4)
    group = min(config.psum_banks, (config.sbuf_lines - out) // (4 * rows))
    chosen = [-1, 0, 0x5555 % top, -(0x5556 % top)]
    numbers = np.array(chosen + [session.rng.randrange(-top, top) for _ in range(rows + config.psum_banks - len(chosen))])
    stationary = np.full((config.rows, config.cols), 127)
    stationary[0] = 1
    for values in (numbers, -1 - numbers):
        moving = _decomposed(values, config.rows)
        _operands(session, stationary, moving)
        products = _expected(stationary, moving)
        for low in range(0, config.psum_banks, group):
            banks = range(low, min(low + group, config.psum_banks))
            text = [f"{_multiply(session, first + bank, rows, bank)} post0=1:1" for bank in banks]
            text += [_evict(bank, rows, out + 4 * rows * (bank - low), "wait0=1:1") for bank in banks]
            session.run_text("\n".join(text))
            expected = np.concatenate([products[bank : bank + rows] for bank in banks])
            found = session.differing_sbuf(out, expected.astype("<u4").view(np.uint8).reshape(-1, config.line_bytes))
            if found is not None:
                _psum_fault(expected.reshape(-1, rows, config.cols), found.view("<u4").reshape(-1, rows, config.cols), low)
    return {"banks": config.psum_banks, "rows": rows}


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


def _psum_fault(expected: np.ndarray, found: np.ndarray, low: int) -> None:
    """Names single cells apart from columns that are wrong everywhere; uint32 [banks from `low` on, rows, columns]. Raises `Fault`."""
    wrong = expected ^ found
    columns = [column for column in range(wrong.shape[2]) if np.count_nonzero(wrong[:, :, column]) > wrong[:, :, column].size // 3]
    if columns:
        bits = bits_of(int(np.bitwise_or.reduce(wrong[:, :, columns], axis=None)))
        raise Fault(
            f"PSUM or the array: most words of {plural('column', columns)} are wrong, in {plural('bit', bits)}; the tensor rung tells which it is"
        )
    bank, row, column = (int(index[0]) for index in np.nonzero(wrong))
    bits = bits_of(int(wrong[bank, row, column]))
    value = int(found[bank, row, column]) >> bits[0] & 1
    raise Fault(
        f"PSUM bank {low + bank} row {row} column {column}: {plural('bit', bits)} read{'s' * (len(bits) == 1)} {value} instead of {1 - value} "
        f"({found[bank, row, column]:#010x} instead of {expected[bank, row, column]:#010x}); {np.count_nonzero(wrong)} of {wrong.size} words are wrong"
    )


def tensor(session: Session) -> dict[str, Any]:
    """Pseudo-random operands, a signature of each column; then, if one is wrong, every element of the array by itself."""
    require_int8(session)
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
    session.run_self_test(Command.FILL, 0, last, pattern=seeds)
    session.run_text(f"{_multiply(session, config.rows, rows, 0)} post0=1:1\n{_evict(0, rows, out, 'wait0=1:1')}")
    signatures: list[int] = []
    # A row of 32-bit words is four lines: each has a quarter of the columns.
    for quarter in range(4):
        end = out + quarter + 4 * (rows - 1)
        signatures += session.run_self_test(Command.SIGNATURE, out + quarter, end, pattern=[0] * (config.line_bytes // 4), rows=True)
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
    """Random patterns of three dimensions, backwards too, between windows that lie across 4 KiB, against the golden chip; nothing else may change."""
    width, page = session.config.line_bytes, 4096
    jobs, window = (SLOW_DMA_JOBS, SLOW_WINDOW) if session.slow else (DMA_JOBS, page)
    starts = (BUFFERS + page - window // 2, BUFFERS + 3 * page - window // 2)
    for _ in range(jobs):
        text, source_lines = _pattern(session, window // width, starts[0], starts[1])
        buffers = {"source": (starts[0], window), "target": (starts[1], window)}
        program = session.program(text, buffers)
        contents = {name: session.bytes(size) for name, (_, size) in buffers.items()}
        with Device(session.golden()) as golden:
            golden.run(program, contents)
            expected = {name: golden.read(program, name) for name in buffers}
        session.run(program, contents)
        for name, (address, _) in buffers.items():
            found = session.device.read(program, name)
            wrong = np.flatnonzero(found != expected[name])
            if len(wrong):
                at = int(wrong[0])
                raise Fault(
                    f"{len(wrong)} bytes of the {name} are wrong after a copy of {source_lines} lines, first {address + at:#x}: {found[at]:#04x}, not "
                    f"{expected[name][at]:#04x}; program: {'; '.join(text.splitlines())}"
                )
    return {"jobs": jobs, "window_bytes": window}


def _pattern(session: Session, lines: int, source: int, target: int) -> tuple[str, int]:
    """A load with a random pattern and a store that is plain, or the other way round, inside windows of `lines` lines; and the lines it moves."""
    rng, width = session.rng, session.config.line_bytes
    while True:
        sizes = [rng.randint(1, 5), rng.randint(1, 4), rng.randint(1, 3)]
        strides = [rng.choice((1, 2, 3, -1)), rng.choice((5, 7, -9, 16)), rng.choice((11, -13, 20))]
        steps = [stride * (size - 1) for size, stride in zip(sizes, strides, strict=True)]
        low, high = sum(min(0, step) for step in steps), sum(max(0, step) for step in steps)
        if high - low < lines:
            break
    count = sizes[0] * sizes[1] * sizes[2]
    base = rng.randint(-low, lines - 1 - high)
    dense = (1, sizes[0], sizes[0] * sizes[1])
    walk = ",".join(f"{size}:{line}:{stride * width}" for size, line, stride in zip(sizes, dense, strides, strict=True))
    plain = f"{count}:1:{width}"
    first, second = (walk, plain) if rng.random() < 0.5 else (plain, walk)
    # The plain side has to fit behind its base as well.
    places = [base if side is walk else rng.randint(0, max(0, lines - count)) for side in (first, second)]
    return (
        f"load base=0 dram={source + places[0] * width} ap={first} post0=0:1\n"
        f"store base=0 dram={target + places[1] * width} ap={second} wait0=0:1"
    ), count
