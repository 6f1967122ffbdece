"""The router: five input ports, five output ports and the order of ages; wiring only."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.common.noc import NocConfig

from .age import AgeOrder
from .arbiter import any_of
from .connections import Connections, Queue
from .flit import Port
from .input_port import InputPort
from .link import LinkSignature
from .output_port import OutputPort
from .watchdog import Watchdog, WatchSignature


class Router(wiring.Component):
    """A five-port wormhole router with virtual channels and credits; one cycle a hop, link register included.

    Ports are in the order of `Port`. Latency: a flit on `i[p].hop` is on some `o[q].hop` in the next cycle if nothing is in its way.
    Throughput: a flit a cycle on every output. No path leads from an input to an output within a cycle, credits included: `o.hop` and
    `i.credit` depend on registers alone (and on `o.up`), so routers can be joined in any way. All routers of a mesh are the same; `x`, `y`
    and `dateline` are tied off where it is put. Errors: none; a flit no port wants waits for ever, which the watchdog reports. Reset drops
    all flits and restores all credits: routers of a mesh are reset together.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    i : In(LinkSignature), five
    o : Out(LinkSignature), five
    x, y : In(x_bits), In(y_bits)
        Where the router is; constant.
    dateline : In(4)
        The link out of this port crosses the dateline of its ring; constant.
    watch : Out(WatchSignature)
        The watchdog; where `watchdog_limit` is not 0.

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self.config = config
        watch = {"watch": Out(WatchSignature())} if config.watchdog_limit else {}
        super().__init__(
            {
                "i": In(LinkSignature(config)).array(len(Port)),
                "o": Out(LinkSignature(config)).array(len(Port)),
                "x": In(config.x_bits),
                "y": In(config.y_bits),
                "dateline": In(4),
            }
            | watch
        )
        #: By port. Public for proofs.
        self.inputs = [InputPort(config=config, port=port) for port in Port]
        self.outputs = [OutputPort(config=config, port=port) for port in Port]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for port in Port:
            m.submodules[f"input_{port.name.lower()}"] = self.inputs[port]
            m.submodules[f"output_{port.name.lower()}"] = self.outputs[port]
            connect(m, flipped(self.i[port]), self.inputs[port].link)
            connect(m, self.outputs[port].o, flipped(self.o[port]))
        self._place(m)
        self._crossbar(m)
        if self.config.arbitration == "age":
            self._ages(m)
        if self.config.routing == "adaptive":
            self._room(m)
        if self.config.watchdog_limit:
            self._watch(m)
        return m

    def _place(self, m: Module) -> None:
        """Coordinates of the neighbours, around the rings of a torus."""
        config = self.config

        def around(value: Value, step: int, size: int) -> Value:
            # No adder: three bits of a constant are no place for a carry chain, and here they melt into the comparisons that follow.
            moved = Cat(bit ^ ~any_of([~low if step > 0 else low for low in value[:place]]) for place, bit in enumerate(value))
            return Mux(value == (size - 1 if step > 0 else 0), 0 if step > 0 else size - 1, moved) if config.topology == "torus" else moved

        for port in Port:
            place = self.inputs[port].place
            m.d.comb += [place.x.eq(self.x), place.y.eq(self.y), place.dateline.eq(self.dateline)]
            m.d.comb += [place.east.eq(around(self.x, 1, config.mesh_x)), place.west.eq(around(self.x, -1, config.mesh_x))]
            m.d.comb += [place.north.eq(around(self.y, 1, config.mesh_y)), place.south.eq(around(self.y, -1, config.mesh_y))]

    def _crossbar(self, m: Module) -> None:
        """Each way out of a queue to the arbiter it leads to."""
        for out in Port:
            output = self.outputs[out]
            for index, (vc, (port, source_vc)) in enumerate(output.inputs):
                source = self.inputs[port]
                ways = [way for way, (of, hop) in enumerate(source.ways) if of == source_vc and (hop.port, hop.vc) == (out, vc)]
                m.d.comb += [
                    output.requests[index].eq(source.requests[ways[0]]),
                    output.flits[index].eq(source.flits[source_vc]),
                    output.flits[index].route.eq(source.routes[ways[0]]),
                    source.grants[ways[0]].eq(output.grants[index]),
                ]

    def _ages(self, m: Module) -> None:
        """One comparison for each pair of queues that meets anywhere."""
        wanted: dict[tuple[Queue, Queue], int] = {}
        connections = Connections(self.config)
        for sources in (of for (_, vc), of in connections.sources.items() if connections.routing.goes_by_age(vc)):
            for i, left in enumerate(sources):
                for right in sources[i + 1 :]:
                    wanted.setdefault((left, right), len(wanted))
        m.submodules.ages = ages = AgeOrder(config=self.config, comparisons=list(wanted))
        for port in Port:
            for vc in range(self.config.vcs):
                m.d.comb += ages.stamps[port * self.config.vcs + vc].eq(self.inputs[port].stamps[vc])
            output = self.outputs[port]
            for vc, sources in output.sources.items():
                if f"vc{vc}" not in output.senior.shape().members:
                    continue
                order = [ages.older[wanted[left, right]] for i, left in enumerate(sources) for right in sources[i + 1 :]]
                for bit, older in enumerate(order):
                    m.d.comb += output.senior[f"vc{vc}"][bit].eq(older)
            with m.If(self.i[port].hop.valid):
                m.d.comb += [ages.recent.eq(self.i[port].hop.flit.stamp), ages.recent_valid.eq(1)]

    def _room(self, m: Module) -> None:
        """What the adaptive choices look at."""
        for port in Port:
            for out in (out for out in Port if out is not Port.LOCAL):
                m.d.comb += self.inputs[port].room.locked[out].eq(self.outputs[out].locked)
                for vc in range(self.config.vcs):
                    m.d.comb += self.inputs[port].room.credits[out][vc].eq(self.outputs[out].credits[vc])

    def _watch(self, m: Module) -> None:
        """Shows the watchdog the queues and the outputs."""
        m.submodules.watchdog = dog = Watchdog(config=self.config)
        connect(m, dog.watch, flipped(self.watch))
        leaves = [
            Cat(source.grants[way] for way, (of, _) in enumerate(source.ways) if of == vc).any()
            for source in self.inputs
            for vc in range(self.config.vcs)
        ]
        m.d.comb += [
            dog.valid.eq(Cat(source.valid for source in self.inputs)),
            dog.leave.eq(Cat(leaves)),
            dog.requests.eq(Cat(source.requests for source in self.inputs)),
            dog.locked.eq(Cat(self.outputs[port].locked[vc] for port, vc in dog.targets)),
            dog.credit.eq(Cat(self.outputs[port].credits[vc] != 0 for port, vc in dog.targets)),
            dog.up.eq(Cat(output.o.up for output in self.outputs)),
        ]
        for bit, (port, vc, queue) in enumerate(dog.owners):
            m.d.comb += dog.owner[bit].eq(self.outputs[port].owner[self.outputs[port].inputs.index((vc, queue))])
