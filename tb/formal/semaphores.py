"""Semaphores: counters never go below zero or beyond their width, nothing is lost, and whatever can be served is."""

from functools import partial
from typing import Any

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.common.config import ChipConfig
from hw.control.semaphores import POSTS, SemaphorePost, Semaphores, SemaphoreWait

from .runner import Proof

CONFIG = ChipConfig(rows=4, cols=4, output_lanes=1, semaphores=4, semaphore_width=4)
ENGINE_COUNT = 4
TOP = (1 << CONFIG.semaphore_width) - 1
#: Bits in which a counter and a count of at most TOP + 1 never wrap.
WIDE = 7


class SemaphoresSpec(wiring.Component):
    """Follows the counter `index` through all traffic of all ports, with counts up to one more than a counter holds.

    What an answer says was done with the counter as the answers before it left it, in arithmetic too wide to wrap. Requests hold until they are answered.
    """

    def __init__(self, *, index: int) -> None:
        self._index = index
        super().__init__(
            {
                "clear": In(1),
                "wait": In(SemaphoreWait()).array(ENGINE_COUNT),
                "post": In(SemaphorePost()).array(ENGINE_COUNT, POSTS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Semaphores(config=CONFIG)
        m.d.comb += [dut.i_clear.eq(self.clear), dut.peek.eq(self._index)]
        waits = [self._link(m, self.wait[engine], dut.wait[engine]) for engine in range(ENGINE_COUNT)]
        posts = [
            self._link(m, outer, inner)
            for outers, inners in zip(self.post, dut.post, strict=True)
            for outer, inner in zip(outers, inners, strict=True)
        ]
        ports = (*waits, *posts)
        # The balance of all posts made and all waits served since the start: it reaches the counter in the cycle of the answer.
        balance, left = Signal(signed(WIDE)), Signal(signed(WIDE))
        change, is_post, refused, on = Signal(signed(WIDE)), Signal(), Signal(), Signal()
        for number, port in enumerate(ports):
            with m.If(port.ready):
                amount = port.count[:5]
                m.d.comb += [
                    on.eq(port.semaphore == self._index),
                    is_post.eq(number >= ENGINE_COUNT),
                    change.eq(amount if number >= ENGINE_COUNT else -amount),
                    Assert(port.valid),
                ]
                if number >= ENGINE_COUNT:
                    m.d.comb += refused.eq(port.overflow)
                else:
                    m.d.comb += Assert(port.semaphore < CONFIG.semaphores)
        answers = Cat(port.ready for port in ports)
        fits = Signal()
        m.d.comb += [
            fits.eq((balance + change >= 0) & (balance + change <= TOP)),
            left.eq(Mux(on & ~refused, balance + change, balance)),
            Assert((answers & (answers - 1)[: len(answers)]) == 0),
            Assert(~on | (fits == ~refused)),
            Assert(dut.peeked == left),
            Assert((left >= 0) & (left <= TOP)),
        ]
        m.d.sync += balance.eq(Mux(self.clear, 0, left))
        self._inside(m, dut, ports)
        m.d.comb += [
            Cover(on & ~is_post & (balance == TOP) & (left == 0)),
            Cover(on & is_post & refused & (balance == TOP)),
            Cover(on & is_post & (left == TOP) & dut.executing.any()),
        ]
        return m

    @staticmethod
    def _inside(m: Module, dut: Semaphores, ports: Any) -> None:
        """What induction needs: the request looked at is one that stands, and neither the next nor the one answered."""
        executing = dut.executing
        m.d.comb += [
            Assert((executing & (executing - 1)[: len(executing)]) == 0),
            Assert((dut.turn & (dut.turn - 1)[: len(executing)]) == 0),
            Assert(((executing & dut.answered) | (dut.turn & (executing | dut.answered))) == 0),
            Assert((dut.standing & (executing | dut.answered)) == 0),
            Assert(~dut.clearing | ((executing | dut.turn | dut.standing) == 0)),
            Assert(dut.place < CONFIG.semaphores),
            Assert(~executing.any() | (dut.is_post == executing[ENGINE_COUNT:].any())),
        ]
        for number, port in enumerate(ports):
            change = port.count if number >= ENGINE_COUNT else ~port.count
            stands = (dut.semaphore == port.semaphore) & (dut.change == change[: len(port.count)])
            m.d.comb += Assert(~executing[number] | (port.valid & stands))

    @staticmethod
    def _link(m: Module, outer: Any, inner: Any) -> Any:
        held = Signal(1 + len(outer.semaphore) + len(outer.count), name=f"held_{outer.valid.name}")
        request = Cat(outer.valid, outer.semaphore, outer.count)
        m.d.sync += held.eq(Mux(inner.ready, 0, request))
        m.d.comb += [
            Assume(outer.count <= TOP + 1),
            Assume(~held[0] | (request == held)),
            inner.valid.eq(outer.valid), inner.semaphore.eq(outer.semaphore), inner.count.eq(outer.count), outer.ready.eq(inner.ready),
        ]  # fmt: skip
        return inner


class SemaphoresProgressSpec(wiring.Component):
    """A wait that holds is served within eight cycles once enough is there, beside an engine that posts, and never for free."""

    def __init__(self) -> None:
        super().__init__({"count": In(3), "post": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Semaphores(config=CONFIG)
        wait, post = dut.wait[2], dut.post[1][1]
        posted, served, age = Signal(16), Signal(16), Signal(4)
        active, amount = Signal(), Signal(3)
        m.d.comb += [
            dut.peek.eq(3),
            wait.valid.eq(1), wait.semaphore.eq(3), wait.count.eq(2),
            post.valid.eq(active), post.semaphore.eq(3), post.count.eq(amount),
            Assume(~posted[5]),
        ]  # fmt: skip
        with m.If(~active | post.ready):
            m.d.sync += [active.eq(self.post & (self.count != 0)), amount.eq(self.count)]
        with m.If(post.ready & ~post.overflow):
            m.d.sync += posted.eq(posted + amount)
        with m.If(wait.ready):
            m.d.sync += served.eq(served + 2)
        with m.If(wait.ready | (dut.peeked < 2)):
            m.d.sync += age.eq(0)
        with m.Else():
            m.d.sync += age.eq(age + 1)
        m.d.comb += [
            Assert(served <= posted),
            Assert(age <= 8),
            Cover((served == 4) & (posted == 5)),
        ]
        return m


PROOFS = (
    Proof(
        name="semaphores.counter",
        doc="one counter, any traffic: never below zero, never beyond its width, posts less takes, refused exactly when it does not fit",
        spec=partial(SemaphoresSpec, index=CONFIG.semaphores - 1),
        depth=2,
        cover_depth=11,
    ),
    Proof(
        name="semaphores.progress",
        doc="a standing wait takes what is posted within eight cycles, and nothing else",
        spec=SemaphoresProgressSpec,
        mode="bmc",
        depth=18,
        cover_depth=24,
    ),
)
