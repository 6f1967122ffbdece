"""The tile: the array with its skews, seen as whole rows in and whole rows out."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from .array import Array
from .pe import element_width, is_mixed, sum_width
from .skew import Deskew, Skew


class Tile(wiring.Component):
    """Multiplies moving rows by the stationary block: o[c] = sum over the taking-part r, ascending, of moving[r] * stationary[r][c].

    All ports are pulses: nothing stalls and nothing is refused. The stationary block is loaded row by row into the background while the
    block before is in use. The swap travels with a moving row: that row and all after it see the newest elements.

    * The swapping row may be at `i_moving` in the cycle after stationary row 0 was at `i_stationary` if row r follows it r cycles later
      (it is chased through the array), at the earliest.
    * Row 0 of the next block may be at `i_stationary` from `reload_cycles` cycles after the swapping row on (row r from r cycles later on).

    Latency: `latency` cycles from `i_moving` to `o`: `multiplier_stages` + rows * `adder_stages` + cols - 1, for every type; there are no
    registers besides. Throughput: one moving row and one stationary row a cycle. Reset clears what is on its way: no `valid` of before the
    reset comes out after it; the stationary block is lost.

    Parameters
    ----------
    config : ChipConfig
        `rows` and `cols` may differ.

    Members
    -------
    i_stationary : In {valid, row, data[cols]}
        Stationary row `row`, an element of 8 * `element_bytes` bits a column; int8 sign-extended.
    i_moving : In {valid, swap, is_float, lanes (a bit a row), data[rows]}
        A moving row. Lane r takes part in the sums if bit r of `lanes` is set. `is_float` counts only where both kinds are built.
    o : Out {valid, is_float, data[cols]}
        The sums, int32 or fp32.

    Raises
    ------
    TypeError
        if `config` is not a `ChipConfig`.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        element = unsigned(element_width(config))
        stationary = {"valid": Out(1), "row": Out(range(config.rows)), "data": Out(data.ArrayLayout(element, config.cols))}
        moving = {
            "valid": Out(1),
            "swap": Out(1),
            "is_float": Out(1),
            "lanes": Out(config.rows),
            "data": Out(data.ArrayLayout(element, config.rows)),
        }
        result = {"valid": Out(1), "is_float": Out(1), "data": Out(data.ArrayLayout(unsigned(32), config.cols))}
        super().__init__(
            {
                "i_stationary": In(wiring.Signature(stationary)),
                "i_moving": In(wiring.Signature(moving)),
                "o": Out(wiring.Signature(result)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row at `i_moving` to its sums at `o`."""
        config = self._config
        return config.multiplier_stages + config.rows * config.adder_stages + config.cols - 1

    @property
    def reload_cycles(self) -> int:
        """Cycles from a swapping row at `i_moving` to the earliest row 0 of the next block at `i_stationary`."""
        return (self._config.rows - 1) * (self._config.adder_stages - 1) + 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.array = array = Array(config=config)
        self._stationary(m, array)
        self._moving(m, array)

        m.submodules.deskew = deskew = Deskew(width=sum_width(config), lanes=config.cols)
        m.d.comb += [deskew.i[col].eq(array.o_sum[col].data) for col in range(config.cols)]
        valid = _history(m, self.i_moving.valid, self.latency, "valid", control=True)
        m.d.comb += [self.o.valid.eq(valid[-1]), *(self.o.data[col].eq(deskew.o[col].as_signed()) for col in range(config.cols))]
        if is_mixed(config):
            # The sums of column c start `multiplier_stages` + c cycles after the row has come.
            is_float = _history(m, self.i_moving.is_float, self.latency, "is_float", control=False)
            m.d.comb += [array.i_sum[col].is_float.eq(is_float[config.multiplier_stages + col]) for col in range(config.cols)]
            m.d.comb += self.o.is_float.eq(is_float[-1])
        else:
            m.d.comb += self.o.is_float.eq(config.has_float)
        return m

    def _stationary(self, m: Module, array: Array) -> None:
        config = self._config
        m.submodules.stationary_skew = skew = Skew(width=element_width(config), lanes=config.cols)
        m.d.comb += [
            skew.i.eq(self.i_stationary.data),
            array.i_stationary.eq(skew.o),
            array.i_load.eq(Cat(self.i_stationary.valid & (self.i_stationary.row == row) for row in range(config.rows))),
        ]

    def _moving(self, m: Module, array: Array) -> None:
        config = self._config
        swap = _history(m, self.i_moving.valid & self.i_moving.swap, (config.rows - 1) * config.adder_stages, "swap", control=True)
        width = element_width(config)
        lane_width = width + 1 if config.has_float else width
        m.submodules.moving_skew = skew = Skew(width=lane_width, lanes=config.rows, step=config.adder_stages)
        for row in range(config.rows):
            lane = self.i_moving.lanes[row]
            # An integer lane that does not take part adds zero; a float one needs its lane bit at the multiplier.
            m.d.comb += [
                skew.i[row].eq(Cat(Mux(lane, self.i_moving.data[row], C(0, width)), lane)),
                array.i_moving[row].data.eq(skew.o[row][:width]),
                array.i_moving[row].swap.eq(swap[row * config.adder_stages]),
            ]
            if config.has_float:
                m.d.comb += array.i_moving[row].lane.eq(skew.o[row][width])


def _history(m: Module, value: Value, cycles: int, name: str, *, control: bool) -> Value:
    """`value` of now (bit 0) to `cycles` cycles ago (the highest bit). Only `control` is reset."""
    if cycles == 0:
        return value
    past = Signal(cycles, name=f"{name}_past", reset_less=not control)
    m.d.sync += past.eq(Cat(value, past))
    return Cat(value, past)
