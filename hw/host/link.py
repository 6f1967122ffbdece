"""The host link whole: from the pins of the UART to the spaces."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from ..common.streams import connect_streams
from .bridge import Bridge
from .bus import ADDRESS_BITS, HostBus
from .deframer import Deframer
from .framer import Framer
from .protocol import BUS_TIMEOUT, Space
from .ring import PacketRing
from .uart import UartReceiver, UartTransmitter


class HostLink(wiring.Component):
    """UART, frames, buffers and bridge: what is received while a frame is executed waits in one block RAM, what is to be sent in another, so both
    directions of the line can be full all the time.

    Reset forgets all frames; `tx` goes high.

    Parameters
    ----------
    divisor : int
        Clocks a bit, at least 8.
    timeout, address_bits : int
        Of the `Bridge`.

    Members
    -------
    rx : In(1), tx : Out(1)
    <space> : Out(HostBus), for each `Space` in lower case
    restart : In(1)
        Pulse: the board is reset (`Bridge`).
    bad, dropped, error : Out(1)
        Pulses: a bad frame, one without room, an octet without a stop bit. Flip-flops.
    received, sent : Out(1)
        Pulses: an octet came, an octet goes.
    """

    def __init__(self, *, divisor: int, timeout: int = BUS_TIMEOUT, address_bits: int = ADDRESS_BITS) -> None:
        self._receiver, self._transmitter = UartReceiver(divisor=divisor), UartTransmitter(divisor=divisor)
        self._bridge = Bridge(timeout=timeout, address_bits=address_bits)
        outputs = ("bad", "dropped", "error", "received", "sent")
        super().__init__(
            {"rx": In(1, init=1), "tx": Out(1, init=1), "restart": In(1)}
            | {space.name.lower(): Out(HostBus()) for space in Space}
            | {name: Out(1) for name in outputs}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.receiver = receiver = self._receiver
        m.submodules.deframer = deframer = Deframer()
        m.submodules.requests = requests = PacketRing()
        m.submodules.bridge = bridge = self._bridge
        m.submodules.responses = responses = PacketRing()
        m.submodules.framer = framer = Framer()
        m.submodules.transmitter = transmitter = self._transmitter
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx), bridge.restart.eq(self.restart)]
        connect(m, receiver.o, deframer.i)
        m.d.comb += deframer.error.eq(receiver.error)
        writers: tuple[tuple[Any, PacketRing], ...] = ((deframer, requests), (bridge, responses))
        for writer, ring in writers:
            for name in ("write", "commit", "offset", "data"):
                m.d.comb += getattr(ring, name).eq(getattr(writer, name))
            m.d.comb += writer.full.eq(ring.full)
        connect_streams(m, requests.o, bridge.i)
        connect_streams(m, responses.o, framer.i)
        connect_streams(m, framer.o, transmitter.i)
        for space in Space:
            connect(m, getattr(bridge, space.name.lower()), wiring.flipped(getattr(self, space.name.lower())))
        # A cycle later: what goes into a verdict is the end of a long path already.
        m.d.sync += [self.bad.eq(deframer.bad), self.dropped.eq(deframer.dropped), self.error.eq(receiver.error)]
        m.d.comb += [
            self.received.eq(receiver.o.valid),
            self.sent.eq(transmitter.i.valid & transmitter.i.ready),
        ]
        return m
