"""The simulated board: its line to the octet, its time, its faults, and the design of `BoardTop` behind it."""

import os
import select
import termios
import time
from collections.abc import Iterator

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.boards.board import LEDS
from hw.common.config import CONFIGS, ConfigError
from hw.common.registers import MAGIC, REGISTERS
from hw.host.protocol import ANALYSER_BASE, Space, Status
from sim.verilated.board import DIVISOR, LineFaults, SimulatedBoard, SimulatedBoardError, simulated_board
from sw.runtime.board import board_link
from sw.runtime.device import open_device
from sw.runtime.errors import AccessError, LinkError

NANO = simulated_board("nano")
_PINS = {"rx": In(1, init=1), "tx": Out(1, init=1), "leds": Out(LEDS)}


class Loop(wiring.Component):
    """What comes in goes out."""

    def __init__(self) -> None:
        super().__init__(_PINS)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.tx.eq(self.rx)
        m.d.sync += self.leds.eq(self.leds ^ ~self.rx)
        return m


class Dead(wiring.Component):
    """Holds its line low."""

    def __init__(self) -> None:
        super().__init__(_PINS)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.tx.eq(0)
        m.d.sync += self.leds.eq(self.rx)
        return m


class _Terminal:
    """The host's end of a board's terminal, octet by octet."""

    def __init__(self, board: SimulatedBoard) -> None:
        self._board = board
        self.descriptor = os.open(board.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        termios.tcflush(self.descriptor, termios.TCIFLUSH)

    def exchange(self, octets: bytes, count: int, *, seconds: float = 30.0) -> bytes:
        """Sends, and gives what comes back: `count` octets, or fewer if the board comes to rest before."""
        found, end, sent = b"", time.monotonic() + seconds, self._board.counters["received"] + len(octets)
        while len(found) < count and time.monotonic() < end:
            # Asked before the terminal is: what came until then is there.
            over = self._board.resting and self._board.counters["received"] == sent
            readable, writable, _ = select.select([self.descriptor], [self.descriptor] if octets else [], [], 0.1)
            if writable:
                octets = octets[os.write(self.descriptor, octets[:64]) :]
            if readable:
                found += os.read(self.descriptor, 4096)
            elif over:
                break
        return found


@pytest.fixture
def looped(request: pytest.FixtureRequest) -> Iterator[tuple[SimulatedBoard, _Terminal]]:
    faults = getattr(request, "param", None)
    with SimulatedBoard(NANO, component=Loop(), faults=faults) as board:
        terminal = _Terminal(board)
        yield board, terminal
        os.close(terminal.descriptor)


@pytest.fixture(scope="module")
def nano() -> Iterator[SimulatedBoard]:
    with SimulatedBoard(NANO, seed=4) as board:
        yield board
        assert not board.failure


# The line ----------------------------------------------------------------------------------------------------


def rest(board: SimulatedBoard) -> None:
    """The board counts an octet after it has given it away."""
    deadline = time.monotonic() + 60
    while not board.resting:
        assert time.monotonic() < deadline, "the board must come to rest"
        time.sleep(0.05)


def test_every_octet_goes_through_at_full_rate(looped: tuple[SimulatedBoard, _Terminal]) -> None:
    board, terminal = looped
    octets = bytes(range(256)) + np.random.default_rng(0).bytes(3000)
    before = board.cycle
    assert terminal.exchange(octets, len(octets)) == octets
    rest(board)
    counters = board.counters
    assert (counters["received"], counters["sent"]) == (len(octets), len(octets))
    assert not any(counters[name] for name in ("dropped", "corrupted", "duplicated", "lost", "errors"))
    # Ten bits an octet, without gaps but where the host had nothing ready.
    assert len(octets) * 10 * DIVISOR <= board.cycle - before


@pytest.mark.parametrize(
    ("looped", "kind"),
    [(LineFaults(drop=0.02, seed=3), "dropped"), (LineFaults(corrupt=0.02, seed=3), "corrupted"), (LineFaults(duplicate=0.02, seed=3), "duplicated")],
    indirect=["looped"],
)  # fmt: skip
def test_faults_of_the_line(looped: tuple[SimulatedBoard, _Terminal], kind: str) -> None:
    board, terminal = looped
    octets = bytes(1000)
    found = terminal.exchange(octets, 4000)
    counters = board.counters
    # Both ways have the fault.
    assert 15 < counters[kind] < 80
    assert [counters[name] > 0 for name in ("dropped", "corrupted", "duplicated")] == [
        name == kind for name in ("dropped", "corrupted", "duplicated")
    ]
    sizes = {"dropped": 1000 - counters[kind], "corrupted": 1000, "duplicated": 1000 + counters[kind]}
    assert len(found) == sizes[kind]
    wrong = [octet for octet in found if octet]
    assert all(octet.bit_count() <= 2 for octet in wrong) and (len(wrong) > 10) == (kind == "corrupted")


def test_time_stands_still_while_nothing_happens(looped: tuple[SimulatedBoard, _Terminal]) -> None:
    board, terminal = looped
    terminal.exchange(b"x", 1)
    rest(board)
    cycle = board.cycle
    time.sleep(0.3)
    assert board.resting and board.cycle == cycle
    assert terminal.exchange(b"y", 1) == b"y" and board.cycle > cycle


def test_what_the_host_does_not_take_is_lost(looped: tuple[SimulatedBoard, _Terminal]) -> None:
    board, terminal = looped
    deadline = time.monotonic() + 60
    while not board.counters["lost"] and time.monotonic() < deadline:
        if select.select([], [terminal.descriptor], [], 0.1)[1]:
            os.write(terminal.descriptor, bytes(4096))
    assert board.counters["lost"] > 0


def test_a_dead_board_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sw.runtime.board.CONNECT_SECONDS", 0.4)
    with SimulatedBoard(NANO, component=Dead()) as board:
        with (
            pytest.raises(LinkError, match=r"no Meshium board answers .* at 2000000 bits a second: heard nothing"),
            board_link(f"board:{board.port}"),
        ):
            pass
        assert board.counters["errors"] > 0 and board.leds == 1


def test_an_echo_is_no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sw.runtime.board.CONNECT_SECONDS", 0.4)
    with SimulatedBoard(NANO, component=Loop()) as board, pytest.raises(LinkError, match=r"heard \d+ octets \(7e .*\), in them"):
        with board_link(f"board:{board.port}?baud=2000000"):
            pass


# The design --------------------------------------------------------------------------------------------------


def test_identity_and_every_space(nano: SimulatedBoard) -> None:
    rng = np.random.default_rng(1)
    with open_device(f"board:{nano.port}", None) as device:
        transport, link = device.transport, device.transport.link
        assert device.config.hash == CONFIGS["nano"].hash
        identity = transport.identity
        assert (identity.memory_bytes, identity.sbuf_bytes, identity.clock_hz) == (64 << 10, CONFIGS["nano"].sbuf_bytes, NANO.chip_hz)
        memory, sbuf = (rng.integers(0, 2**32, 150, dtype=np.uint32) for _ in range(2))
        link.write(Space.MEMORY, (64 << 10) - 600, memory)
        link.write(Space.SBUF, identity.sbuf_bytes - 600, sbuf)
        assert np.array_equal(link.read(Space.MEMORY, (64 << 10) - 600, 150), memory)
        assert np.array_equal(link.read(Space.SBUF, identity.sbuf_bytes - 600, 150), sbuf)
        assert link.read(Space.CSR, REGISTERS["MAGIC"].address, 1).tolist() == [MAGIC]
        link.write_board("SCRATCH", 0xCAFE7E7D)
        assert link.board("SCRATCH") == 0xCAFE7E7D and not device.transport.link.counters.damaged
        with pytest.raises(AccessError, match="BUS_ERROR") as caught:
            link.read(Space.MEMORY, 64 << 10, 1)
        assert caught.value.status is Status.BUS_ERROR


def test_a_reset_keeps_link_and_memory(nano: SimulatedBoard) -> None:
    with open_device(f"board:{nano.port}", None) as device:
        device.transport.write_memory(100, b"still here")
        device._write("WATCHDOG", 77)
        device.transport.reset()
        assert device.register("WATCHDOG") == REGISTERS["WATCHDOG"].reset
        assert device.transport.read_memory(100, 10).tobytes() == b"still here"


def test_memories_power_up_undefined() -> None:
    contents = []
    for seed in (1, 2):
        with SimulatedBoard(NANO, seed=seed) as board, board_link(f"board:{board.port}") as link:
            contents.append(link.read(Space.MEMORY, 0, 60))
    assert contents[0].any() and not np.array_equal(*contents)


def test_a_space_of_the_board_that_is_not_built(nano: SimulatedBoard) -> None:
    with board_link(f"board:{nano.port}") as link:
        if link.board("FEATURES") & 2:
            assert len(link.read(Space.BOARD, ANALYSER_BASE, 4)) == 4
        else:
            with pytest.raises(AccessError, match="BUS_ERROR"):
                link.read(Space.BOARD, ANALYSER_BASE, 1)


# Python ------------------------------------------------------------------------------------------------------


def test_closing() -> None:
    board = SimulatedBoard(NANO, component=Loop())
    terminal = _Terminal(board)
    board.close()
    board.close()
    with pytest.raises(OSError, match="Input/output error"):
        os.write(terminal.descriptor, b"x")
    os.close(terminal.descriptor)
    with pytest.raises(SimulatedBoardError, match="the board must be open, not closed"):
        _ = board.cycle


def test_in_the_foreground_until_idle() -> None:
    board = SimulatedBoard(NANO, component=Loop())
    start = time.monotonic()
    board.serve(idle_exit=0.2)
    assert time.monotonic() - start >= 0.2
    board.close()


@pytest.mark.parametrize(("name", "value"), [("drop", -0.1), ("corrupt", 1.5), ("duplicate", float("nan"))])
def test_chances_are_checked(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a chance from 0 to 1, not "):
        LineFaults(**{name: value})


def test_boards_of_the_simulator() -> None:
    assert simulated_board("small").memory_bytes == 128 << 10 and simulated_board("base").memory_bytes == 1 << 20
    assert simulated_board("small", memory_bytes=4096).memory_bytes == 4096 and NANO.divisor == DIVISOR
    with pytest.raises(ConfigError, match="config must be one of"):
        simulated_board("huge")
    with pytest.raises(ConfigError, match="memory_bytes must be a power of two"):
        simulated_board("small", memory_bytes=5000)
