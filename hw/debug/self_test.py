"""The memory self-test: march test, pseudo-random fill and signature of SBUF, by the hardware itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..host.bus import RegisterPort
from ..memory.ports import SbufAccess
from .lfsr import stepped
from .march import MARCH_C_MINUS


class Command(IntEnum):
    """What a write to CONTROL starts."""

    MARCH = 1
    """March C- with the pattern as 0: the pattern is left behind."""
    FILL = 2
    """Each line is written with the pattern, which then moves on: every word of a line is a generator of its own."""
    SIGNATURE = 3
    """Each line is read, the pattern moves on and the line is added to it: every word of a line has a signature of its own."""


@dataclass(frozen=True, kw_only=True)
class BlockRegister:
    """One register of a block on the board: its number (byte address / 4 from the block's base), access and meaning."""

    name: str
    number: int
    access: str
    doc: str


#: Bits of CONTROL, written: (offset, width).
CONTROL = {"command": (0, 2), "alternate": (2, 1), "rows": (3, 1)}
#: Bits of CONTROL, read: `element` is that of the march, `failing_element` and `ones` (the complement was expected) of the first failing read.
STATUS = {"busy": (0, 1), "failed": (1, 1), "element": (2, 3), "failing_element": (5, 3), "ones": (8, 1), "line": (12, 20)}
#: Bits of RESULT: line of the first failing read, and how many there were since the last start, saturating.
RESULT = {"line": (0, 20), "failures": (20, 12)}
MAX_FAILURES = (1 << RESULT["failures"][1]) - 1
#: First registers of the arrays, and their longest length.
PATTERN, FOUND, MAX_WORDS = 16, 32, 16

SELF_TEST_REGISTERS: tuple[BlockRegister, ...] = (
    BlockRegister(
        name="CONTROL", number=0, access="rw",
        doc="a write starts `command` (bits 0..1: 1 march, 2 fill, 3 signature) unless one is running; bit 2 (alternate): odd lines of a march have the "
        "complement of the pattern; bit 3 (rows): steps of four lines. Read: bit 0 busy, bit 1 failed, bits 2..4 element of the march, bits 5..7 element "
        "of the first failing read, bit 8 whether that read expected the complement of the pattern, bits 12..31 line at which the test is, after its end "
        "the first one",
    ),
    BlockRegister(name="FIRST", number=1, access="wo", doc="first line"),
    BlockRegister(name="LAST", number=2, access="wo", doc="last line, reached from the first by whole steps"),
    BlockRegister(
        name="RESULT", number=1, access="ro", doc="bits 0..19 line of the first failing read of the last march, bits 20..31 failing reads, saturating at 4,095"
    ),
    BlockRegister(
        name="PATTERN", number=PATTERN, access="rw",
        doc="one register a word of the line, the lowest first: 0 of a march, state of the generators, signatures. Writes while a test runs are lost",
    ),
    BlockRegister(name="FOUND", number=FOUND, access="ro", doc="one register a word of the line: what the first failing read gave"),
)  # fmt: skip


class SelfTest(wiring.Component):
    """Tests SBUF and makes and sums up its contents, at the speed of its port; the host starts it and reads how it ended.

    Registers: `SELF_TEST_REGISTERS`. A write to CONTROL starts a command over the lines FIRST to LAST; from the cycle after it reads busy.

    Latency: the first access is asked for in the third cycle after the write to CONTROL, each other one in the second after the answer to the one before;
    busy ends in the cycle after the last answer, one later if that was to a read of a march. Throughput: one access at a time. Errors: reads that
    differ are counted, the first is kept; a port that does not answer leaves it busy until reset. Reset, in the middle of a test too: idle, every
    register 0; what is under way is forgotten, and its answer must not come any more.

    Parameters
    ----------
    config : ChipConfig
        With lines of 4 to 64 bytes.

    Members
    -------
    registers : In(RegisterPort)
    sbuf : Out(SbufAccess)

    Raises
    ------
    ConfigError
        if the configuration makes no chip.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        config.require_chip()
        self._config = config
        self._words = config.line_bytes // 4
        super().__init__({"registers": In(RegisterPort()), "sbuf": Out(SbufAccess(config))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        access, words = self.sbuf, range(self._words)
        width = self._config.sbuf_address_width
        pattern, found = ([Signal(32, name=f"{name}_{word}", reset_less=True) for word in words] for name in ("pattern", "found"))
        line, failing_line = Signal(width, reset_less=True), Signal(width, reset_less=True)
        failing_element, ones = Signal(3, reset_less=True), Signal(reset_less=True)
        failures, failed, checking, differs = Signal(RESULT["failures"][1]), Signal(), Signal(), Signal()
        walk = self._walk(m, line)
        march, answered = walk.command == Command.MARCH, access.response.valid

        # Reads of even elements and writes of odd ones are of the complement (MARCH_C_MINUS).
        inverted = Signal(reset_less=True)
        m.d.sync += inverted.eq(march & ((walk.element[0] ^ ~walk.writing) ^ (walk.alternate & line[0])))
        expected = Cat(pattern) ^ inverted.replicate(32 * self._words)
        m.d.comb += [
            access.request.payload.address.eq(line),
            access.request.payload.write.eq(walk.writing),
            access.request.payload.data.eq(expected),
            # What the last read says is known a cycle after it.
            walk.busy.eq(walk.going | checking),
        ]
        m.d.sync += [checking.eq(answered & march & ~walk.writing), differs.eq(access.response.data != expected)]
        with m.If(answered & march & ~walk.writing & ~failed):
            m.d.sync += [Cat(found).eq(access.response.data), failing_line.eq(line), failing_element.eq(walk.element), ones.eq(inverted)]
        with m.If(walk.start):
            m.d.sync += [failed.eq(0), failures.eq(0)]
        with m.Elif(checking & differs):
            m.d.sync += [failed.eq(1), failures.eq(failures + (failures != MAX_FAILURES))]
        for index, word in enumerate(pattern):
            added = access.response.data.word_select(index, 32) & (walk.command == Command.SIGNATURE).replicate(32)
            with m.If(answered & ~march):
                m.d.sync += word.eq(stepped(word) ^ added)
            with m.Elif(self.registers.write & ~walk.busy & (self.registers.address == PATTERN + index)):
                m.d.sync += word.eq(self.registers.value)

        select = self.registers.address
        index = select[: max(1, (self._words - 1).bit_length())]
        status = Cat(walk.busy, failed, walk.element, failing_element, ones, Const(0, 3), line)
        result = Cat(failing_line, Const(0, RESULT["failures"][0] - width), failures)
        arrays = Mux(select[5], Array(found)[index], Array(pattern)[index])
        m.d.sync += self.registers.data.eq(Mux(select[4] | select[5], arrays, Mux(select[0], result, status)))
        return m

    def _walk(self, m: Module, line: Signal) -> _Walk:
        """Commands, and the lines and elements that one walks through. What they lead to is decoded while "AIM", for the answer."""
        registers, access = self.registers, self.sbuf
        walk = _Walk()
        first, last, following = (Signal(len(line), name=name, reset_less=True) for name in ("first", "last", "following"))
        rows, down, next_line, swap = (Signal(name=name) for name in ("rows", "down", "next_line", "swap"))
        read_first, at_end, turns, finishes = (Signal(name=name, reset_less=True) for name in ("read_first", "at_end", "turns", "finishes"))
        march, written = walk.command == Command.MARCH, registers.write & ~walk.busy
        last_element = len(MARCH_C_MINUS) - 1
        # An element goes from `first` to `last`; they change places before the descending ones, and again at the end.
        for number, mine, other in ((1, first, last), (2, last, first)):
            with m.If(swap | (written & (registers.address == number))):
                m.d.sync += mine.eq(Mux(swap, other, registers.value))
        with m.If(walk.start | (next_line & ~swap)):
            m.d.sync += line.eq(Mux(walk.start | at_end, first, following))
        m.d.comb += [swap.eq(next_line & at_end & turns), down.eq(march & (walk.element > last_element // 2))]
        m.d.sync += [
            at_end.eq(line == last),
            turns.eq(march & ((walk.element == last_element // 2) | (walk.element == last_element))),
            finishes.eq(~march | (walk.element == last_element)),
            # +1, +4, -1 or -4.
            following.eq(line + Cat(~rows, down & ~rows, down | rows, down.replicate(len(line) - 3))),
            read_first.eq(march & (walk.element != 0) & (walk.element != last_element)),
        ]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(written & (registers.address == 0) & (registers.value[:2] != 0)):
                    fields = Cat(walk.command, walk.alternate, rows)
                    m.d.sync += [fields.eq(registers.value), walk.element.eq(0), walk.writing.eq(registers.value[:2] != Command.SIGNATURE)]
                    m.next = "START"
            with m.State("START"):
                m.d.comb += [walk.start.eq(1), walk.going.eq(1)]
                m.next = "AIM"
            with m.State("AIM"):
                m.d.comb += walk.going.eq(1)
                m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += [access.request.valid.eq(1), walk.going.eq(1)]
                with m.If(access.request.ready):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.comb += walk.going.eq(1)
                with m.If(access.response.valid):
                    m.next = "AIM"
                    m.d.comb += next_line.eq(~read_first | walk.writing)
                    m.d.sync += walk.writing.eq(Mux(read_first, ~walk.writing, walk.writing))
                    with m.If(next_line & at_end):
                        m.d.sync += [walk.element.eq(walk.element + 1), walk.writing.eq(0)]
                        with m.If(finishes):
                            m.next = "IDLE"
        return walk


class _Walk:
    """Where the test stands: `going` from the cycle after the write of a command until its last answer, `start` in the first of them."""

    def __init__(self) -> None:
        self.command = Signal(2, name="command")
        self.alternate = Signal(name="alternate")
        self.element = Signal(3, name="element")
        self.writing = Signal(name="writing")
        self.start = Signal(name="start")
        self.going = Signal(name="going")
        self.busy = Signal(name="busy")
