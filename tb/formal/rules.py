"""What proofs of streams share: the rule of a stream, and anything at all on its inputs."""

from __future__ import annotations

from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Module, Signal, Value


def held(m: Module, port: Any, *, name: str, rule: Any = Assert) -> None:
    """`rule` (Assert or Assume): valid and payload of a stream hold until ready."""
    payload = Value.cast(port.payload)
    waiting, before = Signal(name=f"{name}_waiting"), Signal(len(payload), name=f"{name}_before")
    m.d.sync += [waiting.eq(port.valid & ~port.ready), before.eq(payload)]
    m.d.comb += rule(~waiting | (port.valid & (payload == before)))


def free(m: Module, *signals: Any) -> None:
    """Drives signals with anything, another in every cycle."""
    for signal in signals:
        value = Value.cast(signal)
        m.d.comb += value.eq(AnySeq(len(value)))
