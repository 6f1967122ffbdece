"""The host's side of the logic analyser: triggers in words, downloads over a link that repeats, waveforms, refusals."""

import io
from typing import Any

import numpy as np
import pytest
from vcd.reader import TokenKind, tokenize

from hw.debug.analyser import ANALYSER_REGISTERS, CONTROL, GEOMETRY, MASK, STAMP_BITS, STATUS, VALUE, identity
from hw.debug.probes import BOARD_PROBES, CHIP_PROBES, PROBE_VALUES
from hw.host.protocol import ANALYSER_BASE, Space
from scripts.meshium import main
from sw.runtime.analyser import ATTEMPTS, AnalyserError, Capture, LogicAnalyser, Trigger

PROBES = {"irq": 1, "state": 3, "count": 40}
VALUES = {"state": ("idle", "busy", "memory")}
NUMBERS = {item.name: item.number for item in ANALYSER_REGISTERS}
DEPTH = 16


class FakeLink:
    """An analyser's registers over (cycle count, sample) pairs; every `lossy`-th read of DATA takes a word too many, and each of more than `most` words."""

    name = "line"

    def __init__(
        self,
        *,
        full: bool = False,
        trigger: int = 5,
        lossy: int = 0,
        most: int = 1 << 16,
        status: str = "triggered done",
        features: int = 3,
    ) -> None:
        self.features, self.lossy, self.most, self.reads = features, lossy, most, 0
        self.entries = [(index + 1, 0x5A00000000 * index + 3 * index) for index in range(DEPTH)]
        self.bits = sum(PROBES.values())
        names = set(status.split()) | ({"full"} if full else set())
        self.values = {
            0: sum(1 << STATUS[name][0] for name in names), NUMBERS["IDENTITY"]: identity(PROBES, DEPTH), NUMBERS["NEXT"]: 9, NUMBERS["TRIGGER"]: trigger,
            NUMBERS["GEOMETRY"]: DEPTH | self.bits << GEOMETRY["width"][0] | STAMP_BITS << GEOMETRY["stamp"][0],
        }  # fmt: skip
        self.pointer = [0, 0]
        self.written: dict[int, int] = {}

    def board(self, name: str) -> int:
        assert name == "FEATURES"
        return self.features

    def _data(self) -> int:
        stamp, sample = self.entries[self.pointer[0]]
        word = (sample | stamp << self.bits) >> 32 * self.pointer[1] & 0xFFFFFFFF
        self._move()
        return word

    def _move(self) -> None:
        self.pointer[1] += 1
        if self.pointer[1] == 2:
            self.pointer = [(self.pointer[0] + 1) % DEPTH, 0]

    def read(self, space: Space, address: int, count: int, *, fixed: bool = False) -> np.ndarray:
        assert space is Space.BOARD
        number = (address - ANALYSER_BASE) // 4
        if number == NUMBERS["POINTER"]:
            return np.array([self.pointer[0] | self.pointer[1] << 16], np.uint32)
        if number == NUMBERS["DATA"]:
            assert fixed
            self.reads += 1
            if (self.lossy and self.reads % self.lossy == 0) or count > self.most:
                self._move()
            return np.array([self._data() for _ in range(count)], np.uint32)
        return np.array([self.values[number]], np.uint32)

    def write(self, space: Space, address: int, words: Any) -> None:
        number = (address - ANALYSER_BASE) // 4
        for offset, word in enumerate(words):
            self.written[number + offset] = word
        if number == NUMBERS["POINTER"]:
            self.pointer = [words[0] & 0xFFFF, words[0] >> 16]


@pytest.mark.parametrize(
    ("text", "value", "mask", "change"),
    [
        ("irq", 1, 1, False),
        ("!irq", 0, 1, False),
        ("state==busy", 1 << 1, 7 << 1, False),
        (" state == 5 & irq ", 5 << 1 | 1, 15, False),
        ("count==0x8000000000&!irq", 1 << 43, ((1 << 40) - 1) << 4 | 1, False),
        ("irq & irq==1", 1, 1, False),
        ("changed(irq)", 0, 1, True),
        ("changed( state , irq )", 0, 15, True),
    ],
)
def test_triggers(text: str, value: int, mask: int, change: bool) -> None:
    assert Trigger.parse(text, PROBES, VALUES) == Trigger(value=value, mask=mask, change=change)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("moon", "probe must be one of irq, state, count, not 'moon'"),
        ("changed(moon)", "not 'moon'"),
        ("state==tired", "value of state must be idle, busy, memory or 0 to 7, not 'tired'"),
        ("state==8", "0 to 7, not '8'"),
        ("irq==2", "value of irq must be 0 to 1, not '2'"),
        ("state", "probe state has 3 bits: compare it with a value"),
        ("irq & !irq", "asks for two values of irq at once"),
        ("irq or state", "must be terms like irq"),
        ("!state==1", "must be terms like irq"),
        ("", "must be terms like irq"),
    ],
)
def test_triggers_that_are_none(text: str, words: str) -> None:
    with pytest.raises(AnalyserError, match=words):
        Trigger.parse(text, PROBES, VALUES)


