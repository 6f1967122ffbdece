"""The datapath of the compact chip: memories, array, output stage and AXI master behind one list of parameters."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..common.config import ChipConfig, ConfigError
from ..dma.pins import axi_pin_members, connect_axi_pins
from ..memory.ports import SbufAccess
from .bus import DatapathBus, Parameter
from .copier import Copier
from .evict import Evict
from .parameters import Parameters
from .psum import CompactPsum
from .sbuf import CompactSbuf
from .tensor import CompactTensor


class Datapath(wiring.Component):
    """Carries out one `Command` at a time for the processor of the compact chip.

    Cycles with `busy`, for COUNT = n: LOAD_STATIONARY n + 1, LOAD_CHANNEL 9, MULTIPLY n + 2 + `Tile.latency`, EVICT `evict_cycles`, LOAD and
    FETCH n * (1 + l) + 1, STORE n * (2 + l) with an AXI memory that answers in the l-th cycle after the address (and data) without stalling. A
    command may follow in the cycle after `busy` has fallen. What it reads of PSUM must have been named two cycles before it is busy or
    earlier: PSUM is written before COMMAND.

    A debug access is served at once unless the command uses SBUF in that cycle, STORE has a line on the bus, or LOAD_STATIONARY, MULTIPLY or
    LOAD_CHANNEL runs, which are short.

    Reset ends the command, transfers on the bus included, so that the bus must be reset with it; memories keep what they have, the
    stationary block is lost.

    Parameters
    ----------
    config : ChipConfig
        With `control` "compact", `dtypes` ("int8",) and rows == cols.

    Members
    -------
    bus : In(DatapathBus)
    debug : In(SbufAccess)
    m_axi_... : the AXI4 manager's pins, see `axi_pin_members`

    Raises
    ------
    ConfigError
        if the configuration makes no compact chip.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        config.require_chip()
        if config.control != "compact":
            raise ConfigError(f"control must be compact, not {config.control!r}: hw.chip.Chip is the parallel one")
        if config.dtypes != ("int8",):
            raise ConfigError(f"dtypes must be ('int8',) with control compact, not {config.dtypes!r}: choose control parallel for floats")
        self._config = config
        super().__init__({"bus": In(DatapathBus(config)), "debug": In(SbufAccess(config)), **axi_pin_members(config)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, bus = self._config, self.bus
        m.submodules.parameters = parameters = Parameters(config=config)
        m.submodules.sbuf = sbuf = CompactSbuf(config=config)
        m.submodules.psum = psum = CompactPsum(config=config)
        m.submodules.copier = copier = Copier(config=config)
        m.submodules.tensor = tensor = CompactTensor(config=config)
        m.submodules.evict = evict = Evict(config=config)
        connect_axi_pins(m, self, copier, config)
        wiring.connect(m, wiring.flipped(self.debug), sbuf.debug)
        self._parameters(m, parameters, copier, tensor, evict)
        line = self._line(m, copier, evict)
        active = parameters.o_active
        m.d.comb += [
            sbuf.i_valid.eq(copier.o_read | copier.o_write | tensor.o_read | evict.o_write),
            sbuf.i_write.eq(copier.o_write | evict.o_write),
            # Rows of several lines begin at a multiple of them.
            sbuf.i_address.eq(parameters.o_sbuf | Mux(active.evict, evict.o_offset, 0)),
            sbuf.i_data.eq(line),
            sbuf.i_hold.eq(copier.o_hold | tensor.o_hold),
            psum.i_next.eq(parameters.o_psum_next),
            psum.i_row.eq(parameters.o_psum),
            psum.i_valid.eq(tensor.o_valid),
            psum.i_accumulate.eq(parameters.o_accumulate),
            psum.i_data.eq(tensor.o_sums),
            copier.i_active.eq(active),
            copier.i_last.eq(parameters.o_last),
            copier.i_start.eq(bus.write & (bus.index == Parameter.COMMAND)),
            copier.i_dram.eq(parameters.o_dram),
            copier.i_data.eq(sbuf.o_data),
            tensor.i_active.eq(active),
            tensor.i_last.eq(parameters.o_last),
            tensor.i_row.eq(parameters.o_row),
            tensor.i_swap.eq(parameters.o_swap),
            tensor.i_lanes.eq(parameters.o_lanes),
            tensor.i_data.eq(sbuf.o_data),
            evict.i_active.eq(active.evict),
            evict.i_last.eq(parameters.o_last),
            evict.i_flags.eq(parameters.o_flags),
            evict.i_row.eq(psum.o),
            evict.i_channel.eq(tensor.o_channel),
            evict.i_channel_line.eq(parameters.o_count),
            evict.i_line.eq(sbuf.o_data),
            bus.busy.eq(parameters.o_busy),
            bus.error.eq(copier.o_error),
            bus.error_address.eq(parameters.o_dram),
            bus.fetched.eq(copier.o_fetched),
            bus.moved.eq(sbuf.i_valid | tensor.o_valid | copier.o_moved),
        ]
        return m

    def _parameters(self, m: Module, parameters: Parameters, copier: Copier, tensor: CompactTensor, evict: Evict) -> None:
        bus = self.bus
        m.d.comb += [
            parameters.write.eq(bus.write),
            parameters.index.eq(bus.index),
            parameters.data.eq(bus.data),
            parameters.i_step_sbuf.eq(copier.o_step_sbuf | tensor.o_read | evict.o_step_sbuf),
            parameters.i_step_dram.eq(copier.o_step_dram),
            parameters.i_step_count.eq(copier.o_step_dram | tensor.o_read | evict.o_step_sbuf),
            parameters.i_step_psum.eq(tensor.o_valid | evict.o_step_psum),
            parameters.i_step_row.eq(tensor.o_step_row),
            parameters.i_swapped.eq(tensor.o_swapped),
            parameters.i_done.eq(copier.o_done | tensor.o_done | evict.o_done),
        ]

    def _line(self, m: Module, copier: Copier, evict: Evict) -> Signal:
        """The line on its way to SBUF or the processor: whole from DRAM, octet by octet from the output stage."""
        line = Signal(8 * self._config.line_bytes, reset_less=True)
        with m.If(copier.o_take | evict.o_put):
            m.d.sync += line.eq(Mux(evict.o_put, Cat(line[8:], evict.o_octet), self.m_axi_rdata))
        m.d.comb += self.bus.word.eq(line[:32])
        if self._config.line_bytes > 4:
            place = Signal.like(copier.i_dram[2 : (self._config.line_bytes - 1).bit_length()])
            m.d.sync += place.eq(copier.i_dram[2 : 2 + len(place)])
            m.d.comb += self.bus.word.eq(line.word_select(place, 32))
        return line
