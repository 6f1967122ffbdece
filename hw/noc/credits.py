"""How much room the other end of a link has on one VC."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig


class CreditCounter(wiring.Component):
    """Counts the free places of the receiver's queue. A credit returned in a cycle can be spent in the next. Reset: `depth` credits.

    Members
    -------
    returned : In(1)
        A place has become free.
    spent : In(1)
        A flit goes. Only while `available`.
    count : Out(range(depth + 1))
    available : Out(1)
        `count` is not 0; a register of its own, being on the longest path.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        super().__init__(
            {
                "returned": In(1),
                "spent": In(1),
                "count": Out(range(config.depth + 1), init=config.depth),
                "available": Out(1, init=1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        with m.If(self.returned & ~self.spent):
            m.d.sync += [self.count.eq(self.count + 1), self.available.eq(1)]
        with m.Elif(self.spent & ~self.returned):
            m.d.sync += [self.count.eq(self.count - 1), self.available.eq(self.count != 1)]
        return m
