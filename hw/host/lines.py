"""From the bridge to SBUF: words to lines, and who goes first."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..memory.ports import SbufAccess
from .bus import HostBus


class WordAccess(wiring.Component):
    """Reads words of lines, and writes lines when their last word has come.

    A word that is not the last of its line is kept, and written with the last one; so whole lines are written in ascending order of their words. A read gets
    its line whole, in between too. Addresses beyond SBUF are errors.

    Latency: a request is taken at once and answered in the next cycle if its word is kept or its address does not exist; otherwise SBUF is asked from the
    next cycle on, and answers. Reset forgets the access, not the words kept; SBUF's side must be reset with it.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    bus : In(HostBus)
        `ready` is an inverted flip-flop.
    sbuf : Out(SbufAccess)
        `valid` is a flip-flop; address and data are those of the request.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        super().__init__({"bus": In(HostBus()), "sbuf": Out(SbufAccess(config))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        request, response, sbuf = self.bus.request, self.bus.response, self.sbuf
        address = request.payload.address
        words, low = config.line_bytes // 4, (config.line_bytes - 1).bit_length()
        end = low + config.sbuf_address_width
        which = address[2:low]
        kept = [Signal(32, name=f"kept_{index}", reset_less=True) for index in range(words - 1)]
        missing, keeps, busy, at_once, done = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            request.ready.eq(~busy),
            # The request stays (`HostBus`).
            sbuf.request.payload.address.eq(address[low:end]),
            sbuf.request.payload.write.eq(request.payload.write),
            sbuf.request.payload.data.eq(Cat(*kept, request.payload.data)),
            done.eq(at_once | (busy & sbuf.response.valid)),
            response.valid.eq(done),
            response.error.eq(missing),
            response.data.eq(sbuf.response.data.word_select(which, 32)),
        ]
        beyond, is_kept = address[end:] != 0, request.payload.write & (which != words - 1)
        with m.If(~busy):
            m.d.sync += [
                busy.eq(request.valid),
                missing.eq(beyond),
                keeps.eq(is_kept & ~beyond),
                at_once.eq(request.valid & (is_kept | beyond)),
                sbuf.request.valid.eq(request.valid & ~is_kept & ~beyond),
            ]
        with m.Else():
            m.d.sync += at_once.eq(0)
            with m.If(done):
                m.d.sync += busy.eq(0)
            with m.If(sbuf.request.ready):
                m.d.sync += sbuf.request.valid.eq(0)
        for index, register in enumerate(kept):
            with m.If(at_once & keeps & (which == index)):
                m.d.sync += register.eq(request.payload.data)
        return m


class AccessMux(wiring.Component):
    """Two who ask for lines, one after the other: the host first, whose requests are as far apart as octets of a line are.

    Latency: none is added. Throughput: that of SBUF. Reset forgets who waits for a response; all three sides must be reset together.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    host, test : In(SbufAccess)
    sbuf : Out(SbufAccess)
    """

    def __init__(self, *, config: ChipConfig) -> None:
        access = SbufAccess(config)
        super().__init__({"host": In(access), "test": In(access), "sbuf": Out(access)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        host, test, sbuf = self.host, self.test, self.sbuf
        # Once a request is offered it stays the one: its valid must hold. A response belongs to the last one taken.
        chosen, held, waits = Signal(), Signal(), Signal()
        kept = Signal()
        m.d.comb += chosen.eq(Mux(held, kept, ~host.request.valid))
        m.d.sync += [kept.eq(chosen), held.eq(sbuf.request.valid & ~sbuf.request.ready)]
        with m.If(waits):
            m.d.sync += [kept.eq(kept), held.eq(0)]
        for index, port in enumerate((host, test)):
            with m.If((chosen == index) & ~waits):
                m.d.comb += [
                    sbuf.request.valid.eq(port.request.valid),
                    sbuf.request.payload.eq(port.request.payload),
                    port.request.ready.eq(sbuf.request.ready),
                ]
            m.d.comb += [
                port.response.valid.eq(sbuf.response.valid & waits & (kept == index)),
                port.response.data.eq(sbuf.response.data),
            ]
        with m.If(sbuf.request.valid & sbuf.request.ready):
            m.d.sync += waits.eq(1)
        with m.Elif(sbuf.response.valid):
            m.d.sync += waits.eq(0)
        return m
