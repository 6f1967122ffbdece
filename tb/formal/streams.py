"""`Fifo`, `Stage` and `WideStage`: every word comes out once, unchanged and in order, whatever the depth; the stream rules hold at the output."""

from functools import partial
from typing import Any

from amaranth.hdl import Assert, Cover, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.common.streams import Fifo, Stage, WideStage, connect_streams

from .rules import held
from .runner import Proof

WIDTH = 3


class FifoSpec(wiring.Component):
    """Follows one word, any one: from its transfer at `i`, behind as many words as are inside, to its transfer at `o`.

    `ahead` counts what must leave before it. Since the word is arbitrary, and the words pushed before it have to leave exactly `ahead`
    times first, nothing is lost, doubled, changed or reordered. The naive model is that counter: it knows nothing of pointers or storage.
    """

    def __init__(self, *, depth: int) -> None:
        self._depth = depth
        shape = stream.Signature(WIDTH)
        super().__init__({"i": In(shape), "o": Out(shape), "watch": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self._depth
        m.submodules.dut = dut = Fifo(shape=WIDTH, depth=depth)
        connect_streams(m, wiring.flipped(self).i, dut.i)
        connect_streams(m, dut.o, wiring.flipped(self).o)
        push, pop = Signal(), Signal()
        m.d.comb += [push.eq(dut.i.valid & dut.i.ready), pop.eq(dut.o.valid & dut.o.ready)]

        model = Signal(range(depth + 1))
        m.d.sync += model.eq(model + push - pop)
        watching, word, cell = Signal(), Signal(WIDTH), Signal(range(depth))
        ahead = Signal(range(depth + 1))
        with m.If(watching & pop):
            m.d.comb += Assert((ahead != 0) | (dut.o.payload == word))
            m.d.sync += [watching.eq(ahead != 0), ahead.eq(Mux(ahead != 0, ahead - 1, 0))]
        with m.If(push & self.watch & ~watching):
            m.d.sync += [watching.eq(1), word.eq(dut.i.payload), ahead.eq(model - pop), cell.eq(dut.produce)]

        m.d.comb += [
            Assert(dut.level == model),
            Assert(dut.o.valid == (model != 0)),
            Assert(dut.i.ready == (model != depth)),
            # What makes the induction close: pointers and level agree, and the word is where it should be.
            Assert(model <= depth),
            Assert((dut.consume < depth) & (dut.produce < depth)),
            Assert((dut.consume + model == dut.produce) | (dut.consume + model == dut.produce + depth)),
            dut.peek.eq(cell),
        ]
        with m.If(watching):
            m.d.comb += [
                Assert((ahead < model) & (cell < depth)),
                Assert((dut.consume + ahead == cell) | (dut.consume + ahead == cell + depth)),
                Assert(dut.peeked == word),
            ]
        held(m, dut.o, name="o")
        m.d.comb += [Cover(watching & pop & (ahead == 0) & (word == 5)), Cover((model == depth) & watching & (ahead == depth - 1))]
        return m


#: The payload of a `WideStage`, of which the middle bit is early.
WIDE = data.StructLayout({"low": 1, "middle": 1, "high": 1})


class StageSpec(wiring.Component):
    """Follows one word, any one, from its transfer at `i` to its transfer at `o`; `ahead` is one while another leaves before it.

    The giver may break the stream rules: nothing is assumed of it.
    """

    def __init__(self, *, wide: bool) -> None:
        self._wide = wide
        shape = stream.Signature(WIDE if wide else WIDTH)
        super().__init__({"i": In(shape), "o": Out(shape), "watch": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        dut: Any = WideStage(shape=WIDE, early=("middle",)) if self._wide else Stage(shape=WIDTH)
        m.submodules.dut = dut
        connect_streams(m, wiring.flipped(self).i, dut.i)
        connect_streams(m, dut.o, wiring.flipped(self).o)
        push, pop = Signal(), Signal()
        m.d.comb += [push.eq(dut.i.valid & dut.i.ready), pop.eq(dut.o.valid & dut.o.ready)]
        inside, watching, ahead, word = Signal(2), Signal(), Signal(), Signal(WIDTH)
        m.d.sync += inside.eq(inside + push - pop)
        with m.If(watching & pop):
            m.d.sync += [watching.eq(ahead), ahead.eq(0)]
        with m.If(push & self.watch & ~watching):
            m.d.sync += [watching.eq(1), word.eq(Value.cast(dut.i.payload)), ahead.eq((inside - pop) == 1)]
        m.d.comb += [
            Assert(inside <= 2),
            Assert(dut.i.ready == (inside != 2)),
            Assert(dut.o.valid == (inside != 0)),
            Assert(~watching | (inside > ahead)),
            Assert(~watching | ahead | (Value.cast(dut.o.payload) == word)),
            Cover(watching & pop & ~ahead & (word == 5) & push),
            Cover((inside == 2) & watching & ahead),
        ]
        held(m, dut.o, name="o")
        return m


PROOFS = (
    *(
        Proof(
            name=f"streams.{name}",
            doc=f"{doc}: an arbitrary word leaves once, unchanged, in its turn; valid and payload hold; ready until two words are inside",
            spec=partial(StageSpec, wide=wide),
            engine="abc pdr",
            depth=3,
            cover_depth=8,
        )
        for name, doc, wide in (("stage", "Stage", False), ("wide_stage", "WideStage", True))
    ),
    *(
        Proof(
            name=f"streams.fifo{depth}",
            doc=f"Fifo of depth {depth}: an arbitrary word leaves once, unchanged, in its turn; valid holds; level and flags are exact",
            spec=partial(FifoSpec, depth=depth),
            depth=3,
            cover_depth=2 * depth + 4,
        )
        for depth in (1, 2, 3, 4, 8)
    ),
)
