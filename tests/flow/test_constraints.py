"""Every pin, standard and clock in constraints/ is that of the pin tables published in the Python package amaranth-boards."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from amaranth.build.dsl import Resource
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth_boards import arty_a7, icebreaker, tang_nano_9k, ulx3s

from hw.boards.board import LEDS, Board
from hw.boards.boards import BOARDS, make_top
from scripts import bitstream_flows
from scripts.bitstream_flows import CONSTRAINTS, constraint_files

PLATFORMS: dict[str, Any] = {
    "ulx3s_85f": ulx3s.ULX3S_85F_Platform,
    "ulx3s_25f": ulx3s.ULX3S_25F_Platform,
    "icebreaker": icebreaker.ICEBreakerPlatform,
    "tang_nano_9k": tang_nano_9k.TangNano9kPlatform,
    "arty_a7_35": arty_a7.ArtyA7_35Platform,
    "arty_a7_100": arty_a7.ArtyA7_100Platform,
}
#: Standards in which a file differs from the table, on purpose: board -> port -> standard. The file says why, and names its source.
DIFFERENT = {"tang_nano_9k": {f"leds[{index}]": "LVCMOS18" for index in range(6)}}


@dataclass
class Constraints:
    """What a file says: pin and attributes of every port, and Hz of every clock."""

    pins: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    clocks: dict[str, float] = field(default_factory=dict)


def parse(board: Board) -> Constraints:
    """Reads a board's files; a line that is not understood fails."""
    found = Constraints()
    for path in constraint_files(board):
        for line in path.read_text().splitlines():
            text = re.sub(r"\s*(#|//).*", "", line).strip()
            if text:
                assert PARSERS[path.suffix](text, found), f"{path.name}: {line}"
    return found


def _put(known: dict[str, Any], name: str, value: Any) -> bool:
    assert name not in known, f"{name} stands twice"
    known[name] = value
    return True


def _pairs(text: str) -> dict[str, str]:
    return dict(item.split("=") for item in text.split())


def _lpf(text: str, found: Constraints) -> bool:
    if match := re.fullmatch(r'LOCATE COMP "(\S+)" SITE "(\w+)";', text):
        return _put(found.pins, match[1], match[2])
    if match := re.fullmatch(r'IOBUF PORT "(\S+)" (.*);', text):
        return _put(found.attributes, match[1], _pairs(match[2]))
    match = re.fullmatch(r'FREQUENCY PORT "(\S+)" ([\d.]+) MHZ;', text)
    return bool(match) and _put(found.clocks, match[1], float(match[2]) * 1e6)


def _pcf(text: str, found: Constraints) -> bool:
    if match := re.fullmatch(r"set_io (-pullup yes )?(\S+) (\w+)", text):
        return _put(found.pins, match[2], match[3]) and _put(found.attributes, match[2], {"PULLUP": "1"} if match[1] else {})
    match = re.fullmatch(r"set_frequency (\S+) ([\d.]+)", text)
    return bool(match) and _put(found.clocks, match[1], float(match[2]) * 1e6)


def _cst(text: str, found: Constraints) -> bool:
    if match := re.fullmatch(r'IO_LOC "(\S+)" (\w+);', text):
        return _put(found.pins, match[1], match[2])
    match = re.fullmatch(r'IO_PORT "(\S+)" (.*);', text)
    return bool(match) and _put(found.attributes, match[1], _pairs(match[2]))


def _sdc(text: str, found: Constraints) -> bool:
    match = re.fullmatch(r"create_clock -name (\S+) -period ([\d.]+) \[get_ports \{(\S+)\}\]", text)
    return bool(match) and match[1] == match[3] and _put(found.clocks, match[3], 1e9 / float(match[2]))


def _xdc(text: str, found: Constraints) -> bool:
    if match := re.fullmatch(r"set_property -dict \{(.*)\} \[get_ports \{(\S+)\}\]", text):
        words = match[1].split()
        values = dict(zip(words[::2], words[1::2], strict=True))
        return _put(found.pins, match[2], values.pop("PACKAGE_PIN")) and _put(found.attributes, match[2], values)
    return _sdc(text, found) or re.fullmatch(r"set_property C\w+ \S+ \[current_design\]|set_false_path .*", text) is not None


PARSERS = {".lpf": _lpf, ".pcf": _pcf, ".cst": _cst, ".sdc": _sdc, ".xdc": _xdc}


#: The published table has the industrial, low-power grade for both sizes of Arty; Digilent's reference manual names this one for the larger.
DIGILENT = {"arty_a7_100": ("xc7a100t", "csg324", "1")}


def part_of(platform: Any) -> tuple[str, str, str]:
    """Device, package and speed as the published table spells them."""
    if hasattr(platform, "part"):
        return platform.part, platform.family, ""
    return platform.device, platform.package, getattr(platform, "speed", "")


def spelled(board: Board) -> tuple[str, str, str]:
    """Device, package and speed of a board in the published table's spelling."""
    return {
        "ecp5": (f"LFE5U-{board.device[:2]}F", board.package.replace("CABGA", "BG"), board.speed),
        "ice40": (f"iCE40{board.device.upper()}", board.package.upper(), ""),
        "gowin": (board.device, board.speed, ""),
        "xilinx": (board.device, board.package, board.speed.lstrip("-")),
    }[board.family]


