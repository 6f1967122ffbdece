"""The processing element: a double-buffered stationary operand, a multiplier, an adder."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..common.bf16 import bf16_product
from ..common.config import ChipConfig
from ..common.fp32 import fp32_sum
from .multiplier.ecp5 import Ecp5Multiplier
from .multiplier.generic import delayed, foreground, generic_product
from .multiplier.gowin import GowinMultiplier
from .multiplier.port import PRODUCT_BITS, MultiplierPort


def element_width(config: ChipConfig) -> int:
    """Bits of an operand as it travels through the array."""
    return 8 * config.element_bytes


def is_mixed(config: ChipConfig) -> bool:
    """Whether both kinds of arithmetic are built, so that every moving row says which it wants."""
    return config.has_float and config.has_int


def moving_layout(config: ChipConfig) -> data.StructLayout:
    """What goes east: `data`, `swap` and, where floats are built, `lane` (0: leave the partial sum alone).

    Integers need no `lane`: a row that does not take part sends zeros. A float zero would not do, because 0 * infinity is NaN.
    """
    members: dict[str, Any] = {"data": unsigned(element_width(config)), "swap": 1}
    if config.has_float:
        members["lane"] = 1
    return data.StructLayout(members)


def sum_width(config: ChipConfig) -> int:
    """Bits of a partial sum: 32 for floats; for int8 what the sum of `rows` products needs, two's complement, as row 0 starts from 0."""
    return 32 if config.has_float else PRODUCT_BITS + (config.rows - 1).bit_length()


def sum_layout(config: ChipConfig) -> data.StructLayout:
    """What goes south: `data`, `sum_width` bits, and, where both kinds are built, `is_float`."""
    members: dict[str, Any] = {"data": unsigned(sum_width(config))}
    if is_mixed(config):
        members["is_float"] = 1
    return data.StructLayout(members)


def shares_multiplier(config: ChipConfig) -> bool:
    """Whether two processing elements share a multiplier block, which then stands outside them."""
    return config.multiplier == "ice40"


class Pe(wiring.Component):
    """Processing element: adds the product of the moving and the stationary operand to the partial sum on its way south.

    The stationary operand is double buffered. `i_load` writes the background element; a moving operand with `swap`, and all after it, see what
    was in the background when it came. A load may fall in the same cycle as the swap (it is for the next block) or any cycle before.

    Latency: `i_moving` to `o_moving`, and `i_load` to `o_load`, 1 cycle; `i_sum` to `o_sum` `adder_stages` cycles; `i_moving` meets the `i_sum`
    that comes `multiplier_stages` cycles later. Throughput: one operand a cycle, nothing stalls. Reset clears `swap` and `load` on
    their way; data is not reset.

    From two multiplier stages on, the multiplier sees registers only: with `multiplier` generic, the one that passes the moving operand east, and the
    foreground.

    Parameters
    ----------
    config : ChipConfig
        `dtypes` decides which arithmetic exists, `multiplier_stages` and `adder_stages` its pipelines, `multiplier` the block.

    Members
    -------
    i_moving : In(moving_layout(config)), from the west
    o_moving : Out(moving_layout(config)), to the east
    i_load : In(1), from the west
        Takes `i_stationary` into the background.
    o_load : Out(1), to the east
    i_stationary : In(8 * element_bytes)
        The column's bus.
    i_sum : In(sum_layout(config)), from the north
    o_sum : Out(sum_layout(config)), to the south
    multiplier : Out(MultiplierPort), where `shares_multiplier`
        Our half of a block outside.

    Raises
    ------
    TypeError
        if `config` is not a `ChipConfig`.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        moving, partial = moving_layout(config), sum_layout(config)
        members: dict[str, Any] = {
            "i_moving": In(moving),
            "o_moving": Out(moving),
            "i_load": In(1),
            "o_load": Out(1),
            "i_stationary": In(unsigned(element_width(config))),
            "i_sum": In(partial),
            "o_sum": Out(partial),
        }
        if shares_multiplier(config):
            members["multiplier"] = Out(MultiplierPort())
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        background = Signal(element_width(config), reset_less=True)
        east = {name: delayed(m, self.i_moving[name], 1, f"east_{name}", control=name == "swap") for name in self.i_moving.shape().members}
        m.d.comb += [self.o_moving[name].eq(value) for name, value in east.items()]
        m.d.sync += self.o_load.eq(self.i_load)
        with m.If(self.i_load):
            m.d.sync += background.eq(self.i_stationary)

        sums: dict[str, Value] = {}
        if config.multiplier == "generic":
            # From two stages on, the first is the register that passes the moving operand east, and the multiplier sees registers only.
            moving = east if config.multiplier_stages > 1 else {name: self.i_moving[name] for name in east}
            stages = max(config.multiplier_stages - 1, 1)
            stationary = foreground(m, background, self.i_moving.swap, stages=config.multiplier_stages)
            if config.has_int:
                sums["int"] = self._int_sum(m, generic_product(m, moving["data"], stationary, stages=stages))
            if config.has_float:
                product = bf16_product(m, moving["data"], stationary, ~moving["lane"], stages=stages)
                product = delayed(m, product, 1, "float_product")
                sums["float"] = fp32_sum(m, self.i_sum.data, product, stages=config.adder_stages)
        else:
            port = self._port(m)
            m.d.comb += [port.moving.eq(self.i_moving.data), port.background.eq(background), port.swap.eq(self.i_moving.swap)]
            sums["int"] = self._int_sum(m, port.product)
        self._output(m, sums)
        return m

    def _port(self, m: Module) -> Any:
        """The multiplier: a primitive of our own, or our half of one outside."""
        if shares_multiplier(self._config):
            return self.multiplier
        primitive = {"ecp5": Ecp5Multiplier, "gowin": GowinMultiplier}[self._config.multiplier]
        m.submodules.multiplier = multiplier = primitive(stages=self._config.multiplier_stages)
        return multiplier.port

    def _int_sum(self, m: Module, product: Value) -> Value:
        """The sum of now, all stages of the adder but the last behind it."""
        total = (self.i_sum.data.as_signed() + product)[: sum_width(self._config)]
        return delayed(m, total, self._config.adder_stages - 1, "int_sum")

    def _output(self, m: Module, sums: dict[str, Value]) -> None:
        """The last stage of the adder: the register that `o_sum` shows."""
        if is_mixed(self._config):
            is_float = delayed(m, self.i_sum.is_float, self._config.adder_stages - 1, "is_float")
            chosen: Value = Mux(is_float, sums["float"], sums["int"])
            m.d.comb += self.o_sum.is_float.eq(delayed(m, is_float, 1, "sum_is_float"))
        else:
            (chosen,) = sums.values()
        m.d.comb += self.o_sum.data.eq(delayed(m, chosen, 1, "sum"))
