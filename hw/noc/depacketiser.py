"""From flits to AXI4-Stream-shaped beats: packets whole, one after the other, whatever VC they came by."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .arbiter import LeastRecentlyServed, MatrixArbiter, chosen
from .flit import ADDRESS_BITS, NODE_BITS, TAG_BITS, PacketKind, flit_layout, header_layout
from .packetiser import failure_layout


def received_user_layout(config: NocConfig) -> data.StructLayout:
    """What the header of a packet says beside its source (TUSER, from bit 0); the same on all its beats. Fields: see `header_layout`."""
    return data.StructLayout({"kind": 3, "network": 2, "tag": TAG_BITS, "address": ADDRESS_BITS, "strobe": config.payload_bits // 8})


def received_beat_layout(config: NocConfig) -> data.StructLayout:
    """A beat of a packet that has arrived: from which node, by which VC. A beat whose `keep` is 0 has `data` 0."""
    return data.StructLayout(
        {
            "data": config.payload_bits,
            "keep": config.payload_bits // 8,
            "last": 1,
            "src_x": NODE_BITS,
            "src_y": NODE_BITS,
            "vc": config.vc_bits,
            "user": received_user_layout(config),
        }
    )


class Depacketiser(wiring.Component):
    """Joins the VCs of one virtual network: packets go out whole, VCs take turns packet by packet, least recently served first.

    A packet with data is a beat for each data flit; `keep` is all ones but on the last, where it is the header's strobe. A packet without
    data is one beat with `keep` 0. What waits of a VC that is not its turn stays in the queue of that VC, so a packet is put together for each
    VC where it is, and those of a source, destination and VC keep their order. Failures of the node's own packetisers take turns with the VCs: each
    is one beat, an ERROR packet that seems to come from the destination that failed, by the lowest VC of this network.

    Latency: 0 cycles from `i` to `o` for data and for packets without data; a head with data behind it takes a cycle and makes no beat. Throughput:
    a flit a cycle. `o` keeps its beat until it is taken. Errors: none of its own. Reset: no packet under way.

    Parameters
    ----------
    config : NocConfig
    network : int
        The virtual network.
    failures : int
        Packetisers that report here.

    Members
    -------
    i : streams of flit_layout, one for each VC of the network
    failures : streams of failure_layout
    o : stream of received_beat_layout

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    ValueError
        if the configuration has no such network, or `failures` is negative.
    """

    def __init__(self, *, config: NocConfig, network: int, failures: int) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        if not isinstance(network, int) or isinstance(network, bool) or not 0 <= network < config.virtual_networks:
            raise ValueError(f"network must be 0 to {config.virtual_networks - 1}, not {network!r}: raise virtual_networks to have more")
        if not isinstance(failures, int) or failures < 0:
            raise ValueError(f"failures must be 0 or a positive integer, not {failures!r}")
        self._config, self._network = config, network
        super().__init__(
            {
                "i": In(stream.Signature(flit_layout(config))).array(config.network_vcs),
                "failures": In(stream.Signature(failure_layout())).array(failures),
                "o": Out(stream.Signature(received_beat_layout(config))),
            }
        )
        #: A packet has its turn until it is over; its head has been taken. Public for proofs.
        self.locked, self.inside = Signal(), Signal()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        inputs = [*self.i, *self.failures]
        turns, owner = Signal(len(inputs)), Signal(len(inputs))
        m.submodules.arbiter = arbiter = MatrixArbiter(inputs=len(inputs))
        m.submodules.order = order = LeastRecentlyServed(inputs=len(inputs))
        m.d.comb += [
            arbiter.requests.eq(Cat(each.valid for each in inputs)),
            arbiter.senior.eq(order.senior),
            turns.eq(Mux(self.locked, owner, arbiter.grant)),
        ]
        vcs = len(self.i)
        flit = chosen(m, turns[:vcs], [each.payload.as_value() for each in self.i], "flit")
        tail = flit_layout(self._config)(flit).tail
        # A head with data behind it goes into a register; all else is a beat. Failures are beats.
        is_head = ~self.inside & ~tail & turns[:vcs].any()
        offered, over = Signal(), Signal()
        m.d.comb += [
            offered.eq((turns & arbiter.requests).any()),
            self.o.valid.eq(offered & ~is_head),
            over.eq(self.o.valid & self.o.ready & self.o.payload.last),
        ]
        for turn, each in zip(turns, inputs, strict=True):
            m.d.comb += each.ready.eq(turn & (is_head | self.o.ready))
        with m.If(offered):
            m.d.sync += [self.locked.eq(~over), owner.eq(turns), self.inside.eq((self.inside | is_head) & ~over)]
        with m.If(over):
            m.d.comb += order.served.eq(turns)
        self._beat(m, turns, flit)
        return m

    def _beat(self, m: Module, turns: Signal, flit: Signal) -> None:
        """What `o` carries; keeps the header of a packet with data."""
        config, beat, vcs = self._config, self.o.payload, len(self.i)
        payload, tail = flit_layout(config)(flit).payload, flit_layout(config)(flit).tail
        first_vc = self._network * config.network_vcs
        layout = header_layout(config)
        kept, header = Signal(layout), Signal(layout)
        m.d.sync += kept.eq(header)
        m.d.comb += [
            header.eq(Mux(self.inside, kept.as_value(), payload[: layout.size])),
            beat.vc.eq(chosen(m, turns[:vcs], [Const(first_vc + vc, config.vc_bits) for vc in range(vcs)], "vc")),
            beat.data.eq(payload & self.inside.replicate(len(payload))),
            beat.keep.eq(self.inside.replicate(len(beat.keep)) & (header.strobe | ~tail.replicate(len(beat.keep)))),
            beat.last.eq(tail | ~self.inside),
        ]
        if len(self.failures):
            failure = failure_layout()(chosen(m, turns[vcs:], [each.payload.as_value() for each in self.failures], "failure"))
            with m.If(turns[vcs:].any()):
                m.d.comb += [
                    header.src_x.eq(failure.dest_x),
                    header.src_y.eq(failure.dest_y),
                    header.kind.eq(PacketKind.ERROR),
                    header.network.eq(failure.network),
                    header.tag.eq(failure.tag),
                    header.address.eq(failure.address),
                    header.strobe.eq(failure.reason),
                ]
        m.d.comb += [beat.src_x.eq(header.src_x), beat.src_y.eq(header.src_y)]
        m.d.comb += [beat.user[name].eq(header[name]) for name in beat.user.shape().members]
