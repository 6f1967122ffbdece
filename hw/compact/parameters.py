"""Parameters and commands of the compact chip's datapath."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from .bus import Command, Parameter

#: Bits of COUNT.
COUNT_BITS = 16
#: Bits of FLAGS where the lanes of a MULTIPLY begin.
LANES_AT = 8


class Active(data.StructLayout):
    """A bit for each command that runs: at most one is set."""

    def __init__(self) -> None:
        super().__init__({command.name.lower(): 1 for command in Command if command is not Command.NONE})


class Flags(data.StructLayout):
    """The low bits of FLAGS, as MULTIPLY (`accumulate`, `swap`) and EVICT (`mode`, `bias`, `relu`) read them."""

    def __init__(self) -> None:
        super().__init__({"mode": 3, "bias": 1, "relu": 1})


class Parameters(wiring.Component):
    """Holds what the processor writes, and counts with it while a command runs.

    A written value is there from the next cycle on, and so is the command's bit of `active`; it falls in the cycle after `i_done`. A step
    changes its register at the end of its cycle; addresses wrap at their widths. Reset ends the command; parameters are undefined until written.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    write : In(1), index : In(Parameter), data : In(32)
        As in `DatapathBus`; not while `busy` is set.
    i_step_sbuf, i_step_dram, i_step_count, i_step_psum, i_step_row : In(1)
        Moves that parameter on: by its stride, COUNT down by one, the others up by one.
    i_swapped : In(1)
        Clears the swap flag.
    i_done : In(1)
        In the last cycle of a command.
    o_sbuf, o_dram, o_psum, o_row : Out
        The parameters as they are now.
    o_psum_next : Out
        `o_psum` of the next cycle, unless it is being written.
    o_count : Out(16), o_last : Out(1)
        COUNT, and whether it is 1.
    o_accumulate, o_swap : Out(1), o_lanes : Out(rows), o_flags : Out(Flags)
    o_active : Out(Active), o_busy : Out(1)
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        psum = config.psum_bank_width + config.psum_row_width
        steps = {f"i_step_{name}": In(1) for name in ("sbuf", "dram", "count", "psum", "row")}
        super().__init__(
            steps
            | {
                "write": In(1), "index": In(Parameter), "data": In(32), "i_swapped": In(1), "i_done": In(1),
                "o_sbuf": Out(config.sbuf_address_width), "o_dram": Out(config.axi_address_width), "o_psum": Out(psum), "o_psum_next": Out(psum),
                "o_row": Out(range(config.rows)), "o_count": Out(COUNT_BITS), "o_last": Out(1),
                "o_accumulate": Out(1), "o_swap": Out(1), "o_lanes": Out(config.rows),
                "o_flags": Out(Flags()), "o_active": Out(Active()), "o_busy": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        sbuf_stride = Signal(signed(config.sbuf_address_width), reset_less=True)
        dram_stride = Signal(signed(config.axi_address_width), reset_less=True)
        for which, stride in ((Parameter.SBUF_STRIDE, sbuf_stride), (Parameter.DRAM_STRIDE, dram_stride)):
            with m.If(self._written(which)):
                m.d.sync += stride.eq(self.data)
        for which, register, step, moved in (
            (Parameter.SBUF, self.o_sbuf, self.i_step_sbuf, self.o_sbuf + sbuf_stride),
            (Parameter.DRAM, self.o_dram, self.i_step_dram, self.o_dram + dram_stride),
            (Parameter.COUNT, self.o_count, self.i_step_count, self.o_count - 1),
            (Parameter.ROW, self.o_row, self.i_step_row, self.o_row + 1),
        ):
            with m.If(self._written(which) | step):
                m.d.sync += register.eq(Mux(self._written(which), self.data, moved))
        m.d.comb += [self.o_last.eq(self.o_count == 1), self.o_psum_next.eq(self.o_psum + self.i_step_psum)]
        m.d.sync += self.o_psum.eq(Mux(self._written(Parameter.PSUM), self.data, self.o_psum_next))
        self._flags(m)
        self._command(m)
        return m

    def _written(self, which: Parameter) -> Value:
        return self.write & (self.index == which)

    def _flags(self, m: Module) -> None:
        flags = Signal(len(Value.cast(self.o_flags)), reset_less=True)
        m.d.comb += [self.o_flags.eq(flags), self.o_accumulate.eq(flags[0]), self.o_swap.eq(flags[1])]
        with m.If(self._written(Parameter.FLAGS)):
            m.d.sync += [flags.eq(self.data), self.o_lanes.eq(self.data[LANES_AT:])]
        with m.Elif(self.i_swapped):
            m.d.sync += flags[1].eq(0)

    def _command(self, m: Module) -> None:
        m.d.comb += self.o_busy.eq(Value.cast(self.o_active).any())
        with m.If(self._written(Parameter.COMMAND)):
            m.d.sync += [
                self.o_active[command.name.lower()].eq(self.data[: Command.as_shape().width] == command)
                for command in Command
                if command is not Command.NONE
            ]
        with m.Elif(self.i_done):
            m.d.sync += self.o_active.eq(0)
