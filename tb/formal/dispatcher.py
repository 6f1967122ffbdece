"""Dispatcher: waits are taken once each and in order, then the command goes out, and nothing erroneous ever does."""

from functools import partial
from typing import Any

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.common.isa import ENGINES, Cause
from hw.control.decode import CAUSE_WIDTH, Decoder, channels
from hw.control.dispatcher import Dispatcher

from .runner import Proof


class DispatcherSpec(wiring.Component):
    """Any instructions, any answers of semaphores and engine."""

    def __init__(self, *, engine: str) -> None:
        self._engine = engine
        super().__init__(
            {
                "word": In(ENGINES[engine].bits),
                "cause": In(CAUSE_WIDTH),
                "valid": In(1),
                "run": In(1),
                "serve": In(1),
                "ready": In(len(channels(engine))),
                "room": In(len(channels(engine))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Dispatcher(engine=self._engine)
        coming = Decoder(self._engine, self.word)
        m.d.comb += [
            dut.i.valid.eq(self.valid), dut.i.payload.word.eq(self.word), dut.i.payload.cause.eq(self.cause),
            dut.i.payload.kind.eq(Cat(coming.is_a(item) for item in coming.instructions)),
            dut.i.payload.waits.eq(Cat(coming.header(f"wait{slot}_count") != 0 for slot in range(2))),
            dut.i_run.eq(self.run), dut.wait.ready.eq(self.serve),
        ]  # fmt: skip
        # The model: the instruction at the head, and which of its waits have been taken.
        full, cause = Signal(), Signal(CAUSE_WIDTH)
        head = Signal(ENGINES[self._engine].bits)
        decoder = Decoder(self._engine, head)
        good = full & (cause == Cause.NONE)
        taken, wanted = Signal(2), Signal(2)
        m.d.comb += wanted.eq(Cat(decoder.header(f"wait{slot}_count") != 0 for slot in range(2)) & ~taken)
        with m.If(~full & self.valid):
            m.d.sync += [full.eq(1), head.eq(self.word), cause.eq(self.cause)]
        transfers, index, counted = [], Signal(32), Signal()
        for position, (name, item) in enumerate(zip(channels(self._engine), decoder.instructions, strict=True)):
            command, posts = getattr(dut, f"o_{name}"), getattr(dut, f"posts_{name}")
            transfer, moved = Signal(name=f"transfer_{name}"), Signal(name=f"moved_{name}")
            m.d.sync += moved.eq(transfer)
            m.d.comb += [
                command.ready.eq(self.ready[position]),
                posts.ready.eq(self.room[position]),
                transfer.eq(command.valid & command.ready),
                Assert(command.valid == (good & self.run & decoder.is_a(item) & (wanted == 0) & posts.ready)),
                Assert(posts.valid == moved),
                Assert(~posts.valid | (posts.payload.index == index)),
            ]
            # Those of the command that went out in the cycle before.
            for slot, what in ((slot, what) for slot in range(2) for what in ("semaphore", "count")):
                was = Signal.like(decoder.header(f"post{slot}_{what}"), name=f"was_{name}_{slot}_{what}")
                m.d.sync += was.eq(decoder.header(f"post{slot}_{what}"))
                m.d.comb += Assert(~posts.valid | (posts.payload[f"post{slot}"][what] == was))
            self._holds(m, dut, command, posts.ready, name)
            transfers.append(transfer)
        served = dut.wait.valid & dut.wait.ready
        m.d.comb += [
            Assert(dut.wait.valid == (good & self.run & (wanted != 0))),
            Assert(dut.i.ready == ~full),
            Assert(sum(transfers) <= 1),
            Assert(~full | (dut.word == head)),
            Assert(dut.kind == Mux(good, Cat(decoder.is_a(item) for item in decoder.instructions), 0)),
            Assert(dut.wanted == Mux(good, wanted, 0)),
            Assert(~good | (dut.is_served == (wanted == 0))),
            Assert((full | (taken == 0)) & (taken != 0b10)),
            Assert(dut.o_idle == ~full),
            Assert(dut.o_failed == (full & (cause != Cause.NONE))),
            Assert(~full | (dut.o_cause == cause)),
            Cover((dut.o_index == 2) & (taken == 3)),
        ]
        for slot in range(2):
            with m.If(dut.wait.valid & (wanted[0] == (slot == 0))):
                m.d.comb += [
                    Assert(dut.wait.semaphore == decoder.header(f"wait{slot}_semaphore")),
                    Assert(dut.wait.count == decoder.header(f"wait{slot}_count")),
                ]
        # Counted in the cycle after a command, before another can go out.
        m.d.sync += counted.eq(Cat(transfers).any())
        m.d.comb += [Assert(index == dut.o_index), Assert(~counted | ~Cat(transfers).any()), Assert(counted == dut.issued.any())]
        with m.If(counted):
            m.d.sync += index.eq(index + 1)
        with m.If(Cat(transfers).any()):
            m.d.sync += [full.eq(0), taken.eq(0)]
        with m.Elif(served):
            m.d.sync += taken.eq(Mux(wanted[0], 0b01, 0b11))
        return m

    def _holds(self, m: Module, dut: Any, command: Any, room: Any, name: str) -> None:
        """A command that is not taken stays as it is while `i_run` and the room for its posts do."""
        stalled = Signal(name=f"stalled_{name}")
        payload = Signal.like(command.payload, name=f"payload_{name}")
        m.d.sync += [stalled.eq(command.valid & ~command.ready), payload.eq(command.payload)]
        with m.If(stalled):
            m.d.comb += Assume(room)
            with m.If(self.run):
                m.d.comb += Assert(command.valid & (command.payload == payload))


PROOFS = tuple(
    Proof(
        name=f"dispatcher.{engine}",
        doc=f"{engine}: both waits once each and in order, then exactly one command with its posts, commands hold, erroneous instructions never go out",
        spec=partial(DispatcherSpec, engine=engine),
        depth=3,
        cover_depth=12,
    )
    for engine in ("tensor", "load")
)
