"""A router whose links lead back to itself, so that its clock is measured from queue to queue."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.common.noc import NocConfig
from hw.noc.flit import Port
from hw.noc.link import LinkSignature
from hw.noc.router import Router


class LoopedRouter(wiring.Component):
    """What goes out by a port comes in by the opposite one: every path of a mesh, queue to queue, in the area of one router.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    i, o : In(LinkSignature), Out(LinkSignature)
        The local port.
    x, y, dateline : In
        As in `Router`.
    """

    def __init__(self, *, config: NocConfig) -> None:
        self._router = Router(config=config)
        super().__init__(
            {
                "i": In(LinkSignature(config)),
                "o": Out(LinkSignature(config)),
                "x": In(config.x_bits),
                "y": In(config.y_bits),
                "dateline": In(4),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.router = router = self._router
        m.d.comb += [router.x.eq(self.x), router.y.eq(self.y), router.dateline.eq(self.dateline)]
        for port in Port:
            if port is Port.LOCAL:
                connect(m, flipped(self.i), router.i[port])
                connect(m, router.o[port], flipped(self.o))
            else:
                connect(m, router.o[port], router.i[port.opposite])
        return m
