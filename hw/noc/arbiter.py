"""An arbiter over an order of seniority: one-hot, work-conserving, two levels of logic."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def pairs(inputs: int) -> list[tuple[int, int]]:
    """(i, j) with i < j, in the order of the bits of `MatrixArbiter.senior`: the bit says that i goes before j."""
    return list(combinations(range(inputs), 2))


class MatrixArbiter(wiring.Component):
    """Grants the request that no more senior request stands against.

    `senior` must be a total order (no cycle), then `grant` is one-hot whenever a request is there. Combinational.

    Parameters
    ----------
    inputs : int
        Requesters, at least 1.

    Members
    -------
    requests : In(inputs)
    senior : In(inputs * (inputs - 1) / 2)
        A bit for each of `pairs(inputs)`.
    clear : Out(inputs)
        No more senior request stands against this requester, whether it asks or not.
    grant : Out(inputs)

    Raises
    ------
    ValueError
        if `inputs` is not a positive integer.
    """

    def __init__(self, *, inputs: int) -> None:
        if not isinstance(inputs, int) or inputs < 1:
            raise ValueError(f"inputs must be a positive integer, not {inputs!r}")
        self._inputs = inputs
        super().__init__({"requests": In(inputs), "senior": In(len(pairs(inputs))), "clear": Out(inputs), "grant": Out(inputs)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        before = seniority(self.senior, self._inputs)
        for i in range(self._inputs):
            beaten = [self.requests[j] & before[j, i] for j in range(self._inputs) if j != i]
            m.d.comb += [self.clear[i].eq(~any_of(beaten)), self.grant[i].eq(self.requests[i] & self.clear[i])]
        return m


class LeastRecentlyServed(wiring.Component):
    """The order of a fair arbiter: who has been served goes last.

    With it a requester of a `MatrixArbiter` waits for at most `inputs - 1` others. Latency: the order changes in the cycle after `served`. Reset:
    lower numbers first.

    Parameters
    ----------
    inputs : int
        Requesters, at least 1.

    Members
    -------
    served : In(inputs)
        At most one bit: who was granted in this cycle.
    senior : Out(inputs * (inputs - 1) / 2)
        For `MatrixArbiter.senior`.

    Raises
    ------
    ValueError
        if `inputs` is not a positive integer.
    """

    def __init__(self, *, inputs: int) -> None:
        if not isinstance(inputs, int) or inputs < 1:
            raise ValueError(f"inputs must be a positive integer, not {inputs!r}")
        self._inputs = inputs
        super().__init__({"served": In(inputs), "senior": Out(len(pairs(inputs)), init=-1 & ((1 << len(pairs(inputs))) - 1))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for bit, (i, j) in enumerate(pairs(self._inputs)):
            with m.If(self.served[i]):
                m.d.sync += self.senior[bit].eq(0)
            with m.Elif(self.served[j]):
                m.d.sync += self.senior[bit].eq(1)
        return m


def seniority(senior: Value, inputs: int) -> dict[tuple[int, int], Value]:
    """The order as a table: [i, j] is 1 where i goes before j."""
    table: dict[tuple[int, int], Value] = {}
    for bit, (i, j) in enumerate(pairs(inputs)):
        table[i, j], table[j, i] = senior[bit], ~senior[bit]
    return table


def any_of(bits: Sequence[Value]) -> Value:
    """Whether any of the bits is set."""
    return Cat(*bits).any() if bits else Const(0, 1)


def encoded(one_hot: Value) -> Value:
    """Number of the bit that is set in `one_hot`; 0 if none is."""
    count = len(one_hot)
    width = max(1, (count - 1).bit_length())
    return Cat(any_of([one_hot[i] for i in range(count) if i >> bit & 1]) for bit in range(width))


def chosen(m: Module, one_hot: Value, choices: Sequence[Value], name: str) -> Signal:
    """The choice whose bit is set in `one_hot` (any, if none is), as an encoded multiplexer: a LUT of six inputs takes four choices."""
    result = Signal(choices[0].shape(), name=name)
    with m.Switch(encoded(one_hot)):
        for index, choice in enumerate(choices):
            with m.Case(index) if index < len(choices) - 1 else m.Default():
                m.d.comb += result.eq(choice)
    return result
