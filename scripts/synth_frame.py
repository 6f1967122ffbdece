"""A frame of flip-flops around a unit, so that its clock is one from register to register."""

from typing import Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Framed(wiring.Component):
    """A component between ECP5 flip-flops: the same members, each a cycle later in each direction.

    The flip-flops are instances, which synthesis takes as they are: it cannot fold logic of the unit into their enables or resets, as a
    LUT RAM at the other end of a link has none to offer.

    Parameters
    ----------
    inner : wiring.Component
    """

    def __init__(self, inner: wiring.Component) -> None:
        self._inner = inner
        super().__init__(wiring.Signature(dict(inner.signature.members)))
        #: Flip-flops of the frame.
        self.bits = sum(len(Value.cast(value)) for _, _, value in inner.signature.flatten(inner))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = self._inner
        outside = {path: Value.cast(value) for path, _, value in self.signature.flatten(self)}
        for path, member, value in self._inner.signature.flatten(self._inner):
            inside = Value.cast(value)
            source, target = (outside[path], inside) if member.flow is wiring.In else (inside, outside[path])
            output = Signal(len(source), name="_".join(map(str, ("frame", *path))))
            m.d.comb += target.eq(output)
            for bit in range(len(source)):
                name = "__".join(map(str, ("frame", *path, bit)))
                m.submodules[name] = Instance(
                    "TRELLIS_FF", i_CLK=ClockSignal(), i_LSR=Const(0), i_CE=Const(1), i_DI=source[bit], o_Q=output[bit]
                )
        return m


class Chained(wiring.Component):
    """A component behind two pins: its inputs come from a chain of iCE40 flip-flops, its outputs are folded into another.

    For parts whose place and route takes no unconnected ports and has few pins. An output's flip-flop takes its exclusive-or with the one before, which
    is one LUT more in its path.

    Parameters
    ----------
    inner : wiring.Component

    Members
    -------
    i : In(1)
    o : Out(1)
    """

    i: In(1)
    o: Out(1)

    def __init__(self, inner: wiring.Component) -> None:
        self._inner = inner
        super().__init__()
        #: Flip-flops of the frame.
        self.bits = sum(len(Value.cast(value)) for _, _, value in inner.signature.flatten(inner))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = self._inner
        ahead: Value = self.i
        behind: Value = Const(0, 1)
        for path, member, value in self._inner.signature.flatten(self._inner):
            inside = Value.cast(value)
            output = Signal(len(inside), name="_".join(map(str, ("frame", *path))))
            for bit in range(len(inside)):
                source = ahead if member.flow is wiring.In else inside[bit] ^ behind
                name = "__".join(map(str, ("frame", *path, bit)))
                m.submodules[name] = Instance("SB_DFF", i_C=ClockSignal(), i_D=source, o_Q=output[bit])
                if member.flow is wiring.In:
                    ahead = output[bit]
                else:
                    behind = output[bit]
            if member.flow is wiring.In:
                m.d.comb += inside.eq(output)
        m.d.comb += self.o.eq(behind)
        return m
