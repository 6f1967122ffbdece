"""Which queue of a router can send to which VC of which output: the crossbar, worked out from the routing function when a router is built."""

from hw.common.noc import NocConfig

from .flit import Port
from .routing import Hop, RoutingFunction, routing_function

#: A queue of a router: input port and VC.
Queue = tuple[Port, int]


class Connections:
    """Connections of the router `config` describes; all routers of a mesh have the same.

    Attributes
    ----------
    routing : RoutingFunction
    queues : tuple of Queue
        All queues, by port, then VC.
    hops : dict from Queue to tuple of Hop
        The ways out of a queue, in a fixed order: a queue's request has a bit for each.
    sources : dict from (Port, VC) to tuple of Queue
        The queues that can send to a VC of an output: its arbiter has an input for each. VCs nobody sends to are left out.
    """

    def __init__(self, config: NocConfig) -> None:
        self.routing: RoutingFunction = routing_function(config)
        self.queues: tuple[Queue, ...] = tuple((port, vc) for port in Port for vc in range(config.vcs))
        self.hops: dict[Queue, tuple[Hop, ...]] = {
            (port, vc): tuple(hop for out in self.routing.outputs(port, config.vc_class(vc)) for hop in self.routing.hops(port, vc, out))
            for port, vc in self.queues
        }
        self.sources: dict[tuple[Port, int], tuple[Queue, ...]] = {}
        for queue, hops in self.hops.items():
            for hop in hops:
                known = self.sources.get((hop.port, hop.vc), ())
                if queue not in known:
                    self.sources[hop.port, hop.vc] = (*known, queue)
