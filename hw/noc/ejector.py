"""Where flits leave the mesh: a queue for each VC."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .flit import flit_layout
from .link import LinkSignature
from .vc_queue import VcQueue


class Ejector(wiring.Component):
    """Takes flits from the local output of a router and offers each VC on a stream of its own: a VC nobody takes holds up no other.

    A credit goes back in the cycle a flit is taken. Latency: 1 cycle from `i.hop` to `o`. Throughput: a flit a cycle in, one a cycle out of each
    VC. Errors: none. Reset empties the queues; the router is reset with it.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    i : In(LinkSignature)
    o : streams of flit_layout, one for each VC

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self._config = config
        super().__init__({"i": In(LinkSignature(config)), "o": Out(stream.Signature(flit_layout(config))).array(config.vcs)})
        #: By VC. Public for proofs.
        self.queues = [VcQueue(config=config) for _ in range(config.vcs)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.i.up.eq(1)
        for vc, (queue, out) in enumerate(zip(self.queues, self.o, strict=True)):
            m.submodules[f"queue{vc}"] = queue
            m.d.comb += [
                queue.arrive.eq(self.i.hop.valid & (self.i.hop.vc == vc)),
                queue.flit.eq(self.i.hop.flit),
                queue.leave.eq(out.valid & out.ready),
                out.valid.eq(queue.valid),
                out.payload.eq(queue.head),
                self.i.credit[vc].eq(queue.leave),
            ]
        return m
