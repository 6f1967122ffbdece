"""What the engines did, from the harness events: intervals, and the trace file that Perfetto and chrome://tracing open."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw.common.isa import ENGINES
from sw.isa.assembler import format_word
from sw.isa.program import Program

from .files import written_whole

#: Instruction channels of the trace pins: bit -> (engine, what it shows, opcodes).
CHANNELS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("load", "load", frozenset({0x01})),
    ("tensor", "load_stationary", frozenset({0x10})),
    ("tensor", "multiply_moving", frozenset({0x11})),
    ("output", "evict, load_channel", frozenset({0x20, 0x21})),
    ("store", "store", frozenset({0x02})),
)
#: Values of the trace state pins.
STATES = ("idle", "busy", "memory", "hazard", "fetch", "semaphore", "halted")
#: Kinds of events: an instruction starts, is done, an engine changes its state.
START, DONE, STATE = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Cycles [start, end) of one engine or channel in which `name` was going on."""

    track: str
    name: str
    start: int
    end: int
    index: int = -1


def state_intervals(events: np.ndarray, end: int) -> list[Interval]:
    """What every engine did, from its state changes up to cycle `end`; idle times are left out."""
    result = []
    for engine in ENGINES.values():
        changes = events[(events["kind"] == STATE) & (events["channel"] == engine.index)]
        cycles = [*changes["cycle"].tolist(), end]
        for begin, until, value in zip(cycles, cycles[1:], changes["value"].tolist(), strict=False):
            if value and until > begin:
                result.append(Interval(track=engine.name, name=STATES[value], start=begin, end=until))
    return result


def instruction_intervals(events: np.ndarray) -> list[Interval]:
    """From start to done of every instruction, numbered in its channel; several of a channel may overlap, they end in their order."""
    result = []
    for channel, (_, name, _) in enumerate(CHANNELS):
        running: deque[tuple[int, int]] = deque()
        count = 0
        chosen = events[(events["channel"] == channel) & (events["kind"] != STATE)]
        # An instruction that starts in the cycle in which another is done comes after it.
        for cycle, kind in sorted(
            zip(chosen["cycle"].tolist(), chosen["kind"].tolist(), strict=True), key=lambda item: (item[0], -item[1])
        ):
            if kind == START:
                running.append((count, cycle))
                count += 1
            elif running:
                index, begin = running.popleft()
                result.append(Interval(track=name, name=name, start=begin, end=cycle + 1, index=index))
    return result


def rebased(events: np.ndarray) -> np.ndarray:
    """The events with the first one at cycle 0."""
    result = events.copy()
    if len(result):
        result["cycle"] -= result["cycle"].min()
    return result


def channel_text(program: Program, channel: int) -> list[str]:
    """The instructions of a channel, disassembled, in order."""
    engine, _, opcodes = CHANNELS[channel]
    return [format_word(engine, word) for word in program.queues[engine] if word & 0xFF in opcodes]


def write_trace(path: Path, events: np.ndarray, program: Program, *, end: int, title: str) -> None:
    """A Chrome trace (JSON): one track an engine with its states, one a channel with its instructions. One microsecond is one cycle."""
    tracks = [*ENGINES, *(name for _, name, _ in CHANNELS if name not in ENGINES)]
    tracks += [f"{name} instructions" for name in ("load", "store")]
    numbers = {name: index for index, name in enumerate(tracks)}
    items: list[dict[str, Any]] = [{"ph": "M", "pid": 0, "name": "process_name", "args": {"name": title}}]
    items += [{"ph": "M", "pid": 0, "tid": index, "name": "thread_name", "args": {"name": name}} for name, index in numbers.items()]
    for item in state_intervals(events, end):
        items.append({"ph": "X", "pid": 0, "tid": numbers[item.track], "name": item.name, "ts": item.start, "dur": item.end - item.start})
    texts = {name: channel_text(program, channel) for channel, (_, name, _) in enumerate(CHANNELS)}
    for item in instruction_intervals(events):
        track = f"{item.track} instructions" if item.track in ENGINES else item.track
        text = texts[item.track][item.index] if item.index < len(texts[item.track]) else ""
        # Overlapping instructions of one channel need asynchronous slices: they have an id of their own.
        common = {"cat": "instruction", "pid": 0, "tid": numbers[track], "id": f"{track} {item.index}", "name": f"{track} {item.index}"}
        items.append({**common, "ph": "b", "ts": item.start, "args": {"instruction": text}})
        items.append({**common, "ph": "e", "ts": item.end})
    document = {"traceEvents": items, "displayTimeUnit": "ns", "otherData": {"unit": "1 microsecond is 1 clock cycle"}}
    with written_whole(path) as stream:
        stream.write(json.dumps(document).encode())
