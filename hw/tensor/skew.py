"""Triangles of registers: lanes that go in together come out one after another, and the other way round."""

from abc import abstractmethod
from typing import Any

from amaranth.hdl import Module, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class _Triangle(wiring.Component):
    """What `Skew` and `Deskew` share: lane l is delayed by `delay(l)` cycles."""

    def __init__(self, *, width: int, lanes: int, step: int = 1) -> None:
        for name, value in (("width", width), ("lanes", lanes), ("step", step)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        self._width, self._lanes, self._step = width, lanes, step
        layout = data.ArrayLayout(unsigned(width), lanes)
        super().__init__({"i": In(layout), "o": Out(layout)})

    @property
    def span(self) -> int:
        """Cycles of the slowest lane."""
        return (self._lanes - 1) * self._step

    @abstractmethod
    def delay(self, lane: int) -> int:
        """Cycles from `i` to `o` of `lane`."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for lane in range(self._lanes):
            value: Value = self.i[lane]
            for cycle in range(self.delay(lane)):
                later = Signal(self._width, name=f"lane{lane}_{cycle}", reset_less=True)
                m.d.sync += later.eq(value)
                value = later
            m.d.comb += self.o[lane].eq(value)
        return m


class Skew(_Triangle):
    """Delays lane l by l * `step` cycles: lane 0 is a wire.

    Latency: l * `step` cycles for lane l. Throughput: one word a lane a cycle, nothing stalls. Reset: none, it holds data only.

    Parameters
    ----------
    width : int
        Bits of a lane.
    lanes : int
    step : int
        Cycles from one lane to the next.

    Members
    -------
    i : In(ArrayLayout(width, lanes))
    o : Out(ArrayLayout(width, lanes))

    Raises
    ------
    ValueError
        if a parameter is not a positive integer.
    """

    def delay(self, lane: int) -> int:
        """Cycles from `i` to `o` of `lane`."""
        return lane * self._step


class Deskew(_Triangle):
    """Delays lane l by (`lanes` - 1 - l) * `step` cycles, which lines up what `Skew` has spread: the last lane is a wire.

    Latency: (`lanes` - 1 - l) * `step` cycles for lane l. Throughput: one word a lane a cycle, nothing stalls. Reset: none, it holds data only.

    Parameters
    ----------
    width : int
        Bits of a lane.
    lanes : int
    step : int
        Cycles from one lane to the next.

    Members
    -------
    i : In(ArrayLayout(width, lanes))
    o : Out(ArrayLayout(width, lanes))

    Raises
    ------
    ValueError
        if a parameter is not a positive integer.
    """

    def delay(self, lane: int) -> int:
        """Cycles from `i` to `o` of `lane`."""
        return self.span - lane * self._step
