"""Which queue's packet is the oldest."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import NocConfig

from .connections import Queue


class AgeOrder(wiring.Component):
    """Compares the creation stamps of the heads of queues, for the arbiters of the next cycle.

    Stamps are compared modulo 2**`age_bits`, as distances from `recent`, the stamp that arrived last: so the order is total whatever the
    stamps are, and right while those in a router lie within half the range of one another. At equal stamps the queue with the lower number
    goes first. Latency: 1 cycle; in the first cycle of a head the order is still that of the flit before it.

    Parameters
    ----------
    config : NocConfig
    comparisons : list of pairs of Queue
        The orders wanted.

    Members
    -------
    stamps : In(age_bits), for each queue, by port, then VC
    recent : In(age_bits)
    recent_valid : In(1)
        `recent` is the stamp of a flit that arrives in this cycle.
    older : Out(len(comparisons))
        The first queue of the pair goes before the second.
    """

    def __init__(self, *, config: NocConfig, comparisons: list[tuple[Queue, Queue]]) -> None:
        self._config, self._comparisons = config, comparisons
        super().__init__(
            {
                "stamps": In(config.age_bits).array(5 * config.vcs),
                "recent": In(config.age_bits),
                "recent_valid": In(1),
                "older": Out(len(comparisons)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bits, vcs = self._config.age_bits, self._config.vcs
        reference = Signal(bits)
        with m.If(self.recent_valid):
            m.d.sync += reference.eq(self.recent)
        keys: dict[Queue, Signal] = {}
        for queue in sorted({queue for pair in self._comparisons for queue in pair}):
            keys[queue] = key = Signal(bits, name=f"key_{queue[0].name.lower()}{queue[1]}")
            m.d.comb += key.eq(self.stamps[queue[0] * vcs + queue[1]] - reference + (1 << (bits - 1)))
        for bit, (left, right) in enumerate(self._comparisons):
            m.d.sync += self.older[bit].eq(keys[left] <= keys[right] if left < right else keys[left] < keys[right])
        return m
