"""The local port of a node: AXI4-Stream on one side, the links of a router on the other; wiring only."""

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.common.noc import VIRTUAL_NETWORKS, NocConfig
from hw.common.streams import Fifo, connect_streams

from .depacketiser import Depacketiser, received_beat_layout, received_user_layout
from .ejector import Ejector
from .flit import NODE_BITS
from .injector import Injector
from .link import LinkSignature
from .packetiser import Packetiser, sent_beat_layout, sent_user_layout


def axis_members(config: NocConfig) -> dict[str, Any]:
    """The AXI4-Stream pins of a node, by name: `s_axis_<network>_...` takes packets, `m_axis_<network>_...` gives them.

    TDEST is x in bits 3:0, y in bits 7:4. TID is the source in the same bits, the VC above. TUSER: `sent_user_layout` and
    `received_user_layout`.
    """
    members: dict[str, Any] = {}
    width = config.payload_bits
    for network in VIRTUAL_NETWORKS[: config.virtual_networks]:
        members |= {
            f"s_axis_{network}_tdata": In(width),
            f"s_axis_{network}_tkeep": In(width // 8),
            f"s_axis_{network}_tlast": In(1),
            f"s_axis_{network}_tdest": In(2 * NODE_BITS),
            f"s_axis_{network}_tuser": In(sent_user_layout(config).size),
            f"s_axis_{network}_tvalid": In(1),
            f"s_axis_{network}_tready": Out(1),
            f"m_axis_{network}_tdata": Out(width),
            f"m_axis_{network}_tkeep": Out(width // 8),
            f"m_axis_{network}_tlast": Out(1),
            f"m_axis_{network}_tid": Out(2 * NODE_BITS + config.vc_bits),
            f"m_axis_{network}_tuser": Out(received_user_layout(config).size),
            f"m_axis_{network}_tvalid": Out(1),
            f"m_axis_{network}_tready": In(1),
        }
    return members


def connect_axis(m: Module, inner: Any, outer: Any, *, config: NocConfig, prefix: str = "") -> None:
    """Connects the pins of `inner` to the members of `outer` whose names have `prefix` in front."""
    for name, member in axis_members(config).items():
        inside, outside = getattr(inner, name), getattr(outer, prefix + name)
        m.d.comb += outside.eq(inside) if member.flow is Out else inside.eq(outside)


class LocalPort(wiring.Component):
    """Takes packets as AXI4-Stream (IHI 0051) and gives them to the mesh; takes packets from the mesh and gives them as AXI4-Stream.

    What packets look like, errors and order: see `Packetiser` and `Depacketiser`; which VC: see `Injector`. Failures of all packetisers come
    out of the response network (of the only network, if there is one). Every pin passes a FIFO of two, so that none depends on another
    within a cycle. A consumer must take what arrives without waiting for what its node sends on the same network, as everywhere where
    networks are to be free of deadlock.

    Latency: 2 cycles from the first beat to the head at `o.hop` if nothing is in the way, 1 more for each beat behind it; 2 cycles from a
    packet without data at `i.hop` to its beat at the pins, 3 from the head of a packet with data that follows at once. Throughput: a flit
    a cycle each way. Reset empties it; mesh, port and what is connected to its pins are reset together.

    Parameters
    ----------
    config : NocConfig

    Members
    -------
    s_axis_..., m_axis_...
        See `axis_members`.
    o, i : Out(LinkSignature), In(LinkSignature)
        To and from the router.
    x, y : In(x_bits), In(y_bits)
        Where the node is; constant.
    now : In(age_bits)
        Time from the `Ticker`; where `arbitration` is `age`.

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    """

    def __init__(self, *, config: NocConfig) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        self._config = config
        members = axis_members(config)
        members |= {"o": Out(LinkSignature(config)), "i": In(LinkSignature(config)), "x": In(config.x_bits), "y": In(config.y_bits)}
        if config.stamp_bits:
            members["now"] = In(config.stamp_bits)
        super().__init__(members)
        networks = range(config.virtual_networks)
        self._response = min(1, config.virtual_networks - 1)
        #: By network. Public for proofs.
        self.packetisers = [Packetiser(config=config, network=network) for network in networks]
        self.depacketisers = [
            Depacketiser(config=config, network=network, failures=len(networks) if network == self._response else 0) for network in networks
        ]
        self.injector, self.ejector = Injector(config=config), Ejector(config=config)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.injector, m.submodules.ejector = self.injector, self.ejector
        connect(m, self.injector.o, flipped(self.o))
        connect(m, flipped(self.i), self.ejector.i)
        m.d.comb += [self.injector.x.eq(self.x), self.injector.y.eq(self.y)]
        if self._config.stamp_bits:
            m.d.comb += self.injector.now.eq(self.now)
        for network, name in enumerate(VIRTUAL_NETWORKS[: self._config.virtual_networks]):
            self._send(m, network, name)
            self._receive(m, network, name)
        return m

    def _send(self, m: Module, network: int, name: str) -> None:
        def pin(signal: str) -> Any:
            return getattr(self, f"s_axis_{name}_{signal}")

        packetiser = self.packetisers[network]
        m.submodules[f"packetiser_{name}"] = packetiser
        m.submodules[f"sent_{name}"] = queue = Fifo(shape=sent_beat_layout(self._config), depth=2)
        beat = queue.i.payload
        m.d.comb += [
            beat.data.eq(pin("tdata")),
            beat.keep.eq(pin("tkeep")),
            beat.last.eq(pin("tlast")),
            beat.dest_x.eq(pin("tdest")[:NODE_BITS]),
            beat.dest_y.eq(pin("tdest")[NODE_BITS:]),
            Value.cast(beat.user).eq(pin("tuser")),
            queue.i.valid.eq(pin("tvalid")),
            pin("tready").eq(queue.i.ready),
            packetiser.x.eq(self.x),
            packetiser.y.eq(self.y),
        ]
        connect_streams(m, queue.o, packetiser.i)
        connect_streams(m, packetiser.o, self.injector.i[network])
        connect_streams(m, packetiser.failure, self.depacketisers[self._response].failures[network])

    def _receive(self, m: Module, network: int, name: str) -> None:
        def pin(signal: str) -> Any:
            return getattr(self, f"m_axis_{name}_{signal}")

        depacketiser, vcs = self.depacketisers[network], self._config.network_vcs
        m.submodules[f"depacketiser_{name}"] = depacketiser
        m.submodules[f"received_{name}"] = queue = Fifo(shape=received_beat_layout(self._config), depth=2)
        for vc in range(vcs):
            connect_streams(m, self.ejector.o[network * vcs + vc], depacketiser.i[vc])
        connect_streams(m, depacketiser.o, queue.i)
        beat = queue.o.payload
        m.d.comb += [
            pin("tdata").eq(beat.data),
            pin("tkeep").eq(beat.keep),
            pin("tlast").eq(beat.last),
            pin("tid")[:NODE_BITS].eq(beat.src_x),
            pin("tid")[NODE_BITS : 2 * NODE_BITS].eq(beat.src_y),
            pin("tid")[2 * NODE_BITS :].eq(beat.vc),
            pin("tuser").eq(Value.cast(beat.user)),
            pin("tvalid").eq(queue.o.valid),
            queue.o.ready.eq(pin("tready")),
        ]
