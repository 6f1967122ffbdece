"""A host at the UART of a board, with the golden board beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, First, Timer
from cocotb.utils import get_sim_time
from cocotbext.uart import UartSink, UartSource

from hw.boards.board import Board
from hw.common.config import ChipConfig
from hw.common.registers import REGISTERS
from hw.host.protocol import BOARD_REGISTERS, CRC_BYTES, FLAG, MAX_WORDS, RECEIVE_BUFFER, SELF_TEST_BASE, Space, Status
from sim.golden.board_top import BoardModel
from sim.golden.host_link import Deframer, frame, pack_request, parse_response
from tb.vip.clock import PERIOD_NS, start
from tb.vip.scoreboard import Scoreboard

#: Clocks a bit: the fewest there may be, so that tests are short.
DIVISOR = 8
#: Octet times in which a response must begin to come, for each octet that may be in front of it: accesses take less than octets.
PATIENCE = 4


def board_of(config: ChipConfig) -> Board:
    """The board a configuration is tested on."""
    return Board(
        name=f"sim_{config.name}", doc="a board of the testbenches", family="ecp5", device="none", package="none", speed="6", config=config,
        oscillator_hz=8_000_000, chip_hz=DIVISOR * 1_000_000, baud=1_000_000, memory_bytes=1 << 14, self_test=True,
    )  # fmt: skip


class HostEnd:
    """Driver and monitor of the UART, the golden board, and the scoreboard of responses between them.

    Parameters
    ----------
    dut : cocotb handle
    board : Board
    bit_ns : int
        What the host takes for a bit; the board's is `DIVISOR` periods.

    Members
    -------
    golden : BoardModel
    responses : list of bytes
        Bodies that have come, in order.
    octets_in : list of (ns, octet)
        What has come on the line, at the middle of its stop bit.
    """

    def __init__(self, dut: Any, board: Board, *, bit_ns: int = DIVISOR * PERIOD_NS) -> None:
        self.dut, self.board, self.golden = dut, board, BoardModel(board)
        self.scores = Scoreboard("responses")
        self.source, self.sink = UartSource(dut.rx, baud=1e9 / bit_ns), UartSink(dut.tx, baud=1e9 / bit_ns)
        for end in (self.source, self.sink):
            end.log.setLevel("WARNING")
        self.sequence = 0
        self.responses: list[bytes] = []
        self.octets_in: list[tuple[float, int]] = []
        self._bit_ns = bit_ns
        self._deframer, self._expected = Deframer(), Deframer()
        self._pending: deque[bool] = deque()
        self._due, self._deaf = 0, False

    async def begin(self) -> None:
        """Starts clock, reset and the monitor."""
        self.dut.rx.value = 1
        await start(self.dut)
        # Before the reset the line was anything, a start bit too.
        await Timer(12 * self._bit_ns, "ns")
        self.sink.clear()
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        while True:
            octets = bytes(await self.sink.read())
            if self._deaf:
                continue
            self.octets_in += [(get_sim_time("ns"), octet) for octet in octets]
            for body in self._deframer.feed(octets):
                assert body is not None, "the board must send no bad frame"
                self.responses.append(body)
                assert self._pending, f"a response must belong to a frame, not {body.hex()}"
                # What a poll reads depends on time, that it is answered does not.
                self.scores.observe(body[:2] if self._pending.popleft() else body)

    async def reset(self, *, cycles: int = 2) -> None:
        """The reset pin. What was on its way is lost in the middle of octets; behind a flag and a pause both ends are where they began."""
        self._deaf = True
        self.source.clear()
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, cycles)
        self.dut.rst.value = 0
        await Timer(25 * self._bit_ns, "ns")
        self.source.write_nowait(bytes((FLAG, FLAG)))
        await Timer(250 * self._bit_ns, "ns")
        self._deaf = False
        self._deframer, self._expected = Deframer(), Deframer()
        self._pending.clear()
        self._due, self.sequence = len(self.responses), 0
        self.golden.reset()

    def expect(self, body: bytes | None, *, poll: bool = False) -> None:
        """The golden board gets a frame; what it answers must come."""
        answer = self.golden.answer(body)
        self._pending.append(poll)
        self._due += 1
        self.scores.expect(answer[:2] if poll else answer)

    def send(self, octets: bytes, *, poll: bool = False) -> None:
        """Octets on the line, to board and golden board."""
        for body in self._expected.feed(octets):
            self.expect(body, poll=poll)
        self.source.write_nowait(octets)

    def send_unanswered(self, octets: bytes) -> None:
        """Octets on the line that the golden board does not see."""
        self.source.write_nowait(octets)

    @property
    def outstanding(self) -> int:
        """Responses still to come."""
        return self._due - len(self.responses)

    async def settle(self, *, left: int = 0) -> None:
        """Waits until everything is sent and all but `left` responses have come; octets on their way count, so a dead board is found."""
        octet_ns = 10 * self._bit_ns
        still, before = 0, (-1, -1)
        while not (self.source.idle() and self.outstanding <= left):
            await First(Timer(octet_ns, "ns"), self.source._idle.wait()) if not self.source.idle() else await Timer(octet_ns, "ns")
            progress = (self.source.count(), len(self.octets_in))
            still = 0 if progress != before else still + 1
            before = progress
            # A word of a burst takes less than an octet; a whole burst may be collected before the first octet comes.
            assert still < PATIENCE * MAX_WORDS, f"{self.outstanding} responses must come within {still} octet times, but nothing does"

    # Requests ------------------------------------------------------------------------------------------------

    def request(self, space: Space, address: int, *, poll: bool = False, restart: bool = False, **fields: Any) -> int:
        """Sends a request; the index its response will have."""
        if restart:
            self.sequence = fields.pop("sequence", self.sequence)
        body = pack_request(sequence=self.sequence, space=space, address=address, restart=restart, **fields)
        self.sequence = (self.sequence + 1) % 256
        self.send(frame(body), poll=poll)
        return self._due - 1

    async def burst(self, space: Space, address: int, words: Sequence[int] | int) -> list[int]:
        """Writes words, or reads as many, in the longest frames and with the window full; the words read, in the end."""
        count = words if isinstance(words, int) else len(words)
        indices, room = [], RECEIVE_BUFFER - CRC_BYTES
        for first in range(0, count, MAX_WORDS):
            some = min(MAX_WORDS, count - first)
            fields = {"count": some} if isinstance(words, int) else {"write": True, "data": words[first : first + some]}
            size = 8 + (0 if isinstance(words, int) else 4 * some)
            await self.settle(left=max(0, room // size - 1))
            indices.append(self.request(space, address + 4 * first, **fields))
        await self.settle()
        return [word for index in indices for word in parse_response(self.responses[index]).words]

    async def write(self, register: tuple[Space, int], value: int) -> None:
        """Writes one register: `board_register` or `chip_register`."""
        await self.burst(*register, [value & 0xFFFFFFFF])

    async def read(self, register: tuple[Space, int], *, poll: bool = False) -> int:
        """Reads one register; with `poll` its value may be another than the model's."""
        index = self.request(*register, count=1, poll=poll)
        await self.settle()
        response = parse_response(self.responses[index])
        assert response.status is Status.OK, f"{register} must be readable, not {response.status.name}"
        return response.words[0]

    async def until(self, register: tuple[Space, int], wanted: Callable[[int], bool], *, polls: int = 300) -> int:
        """Polls a register until `wanted(value)`, a bounded number of times; the value."""
        value = 0
        for _ in range(polls):
            value = await self.read(register, poll=True)
            if wanted(value):
                return value
        raise AssertionError(f"{register} must become what is waited for within {polls} polls, not {value:#x}")


def board_register(name: str) -> tuple[Space, int]:
    """Where a register of the board is."""
    return Space.BOARD, BOARD_REGISTERS[name].address


def chip_register(name: str) -> tuple[Space, int]:
    """Where a register of the chip is."""
    return Space.CSR, REGISTERS[name].address


def self_test_register(number: int) -> tuple[Space, int]:
    """Where a register of the self-test is."""
    return Space.BOARD, SELF_TEST_BASE + 4 * number
