"""Which of its productive ports the head of an adaptive VC asks for."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .arbiter import any_of
from .flit import Port, flit_layout
from .routing import Hop
from .routing.base import When


def room_layout(config: NocConfig) -> data.StructLayout:
    """Credits and locks of all VCs of the four links, in the order of `Port`."""
    return data.StructLayout(
        {
            "credits": data.ArrayLayout(data.ArrayLayout(range(config.depth + 1), config.vcs), 4),
            "locked": data.ArrayLayout(config.vcs, 4),
        }
    )


class AdaptiveChoice(wiring.Component):
    """Chooses, for the head of an adaptive VC, one of `hops`: where there is most room.

    A port is open if its VC is not locked and either empty at the receiver, or the packet is one flit and there is a credit: an adaptive VC
    is allocated atomically, see `hw.noc.routing.adaptive`. Of two open ports the one with more credits is asked for; at equal credits
    straight on, because turns crowd the middle of a mesh, and along x for a packet that enters; of none, the XY port on the escape VC. The
    choice is made anew each cycle until the head has left; the flits behind it follow it. Combinational from `head` and `room`. Reset: no
    packet under way.

    Parameters
    ----------
    config : NocConfig
    port : Port
        The input port of the queue.
    hops : tuple of Hop
        The ways out of the queue.

    Members
    -------
    valid, head, leave : In(1), In(flit_layout), In(1)
        The queue's head, and that it leaves in this cycle.
    room : In(room_layout)
    selected : Out(len(hops))
        One-hot while `valid`, else 0.

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    ValueError
        if its routing is not adaptive.
    """

    def __init__(self, *, config: NocConfig, port: Port, hops: tuple[Hop, ...]) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        if config.routing != "adaptive":
            raise ValueError(f"config.routing must be 'adaptive', not {config.routing!r}: the routes of other functions leave no choice")
        self._config, self._port, self._hops = config, port, hops
        super().__init__(
            {
                "valid": In(1),
                "leave": In(1),
                "head": In(flit_layout(config)),
                "room": In(room_layout(config)),
                "selected": Out(len(hops)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        route = self.head.route
        inside, kept, fresh = Signal(), Signal(len(self._hops)), Signal(len(self._hops))
        open_x, credits_x = self._room(x=True)
        open_y, credits_y = self._room(x=False)
        take_x, take_y = Signal(), Signal()
        roomier = credits_x > credits_y if self._port in (Port.NORTH, Port.SOUTH) else credits_x >= credits_y
        m.d.comb += [take_x.eq(open_x & (~open_y | roomier)), take_y.eq(open_y & ~take_x)]
        wants_x = route[Port.EAST] | route[Port.WEST]
        bits: list[Value] = []
        for hop in self._hops:
            if hop.port is Port.LOCAL:
                bits.append(route[Port.LOCAL])
            elif hop.when is When.ESCAPE:
                bits.append(route[hop.port] & ~take_x & ~take_y & (wants_x if hop.port.is_x else ~wants_x))
            else:
                bits.append(route[hop.port] & (take_x if hop.port.is_x else take_y))
        m.d.comb += [
            fresh.eq(Cat(*bits)),
            self.selected.eq(Mux(inside, kept, fresh) & self.valid.replicate(len(self._hops))),
        ]
        with m.If(self.leave):
            m.d.sync += inside.eq(~self.head.tail)
            with m.If(~inside):
                m.d.sync += kept.eq(fresh)
        return m

    def _room(self, *, x: bool) -> tuple[Value, Value]:
        """(the productive port of the dimension is open, its credits)."""
        depth = self._config.depth
        opens: list[Value] = []
        credits: Value | int = 0
        for hop in self._hops:
            if hop.port is Port.LOCAL or hop.when is When.ESCAPE or hop.port.is_x != x:
                continue
            count = self.room.credits[hop.port][hop.vc]
            wanted = self.head.route[hop.port]
            opens.append(wanted & ~self.room.locked[hop.port][hop.vc] & ((count == depth) | (self.head.tail & (count != 0))))
            credits = credits | Mux(wanted, count, 0)
        return any_of(opens), Value.cast(credits)
