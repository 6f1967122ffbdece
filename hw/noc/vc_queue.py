"""The queue of one VC at one input port."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .flit import flit_layout


class VcQueue(wiring.Component):
    """`depth` flits, first in, first out; the link register of a hop is its write.

    A flit that arrives is at `head` in the next cycle. Credits promise that there is room when a flit arrives, so nothing is refused. Throughput:
    a flit in and a flit out each cycle. Reset empties it.

    Members
    -------
    arrive : In(1)
        Pulse: `flit` is written at the end of this cycle. Only while there is room.
    flit : In(flit_layout)
    valid : Out(1)
        `head` holds a flit.
    head : Out(flit_layout)
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

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self._config.depth
        m.submodules.storage = storage = memory.Memory(shape=flit_layout(self._config), depth=depth, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(self.produce),
            write.data.eq(self.flit),
            write.en.eq(self.arrive),
            read.addr.eq(self.consume),
            self.head.eq(read.data),
        ]
        with m.If(self.arrive):
            m.d.sync += self.produce.eq(following(self.produce, depth))
        with m.If(self.leave):
            m.d.sync += self.consume.eq(following(self.consume, depth))
        # `valid` is a register of its own: it is at the start of the longest path of a router.
        with m.If(self.arrive & ~self.leave):
            m.d.sync += [self.level.eq(self.level + 1), self.valid.eq(1)]
        with m.Elif(self.leave & ~self.arrive):
            m.d.sync += [self.level.eq(self.level - 1), self.valid.eq(self.level != 1)]
        return m


def following(pointer: Signal, depth: int) -> Value:
    """The place after `pointer` in a ring of `depth`."""
    if depth & (depth - 1):
        return Mux(pointer == depth - 1, 0, pointer + 1)
    return pointer + 1
