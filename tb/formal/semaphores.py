"""Semaphores: counters never go below zero or beyond their width, nothing is lost, and whatever can be served is."""

from functools import partial
from typing import Any

from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal, Value, signed
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

    The model goes through the ports of a cycle one after the other, in arithmetic too wide to wrap: what is left after a port is what the next one sees.
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
        m.d.comb += dut.i_clear.eq(self.clear)
        waits = [self._link(m, self.wait[engine], dut.wait[engine], "ready") for engine in range(ENGINE_COUNT)]
        posts = [
            self._link(m, outer, inner, "overflow")
            for outers, inners in zip(self.post, dut.post, strict=True)
            for outer, inner in zip(outers, inners, strict=True)
        ]
        # The balance of all posts made and all waits served since the start.
        left: Value = Signal(signed(WIDE), name="balance")
        balance = left
        m.d.comb += Assert(dut.counters[self._index] == balance)
        on = [port.valid & (port.semaphore == self._index) for port in (*waits, *posts)]
        for number, port in enumerate(waits):
            left = self._port(m, left, on[number], port, port.ready, -port.count, f"wait{number}")
        for number, port in enumerate(posts):
            left = self._port(m, left, on[ENGINE_COUNT + number], port, ~port.overflow, port.count[:5], f"post{number}")
        m.d.sync += balance.eq(Mux(self.clear, 0, left))
        m.d.comb += [
            Cover((balance == TOP) & on[1] & waits[1].ready & (waits[1].count == TOP) & (left == TOP)),
            Cover(on[0] & on[3] & waits[0].ready & ~waits[3].ready & (balance != 0)),
            Cover(on[4] & on[7] & on[11] & ~posts[0].overflow & posts[3].overflow & ~posts[7].overflow),
        ]
        return m

    @staticmethod
    def _link(m: Module, outer: Any, inner: Any, answer: str) -> Any:
        m.d.comb += [
            Assume(outer.count <= TOP + 1),
            inner.valid.eq(outer.valid), inner.semaphore.eq(outer.semaphore), inner.count.eq(outer.count),
            getattr(outer, answer).eq(getattr(inner, answer)),
        ]  # fmt: skip
        return inner

    @staticmethod
    def _port(m: Module, before: Value, on: Value, port: Any, accepted: Value, change: Value, name: str) -> Value:
        """A request is accepted exactly when the counter stays within its limits; what is left is within them."""
        after = Signal(signed(WIDE), name=f"after_{name}")
        fits = Signal(name=f"fits_{name}")
        m.d.comb += [
            fits.eq((before + change >= 0) & (before + change <= TOP)),
            after.eq(Mux(on & accepted, before + change, before)),
            Assert(~on | (accepted == fits)),
            Assert((after >= 0) & (after <= TOP)),
            Assert(~(port.valid & (port.semaphore >= CONFIG.semaphores)) | ~accepted),
        ]
        return after


class SemaphoresProgressSpec(wiring.Component):
    """A wait that holds is served at once when enough is there and no lower engine takes it, and then never again for free."""

    def __init__(self) -> None:
        super().__init__({"count": In(3), "post": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Semaphores(config=CONFIG)
        wait, post = dut.wait[2], dut.post[1][1]
        posted, served = Signal(16), Signal(16)
        m.d.comb += [
            wait.valid.eq(1), wait.semaphore.eq(3), wait.count.eq(2),
            post.valid.eq(self.post), post.semaphore.eq(3), post.count.eq(self.count),
            Assume(~posted[15]),
        ]  # fmt: skip
        with m.If(post.valid & ~post.overflow):
            m.d.sync += posted.eq(posted + self.count)
        with m.If(wait.ready):
            m.d.sync += served.eq(served + 2)
        m.d.comb += [
            Assert(served <= posted),
            Assert(posted - served == dut.counters[3]),
            Assert(wait.ready == (posted - served >= 2)),
            Assert(dut.counters[0] == 0),
            Cover((served == 4) & (posted == 5)),
        ]
        return m


PROOFS = (
    Proof(
        name="semaphores.counter",
        doc="one counter, any traffic: never below zero, never beyond its width, posts less takes, served exactly when possible",
        spec=partial(SemaphoresSpec, index=CONFIG.semaphores - 1),
        depth=1,
        cover_depth=6,
    ),
    Proof(
        name="semaphores.progress",
        doc="a standing wait takes what is posted, all of it and nothing else",
        spec=SemaphoresProgressSpec,
        depth=1,
        cover_depth=8,
    ),
)
