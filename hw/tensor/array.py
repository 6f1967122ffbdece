"""The array: rows x cols processing elements and the wires between them."""

from typing import Any

from amaranth.hdl import Module, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect

from ..common.config import ChipConfig
from .multiplier.ice40 import LANES, Ice40MultiplierPair
from .pe import Pe, element_width, moving_layout, shares_multiplier, sum_layout


class Array(wiring.Component):
    """Wiring only: moving operands and load bits go east, partial sums south, a column's stationary bus to all its rows.

    ```
              i_stationary[c], i_sum[c]
                     |        |
    i_moving[r] -> Pe(r, c) ----> Pe(r, c+1) ...
    i_load[r]   ->   |        |
                  Pe(r+1, c)  ...
                     |
                  o_sum[c]
    ```

    Where neighbours share a multiplier block, it stands between them: columns 0 and 1, 2 and 3, ... of a row.

    Everything is skewed: column c is c cycles behind column 0, row r is r * `adder_stages` cycles behind row 0 (stationary rows: r).
    Latency: column c of `o_sum` is the sum over the operands that came to row r at cycle t + r * `adder_stages`, at cycle
    t + `multiplier_stages` + rows * `adder_stages` + c. Throughput: one moving row and one stationary row a cycle. Reset: as `Pe`.

    Parameters
    ----------
    config : ChipConfig
        `rows` and `cols` may differ.

    Members
    -------
    i_moving : In(ArrayLayout(moving_layout(config), rows))
        Skewed moving operands. An integer row that does not take part must be zeros.
    i_load : In(rows)
        One bit a row, at column 0: takes that row's stationary element from each column's bus as the bit passes.
    i_stationary : In(ArrayLayout(8 * element_bytes, cols))
        The column buses, skewed by column.
    i_sum : In(ArrayLayout(sum_layout(config), cols))
        What the sums start from, skewed by column, `multiplier_stages` cycles after row 0's operand.
    o_sum : Out(ArrayLayout(sum_layout(config), cols))
        Sums, skewed by column.

    Raises
    ------
    TypeError
        if `config` is not a `ChipConfig`.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        partial = data.ArrayLayout(sum_layout(config), config.cols)
        super().__init__(
            {
                "i_moving": In(data.ArrayLayout(moving_layout(config), config.rows)),
                "i_load": In(config.rows),
                "i_stationary": In(data.ArrayLayout(unsigned(element_width(config)), config.cols)),
                "i_sum": In(partial),
                "o_sum": Out(partial),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        moving = [self.i_moving[row] for row in range(self._config.rows)]
        load = list(self.i_load)
        partial = [self.i_sum[col] for col in range(self._config.cols)]
        for row in range(self._config.rows):
            for col in range(self._config.cols):
                m.submodules[f"pe_{row}_{col}"] = pe = Pe(config=self._config)
                m.d.comb += [
                    pe.i_moving.eq(moving[row]),
                    pe.i_load.eq(load[row]),
                    pe.i_stationary.eq(self.i_stationary[col]),
                    pe.i_sum.eq(partial[col]),
                ]
                moving[row], load[row], partial[col] = pe.o_moving, pe.o_load, pe.o_sum
                if shares_multiplier(self._config):
                    if col % LANES == 0:
                        m.submodules[f"multiplier_{row}_{col}"] = pair = Ice40MultiplierPair(stages=self._config.multiplier_stages)
                    connect(m, pe.multiplier, pair.ports[col % LANES])
        m.d.comb += [self.o_sum[col].eq(value) for col, value in enumerate(partial)]
        return m
