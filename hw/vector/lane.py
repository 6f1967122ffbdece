"""The arithmetic of the output stage: one lane, and the row of lanes with the control bits beside them."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..common.bf16 import round_to_bf16
from ..common.config import ChipConfig
from ..common.fp32 import Fp32Adder
from .format import BeatTag, Kind, beats_of, choose, lane_step, unit_elements
from .requantise import MULTIPLIER_BITS, SHIFT_BITS, Requantise


def add_stages(config: ChipConfig) -> int:
    """Cycles of the bias adder: those of the PSUM adder where floats are built, else 2. An integer adder has registers on both sides."""
    return config.accumulator_stages if config.has_float else 2


def convert_stages(config: ChipConfig) -> int:
    """Cycles from the value after ReLU to the result."""
    return Requantise.LATENCY if config.has_int else 1


def lanes_latency(config: ChipConfig) -> int:
    """Cycles of a lane: bias adder, ReLU, conversion."""
    return add_stages(config) + 1 + convert_stages(config)


class Lane(wiring.Component):
    """Bias, ReLU and conversion of one element a cycle.

    Latency: `add_stages + 1 + convert_stages` cycles, the same in every mode. The control inputs belong to the element at the stage
    they are named after, so that all lanes share the registers which delay them. Throughput: one element a cycle, never stalls.
    Reset: none, it holds data only.

    Parameters
    ----------
    config : ChipConfig
        Decides which of the int32 and fp32 adders, requantisation and bf16 rounding exist, and what requantisation multiplies with.

    Members
    -------
    i, i_bias : In(32)
        Element and bias, int32 or fp32 bits. Stage 0.
    i_add : In(1)
        Adds the bias as int32, which does no harm where the fp32 sum is taken. Stage 0.
    i_use_float : In(1)
        Takes the fp32 sum. Stage `add_stages`.
    i_is_float, i_relu : In(1)
        Stage `add_stages`.
    i_multiplier : In(16)
    i_shift : In(6)
        Stage `add_stages + 1`.
    i_is_bf16 : In(1)
        Rounds to bf16. Stage `add_stages + 1`.
    i_is_int8 : In(1)
        Takes the requantised value. Last stage (combinational to `o`).
    o : Out(32)
        Result in the low bits; those above an int8 or bf16 are undefined.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        members = {"i": In(32), "i_bias": In(32), "i_multiplier": In(MULTIPLIER_BITS), "i_shift": In(SHIFT_BITS), "o": Out(32)}
        super().__init__(members | {f"i_{name}": In(1) for name in ("add", "use_float", "is_float", "relu", "is_bf16", "is_int8")})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        plain: Value = _delay(m, "element", self.i, 1)
        if config.has_int:
            # In front of the adder, so that choosing the bias of the column takes no time from it.
            bias = Signal(32, reset_less=True)
            m.d.sync += bias.eq(Mux(self.i_add, self.i_bias, 0))
            plain = (plain + bias)[:32]
        plain = _delay(m, "plain", plain, add_stages(config) - 1)
        total = plain
        if config.has_float:
            m.submodules.adder = adder = Fp32Adder(stages=add_stages(config))
            total = Signal(32)
            m.d.comb += [adder.a.eq(self.i), adder.b.eq(self.i_bias), total.eq(Mux(self.i_use_float, adder.o, plain))]
        cleared = self.i_relu & total[31]
        if config.has_float:
            # A NaN of either sign passes ReLU, but only if it is one: as int32 the same bits are a number below zero.
            cleared &= ~(self.i_is_float & total[23:31].all() & total[:23].any())
        rectified = Signal(32, reset_less=True)
        m.d.sync += rectified.eq(Mux(cleared, 0, total))

        kept: Value = rectified
        if config.has_float:
            kept = Mux(self.i_is_bf16, round_to_bf16(rectified), rectified)
        kept = _delay(m, "kept", kept, convert_stages(config))
        m.d.comb += self.o.eq(kept)
        if config.has_int:
            m.submodules.requantise = requantise = Requantise(multiplier=config.multiplier)
            m.d.comb += [
                requantise.i.eq(rectified),
                requantise.i_multiplier.eq(self.i_multiplier),
                requantise.i_shift.eq(self.i_shift),
            ]
            with m.If(self.i_is_int8):
                m.d.comb += self.o.eq(requantise.o)
        return m


