"""What the logic analyser of a board captured is what the simulator saw at the same signals, cycle for cycle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vcd.reader import TokenKind, tokenize

from hw.debug.probes import BOARD_PROBES, CHIP_PROBES, PROBE_VALUES
from scripts.meshium import main
from sim.verilated.board import SimulatedBoard, simulated_board

BEFORE, DEPTH = 64, 512
#: Stages between the pin and the probe `rx`.
SYNCHRONISER = 2
#: Time units of the simulator's waveform a cycle; the signals that the next edge takes are those of the last of them.
CYCLE = 10


def _signals(path: Path) -> dict[str, str]:
    """Codes of the probes' signals in the simulator's waveform, by probe."""
    wanted = {f"chip__{name}": name for name in CHIP_PROBES} | {"rx": "rx", "tx": "tx"}
    scope: list[str] = []
    codes: dict[str, str] = {}
    with open(path) as stream:
        # Not every name in there is one that the package for such files takes.
        for words in map(str.split, stream):
            if words[:1] == ["$scope"]:
                scope.append(words[2])
            elif words[:1] == ["$upscope"]:
                scope.pop()
            elif words[:1] == ["$var"] and words[4] in wanted and scope[-1].startswith("meshium_board"):
                codes[wanted[words[4]]] = words[3]
            elif words[:1] == ["$enddefinitions"]:
                break
    return codes


def _cycles(path: Path, codes: dict[str, str]) -> Iterator[dict[str, int]]:
    """Values of the probes in each cycle of the simulator's waveform: as they are when the next begins."""
    names: dict[str, list[str]] = {}
    for name, code in codes.items():
        # Signals that are one share a code.
        names.setdefault(code, []).append(name)
    values: dict[str, int] = {}
    cycle = 0
    with open(path) as stream:
        for line in stream:
            if line.startswith("$enddefinitions"):
                break
        for line in stream:
            if line[0] == "#":
                now = int(line[1:]) // CYCLE
                while cycle < now:
                    yield dict(values)
                    cycle += 1
            elif line[0] == "b":
                text, code = line[1:].split()
                values |= dict.fromkeys(names.get(code, ()), int(text, 2))
            elif (code := line[1:].strip()) in names:
                values |= dict.fromkeys(names[code], int(line[0]))


def _captured(path: Path, period: int) -> list[dict[str, int]]:
    """Values of the probes and of `trigger` in each cycle of a capture."""
    names: dict[str, str] = {}
    cycles: list[dict[str, int]] = []
    values: dict[str, int] = {}
    with open(path, "rb") as stream:
        token: Any
        for token in tokenize(stream):
            if token.kind is TokenKind.VAR:
                names[token.var.id_code] = token.var.reference
            elif token.kind is TokenKind.CHANGE_TIME:
                cycles += [dict(values) for _ in range(token.time_change // period - len(cycles))]
            elif token.kind in (TokenKind.CHANGE_SCALAR, TokenKind.CHANGE_VECTOR, TokenKind.CHANGE_STRING):
                name, value = names[token.data.id_code], token.data.value
                known = PROBE_VALUES.get(name)
                values[name] = known.index(value) if known is not None and value in known else int(value)
    return cycles


@pytest.fixture(scope="module")
def waveforms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of a product on a simulated board: the simulator's, and what `meshium analyse` wrote."""
    folder = tmp_path_factory.mktemp("waveforms")
    whole, capture = folder / "simulator.vcd", folder / "capture.vcd"
    with SimulatedBoard(simulated_board("nano"), vcd=whole) as board:
        arguments = ["--trigger", "trace_state_tensor==busy", "--before", str(BEFORE), "-o", str(capture)]
        product = ["matmul", "--m", "3", "--k", "4", "--n", "4"]
        assert main(["analyse", "--device", f"board:{board.port}", *arguments, "--", *product]) == 0
        assert not board.failure
    return whole, capture


def test_a_capture_equals_the_simulators_waveform(waveforms: tuple[Path, Path]) -> None:
    whole, capture = waveforms
    codes = _signals(whole)
    assert codes.keys() == BOARD_PROBES.keys()
    period = 10**12 // simulated_board("nano").chip_hz
    captured = _captured(capture, period)
    assert len(captured) == DEPTH and [cycle["trigger"] for cycle in captured].index(1) == BEFORE
    trace = list(_cycles(whole, codes))
    # There was one product: the trigger is when the tensor engine was busy first, once the reset was over.
    trigger = next(index for index, cycle in enumerate(trace) if index >= 8 and cycle["trace_state_tensor"] == 1)
    for index, found in enumerate(captured):
        at = trigger - BEFORE + index
        seen = trace[at] | {"rx": trace[at - SYNCHRONISER]["rx"]}
        assert {name: found[name] for name in BOARD_PROBES} == seen, f"cycle {index - BEFORE}"
    # It was not all the same.
    moved = {name for name in BOARD_PROBES if len({cycle[name] for cycle in captured}) > 1}
    assert {"trace_state_tensor", "trace_start", "trace_done", "m_axi_rvalid"} <= moved, moved
