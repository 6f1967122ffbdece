"""The link interface between routers, and the registers of a longer link."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .flit import flit_layout


def hop_layout(config: NocConfig) -> data.StructLayout:
    """One cycle of a link: `flit` travels on `vc` when `valid`. A pulse: the receiver cannot refuse, its credits promised the room."""
    return data.StructLayout({"valid": 1, "vc": config.vc_bits, "flit": flit_layout(config)})


class LinkSignature(wiring.Signature):
    """One direction of a link, seen from the sender of flits.

    The sender starts with `depth` credits for each VC, takes one away with each flit and gets one back with each pulse of `credit`. It assumes
    nothing of how long a credit takes.

    Members
    -------
    hop : Out(hop_layout)
        Flit pulse.
    credit : In(vcs)
        Bit v: a flit of VC v has left the receiver's queue. Bits are independent.
    up : In(1)
        Sideband: the link carries flits. While 0 the sender starts none (flits already sent arrive); constant 1 on chip.
    """

    def __init__(self, config: NocConfig) -> None:
        self.config = config
        super().__init__({"hop": Out(hop_layout(config)), "credit": In(config.vcs), "up": In(1)})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LinkSignature) and other.config == self.config


class LinkRegisters(wiring.Component):
    """`link_stages` registers in each direction of a link. Latency: `link_stages` cycles each way; throughput: a flit a cycle.

    Reset drops flits and credits on the way: both ends of a link are reset together.

    Members
    -------
    i : In(LinkSignature)
        From the sender.
    o : Out(LinkSignature)
        To the receiver.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self._config = config
        super().__init__({"i": In(LinkSignature(config)), "o": Out(LinkSignature(config))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        hop, credit, up = self.i.hop, self.o.credit, self.o.up
        for stage in range(self._config.link_stages):
            next_hop = Signal(hop_layout(self._config), name=f"hop{stage}")
            next_credit, next_up = Signal(self._config.vcs, name=f"credit{stage}"), Signal(name=f"up{stage}")
            m.d.sync += [next_hop.eq(hop), next_credit.eq(credit), next_up.eq(up)]
            hop, credit, up = next_hop, next_credit, next_up
        m.d.comb += [self.o.hop.eq(hop), self.i.credit.eq(credit), self.i.up.eq(up)]
        return m