class Lanes(wiring.Component):
    """`output_lanes` lanes side by side, each with the bias and scale of its column.

    Latency: `latency` cycles. Throughput: one beat a cycle, never stalls. Reset drops the beats inside.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i : In {valid, tag: BeatTag, data[lanes]}
        Pulse.
    i_bias, i_multiplier, i_shift : In(ArrayLayout(cols))
        By column. Must not change while a beat is inside.
    o : Out {valid, tag: BeatTag, data[lanes]}
        Pulse.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self._config = config
        beat = wiring.Signature({"valid": Out(1), "tag": Out(BeatTag(config)), "data": Out(data.ArrayLayout(32, config.output_lanes))})
        super().__init__(
            {
                "i": In(beat),
                "i_bias": In(data.ArrayLayout(32, config.cols)),
                "i_multiplier": In(data.ArrayLayout(MULTIPLIER_BITS, config.cols)),
                "i_shift": In(data.ArrayLayout(SHIFT_BITS, config.cols)),
                "o": Out(beat),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from `i` to `o`."""
        return lanes_latency(self._config)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        tags = [self.i.tag]
        valid = Signal(self.latency)
        m.d.sync += valid.eq((valid << 1) | self.i.valid)
        for stage in range(self.latency):
            tag = Signal(BeatTag(self._config), name=f"tag{stage + 1}", reset_less=True)
            m.d.sync += tag.eq(tags[-1])
            tags.append(tag)
        m.d.comb += [self.o.valid.eq(valid[-1]), self.o.tag.eq(tags[-1])]
        for index in range(self._config.output_lanes):
            self._lane(m, index, tags)
        return m

    def _lane(self, m: Module, index: int, tags: list[Any]) -> None:
        config = self._config
        added, converted = add_stages(config), add_stages(config) + 1
        m.submodules[f"lane{index}"] = lane = Lane(config=config)
        # Only int8 elements are scaled, so the scale follows the beats of that kind alone.
        scaled = beats_of(config, Kind.INT8).step
        bias = self._column(m, f"bias{index}", self.i_bias, index, lane_step(config, index), tags[0].select)
        multiplier = self._column(m, f"multiplier{index}", self.i_multiplier, index, scaled, tags[converted].select)
        shift = self._column(m, f"shift{index}", self.i_shift, index, scaled, tags[converted].select)
        m.d.comb += [
            lane.i.eq(self.i.data[index]),
            lane.i_bias.eq(bias),
            lane.i_add.eq(tags[0].bias),
            lane.i_use_float.eq(tags[added].bias & tags[added].is_float),
            lane.i_is_float.eq(tags[added].is_float),
            lane.i_relu.eq(tags[added].relu),
            lane.i_multiplier.eq(multiplier),
            lane.i_shift.eq(shift),
            lane.i_is_bf16.eq(tags[converted].kind == Kind.BF16),
            lane.i_is_int8.eq(tags[-1].kind == Kind.INT8),
            self.o.data[index].eq(lane.o),
        ]

    def _column(self, m: Module, name: str, columns: Any, lane: int, step: int, select: Value) -> Value:
        """The entry of `columns` for `lane`, in beats of `step` elements of which the current one begins at unit `select`."""
        options = [columns[base + lane] for base in range(0, self._config.cols, step)]
        return choose(m, name, options, select, (step // unit_elements(self._config)).bit_length() - 1)


def _delay(m: Module, name: str, value: Value, stages: int) -> Signal:
    """`value`, `stages` cycles later."""
    for stage in range(stages):
        later = Signal(len(value), name=f"{name}{stage}", reset_less=True)
        m.d.sync += later.eq(value)
        value = later
    assert isinstance(value, Signal)
    return value
