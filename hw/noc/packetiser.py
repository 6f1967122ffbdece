"""From AXI4-Stream-shaped beats to flits: the head, the tail, and what must not enter the mesh."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import PACKET_FLITS, NocConfig

from .flit import ADDRESS_BITS, NODE_BITS, TAG_BITS, ErrorReason, header_layout
from .injector import injection_layout


def sent_user_layout(config: NocConfig) -> data.StructLayout:
    """What a sender says of a packet beside its destination (TUSER, from bit 0); that of the first beat counts.

    `strobe` goes into the header as it is: the bytes of the last beat (its `keep`) if the packet has data; the data flits asked for, less one, in a
    read request. The head leaves before the last beat is there, so the sender, who knows the length, says it first and the packetiser checks it:
    nothing needs to be stored, whatever the length. `service`, `ordered`, `stamped` and `stamp` are those of `injection_layout`.
    """
    fields: dict[str, Any] = {
        "kind": 3,
        "tag": TAG_BITS,
        "address": ADDRESS_BITS,
        "strobe": config.payload_bits // 8,
        "service": 2,
        "ordered": 1,
    }
    if config.stamp_bits:
        fields |= {"stamped": 1, "stamp": config.stamp_bits}
    return data.StructLayout(fields)


def sent_beat_layout(config: NocConfig) -> data.StructLayout:
    """A beat of a packet on its way in. Coordinates have the width of the header's, so that nodes that do not exist can be named."""
    return data.StructLayout(
        {
            "data": config.payload_bits,
            "keep": config.payload_bits // 8,
            "last": 1,
            "dest_x": NODE_BITS,
            "dest_y": NODE_BITS,
            "user": sent_user_layout(config),
        }
    )


def failure_layout() -> data.StructLayout:
    """Why a packet failed (`ErrorReason`), and which: its network, tag, address and destination."""
    return data.StructLayout(
        {"reason": 3, "network": 2, "tag": TAG_BITS, "address": ADDRESS_BITS, "dest_x": NODE_BITS, "dest_y": NODE_BITS},
    )


