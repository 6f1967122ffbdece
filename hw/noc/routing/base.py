"""What a routing function has to say, to the routers that are built from it and to the models that check them."""

from abc import ABC, abstractmethod
from enum import Enum
from typing import NamedTuple

from amaranth.hdl import Module, Value

from hw.common.noc import NocConfig

from ..flit import Port


class When(Enum):
    """When a flit that leaves by a port takes a VC."""

    ALWAYS = "always"
    DATELINE = "dateline"  #: the link crosses the dateline of its ring
    NO_DATELINE = "no dateline"  #: the link does not
    ESCAPE = "escape"  #: no other port it may leave by has room, and this is the port of the escape function


class Hop(NamedTuple):
    """A way a flit may leave a router."""

    port: Port
    vc: int
    when: When = When.ALWAYS


class RoutingFunction(ABC):
    """A routing function, in hardware (`first`, `step`) and as a plain model (`next_ports`), with the VCs it uses (`hops`).

    One instance serves a whole mesh: a router's place comes in as values. `dst_x`, `dst_y`, `x`, `y` are coordinates of `NocConfig.x_bits`
    and `y_bits`. A *route* is a mask of `Port`s a flit may leave a router by: one bit for all functions but an adaptive one.

    Parameters
    ----------
    config : NocConfig
    """

    #: Name in `NocConfig.routing`.
    name: str

    def __init__(self, *, config: NocConfig) -> None:
        self.config = config

    @abstractmethod
    def next_ports(self, at: tuple[int, int], dst: tuple[int, int], vc_class: int) -> tuple[Port, ...]:
        """Ports a flit in `vc_class` for `dst` may leave the router at `at` by; `(Port.LOCAL,)` at its destination. The model."""

    @abstractmethod
    def first(self, m: Module, *, x: Value, y: Value, dst_x: Value, dst_y: Value, vc_class: int) -> Value:
        """Route at the router (x, y) of a packet that starts there. Combinational."""

    @abstractmethod
    def step(self, m: Module, *, out: Port, x: Value, y: Value, dst_x: Value, dst_y: Value, vc_class: int) -> Value:
        """Route at (x, y), the neighbour reached by leaving through `out`, of a flit that left legally. Combinational.

        It may use that the flit came this way. For `out` LOCAL it is not asked.
        """

    @abstractmethod
    def outputs(self, port: Port, vc_class: int) -> tuple[Port, ...]:
        """Ports a flit that came in by `port` in `vc_class` can leave by, in port order: the crossbar has these connections and no others."""

    def hops(self, port: Port, vc: int, out: Port) -> tuple[Hop, ...]:
        """The VCs a flit that came in by `port` on `vc` can take when it leaves by `out` (which is in `outputs`).

        A VC is kept from end to end, except where a torus crosses its dateline: there, the dateline bit (the lowest of the class) is set;
        leaving for another dimension clears it before that.
        """
        config = self.config
        if out is Port.LOCAL or config.torus_scheme == "none":
            return (Hop(out, vc),)
        network, vc_class, lane = vc // config.network_vcs, config.vc_class(vc), vc % config.lanes
        before = config.vc_number(network=network, vc_class=vc_class & ~1, lane=lane)
        after = config.vc_number(network=network, vc_class=vc_class | 1, lane=lane)
        if port is not Port.LOCAL and port.is_x == out.is_x and vc_class & 1:
            return (Hop(out, after),)
        return (Hop(out, before, When.NO_DATELINE), Hop(out, after, When.DATELINE))

    def goes_by_age(self, vc: int) -> bool:
        """Whether the queues that ask for `vc` of an output take turns by age, where `arbitration` is `age`."""
        return self.config.arbitration == "age"

    def chooses(self, vc: int) -> bool:
        """Whether the head of a queue of `vc` chooses its port by room (`AdaptiveChoice`); else its route has one bit."""
        return False

    def first_class(self, *, ordered: bool, choice: int) -> int:
        """VC class an injected packet starts in: one class for packets that must stay in order; for others `choice` is 0 and 1 by turns."""
        return 0
