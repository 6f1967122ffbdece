"""The first rungs: octets come and go, and what answers is the chip it should be."""

from __future__ import annotations

import time
from typing import Any

from hw.host.protocol import BOARD_REGISTERS, ESCAPE, FLAG, MAX_WORDS, Space

from ..board import identify, known_config
from .session import Fault, Session

#: Words of a burst that keeps several frames on their way, over a slow link and over others.
BURST = (3 * MAX_WORDS, 10 * MAX_WORDS)
#: Words that are written and read to measure the rate.
RATE_WORDS = (128, 2048)
#: Counters of the host's side that are 0 on a line that loses nothing.
LOSSES = ("retries", "timeouts", "bad_frames", "out_of_order", "damaged")
#: Counters of the board's side.
BOARD_LOSSES = ("BAD_FRAMES", "DROPPED_FRAMES", "LINE_ERRORS")
#: Share of repeated frames above which a line counts as broken.
MOST_REPEATED = 0.2


def link(session: Session) -> dict[str, Any]:
    """Patterns through SCRATCH, one at a time and in bursts; the rate over the board's memory; what was lost on the way."""
    line = session.link
    before = {name: line.board(name) for name in BOARD_LOSSES}
    first = dict(line.counters.as_dict())
    flags = int.from_bytes(bytes((FLAG, ESCAPE, FLAG, ESCAPE)), "little")
    patterns = (
        [1 << bit for bit in range(32)] + [0xFFFFFFFF ^ 1 << bit for bit in range(32)] + [0, 0xFFFFFFFF, flags, flags >> 8 | 0x20 << 24]
    )
    for pattern in patterns:
        line.write_board("SCRATCH", pattern)
        found = line.board("SCRATCH")
        if found != pattern:
            raise Fault(
                f"board register SCRATCH reads {found:#010x} after {pattern:#010x} was written: bits {found ^ pattern:#010x} are wrong"
            )
    _windows(session)
    size = min(RATE_WORDS[not session.slow], line.board("MEMORY_BYTES") // 4)
    words = [session.rng.getrandbits(32) for _ in range(size)]
    rates = {}
    begin = time.monotonic()
    line.write(Space.MEMORY, 0, words)
    rates["write_bytes_per_second"] = round(4 * size / (time.monotonic() - begin))
    begin = time.monotonic()
    found_words = line.read(Space.MEMORY, 0, size).tolist()
    rates["read_bytes_per_second"] = round(4 * size / (time.monotonic() - begin))
    if found_words != words:
        wrong = next(index for index, word in enumerate(words) if found_words[index] != word)
        raise Fault(f"memory word {wrong} reads {found_words[wrong]:#010x} through the link, not {words[wrong]:#010x} as it was written")
    return {**rates, "baud": line.baud, "slow": session.slow, **_losses(session, first, before)}


def _windows(session: Session) -> None:
    """Bursts of several frames into one register: the last word must win, and the first."""
    scratch = BOARD_REGISTERS["SCRATCH"].address
    burst = BURST[not session.slow]
    words = [session.rng.getrandbits(32) for _ in range(burst)]
    session.link.write(Space.BOARD, scratch, words, fixed=True)
    found = session.link.read(Space.BOARD, scratch, burst, fixed=True).tolist()
    if found != [words[-1]] * burst:
        raise Fault(
            f"after a burst of {burst} words SCRATCH must read the last one, {words[-1]:#010x}, not {found[0]:#010x}: frames are lost or out of order"
        )


def _losses(session: Session, first: dict[str, int], before: dict[str, int]) -> dict[str, Any]:
    counters = session.link.counters.as_dict()
    lost = {name: counters[name] - first[name] for name in LOSSES}
    board = {name.lower(): session.link.board(name) - before[name] for name in BOARD_LOSSES}
    frames = counters["requests"] - first["requests"]
    figures: dict[str, Any] = {"frames": frames, **lost, **{f"board_{name}": count for name, count in board.items()}}
    if not any(lost.values()) and not any(board.values()):
        return figures
    text = (
        f"the line loses octets: {lost['retries']} of {frames} frames were sent again ({lost['timeouts']} timeouts, {lost['damaged']} damaged answers; "
        f"the board saw {board['bad_frames']} bad frames, {board['line_errors']} octets without a stop bit, {board['dropped_frames']} frames too many)"
    )
    if lost["retries"] > MOST_REPEATED * frames:
        raise Fault(f"{text}: check cable and ground, or choose a lower bit rate")
    return {**figures, "warning": f"{text}; all data are right"}


def identity(session: Session) -> dict[str, Any]:
    """What answers says the same in every place that says it, and what was asked for."""
    figures: dict[str, Any] = {}
    if session.is_board:
        board = identify(session.link)
        known = known_config(board.config_hash)
        figures = {
            "board_config": known.name if known else "unknown", "memory_bytes": board.memory_bytes, "clock_hz": board.clock_hz,
            "self_test": board.self_test, "analyser": board.analyser,
        }  # fmt: skip
    device = session.device
    config, golden = device.config, session.golden()
    for name in ("MAGIC", "VERSION", "CONFIG_HASH", "GEOMETRY"):
        expected, found = golden.read_register(_address(name)), device.register(name)
        if found != expected:
            raise Fault(
                f"register {name} reads {found:#010x}, config {config.name!r} has {expected:#010x}: the chip was built of something else"
            )
    if session.is_board and board.sbuf_bytes != config.sbuf_bytes:
        raise Fault(f"board register SBUF_BYTES reads {board.sbuf_bytes}, config {config.name!r} has {config.sbuf_bytes}")
    return {"config": config.name, "config_hash": f"{config.hash:#010x}", **figures}


def _address(name: str) -> int:
    from hw.common.registers import REGISTERS

    return REGISTERS[name].address
