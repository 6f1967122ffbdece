"""The per-channel registers of the output stage and the reader that fills them."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..control.command import command_layout
from ..memory.ports import SbufPort
from .requantise import MULTIPLIER_BITS, SHIFT_BITS

#: Lines that LoadChannel reads: four of biases, four of scale words.
CHANNEL_LINES = 8


class ChannelLoader(wiring.Component):
    """Reads biases and scale words of all columns from SBUF into registers.

    Latency: with n = 8 / element_bytes words, the first read is asked for one cycle after the instruction is taken, then one a cycle if
    SBUF accepts; `done` comes one cycle after the last response, so n + sbuf_latency + 1 cycles after the instruction. Throughput: one
    instruction at a time, the next can be taken together with `done`. The registers change while the instruction runs. Reset forgets
    the instruction and zeroes the registers; responses to requests made before it must not arrive after it.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i : In(stream of LoadChannel)
    sbuf : Out(SbufPort)
        Reads only.
    done : Out(1)
    o_busy : Out(1)
        An instruction is being carried out.
    o_bias, o_multiplier, o_shift : Out(ArrayLayout(cols))
        By column.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(command_layout("LoadChannel"))),
                "sbuf": Out(SbufPort(config)),
                "done": Out(1),
                "o_busy": Out(1),
                "o_bias": Out(data.ArrayLayout(32, config.cols)),
                "o_multiplier": Out(data.ArrayLayout(MULTIPLIER_BITS, config.cols)),
                "o_shift": Out(data.ArrayLayout(SHIFT_BITS, config.cols)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        request, response = self.sbuf.request, self.sbuf.response
        words = CHANNEL_LINES // config.element_bytes
        asked, answered = Signal(range(words + 1)), Signal(range(words))
        address = Signal(config.sbuf_address_width)
        chunks = [Signal(8 * config.word_bytes, name=f"chunk{index}", reset_less=True) for index in range(words)]
        m.d.comb += [
            self.i.ready.eq(~self.o_busy),
            request.valid.eq(self.o_busy & (asked != words)),
            request.payload.address.eq(address),
        ]
        m.d.sync += self.done.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [self.o_busy.eq(1), address.eq(self.i.payload.base), asked.eq(0)]
        with m.If(request.valid & request.ready):
            m.d.sync += [asked.eq(asked + 1), address.eq(address + config.element_bytes)]
        with m.If(response.valid & self.o_busy):
            m.d.sync += answered.eq(answered + 1)
            with m.Switch(answered):
                for index, chunk in enumerate(chunks):
                    with m.Case(index):
                        m.d.sync += chunk.eq(response.data)
            with m.If(answered == words - 1):
                m.d.sync += [self.o_busy.eq(0), self.done.eq(1)]
        table = Cat(chunks)
        for column in range(config.cols):
            scale = table[32 * (config.cols + column) : 32 * (config.cols + column + 1)]
            m.d.comb += [
                self.o_bias[column].eq(table[32 * column : 32 * (column + 1)]),
                self.o_multiplier[column].eq(scale[:MULTIPLIER_BITS]),
                self.o_shift[column].eq(scale[MULTIPLIER_BITS:]),
            ]
        return m