class Nothing(wiring.Component):
    """Stands for the board top where only the pads count."""

    rx: In(1)
    tx: Out(1)
    leds: Out(LEDS)


def resource(platform: Any, name: str, number: int = 0) -> Resource:
    (found,) = [item for item in platform.resources if (item.name, item.number) == (name, number)]
    return found


def published(board: Board) -> dict[str, tuple[str, bool, dict[str, str]]]:
    """Pin, inversion and attributes of every port of a board's top, from the published table."""
    platform = PLATFORMS[board.name]
    clock = resource(platform, platform.default_clk)
    uart = resource(platform, "uart")
    pins = {"oscillator": (clock.ios[0], clock.attrs)} | {
        item.name: (item.ios[0], dict(uart.attrs) | dict(item.attrs)) for item in uart.ios
    }
    for index in range(len(board.leds)):
        led = resource(platform, "led", index)
        pins[f"leds[{index}]"] = (led.ios[0], led.attrs)
    if board.family == "ecp5":
        esp32 = resource(platform, "esp32")
        (gpio0,) = [item for item in esp32.ios if item.name == "gpio0"]
        pins["esp32_gpio0"] = (gpio0.ios[0], dict(esp32.attrs) | dict(gpio0.attrs))
    return {
        port: (names.names[0], names.invert, {key: str(value) for key, value in attributes.items()})
        for port, (names, attributes) in pins.items()
        if port not in ("rts", "dtr")
    }


@pytest.mark.parametrize("name", BOARDS)
def test_every_port_of_the_top_has_its_published_pin(name: str) -> None:
    board = BOARDS[name]
    found = parse(board)
    ports = set()
    for path, _, value in make_top(board, inner=Nothing()).signature.flatten(make_top(board, inner=Nothing())):
        width = len(Value.cast(value))
        ports |= {path[0]} if path[0] != "leds" else {f"leds[{index}]" for index in range(width)}
    assert set(found.pins) == set(found.attributes) == ports == set(published(board))
    assert found.pins == {port: pin for port, (pin, _, _) in published(board).items()}


@pytest.mark.parametrize("name", BOARDS)
def test_standards_are_the_published_ones(name: str) -> None:
    board = BOARDS[name]
    standard = {"ecp5": "IO_TYPE", "gowin": "IO_TYPE", "xilinx": "IOSTANDARD"}.get(board.family)
    for port, (_, _, attributes) in published(board).items():
        given = parse(board).attributes[port]
        if standard is None:
            # Both are the only single-ended standard of a pin at 3.3 V.
            assert attributes["IO_STANDARD"] in ("SB_LVCMOS", "SB_LVTTL")
        else:
            assert given[standard] == DIFFERENT.get(name, {}).get(port, attributes[standard]), port
        if "DRIVE" in attributes:
            assert given["DRIVE"] == attributes["DRIVE"]
    for port in DIFFERENT.get(name, {}):
        assert "LiteX-Boards" in (CONSTRAINTS / board.constraints).read_text() and published(board)[port][2][standard] == "LVCMOS33"


@pytest.mark.parametrize("name", BOARDS)
def test_receiver_is_pulled_to_idle(name: str) -> None:
    assert [value for key, value in parse(BOARDS[name]).attributes["rx"].items() if key.startswith("PULL")] in (["UP"], ["1"], ["TRUE"])


@pytest.mark.parametrize("name", BOARDS)
def test_clock_and_part_are_the_published_ones(name: str) -> None:
    board, platform = BOARDS[name], PLATFORMS[name]
    clock = resource(platform, platform.default_clk).clock
    assert board.oscillator_hz == clock.frequency
    assert parse(board).clocks == {"oscillator": pytest.approx(board.oscillator_hz, rel=1e-5)}
    assert {inverted for port, (_, inverted, _) in published(board).items() if port.startswith("leds")} == {board.leds_active_low}
    assert spelled(board) in (part_of(platform), DIGILENT.get(name))


def test_every_file_is_of_a_board() -> None:
    assert {path for board in BOARDS.values() for path in constraint_files(board)} == set(CONSTRAINTS.iterdir())


@pytest.mark.parametrize("file, old, new, check", [
    ("ulx3s.lpf", '"L4"', '"L3"', test_every_port_of_the_top_has_its_published_pin),
    ("icebreaker.pcf", "set_io tx 9\n", "", test_every_port_of_the_top_has_its_published_pin),
    ("arty_a7.xdc", "D10 IOSTANDARD LVCMOS33", "D10 IOSTANDARD LVCMOS18", test_standards_are_the_published_ones),
    ("tang_nano_9k.sdc", "37.037", "20.000", test_clock_and_part_are_the_published_ones),
])  # fmt: skip
def test_a_wrong_file_fails(file: str, old: str, new: str, check: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in CONSTRAINTS.iterdir():
        text = path.read_text()
        assert path.name != file or text.count(old) == 1
        (tmp_path / path.name).write_text(text.replace(old, new) if path.name == file else text)
    monkeypatch.setattr(bitstream_flows, "CONSTRAINTS", tmp_path)
    (name, *_) = [board.name for board in BOARDS.values() if Path(board.constraints).stem == Path(file).stem]
    with pytest.raises(AssertionError):
        check(name)
