"""Output stage of the compact chip: rows of PSUM, an element at a time, an octet at a time."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import OutputMode
from ..memory.bank import NO_CHECK
from ..memory.ports import psum_row_layout
from ..vector.channel import CHANNEL_LINES
from ..vector.requantise import MULTIPLIER_BITS, SHIFT_BITS
from .parameters import Flags
from .scaler import QUOTIENT_STEPS, Scaler, requantise_steps

#: Octets of a 32-bit element.
WORD_BYTES = 4


def evict_cycles(config: ChipConfig, *, rows: int, shifts: list[int] | None) -> int:
    """Cycles of an EVICT of `rows` rows: INT8 with the columns' `shifts` as in the scale words, or (None) RAW and INT32."""
    if shifts is None:
        row = config.cols * (2 + WORD_BYTES * QUOTIENT_STEPS)
    else:
        row = sum(2 + requantise_steps(shift) for shift in shifts)
    return rows * row + 2


class Evict(wiring.Component):
    """Runs EVICT, and keeps the biases and scale words that LOAD_CHANNEL reads.

    An element's scale word is taken (1 cycle), the element is loaded with its bias added (1) and runs through the `Scaler`. An octet is put into
    the line in the cycle after its last step, and a complete line is written in the next, while the next element is on its way.

    Latency: `evict_cycles`. Throughput: one element at a time. Reset forgets the command's progress; biases and scale words are lost or kept.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_active : In(1)
        EVICT runs.
    i_last : In(1)
        COUNT is 1.
    i_flags : In(Flags)
    i_row : In(psum_row_layout)
        The PSUM row of this cycle.
    i_channel : In(1), i_line : In(line)
        The next line of biases and scale words.
    i_channel_line : In(3)
        COUNT of LOAD_CHANNEL: lines still to come after this one.
    o_put : Out(1), o_octet : Out(8)
        The next octet of the line.
    o_write : Out(1), o_offset : Out(2)
        Complete: the line goes to SBUF + `o_offset`.
    o_step_psum, o_step_sbuf : Out(1)
        Steps of PSUM, and of SBUF with COUNT.
    o_done : Out(1)
        In the last cycle of the command.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        line = 8 * config.line_bytes
        super().__init__(
            {
                "i_active": In(1), "i_last": In(1), "i_flags": In(Flags()), "i_row": In(psum_row_layout(config)), "i_channel": In(1), "i_line": In(line),
                "i_channel_line": In(range(CHANNEL_LINES)), "o_put": Out(1), "o_octet": Out(8), "o_write": Out(1), "o_offset": Out(range(WORD_BYTES)),
                "o_step_psum": Out(1), "o_step_sbuf": Out(1), "o_done": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.scaler = scaler = Scaler()
        is_int8 = Signal()
        m.d.comb += is_int8.eq(self.i_flags.mode == OutputMode.INT8)

        # Places in a row: the column, and the octet of its element.
        column, octet = Signal(range(config.cols)), Signal(range(WORD_BYTES))
        column_next, octet_next = Signal.like(column), Signal.like(octet)
        m.d.sync += [column.eq(column_next), octet.eq(octet_next)]
        ends_element, ends_row, ends_line = Signal(), Signal(), Signal()
        m.d.comb += [
            column_next.eq(column + ends_element),
            octet_next.eq(octet + (scaler.o_last_step & ~is_int8)),
            ends_element.eq(scaler.o_last_step & (is_int8 | octet.all())),
            ends_row.eq(ends_element & column.all()),
            ends_line.eq(scaler.o_last_step & Mux(is_int8, column.all(), Cat(octet, column)[: len(column)].all())),
        ]

        is_scale = Signal()
        word = self._channel(m, column_next, is_scale)
        # Loaded in every cycle: it stays because what it is made of stays.
        x, element = Signal(signed(32), reset_less=True), Array(self.i_row)[column]
        m.d.sync += x.eq(Mux(self.i_flags.bias, (element + word)[:32], element))
        m.d.comb += [
            scaler.i_x.eq(x),
            scaler.i_multiplier.eq(word[:MULTIPLIER_BITS]),
            scaler.i_shift.eq(word[MULTIPLIER_BITS : MULTIPLIER_BITS + SHIFT_BITS]),
            scaler.i_plain.eq(~is_int8),
            scaler.i_zero.eq(self.i_flags.relu & x[-1]),
            self.o_octet.eq(scaler.o),
            is_scale.eq(ends_element | ~self.i_active),
        ]
        with m.FSM():
            with m.State("SCALE"):
                m.d.comb += scaler.i_load.eq(1)
                with m.If(self.i_active):
                    m.next = "SUM"
            with m.State("SUM"):
                m.next = "STEP"
                with m.If(self.o_done):
                    m.next = "SCALE"
            with m.State("STEP"):
                m.d.comb += scaler.i_step.eq(1)
                with m.If(ends_element):
                    m.next = "SCALE"
        self._lines(m, scaler.o_last_step, ends_line, ends_row)
        return m

    def _lines(self, m: Module, last_step: Any, ends_line: Signal, ends_row: Signal) -> None:
        """What follows an octet's last step: it is put into the line, then the line is written."""
        ended_line, ended_row, is_row_full = Signal(), Signal(), Signal()
        m.d.sync += [
            self.o_put.eq(last_step),
            ended_line.eq(ends_line),
            ended_row.eq(ends_row),
            self.o_write.eq(ended_line),
            is_row_full.eq(ended_row),
        ]
        with m.If(is_row_full):
            m.d.sync += self.o_offset.eq(0)
        with m.Elif(self.o_write):
            m.d.sync += self.o_offset.eq(self.o_offset + 1)
        m.d.comb += [self.o_step_psum.eq(ended_row), self.o_step_sbuf.eq(is_row_full), self.o_done.eq(is_row_full & self.i_last)]

    def _channel(self, m: Module, column: Signal, is_scale: Signal) -> Any:
        """The memory of biases and scale words, in descending order as COUNT is; what it holds for the column of the cycle before."""
        config = self._config
        m.submodules.channel = memory = Memory(shape=unsigned(8 * config.line_bytes), depth=CHANNEL_LINES, init=[], attrs=NO_CHECK)
        read, write = memory.read_port(), memory.write_port()
        part_bits = (config.cols // WORD_BYTES).bit_length() - 1
        m.d.comb += [
            write.addr.eq(self.i_channel_line),
            write.data.eq(self.i_line),
            write.en.eq(self.i_channel),
            read.addr.eq(~Cat(column[part_bits:], is_scale)),
        ]
        if not part_bits:
            return read.data
        part = Signal(part_bits)
        m.d.sync += part.eq(column[:part_bits])
        return Array(read.data[32 * index : 32 * index + 32] for index in range(1 << part_bits))[part]
