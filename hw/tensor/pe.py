"""The processing element: a double-buffered stationary operand, a multiplier, an adder."""

from typing import Any

from amaranth.hdl import Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..common.bf16 import bf16_product
from ..common.config import ChipConfig
from ..common.fp32 import fp32_sum


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


def sum_layout(config: ChipConfig) -> data.StructLayout:
    """What goes south: `data`, 32 bits, and, where both kinds are built, `is_float`."""
    members: dict[str, Any] = {"data": unsigned(32)}
    if is_mixed(config):
        members["is_float"] = 1
    return data.StructLayout(members)


class Pe(wiring.Component):
    """Processing element: adds the product of the moving and the stationary operand to the partial sum on its way south.

    The stationary operand is double buffered. `i_load` writes the background element; a moving operand with `swap`, and all after it, see what
    was in the background when it came. A load may fall in the same cycle as the swap (it is for the next block) or any cycle before.

    Latency: `i_moving` to `o_moving`, and `i_load` to `o_load`, 1 cycle; `i_sum` to `o_sum` `adder_stages` cycles; `i_moving` meets the `i_sum`
    that comes `multiplier_stages` cycles later. Throughput: one operand a cycle, nothing stalls. Reset clears `swap` and `load` on
    their way; data is not reset.

    From two multiplier stages on, the first is the register that passes the moving operand east, and the multiplier sees registers only.

    Parameters
    ----------
    config : ChipConfig
        `dtypes` decides which arithmetic exists, `multiplier_stages` and `adder_stages` its pipelines.

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
        super().__init__(
            {
                "i_moving": In(moving),
                "o_moving": Out(moving),
                "i_load": In(1),
                "o_load": Out(1),
                "i_stationary": In(unsigned(element_width(config))),
                "i_sum": In(partial),
                "o_sum": Out(partial),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        width = element_width(config)
        background, foreground = Signal(width, reset_less=True), Signal(width, reset_less=True)
        east = {name: _delay(m, self.i_moving[name], 1, f"east_{name}", control=name == "swap") for name in self.i_moving.shape().members}
        m.d.comb += [self.o_moving[name].eq(value) for name, value in east.items()]
        m.d.sync += self.o_load.eq(self.i_load)
        with m.If(self.i_load):
            m.d.sync += background.eq(self.i_stationary)
        with m.If(self.i_moving.swap):
            m.d.sync += foreground.eq(background)

        if config.multiplier_stages == 1:
            moving, stages = {name: self.i_moving[name] for name in east}, 1
            stationary: Value = Mux(self.i_moving.swap, background, foreground)
        else:
            moving, stages = east, config.multiplier_stages - 1
            stationary = foreground
        sums: dict[str, Value] = {}
        if config.has_int:
            product = (moving["data"][:8].as_signed() * stationary[:8].as_signed()).as_signed()
            product = _delay(m, product, stages, "int_product")
            total = (self.i_sum.data + product)[:32]
            sums["int"] = _delay(m, total, config.adder_stages - 1, "int_sum")
        if config.has_float:
            product = bf16_product(m, moving["data"], stationary, ~moving["lane"], stages=stages)
            product = _delay(m, product, 1, "float_product")
            sums["float"] = fp32_sum(m, self.i_sum.data, product, stages=config.adder_stages)
        self._output(m, sums)
        return m

    def _output(self, m: Module, sums: dict[str, Value]) -> None:
        """The last stage of the adder: the register that `o_sum` shows."""
        if is_mixed(self._config):
            is_float = _delay(m, self.i_sum.is_float, self._config.adder_stages - 1, "is_float")
            chosen: Value = Mux(is_float, sums["float"], sums["int"])
            m.d.comb += self.o_sum.is_float.eq(_delay(m, is_float, 1, "sum_is_float"))
        else:
            (chosen,) = sums.values()
        m.d.comb += self.o_sum.data.eq(_delay(m, chosen, 1, "sum"))


def _delay(m: Module, value: Value, cycles: int, name: str, *, control: bool = False) -> Value:
    """`value` some cycles later. Only `control` is reset."""
    value = Value.cast(value)
    for cycle in range(cycles):
        later = Signal(Shape.cast(value.shape()), name=name if cycles == 1 else f"{name}_{cycle}", reset_less=not control)
        m.d.sync += later.eq(value)
        value = later
    return value
