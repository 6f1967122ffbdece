"""Who has a VC of an output: one packet at a time, from its head until its tail has left."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .arbiter import LeastRecentlyServed, MatrixArbiter, pairs


class VcArbiter(wiring.Component):
    """Chooses a queue for one VC of one output.

    While no packet is under way the most senior request wins; from its head flit on (`go` without `tail`) the VC is locked: only that
    queue's requests count, until its tail goes. Latency: 0 cycles from `requests` to `win`; a lock is taken and released at the end of the
    cycle of `go`, so packets follow one another without a gap. Reset: not locked.

    Parameters
    ----------
    inputs : int
        Queues that can ask for this VC.
    aged : bool
        The order comes from outside (`senior`); else least recently served.

    Members
    -------
    requests, tails : In(inputs)
        A queue asks; the flit it offers is a tail.
    win : Out(inputs)
        One-hot while a request that counts is there.
    some : Out(1)
        `win` is not 0; known earlier than `win`.
    go : In(1)
        The winner's flit leaves. Only while `win` is not 0.
    locked : Out(1)
        A packet is under way.
    owner : Out(inputs)
        Its queue; 0 if there is none.
    senior : In
        See `MatrixArbiter`; where `aged`.
    """

    def __init__(self, *, inputs: int, aged: bool) -> None:
        if not isinstance(inputs, int) or inputs < 1:
            raise ValueError(f"inputs must be a positive integer, not {inputs!r}")
        self._inputs, self._aged = inputs, aged
        members = {
            "requests": In(inputs),
            "tails": In(inputs),
            "win": Out(inputs),
            "some": Out(1),
            "go": In(1),
            "locked": Out(1),
            "owner": Out(inputs),
        }
        if aged:
            members["senior"] = In(len(pairs(inputs)))
        super().__init__(members)
        #: Who may ask: everyone, or the queue whose packet is under way. Public for proofs.
        self.may = Signal(inputs, init=-1 & ((1 << inputs) - 1))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.arbiter = arbiter = MatrixArbiter(inputs=self._inputs)
        # It stands before the arbiter, beside the requests, where there is time.
        eligible = self.requests & self.may
        m.d.comb += [
            arbiter.requests.eq(eligible),
            self.some.eq(eligible.any()),
            self.win.eq(arbiter.grant),
            self.owner.eq(self.may & self.locked.replicate(self._inputs)),
        ]
        if self._aged:
            m.d.comb += arbiter.senior.eq(self.senior)
        else:
            # Flits behind a head change nothing: the owner of the lock goes last already.
            m.submodules.order = order = LeastRecentlyServed(inputs=self._inputs)
            m.d.comb += [order.served.eq(self.win & self.go.replicate(self._inputs)), arbiter.senior.eq(order.senior)]
        with m.If(self.go):
            ends = (self.win & self.tails).any()
            m.d.sync += [self.locked.eq(~ends), self.may.eq(self.win | ends.replicate(self._inputs))]
        return m