def test_arm_writes_what_was_asked_for() -> None:
    link = FakeLink()
    analyser = LogicAnalyser(link, PROBES)  # type: ignore[arg-type]
    analyser.arm(Trigger.parse("count==0x8000000000 & irq", PROBES, VALUES), before=5, count=7, rising=True, compress=True)
    assert (link.written[NUMBERS["AFTER"]], link.written[NUMBERS["COUNT"]]) == (10, 7)
    assert [link.written[VALUE + word] for word in range(2)] == [1, 1 << 11]
    assert [link.written[MASK + word] for word in range(2)] == [0xFFFFFFF1, 0xFFF]
    assert link.written[0] == sum(1 << CONTROL[name][0] for name in ("arm", "rising", "compress"))
    analyser.force()
    assert link.written[0] == 1 << CONTROL["trigger"][0]
    analyser.stop()
    assert link.written[0] == 1 << CONTROL["stop"][0]
    for wrong, words in (
        ({"before": -1}, "0 to 15, as the analyser holds 16, not -1"),
        ({"before": 16}, "not 16"),
        ({"before": 1, "count": 0}, "not 0"),
    ):
        with pytest.raises(AnalyserError, match=words):
            analyser.arm(Trigger(value=0, mask=0), **wrong)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("loss", [{}, {"lossy": 2}, {"most": 2}, {"most": 5}], ids=str)
def test_fetch(full: bool, loss: dict[str, int]) -> None:
    link = FakeLink(full=full, **loss)
    capture = LogicAnalyser(link, PROBES).fetch()  # type: ignore[arg-type]
    order = [(9 + index) % DEPTH for index in range(DEPTH)] if full else list(range(9))
    assert capture.samples == [link.entries[place][1] for place in order]
    at = order.index(5)
    assert capture.cycles[at] == 0
    steps = [later - sooner for sooner, later in zip(capture.cycles, capture.cycles[1:], strict=False)]
    assert steps == [link.entries[place][0] for place in order[1:]]
    assert capture.signal("state") == [sample >> 1 & 7 for sample in capture.samples]


def test_fetch_gives_up() -> None:
    with pytest.raises(AnalyserError, match=rf"must be at 1 after 1 from 0 were read, not at 0x\w+, and was wrong {ATTEMPTS} times"):
        LogicAnalyser(FakeLink(lossy=1), PROBES).fetch()  # type: ignore[arg-type]
    with pytest.raises(AnalyserError, match="once it has triggered, not before"):
        LogicAnalyser(FakeLink(status="armed"), PROBES).fetch()  # type: ignore[arg-type]


def test_wait_has_a_limit() -> None:
    analyser = LogicAnalyser(FakeLink(status="armed"), PROBES)  # type: ignore[arg-type]
    assert not analyser.wait(0.02)
    assert LogicAnalyser(FakeLink(), PROBES).wait(0)  # type: ignore[arg-type]


def test_other_probes_are_refused() -> None:
    with pytest.raises(AnalyserError, match="has no logic analyser: build its bitstream with an analyser_depth above 0"):
        LogicAnalyser(FakeLink(features=1), PROBES)  # type: ignore[arg-type]
    with pytest.raises(AnalyserError, match=r"44 bits of other probes \(identity 0x"):
        LogicAnalyser(FakeLink(), {"irq": 1, "status": 3, "count": 40})  # type: ignore[arg-type]


def test_waveform() -> None:
    capture = Capture(probes=PROBES, cycles=[-2, -1, 0, 4, 5], samples=[0, 3, 5, 7, 14], values=VALUES)
    stream = io.StringIO()
    capture.write_vcd(stream, clock_hz=100_000_000)
    now, names, found = 0, {}, {}
    for token in tokenize(io.BytesIO(stream.getvalue().encode())):
        if token.kind is TokenKind.VAR:
            names[token.var.id_code] = token.var.reference
        elif token.kind is TokenKind.CHANGE_TIME:
            now = token.time_change
        elif token.kind in (TokenKind.CHANGE_SCALAR, TokenKind.CHANGE_VECTOR, TokenKind.CHANGE_STRING):
            found.setdefault(names[token.data.id_code], []).append((now // 10_000, token.data.value))
    assert [value for _, value in found["state"][-4:]] == ["busy", "memory", "3", "7"]
    assert [time for time, _ in found["state"][-4:]] == [1, 2, 6, 7]
    assert found["trigger"][-2:] == [(2, "1"), (3, "0")]
    assert now == 8 * 10_000


def test_the_probes_of_a_board_fit() -> None:
    assert list(BOARD_PROBES)[: len(CHIP_PROBES)] == list(CHIP_PROBES) and set(PROBE_VALUES) < set(BOARD_PROBES)
    assert Trigger.parse("trace_state_tensor==busy & !irq & m_axi_rvalid").mask.bit_count() == 5
    assert all(len(values) <= 1 << BOARD_PROBES[name] for name, values in PROBE_VALUES.items())


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--device", "rtl"], 2, "--device must be sim or board:PORT, which have an analyser, not 'rtl'"),
        (["--trigger", "moon"], 1, "probe must be one of irq, trace_start"),
        (["--config", "moon"], 1, "config must be one of"),
        (["--", "run", "digits", "--json"], 2, "COMMAND must come without --json, --device and --baud"),
        (["--count", "0"], 2, "0 is not in the range"),
    ],
)
def test_bad_usage(capsys: pytest.CaptureFixture, arguments: list[str], status: int, words: str) -> None:
    assert main(["analyse", *arguments]) == status
    captured = capsys.readouterr()
    assert words in captured.err and captured.err.count("\n") == 1


def test_list(capsys: pytest.CaptureFixture) -> None:
    assert main(["analyse", "--list"]) == 0
    assert "trace_state_tensor" in capsys.readouterr().err
