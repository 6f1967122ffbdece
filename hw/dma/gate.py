"""The burst gate: a burst to be written waits until all its lines are in the buffer."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from .axi import burst_limit
from .bursts import Burst


class BurstGate(wiring.Component):
    """Lets each burst pass when as many lines have arrived as it and those before it have beats.

    Latency: a burst is at `o` in the cycle after its transfer at `i` or, if that is later, in the cycle after the arrival of its last line.
    Throughput: one burst a cycle. `o` comes from flip-flops; `i.ready` is one gate behind `o.ready`. Reset forgets bursts and lines.

    Parameters
    ----------
    config : ChipConfig
    lines : int
        Most lines that may have arrived for bursts that have not passed.

    Members
    -------
    i, o : streams of Burst
    arrived : In(1)
        Pulse: a line has come.
    busy : Out(1)
        A burst waits.
    """

    def __init__(self, *, config: ChipConfig, lines: int) -> None:
        self._most = max(lines, burst_limit(config))
        shape = stream.Signature(Burst(config))
        super().__init__({"i": In(shape), "o": Out(shape), "arrived": In(1), "busy": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        burst, is_waiting, taken = Signal.like(self.i.payload, reset_less=True), Signal(), Signal()
        # Lines of no burst taken so far; those of the burst that waits are taken off already, so the sign says whether all are there.
        balance = Signal(signed(self._most.bit_length() + 1))
        m.d.comb += [
            self.o.payload.eq(burst),
            self.o.valid.eq(is_waiting & ~balance[-1]),
            self.i.ready.eq(~is_waiting | (self.o.ready & ~balance[-1])),
            self.busy.eq(is_waiting),
            taken.eq(self.i.valid & self.i.ready),
        ]
        # The complement of the length is -1 - length. The ones at the low end carry the line in, so that one chain does it all.
        beats = Mux(taken, Cat(~self.i.payload.length, 1).as_signed(), 0)
        m.d.sync += balance.eq((Cat(1, balance).as_signed() + Cat(self.arrived, beats).as_signed()) >> 1)
        with m.If(self.i.ready):
            m.d.sync += [burst.eq(self.i.payload), is_waiting.eq(self.i.valid)]
        return m
