"""Cuts PSUM rows into beats of as many elements as there are lanes or fit an SBUF word."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..memory.ports import psum_row_layout
from .format import BeatTag, RowTag, beats_of, built_kinds, choose, lane_step, unit_elements


class RowSplitter(wiring.Component):
    """Turns rows into beats: element `select * unit + l` of the row goes to lane l (the lanes beyond the beat get something undefined).

    Latency: one cycle. Throughput: one beat a cycle while `i_room`; the next row follows without a bubble. A beat that completes an SBUF
    write waits for `i_room`, the others do not. Reset drops the row in progress.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i : In(stream of {tag: RowTag, data: row})
    i_room : In(1)
        There is room for one more SBUF write.
    o_reserve : Out(1)
        That room is taken in this cycle.
    o : Out {valid, tag: BeatTag, data[lanes]}
        Pulse.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        row = data.StructLayout({"tag": RowTag(config), "data": psum_row_layout(config)})
        beat = wiring.Signature({"valid": Out(1), "tag": Out(BeatTag(config)), "data": Out(data.ArrayLayout(32, config.output_lanes))})
        super().__init__({"i": In(stream.Signature(row)), "i_room": In(1), "o_reserve": Out(1), "o": Out(beat)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        unit = unit_elements(config)
        units = config.cols // unit
        select = Signal(range(units))
        following = Signal(range(units + 1))
        tag = self.i.payload.tag
        address = Signal(config.sbuf_address_width)
        word_last, row_last, go = Signal(), Signal(), Signal()
        with m.Switch(tag.kind):
            for kind in built_kinds(config):
                beats = beats_of(config, kind)
                word_bits = beats.word_units.bit_length() - 1
                # A row's address is a multiple of its lines, so the word number goes into the low bits.
                word = Cat(C(0, beats.lines.bit_length() - 1), select[word_bits:])
                with m.Case(kind):
                    m.d.comb += [
                        following.eq(select + beats.step_units),
                        word_last.eq(~following[:word_bits].any()),
                        address.eq(tag.address | word),
                    ]
        m.d.comb += [
            row_last.eq(following == units),
            go.eq(self.i.valid & (self.i_room | ~word_last)),
            self.i.ready.eq(go & row_last),
            self.o_reserve.eq(go & word_last),
        ]
        with m.If(go):
            m.d.sync += select.eq(following)
        m.d.sync += [
            self.o.valid.eq(go),
            *(self.o.tag[name].eq(tag[name]) for name, _ in RowTag(config)),
            self.o.tag.address.eq(address),
            self.o.tag.last.eq(tag.last & row_last),
            self.o.tag.select.eq(select),
            self.o.tag.word_last.eq(word_last),
        ]
        elements = Signal.like(self.o.data, reset_less=True)
        m.d.comb += self.o.data.eq(elements)
        for lane in range(config.output_lanes):
            step = lane_step(config, lane)
            options = [self.i.payload.data[base + lane] for base in range(0, config.cols, step)]
            m.d.sync += elements[lane].eq(choose(m, f"element{lane}", options, select, (step // unit).bit_length() - 1))
        return m
