"""Classes of service: an order of VCs that gives each class its share and starves none."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.common.noc import QOS_WEIGHTS

from .arbiter import pairs


class WeightedOrder(wiring.Component):
    """Weighted turns. VC v is of class v mod 4; in a round each VC has `QOS_WEIGHTS[class]` grants.

    VCs with grants left go before those without; among them, and among those without, the higher class goes first. When a VC without grants
    is served, nobody who asked had any: a new round begins. So a class waits less than two rounds, and goes first while its share lasts.
    Latency: the order changes in the cycle after `served`. Reset: a new round.

    Parameters
    ----------
    inputs : int
        VCs, a multiple of four.

    Members
    -------
    served : In(inputs)
        At most one bit.
    senior : Out(inputs * (inputs - 1) / 2)
        For `MatrixArbiter.senior`.

    Raises
    ------
    ValueError
        if `inputs` is not a positive multiple of four.
    """

    def __init__(self, *, inputs: int) -> None:
        if not isinstance(inputs, int) or inputs < 1 or inputs % len(QOS_WEIGHTS):
            raise ValueError(f"inputs must be a positive multiple of {len(QOS_WEIGHTS)}, not {inputs!r}")
        self._inputs = inputs
        super().__init__({"served": In(inputs), "senior": Out(len(pairs(inputs)))})
        self._weights = [QOS_WEIGHTS[i % len(QOS_WEIGHTS)] for i in range(inputs)]
        #: Grants left in this round. Public for proofs.
        self.left = [Signal(range(weight + 1), init=weight, name=f"left{i}") for i, weight in enumerate(self._weights)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rich = Cat(left != 0 for left in self.left)
        new_round = (self.served & ~rich).any()
        for i, (left, weight) in enumerate(zip(self.left, self._weights, strict=True)):
            with m.If(new_round):
                m.d.sync += left.eq(weight - self.served[i])
            with m.Elif(self.served[i]):
                m.d.sync += left.eq(left - 1)
        for bit, (i, j) in enumerate(pairs(self._inputs)):
            higher = i % len(QOS_WEIGHTS) > j % len(QOS_WEIGHTS)
            # Equal classes (of different virtual networks) go by number; their grants run out alike.
            first = higher or (i % len(QOS_WEIGHTS) == j % len(QOS_WEIGHTS))
            m.d.comb += self.senior[bit].eq((rich[i] | ~rich[j]) if first else (rich[i] & ~rich[j]))
        return m