class Packetiser(wiring.Component):
    """Makes packets of one virtual network from beats: a head flit with the header, then a flit for each beat.

    Beats whose `keep` is 0 carry nothing and become no flit, wherever they are; a packet of such beats alone is its head. `keep` must be all
    ones on beats before the last that carries something, and `user.strobe` on that one.

    Latency: 1 cycle from the first beat to the head, if that beat carries something or is the last. A flit leaves once it is known whether
    one follows, so that the tail can be marked: a beat waits for the beat behind it. Throughput: a flit a cycle without a gap between
    packets, which is a beat a cycle and one cycle more for each head. `i.ready` depends on `o.ready`, `i.valid` and `i.payload.keep`;
    `o.valid` on `i.valid` and `i.payload.keep`.

    Errors, each reported once on `failure` after the last beat of the packet, before the next packet begins:

    * NO_SUCH_NODE: the destination is outside the mesh. The packet is taken and dropped.
    * TOO_LONG: more than 255 beats with data. Flit 256 is the tail, the rest is taken and dropped.
    * WRONG_KEEP: `keep` is not as above. The packet goes out whole, with the strobe the sender gave.

    Reset: no packet under way; what remains of a packet cut by it is taken for a new one, so sender and packetiser are reset together.

    Parameters
    ----------
    config : NocConfig
    network : int
        Virtual network the packets are of.

    Members
    -------
    i : stream of sent_beat_layout
    x, y : In(x_bits), In(y_bits)
        Where the node is; constant.
    o : stream of injection_layout
    failure : stream of failure_layout

    Raises
    ------
    TypeError
        if `config` is not a NocConfig.
    ValueError
        if the configuration has no such network.
    """

    def __init__(self, *, config: NocConfig, network: int) -> None:
        if not isinstance(config, NocConfig):
            raise TypeError(f"config must be a NocConfig, not {config!r}")
        if not isinstance(network, int) or isinstance(network, bool) or not 0 <= network < config.virtual_networks:
            raise ValueError(f"network must be 0 to {config.virtual_networks - 1}, not {network!r}: raise virtual_networks to have more")
        self._config, self._network = config, network
        super().__init__(
            {
                "i": In(stream.Signature(sent_beat_layout(config))),
                "x": In(config.x_bits),
                "y": In(config.y_bits),
                "o": Out(stream.Signature(injection_layout(config))),
                "failure": Out(stream.Signature(failure_layout())),
            }
        )
        #: What the first beat said of the packet under way.
        self._dest_x, self._dest_y = Signal(NODE_BITS), Signal(NODE_BITS)
        self._user = Signal(sent_user_layout(config))
        #: The head has still to leave; the last beat has been taken; data flits gone.
        self._head, self._ended, self._sent = Signal(), Signal(), Signal(range(PACKET_FLITS))
        #: The beat that is the next data flit, and whether there is one.
        self._full, self._data, self._keep = Signal(), Signal(config.payload_bits), Signal(config.payload_bits // 8)
        #: A flit that has left had the wrong `keep`; why the packet failed.
        self._wrong, self._reason = Signal(), Signal(3)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._flits(m)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.i.ready.eq(1)
                self._first_beat(m)
            with m.State("SEND"):
                self._send(m)
            with m.State("DROP"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.payload.last):
                    m.next = "REPORT"
            with m.State("REPORT"):
                m.d.comb += self.failure.valid.eq(1)
                with m.If(self.failure.ready):
                    m.next = "IDLE"
        # A flit is known for what it is once there is another behind it or there will be none.
        follows = self.i.valid & self.i.payload.keep.any()
        m.d.comb += self.o.valid.eq(fsm.ongoing("SEND") & Mux(self._head, self._full | self._ended, self._full & (self._ended | follows)))
        m.d.comb += self.failure.payload.eq(
            Cat(
                self._reason,
                Const(self._network, 2),
                self._user.tag,
                self._user.address,
                self._dest_x,
                self._dest_y,
            )
        )
        return m

    def _flits(self, m: Module) -> None:
        """What `o` carries: the header, or the beat held."""
        config, user, flit = self._config, self._user, self.o.payload
        header = Signal(header_layout(config))
        m.d.comb += [
            header.src_x.eq(self.x),
            header.src_y.eq(self.y),
            header.kind.eq(user.kind),
            header.network.eq(self._network),
            header.tag.eq(user.tag),
            header.address.eq(user.address),
            header.strobe.eq(user.strobe),
            flit.payload.eq(Mux(self._head, header.as_value(), self._data)),
            flit.tail.eq(Mux(self._head, ~self._full, self._ended | self._is_longest())),
            flit.dst_x.eq(self._dest_x),
            flit.dst_y.eq(self._dest_y),
            flit.service.eq(user.service),
            flit.ordered.eq(user.ordered),
        ]
        if config.stamp_bits:
            m.d.comb += [flit.stamped.eq(user.stamped), flit.stamp.eq(user.stamp)]

    def _is_longest(self) -> Value:
        """The data flit held is the last a packet has room for."""
        return self._sent == PACKET_FLITS - 2

    def _first_beat(self, m: Module) -> None:
        """Takes the beat that is there, if one is, as the first of a packet."""
        config, beat = self._config, self.i.payload
        with m.If(self.i.valid):
            m.d.sync += [
                self._dest_x.eq(beat.dest_x),
                self._dest_y.eq(beat.dest_y),
                self._user.eq(beat.user),
                self._head.eq(1),
                self._ended.eq(beat.last),
                self._sent.eq(0),
                self._full.eq(beat.keep.any()),
                self._data.eq(beat.data),
                self._keep.eq(beat.keep),
                self._wrong.eq(0),
            ]
            m.next = "SEND"
            with m.If((beat.dest_x >= config.mesh_x) | (beat.dest_y >= config.mesh_y)):
                m.d.sync += self._reason.eq(ErrorReason.NO_SUCH_NODE)
                with m.If(beat.last):
                    m.next = "REPORT"
                with m.Else():
                    m.next = "DROP"

    def _send(self, m: Module) -> None:
        """A packet on its way: beats into the register, flits out of it."""
        beat, filled = self.i.payload, self.i.payload.keep.any()
        leaves, wrong = Signal(), Signal()
        m.d.comb += [
            leaves.eq(self.o.valid & self.o.ready),
            wrong.eq(self._wrong | (~self._head & Mux(self._ended, self._keep != self._user.strobe, ~self._keep.all()))),
            self.i.ready.eq(~self._ended & (~filled | ~self._full | (leaves & ~self._head))),
        ]
        with m.If(leaves):
            m.d.sync += [self._head.eq(0), self._wrong.eq(wrong)]
            with m.If(~self._head):
                m.d.sync += [self._sent.eq(self._sent + 1), self._full.eq(0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += self._ended.eq(beat.last)
            with m.If(filled):
                m.d.sync += [self._full.eq(1), self._data.eq(beat.data), self._keep.eq(beat.keep)]
        with m.If(leaves & self.o.payload.tail):
            with m.If(~self._ended):
                # The beat behind the longest packet is taken in this cycle, and with it what is left is dropped.
                m.d.sync += self._reason.eq(ErrorReason.TOO_LONG)
                with m.If(beat.last):
                    m.next = "REPORT"
                with m.Else():
                    m.next = "DROP"
            with m.Elif(wrong):
                m.d.sync += self._reason.eq(ErrorReason.WRONG_KEEP)
                m.next = "REPORT"
            with m.Else():
                m.next = "IDLE"
                m.d.comb += self.i.ready.eq(1)
                self._first_beat(m)
