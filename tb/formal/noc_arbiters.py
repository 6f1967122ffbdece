"""Who goes first: arbiters and orders of the mesh are total, one-hot, work-conserving, and let nobody wait for ever."""

from __future__ import annotations

from functools import partial
from itertools import permutations
from typing import Any

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.common.noc import QOS_WEIGHTS, NocConfig
from hw.noc.age import AgeOrder
from hw.noc.arbiter import LeastRecentlyServed, MatrixArbiter, pairs, seniority
from hw.noc.flit import Port
from hw.noc.vc_arbiter import VcArbiter
from hw.noc.weighted import WeightedOrder

from .runner import Proof

#: Grants a cover waits for: where the bound is higher, only the proof is about all of them.
COVERED = 7


def one_hot(bits: Value) -> Value:
    """Not more than one bit is set."""
    return (bits & (bits - 1))[: len(bits)] == 0


def total(senior: Value, inputs: int) -> Value:
    """No three go in a circle; of two, one is first by construction."""
    before = seniority(senior, inputs)
    return ~Cat(before[i, j] & before[j, k] & before[k, i] for i, j, k in permutations(range(inputs), 3)).any()


class FairSpec(wiring.Component):
    """A `MatrixArbiter` with an order that changes as grants are taken (`take`), under any requests.

    `bounds`: the grants to others, one for each requester, that one who keeps asking may see taken before its own.
    """

    def __init__(self, *, order: Any, bounds: tuple[int, ...]) -> None:
        self._order, self._bounds = order, bounds
        super().__init__({"requests": In(len(bounds)), "take": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        inputs = len(self._bounds)
        m.submodules.dut = dut = MatrixArbiter(inputs=inputs)
        m.submodules.order = order = self._order
        m.d.comb += [dut.requests.eq(self.requests), dut.senior.eq(order.senior), order.served.eq(Mux(self.take, dut.grant, 0))]
        m.d.comb += [
            Assert(one_hot(dut.grant)),
            Assert(~(dut.grant & ~self.requests).any()),
            Assert(dut.grant.any() == self.requests.any()),
            Assert(total(order.senior, inputs)),
        ]
        for i, bound in enumerate(self._bounds):
            overtaken = Signal(range(bound + 2), name=f"overtaken{i}")
            with m.If(~self.requests[i] | order.served[i]):
                m.d.sync += overtaken.eq(0)
            with m.Elif(order.served.any()):
                m.d.sync += overtaken.eq(overtaken + 1)
            m.d.comb += [Assert(overtaken <= bound), Cover((overtaken == min(bound, COVERED)) & order.served[i])]
        return m


class OrderSpec(wiring.Component):
    """`WeightedOrder` of more than one virtual network, served in any way: a total order in every state."""

    def __init__(self, *, inputs: int) -> None:
        self._inputs = inputs
        super().__init__({"served": In(inputs)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = WeightedOrder(inputs=self._inputs)
        m.d.comb += [dut.served.eq(self.served), Assume(one_hot(self.served)), Assert(total(dut.senior, self._inputs))]
        for i, left in enumerate(dut.left):
            m.d.comb += Assert(left <= QOS_WEIGHTS[i % len(QOS_WEIGHTS)])
        m.d.comb += [Cover((dut.left[0] == 0) & (dut.left[4] != 0)), Cover((dut.left[1] == 0) & (dut.left[5] == 0))]
        return m


class AgeSpec(wiring.Component):
    """`AgeOrder` of queues whose stamps are anything: total; and right, if all lie within half the range of the newest.

    `distances` are times of creation, seen from that of the flit that arrived last; they do not wrap.
    """

    QUEUES = tuple((port, 0) for port in Port)

    def __init__(self, *, config: NocConfig) -> None:
        self._config = config
        members: dict[str, Any] = {"recent": In(config.age_bits), "recent_valid": In(1)}
        for kind, shape in (("stamp", config.age_bits), ("distance", signed(config.age_bits))):
            members |= {f"{kind}{index}": In(shape) for index in range(len(self.QUEUES))}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = len(self.QUEUES)
        couples = pairs(count)
        for name in ("any", "near"):
            dut = AgeOrder(config=self._config, comparisons=[(self.QUEUES[i], self.QUEUES[j]) for i, j in couples])
            m.submodules[name] = dut
            m.d.comb += [dut.recent.eq(self.recent), dut.recent_valid.eq(self.recent_valid), Assert(total(dut.older, count))]
            if name == "any":
                m.d.comb += [dut.stamps[index].eq(getattr(self, f"stamp{index}")) for index in range(count)]
                m.d.comb += [Cover(dut.older.all()), Cover(~dut.older.any() & self.recent_valid)]
                continue
            newest = Signal(self._config.age_bits)
            with m.If(self.recent_valid):
                m.d.sync += newest.eq(self.recent)
            started = Signal()
            m.d.sync += started.eq(1)
            for index in range(count):
                m.d.comb += dut.stamps[index].eq(newest + getattr(self, f"distance{index}"))
            for bit, (i, j) in enumerate(couples):
                expected = Signal(name=f"expected{bit}")
                m.d.sync += expected.eq(getattr(self, f"distance{i}") <= getattr(self, f"distance{j}"))
                m.d.comb += Assert(~started | (dut.older[bit] == expected))
            m.d.comb += Cover(started & ~dut.older[0] & dut.older[1] & ~dut.older[-1])
        return m


class LockSpec(wiring.Component):
    """`VcArbiter` under any requests, tails and `go`s while there is a winner: packets never mix.

    The model has the last flit that went: after one that was no tail, the next comes from the same queue.
    """

    def __init__(self, *, inputs: int, aged: bool) -> None:
        self._inputs, self._aged = inputs, aged
        super().__init__({"requests": In(inputs), "tails": In(inputs), "ready": In(1), "senior": In(len(pairs(inputs)))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = VcArbiter(inputs=self._inputs, aged=self._aged)
        m.d.comb += [dut.requests.eq(self.requests), dut.tails.eq(self.tails), dut.go.eq(self.ready & dut.win.any())]
        if self._aged:
            m.d.comb += [dut.senior.eq(self.senior), Assume(total(self.senior, self._inputs))]
        under_way, source = Signal(), Signal(self._inputs)
        with m.If(dut.go):
            m.d.sync += [under_way.eq(~(dut.win & self.tails).any()), source.eq(dut.win)]
        m.d.comb += [
            Assert(one_hot(dut.win)),
            Assert(~(dut.win & ~self.requests).any()),
            Assert(~dut.go | ~under_way | (dut.win == source)),
            Assert(dut.locked == under_way),
            Assert(~under_way | (dut.owner == source)),
            Assert(~under_way | (one_hot(source) & source.any())),
            # Nobody who may go is kept waiting.
            Assert(dut.win.any() == Mux(under_way, (self.requests & source).any(), self.requests.any())),
        ]
        if self._aged:
            before = seniority(self.senior, self._inputs)
            for i in range(self._inputs):
                ahead = Cat(self.requests[j] & before[j, i] for j in range(self._inputs) if j != i)
                m.d.comb += Assert(under_way | (dut.win[i] == (self.requests[i] & ~ahead.any())))
        else:
            self._packets(m, dut)
        m.d.comb += [Cover(under_way & self.requests.all() & dut.go & (source == 2)), Cover(~under_way & dut.go & (source == 2))]
        return m

    def _packets(self, m: Module, dut: VcArbiter) -> None:
        """One that keeps asking sees at most `inputs - 1` packets of others begin."""
        for i in range(self._inputs):
            overtaken = Signal(range(self._inputs + 1), name=f"overtaken{i}")
            begins = dut.go & ~dut.locked
            with m.If(~self.requests[i] | (begins & dut.win[i])):
                m.d.sync += overtaken.eq(0)
            with m.Elif(begins):
                m.d.sync += overtaken.eq(overtaken + 1)
            m.d.comb += [Assert(overtaken < self._inputs), Cover(overtaken == self._inputs - 1)]


def _weighted_bounds() -> tuple[int, ...]:
    """What is left of this round, then those that go before it in the next."""
    everything = sum(QOS_WEIGHTS)
    return tuple(everything - weight + sum(QOS_WEIGHTS[i + 1 :]) for i, weight in enumerate(QOS_WEIGHTS))


PROOFS = (
    *(
        Proof(
            name=f"noc_arbiters.fair{inputs}",
            doc=f"{inputs} requesters, least recently served: total order, one grant whenever one asks, at most {inputs - 1} others first",
            spec=partial(lambda n: FairSpec(order=LeastRecentlyServed(inputs=n), bounds=(n - 1,) * n), inputs),
            engine="abc pdr",
        )
        for inputs in (2, 3, 4, 5)
    ),
    Proof(
        name="noc_arbiters.weighted4",
        doc="classes of service: total order, one grant whenever one asks, every class served in less than two rounds",
        spec=lambda: FairSpec(order=WeightedOrder(inputs=4), bounds=_weighted_bounds()),
        engine="abc pdr",
        cover_depth=17,
    ),
    Proof(
        name="noc_arbiters.weighted8",
        doc="classes of service of two virtual networks: a total order in every state",
        spec=lambda: OrderSpec(inputs=8),
        depth=2,
    ),
    Proof(
        name="noc_arbiters.age",
        doc="order of ages: total whatever the stamps, right while they lie within half the range of the newest",
        spec=lambda: AgeSpec(config=NocConfig(vcs=1)),
        engine="abc pdr",
        cover_depth=4,
    ),
    *(
        Proof(
            name=f"noc_arbiters.lock{'_aged' if aged else ''}",
            doc="VC of an output: one winner, packets never mix, a tail releases it, never idle"
            + ("; the most senior wins" if aged else ", at most 3 packets of others first"),
            spec=partial(LockSpec, inputs=4, aged=aged),
            engine="abc pdr",
        )
        for aged in (False, True)
    ),
)
