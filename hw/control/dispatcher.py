"""Takes an instruction's semaphores and hands it to its engine."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.isa import ENGINES, Cause, instructions_of
from .command import command_layout
from .completion import posts_layout
from .decode import ADDRESS_WIDTH, CAUSE_WIDTH, INDEX_WIDTH, Decoder, channels, checked_layout, field_value, snake
from .semaphores import SemaphoreWait


class Dispatcher(wiring.Component):
    """Issues checked instructions in order: wait0, then wait1, then the command, its posts being put aside in the same cycle.

    The instruction at the head is in flip-flops, decoded, so commands, waits and posts come early in the cycle, and nothing that depends on the engine
    goes back to `i`. That a command was taken is counted in the cycle after it.

    Latency: a command is offered in the cycle after its instruction is taken if it has no waits, else in the cycle after its last wait was
    served; its posts follow in the cycle after it was taken. Throughput: one instruction in two cycles without waits. An instruction with a cause is taken
    and never issued: `o_failed` shows it until reset. A command or wait once offered stays until taken, unless `i_run` falls. Reset starts over at index 0.

    Parameters
    ----------
    engine : str

    Members
    -------
    i : In(stream of checked_layout)
    i_run : In(1)
        Nothing is waited for or issued while low.
    wait : Out(SemaphoreWait)
    o_NAME : Out(stream of command_layout(NAME)), for each instruction of the engine
    posts_NAME : Out(stream of posts_layout)
        Transfers in exactly the cycles after those in which `o_NAME` does, from a flip-flop; the command is only offered while its `ready` is high, which
        must not fall but in the cycle after a transfer.
    o_failed : Out(1)
        The next instruction has a cause: `o_cause`, `o_address`. The latter is that of `i`, where it must stay.
    o_index : Out(32)
        Index of the next instruction, in the cycle after a command was taken still that of the command.
    o_idle : Out(1)
        No checked instruction is here.

    Raises
    ------
    ValueError
        if there is no such engine.
    """

    def __init__(self, *, engine: str) -> None:
        channels(engine)
        self._engine = engine
        members: dict[str, Any] = {
            "i": In(stream.Signature(checked_layout(engine))),
            "i_run": In(1),
            "wait": Out(SemaphoreWait()),
            "o_failed": Out(1),
            "o_cause": Out(CAUSE_WIDTH),
            "o_address": Out(ADDRESS_WIDTH),
            "o_index": Out(INDEX_WIDTH),
            "o_idle": Out(1),
        }
        for item in instructions_of(engine):
            members[f"o_{snake(item.name)}"] = Out(stream.Signature(command_layout(item.name)))
            members[f"posts_{snake(item.name)}"] = Out(stream.Signature(posts_layout()))
        super().__init__(members)
        #: The instruction at the head, its kind (one-hot, none if it is erroneous or absent), the waits that it has left, and whether there is none.
        #: Public for proofs.
        self.word, self.kind = Signal(ENGINES[engine].bits, reset_less=True), Signal(len(channels(engine)))
        self.wanted, self.is_served = Signal(2), Signal()
        #: The kind of the command that was taken in the cycle before. Public for proofs.
        self.issued = Signal(len(channels(engine)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        decoder = Decoder(self._engine, self.word)
        valid, issue, good = Signal(), Signal(), Signal()
        kind, wanted, coming = self.kind, self.wanted, self.i.payload
        m.d.comb += [
            self.i.ready.eq(~valid),
            self.o_idle.eq(~valid),
            self.o_address.eq(coming.address),
            good.eq(coming.cause == Cause.NONE),
            self.wait.valid.eq(self.i_run & wanted.any()),
            self.wait.semaphore.eq(Mux(wanted[0], decoder.header("wait0_semaphore"), decoder.header("wait1_semaphore"))),
            self.wait.count.eq(Mux(wanted[0], decoder.header("wait0_count"), decoder.header("wait1_count"))),
        ]
        with m.If(~valid & self.i.valid):
            m.d.sync += [
                valid.eq(1),
                self.word.eq(coming.word),
                self.o_cause.eq(coming.cause),
                self.o_failed.eq(~good),
                kind.eq(Mux(good, coming.kind, 0)),
                wanted.eq(Mux(good, coming.waits, 0)),
                self.is_served.eq(~coming.waits.any()),
            ]
        with m.If(self.wait.valid & self.wait.ready):
            m.d.sync += [wanted.eq(Mux(wanted[0], wanted & 0b10, 0)), self.is_served.eq(~wanted.all())]
        with m.If(issue):
            m.d.sync += [valid.eq(0), kind.eq(0)]
        # Meanwhile the word stays: the next one is taken at the earliest in that cycle.
        with m.If(self.issued.any()):
            m.d.sync += self.o_index.eq(self.o_index + 1)
        taken = []
        for position, item in enumerate(decoder.instructions):
            command, posts = getattr(self, f"o_{snake(item.name)}"), getattr(self, f"posts_{snake(item.name)}")
            taken.append(command.valid & command.ready)
            m.d.comb += [
                command.valid.eq(self.i_run & kind[position] & self.is_served & posts.ready),
                posts.valid.eq(self.issued[position]),
                posts.payload.index.eq(self.o_index),
            ]
            m.d.comb += [command.payload[part.name].eq(field_value(decoder.word, part)) for part in item.fields]
            for name in ("post0", "post1"):
                m.d.comb += [
                    posts.payload[name].semaphore.eq(decoder.header(f"{name}_semaphore")),
                    posts.payload[name].count.eq(decoder.header(f"{name}_count")),
                ]
        m.d.comb += issue.eq(Cat(taken).any())
        m.d.sync += self.issued.eq(Cat(taken))
        if self._engine == "tensor":
            self._swap(m)
        return m

    def _swap(self, m: Module) -> None:
        """`swap`: a LoadStationary went out since the last MultiplyMoving."""
        loaded = Signal()
        m.d.comb += self.o_multiply_moving.payload.swap.eq(loaded)
        with m.If(self.posts_load_stationary.valid):
            m.d.sync += loaded.eq(1)
        with m.If(self.posts_multiply_moving.valid):
            m.d.sync += loaded.eq(0)
