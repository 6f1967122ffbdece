"""Collects the beats of the lanes into SBUF writes."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from .format import BeatTag, beats_of, built_kinds


class WordWrite(data.StructLayout):
    """An SBUF write: `address`, `mask`, `data` as in SbufRequest, and `last`: it is the last of its Evict."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"address": config.sbuf_address_width, "mask": config.element_bytes, "data": 8 * config.word_bytes, "last": 1})


class WordPacker(wiring.Component):
    """Puts the elements of a write's beats side by side, the first lowest.

    Latency: 0, in the cycle of the beat with `word_last`. Throughput: one beat a cycle, never stalls. A write of fewer lines than a word is
    repeated over the word, and the mask picks its place. Reset: none, it holds data only.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i : In {valid, tag: BeatTag, data[lanes]}
        Pulse.
    o : Out {valid, write: WordWrite}
        Pulse.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        beat = wiring.Signature({"valid": Out(1), "tag": Out(BeatTag(config)), "data": Out(data.ArrayLayout(32, config.output_lanes))})
        super().__init__({"i": In(beat), "o": Out(wiring.Signature({"valid": Out(1), "write": Out(WordWrite(config))}))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        tag, write = self.i.tag, self.o.write
        word_width = 8 * config.word_bytes
        held = Signal(word_width, reset_less=True)
        line_bits = (config.element_bytes - 1).bit_length()
        with m.Switch(tag.kind):
            for kind in built_kinds(config):
                beats = beats_of(config, kind)
                beat = Cat(self.i.data[lane][: 8 * kind.bytes] for lane in range(beats.step))
                width = len(beat) * beats.word_beats
                whole = Cat(held[len(beat) : width], beat)
                with m.Case(kind):
                    m.d.comb += [
                        write.data.eq(whole.replicate(word_width // width)),
                        write.mask.eq(C((1 << beats.lines) - 1, config.element_bytes) << tag.address[:line_bits]),
                    ]
        with m.If(self.i.valid):
            m.d.sync += held.eq(write.data)
        m.d.comb += [
            self.o.valid.eq(self.i.valid & tag.word_last),
            write.address.eq(tag.address),
            write.last.eq(tag.last),
        ]
        return m
