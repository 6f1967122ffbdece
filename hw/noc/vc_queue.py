"""The queue of one VC at one input port."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .flit import flit_layout


class VcQueue(wiring.Component):
    """`depth` flits, first in, first out; the link register of a hop is its write.

    A flit that arrives is at `head` in the next cycle. Credits promise that there is room when a flit arrives, so nothing is refused. Throughput:
    a flit in and a flit out each cycle. Reset empties it.

    What the arbiters look at (route, tail, stamp) is in registers at the head, because they are at the start of the longest path of a
    router; what only passes by (payload, destination) is read from LUT RAM.

    Members
    -------
    arrive : In(1)
        Pulse: `flit` is written at the end of this cycle. Only while there is room.
    flit : In(flit_layout)
    valid : Out(1)
        `head` holds a flit.
    head : Out(flit_layout)
        `head.route` is 0 while not `valid`, so that it asks for nothing.
    leave : In(1)
        The head is taken. Only while `valid`.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self._config = config
        layout = flit_layout(config)
        super().__init__({"arrive": In(1), "flit": In(layout), "valid": Out(1), "head": Out(layout), "leave": In(1)})
        #: Flits inside, and where the next goes to and comes from. Public for proofs.
        self.level = Signal(range(config.depth + 1))
        self.produce, self.consume = Signal(range(config.depth)), Signal(range(config.depth))
        #: Another flit is behind the head, and what the arbiters will look at of it. Public for proofs.
        self.more, self.second = Signal(), Signal(_split(layout)[1])

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self._config.depth
        body, control = _split(flit_layout(self._config))
        m.submodules.storage = storage = memory.Memory(shape=body, depth=depth, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        m.d.comb += [write.addr.eq(self.produce), write.en.eq(self.arrive), read.addr.eq(self.consume)]
        for name in body.members:
            m.d.comb += [write.data[name].eq(self.flit[name]), self.head[name].eq(read.data[name])]
        with m.If(self.arrive):
            m.d.sync += self.produce.eq(following(self.produce, depth))
        with m.If(self.leave):
            m.d.sync += self.consume.eq(following(self.consume, depth))
        # `more`: another flit is behind the head. It and `valid` say what `level` says, a level of logic earlier.
        more = self.more
        with m.If(self.arrive & ~self.leave):
            m.d.sync += [self.level.eq(self.level + 1), more.eq(self.valid)]
        with m.Elif(self.leave & ~self.arrive):
            m.d.sync += [self.level.eq(self.level - 1), more.eq(self.level > 2 if depth > 2 else 0)]
        ahead = self._ahead(m, control)
        m.d.comb += self.second.eq(ahead)
        first: Any = Signal(control)
        for name in control.members:
            m.d.comb += self.head[name].eq(first[name])
        with m.If(self.leave | ~self.valid):
            m.d.sync += self.valid.eq(more | self.arrive)
            m.d.sync += [first[name].eq(Mux(more, ahead[name], self.flit[name])) for name in control.members if name != "route"]
            m.d.sync += first.route.eq(Mux(more, ahead.route, self.flit.route & self.arrive.replicate(len(self.flit.route))))
        return m

    def _ahead(self, m: Module, control: data.StructLayout) -> Any:
        """Control fields of the flit behind the head, while there is one."""
        depth = self._config.depth
        if depth == 2:
            # The flit behind the head is the one that arrived last.
            last: Any = Signal(control, reset_less=True)
            with m.If(self.arrive):
                m.d.sync += [last[name].eq(self.flit[name]) for name in control.members]
            return last
        m.submodules.controls = controls = memory.Memory(shape=control, depth=depth, init=[])
        write, read = controls.write_port(), controls.read_port(domain="comb")
        m.d.comb += [write.addr.eq(self.produce), write.en.eq(self.arrive), read.addr.eq(following(self.consume, depth))]
        m.d.comb += [write.data[name].eq(self.flit[name]) for name in control.members]
        return read.data


def _split(flit: data.StructLayout) -> tuple[data.StructLayout, data.StructLayout]:
    """(what only passes by, what the arbiters look at) of a flit."""
    passing = ("payload", "dst_x", "dst_y")
    members = {name: field.shape for name, field in flit}
    return (
        data.StructLayout({name: shape for name, shape in members.items() if name in passing}),
        data.StructLayout({name: shape for name, shape in members.items() if name not in passing}),
    )


def following(pointer: Signal, depth: int) -> Value:
    """The place after `pointer` in a ring of `depth`."""
    if depth & (depth - 1):
        return Mux(pointer == depth - 1, 0, pointer + 1)
    return pointer + 1
