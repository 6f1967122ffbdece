"""An output port: who sends next, on which VC, with which credits."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .arbiter import LeastRecentlyServed, MatrixArbiter, chosen, pairs
from .connections import Connections
from .credits import CreditCounter
from .flit import Port, flit_layout
from .link import LinkSignature
from .vc_arbiter import VcArbiter
from .weighted import WeightedOrder


def seniority_layout(config: NocConfig, connections: Connections, port: Port) -> data.StructLayout:
    """Orders of the sources of the VCs of an output that go by age: a field for each, see `MatrixArbiter.senior`."""
    return data.StructLayout(
        {
            f"vc{vc}": len(pairs(len(sources)))
            for (out, vc), sources in connections.sources.items()
            if out is port and connections.routing.goes_by_age(vc)
        }
    )


class OutputPort(wiring.Component):
    """Two arbiters, one behind the other, and the multiplexers that follow them; all in the cycle of the request.

    The first (`VcArbiter`) chooses for each VC one of the queues that ask for it; the second chooses one of the VCs that have a flit and a
    credit. Each queue has an input of the crossbar to itself, so it never loses its turn at one output because its neighbour of the same
    input goes to another.

    Order among queues: least recently served, or oldest packet (`senior`, from `AgeOrder`) where `arbitration` is `age`. Order among VCs:
    least recently served; `WeightedOrder` with `qos`. Latency: 0 cycles from `requests` to `o.hop` and `grants`. Throughput: a flit a
    cycle. Reset: no packet under way, all credits here.

    Parameters
    ----------
    config : NocConfig
    port : Port

    Members
    -------
    requests, grants : In, Out, a bit for each of `inputs`
        A queue asks for a VC; its flit goes now.
    flits : In(flit_layout) for each of `inputs`
        The flit it would send, `route` already that at the next router.
    senior : In(seniority_layout)
    credits : Out(range(depth + 1)), for each VC
        Flits the receiver has room for.
    locked : Out(vcs)
        A packet is under way on this VC.
    owner : Out(a bit for each of `inputs`)
        Its queue, for the watchdog; where `watchdog_limit` is not 0.
    o : Out(LinkSignature)
    """

    def __init__(self, *, config: NocConfig, port: Port) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self._config = config
        connections = Connections(config)
        #: VC -> its sources, of the VCs that are used.
        self.sources = {vc: connections.sources[port, vc] for vc in range(config.vcs) if (port, vc) in connections.sources}
        #: (VC, queue) in the order of `requests`.
        self.inputs = [(vc, queue) for vc, queues in self.sources.items() for queue in queues]
        self._senior = seniority_layout(config, connections, port)
        owner = {"owner": Out(len(self.inputs))} if config.watchdog_limit else {}
        super().__init__(
            {
                "requests": In(len(self.inputs)),
                "grants": Out(len(self.inputs)),
                "flits": In(flit_layout(config)).array(len(self.inputs)),
                "senior": In(self._senior),
                "credits": Out(range(config.depth + 1)).array(config.vcs),
                "locked": Out(config.vcs),
                "o": Out(LinkSignature(config)),
            }
            | owner
        )
        #: The arbiter of each VC. Public for proofs.
        self.arbiters = {vc: VcArbiter(inputs=len(queues), aged=f"vc{vc}" in self._senior.members) for vc, queues in self.sources.items()}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        ready, winners = Signal(len(self.sources)), []
        clear, turns = self._second(m, ready)
        start = 0
        for position, (vc, queues) in enumerate(self.sources.items()):
            end = start + len(queues)
            m.submodules[f"arbiter{vc}"] = arbiter = self.arbiters[vc]
            m.submodules[f"credits{vc}"] = counter = CreditCounter(config=config)
            flits = [self.flits[index] for index in range(start, end)]
            m.d.comb += [
                arbiter.requests.eq(self.requests[start:end]),
                arbiter.tails.eq(Cat(flit.tail for flit in flits)),
                arbiter.go.eq(turns[position]),
                counter.returned.eq(self.o.credit[vc]),
                counter.spent.eq(turns[position]),
                self.credits[vc].eq(counter.count),
                self.locked[vc].eq(arbiter.locked),
                ready[position].eq(arbiter.some & counter.available & self.o.up),
                # As `turns`, but the winner need not be known to be there.
                self.grants[start:end].eq(arbiter.win & (counter.available & self.o.up & clear[position]).replicate(len(queues))),
            ]
            if f"vc{vc}" in self._senior.members:
                m.d.comb += arbiter.senior.eq(self.senior[f"vc{vc}"])
            if config.watchdog_limit:
                m.d.comb += self.owner[start:end].eq(arbiter.owner)
            winners.append(chosen(m, arbiter.win, [flit.as_value() for flit in flits], f"winner{vc}"))
            start = end
        m.d.comb += [
            self.o.hop.valid.eq(ready.any()),
            self.o.hop.vc.eq(chosen(m, turns, [Const(vc, config.vc_bits) for vc in self.sources], "vc")),
            self.o.hop.flit.as_value().eq(chosen(m, turns, winners, "flit")),
        ]
        return m

    def _second(self, m: Module, ready: Signal) -> tuple[Value, Value]:
        """The choice among the VCs that are `ready`: (nobody stands against it, its turn)."""
        if len(ready) == 1:
            return Const(1, 1), ready
        m.submodules.arbiter = arbiter = MatrixArbiter(inputs=len(ready))
        order: Any = WeightedOrder(inputs=len(ready)) if self._config.qos else LeastRecentlyServed(inputs=len(ready))
        m.submodules.order = order
        m.d.comb += [arbiter.requests.eq(ready), arbiter.senior.eq(order.senior), order.served.eq(arbiter.grant)]
        return arbiter.clear, arbiter.grant
