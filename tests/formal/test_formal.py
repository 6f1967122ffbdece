"""Proves everything registered, and shows that the runner refuses wrong properties, unreachable covers and empty specs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from tb.formal.runner import Proof, ProofError, proofs, prove


@pytest.mark.parametrize("name", list(proofs()))
def test_proof(name: str) -> None:
    """`prove` raises unless every assertion holds and every cover is reached."""
    verdict = prove(proofs()[name])
    assert verdict.covers > 0


class Counter(wiring.Component):
    """Counts enabled cycles up to 9. `limit`: the property says it stays below; `assume`: the input never enables; `reach`: the cover."""

    def __init__(self, *, limit: int | None = 10, reach: int | None = 9, never: bool = False) -> None:
        self._limit, self._reach, self._never = limit, reach, never
        super().__init__({"enable": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(4)
        with m.If(self.enable & (count != 9)):
            m.d.sync += count.eq(count + 1)
        if self._limit is not None:
            m.d.comb += Assert(count < self._limit)
        if self._reach is not None:
            m.d.comb += Cover(count == self._reach)
        if self._never:
            m.d.comb += Assume(~self.enable)
        return m


def proof(name: str, *, mode: str = "prove", depth: int = 3, **options: Any) -> Proof:
    return Proof(name=f"self.{name}", doc="a counter", spec=lambda: Counter(**options), mode=mode, depth=depth, cover_depth=12)


def test_right_property_is_proved_and_remembered() -> None:
    first, again = prove(proof("right")), prove(proof("right"))
    assert (first.asserts, first.covers, first.bound) == (1, 1, "unbounded")
    assert again.cached


def test_bound_is_told() -> None:
    assert prove(proof("bounded", mode="bmc", depth=5)).bound == "5 cycles"
    assert prove(proof("covered", mode="cover", limit=None)).bound == "cover 12"


@pytest.mark.parametrize("mode", ["prove", "bmc"])
def test_wrong_property_fails(mode: str) -> None:
    with pytest.raises(ProofError, match=rf"(?s)self.wrong: an assertion fails.*sby {mode}: FAIL"):
        prove(proof("wrong", mode=mode, depth=12, limit=8))


def test_wrong_property_fails_again() -> None:
    """A failure is not remembered as a success."""
    for _ in range(2):
        with pytest.raises(ProofError, match="an assertion fails"):
            prove(proof("wrong_again", mode="bmc", depth=12, limit=9))


def test_true_property_that_is_not_inductive_fails_as_undecided() -> None:
    """From a state that cannot be reached the counter would pass 9; a k too small must not count as proved."""

    class Skips(Counter):
        def elaborate(self, platform: Any) -> Module:
            m = Module()
            count = Signal(4)
            with m.If(self.enable & (count != 9)):
                m.d.sync += count.eq(count + 1)
            # 12 is never reached, but induction may begin at 10.
            m.d.comb += [Assert(count != 12), Cover(count == 9)]
            return m

    with pytest.raises(ProofError, match="does not close"):
        prove(Proof(name="self.skips", doc="d", spec=Skips, depth=1, cover_depth=12))


def test_bmc_too_shallow_passes_but_says_so() -> None:
    """8 is reached after 8 cycles: five of them prove nothing more than five cycles."""
    assert prove(proof("shallow", mode="bmc", depth=5, limit=8)).bound == "5 cycles"


def test_contradicting_assumption_fails() -> None:
    with pytest.raises(ProofError, match="a cover cannot be reached"):
        prove(proof("vacuous", limit=1, never=True))


def test_spec_without_cover_fails() -> None:
    with pytest.raises(ProofError, match="at least one Cover, not 0"):
        prove(proof("bare", reach=None))


def test_spec_without_assertion_fails() -> None:
    with pytest.raises(ProofError, match="at least one Assert, not 0"):
        prove(proof("idle", limit=None))


def test_solver_that_takes_too_long_is_undecided() -> None:
    slow = replace(proof("slow"), timeout=0.2)
    with pytest.raises(ProofError, match=r"self\.slow: undecided \(prove\) after 0\.2 seconds"):
        prove(slow)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "A b"}, "name must be lower-case letters, digits, _ and ., not 'A b'"),
        ({"doc": ""}, "doc must be a sentence, not ''"),
        ({"mode": "live"}, "mode must be one of prove, bmc, cover, not 'live'"),
        ({"depth": 0}, "depth must be at least 1, not 0"),
        ({"cover_depth": -1}, "cover_depth must not be negative, not -1"),
    ],
)
def test_proof_checks_its_members(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"name": "x", "doc": "d", "spec": Counter}
    assert Proof(**good).cover_depth == Proof(**good).depth + 10
    with pytest.raises(ValueError, match=message):
        Proof(**(good | change))
