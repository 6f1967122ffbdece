"""Rungs of the memories: SBUF by march and by address, the memory behind AXI."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

from hw.debug.march import BACKGROUNDS, MARCH_C_MINUS, OPERATIONS
from hw.debug.self_test import FOUND, RESULT, STATUS, Command

from .compare import bits_of, explain, swapped_lanes
from .session import BUFFERS, Fault, Session

#: Most lines that go through AXI in one piece of the test; over a slow link.
AXI_LINES, SLOW_AXI_LINES = 1024, 24


def march(session: Session) -> dict[str, Any]:
    """March C- over all of SBUF with every background, by the self-test block; without it by loads and stores of whole memories."""
    if not session.has_self_test:
        return _march_by_dma(session)
    lines, words = session.config.sbuf_lines, session.config.line_bytes // 4
    backgrounds = list(BACKGROUNDS)[: 2 if session.slow else None]
    begin = time.monotonic()
    for name in backgrounds:
        word, alternate = BACKGROUNDS[name]
        session.run_self_test(Command.MARCH, 0, lines - 1, pattern=[word] * words, alternate=alternate)
        (status,) = session.self_test_registers(0)
        if status >> STATUS["failed"][0] & 1:
            raise Fault(_named(session, name, status, [word] * words))
    seconds = time.monotonic() - begin
    return {
        "backgrounds": len(backgrounds),
        "lines": lines,
        "accesses": OPERATIONS * lines * len(backgrounds),
        "march_seconds": round(seconds, 3),
    }


def _named(session: Session, background: str, status: int, pattern: list[int]) -> str:
    """What the first failing read says."""
    (result,) = session.self_test_registers(1)
    line, failures = (result >> RESULT[name][0] & (1 << RESULT[name][1]) - 1 for name in ("line", "failures"))
    element = MARCH_C_MINUS[status >> STATUS["failing_element"][0] & 7]
    ones = status >> STATUS["ones"][0] & 1
    found = session.self_test_registers(FOUND, len(pattern))
    expected = [word ^ (0xFFFFFFFF if ones else 0) for word in pattern]
    wrong = [
        (32 * index + bit, expected[index] >> bit & 1) for index in range(len(pattern)) for bit in bits_of(found[index] ^ expected[index])
    ]
    names = ", ".join(f"bit {bit} (lane {bit // 8} bit {bit % 8}) reads {1 - value} instead of {value}" for bit, value in wrong[:4])
    more = f" and {len(wrong) - 4} more bits" if len(wrong) > 4 else ""
    at_least = "at least " if failures == (1 << RESULT["failures"][1]) - 1 else ""
    return (
        f"SBUF line {line}: {names}{more}; bank {line // session.config.sbuf_bank_lines}, first seen in element {element} on background {background!r}, "
        f"{at_least}{failures} failing reads"
    )


def _march_by_dma(session: Session) -> dict[str, Any]:
    """The same elements with all lines of a step in one Load or Store: as good for single cells, not for couplings between lines."""
    config = session.config
    accesses = 0
    for name, (word, alternate) in BACKGROUNDS.items():
        zero = np.full((config.sbuf_lines, config.line_bytes // 4), word, "<u4")
        if alternate:
            zero[1::2] ^= np.uint32(0xFFFFFFFF)
        for element in MARCH_C_MINUS:
            if element.read is not None:
                expected = (zero ^ np.uint32(0xFFFFFFFF * element.read)).view(np.uint8).reshape(config.sbuf_lines, -1)
                found = session.read_sbuf(0, config.sbuf_lines).reshape(expected.shape)
                if not np.array_equal(expected, found):
                    raise Fault(f"{explain(expected, found, 'SBUF line')}, in element {element} on background {name!r}")
            if element.write is not None:
                session.write_sbuf(0, (zero ^ np.uint32(0xFFFFFFFF * element.write)).view(np.uint8).reshape(-1))
            accesses += config.sbuf_lines * ((element.read is not None) + (element.write is not None))
    return {"backgrounds": len(BACKGROUNDS), "lines": config.sbuf_lines, "accesses": accesses}


def sbuf(session: Session) -> dict[str, Any]:
    """Every line filled with what only it has, all written before any is read; over a slow link those whose addresses differ in single bits."""
    config = session.config
    lines = np.arange(config.sbuf_lines)
    if session.slow:
        bits = 1 << np.arange(config.sbuf_address_width)
        lines = np.unique(np.concatenate(([0], bits, config.sbuf_lines - 1 - bits, [config.sbuf_lines - 1])))
    for name, salt in (("addresses", 0), ("complements of addresses", 0xFFFFFFFF)):
        expected = _addresses(config.sbuf_bytes, salt).reshape(config.sbuf_lines, config.line_bytes)
        found = expected.copy()
        if session.slow:
            for line in lines:
                session.write_sbuf(int(line), expected[line])
            for line in lines:
                found[line] = session.read_sbuf(int(line), 1)
        else:
            session.write_sbuf(0, expected.reshape(-1))
            found = session.read_sbuf(0, config.sbuf_lines).reshape(expected.shape)
        if not np.array_equal(expected, found):
            raise Fault(f"{explain(expected, found, 'SBUF line')} ({name})")
    return {"lines": len(lines)}


def _addresses(size: int, salt: int) -> np.ndarray:
    """Words that are their own number, spread over all bits so that no two bytes of a word are the same everywhere."""
    numbers = np.arange(size // 4, dtype=np.uint64)
    return ((numbers * 0x9E3779B1 & 0xFFFFFFFF).astype("<u4") ^ np.uint32(salt)).view(np.uint8)


def memory(session: Session) -> dict[str, Any]:
    """The host's side of the memory, then both ways through the chip's AXI port."""
    transport, size = session.device.transport, session.device.memory_bytes
    walking = np.array([1 << bit for bit in range(32)] + [0xFFFFFFFF ^ 1 << bit for bit in range(32)], "<u4").view(np.uint8)
    for address in (0, size - len(walking)):
        transport.write_memory(address, walking)
        _compared(walking, transport.read_memory(address, len(walking)), 4, "memory word", "by the host, walking ones and zeros")
    tested = size if session.is_board else min(size, 1 << 16)
    contents = _addresses(tested, 0x5A5A0F0F)
    if session.slow:
        bits = 4 << np.arange((tested // 4 - 1).bit_length())
        places = np.unique(np.concatenate(([0], bits)))
        for place in places:
            transport.write_memory(int(place), contents[place : place + 4])
        found = contents.copy()
        for place in places:
            found[place : place + 4] = transport.read_memory(int(place), 4)
    else:
        transport.write_memory(0, contents)
        found = transport.read_memory(0, tested)
    _compared(contents, found, 4, "memory word", "by the host, addresses")
    return {"bytes": tested, "lines_through_axi": _through_axi(session, tested)}


def _compared(expected: np.ndarray, found: np.ndarray, width: int, unit: str, how: str) -> None:
    if not np.array_equal(expected, found):
        raise Fault(f"{explain(expected.reshape(-1, width), found.reshape(-1, width), unit)} ({how})")


def _through_axi(session: Session, tested: int) -> int:
    """Loads from and stores to parts of the memory; what SBUF holds is looked at from beside, so that both ways are judged apart."""
    config, transport = session.config, session.device.transport
    width = config.line_bytes
    lines = SLOW_AXI_LINES if session.slow else min(AXI_LINES, config.sbuf_lines, (tested - BUFFERS) // width)
    # The first place and the last one: everything between differs from one of them in single bits of the address.
    for first in (BUFFERS, tested - lines * width):
        contents = session.bytes(lines * width)
        load = f"load base=0 dram={first} ap={lines}:1:{width}"
        try:
            session.run_text(load, {"in": (first, contents)})
        except Fault as fault:
            raise Fault(_read_lanes(session, load, first, contents) or f"the first job that reads memory fails: {fault}") from fault
        if session.is_board:
            found = session.read_sbuf(0, lines)
            wrong = not np.array_equal(found, contents) and not swapped_lanes(contents.reshape(-1, width), found.reshape(-1, width))
            # A damaged instruction need not be one that fails: it may have moved something else.
            if wrong and (lanes := _read_lanes(session, load, first, contents)):
                raise Fault(lanes)
            _axi(contents, found, width, "read", first)
            contents = session.bytes(lines * width)
            session.write_sbuf(0, contents)
        session.run_text(f"store base=0 dram={first} ap={lines}:1:{width}")
        _axi(contents, transport.read_memory(first, lines * width), width, "write" if session.is_board else "read or write", first)
    return lines


def _read_lanes(session: Session, load: str, first: int, contents: np.ndarray) -> str:
    """Whether jobs work once two byte lanes are exchanged in memory: instructions come through AXI as well, so swapped lanes of reads break them."""
    width = session.config.line_bytes
    for lanes in itertools.combinations(range(width), 2):
        session.device.transport.reset()
        try:
            session.run_text(load, {"in": (first, contents)}, exchange=lanes)
        except Fault:
            continue
        found = session.read_sbuf(0, len(contents) // width) if session.is_board else contents
        if np.array_equal(found, contents):
            return f"AXI read data: byte lanes {lanes[0]} and {lanes[1]} are swapped: a job whose lanes are exchanged beforehand is right"
    return ""


def _axi(expected: np.ndarray, found: np.ndarray, width: int, way: str, first: int) -> None:
    if np.array_equal(expected, found):
        return
    left, right = expected.reshape(-1, width), found.reshape(-1, width)
    lanes = swapped_lanes(left, right)
    what = f"AXI {way} data: {lanes}" if lanes else f"AXI {way}s at {first:#x}: {explain(left, right, 'line')}"
    raise Fault(what)
