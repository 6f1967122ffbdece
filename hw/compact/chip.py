"""The compact chip: processor, registers and datapath. How it works: docs/compact.md."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..chip import TRACE_CHANNELS
from ..common.config import ChipConfig
from ..common.isa import ENGINES
from ..common.registers import SPACE_BYTES
from ..control.axil import axil_signature
from ..control.sequencer import TraceState
from ..dma.pins import axi_pin_members
from ..memory.ports import SbufAccess
from .datapath import Datapath
from .encoding import Control, Output
from .memory_map import ENGINE_STEP
from .processor import Processor
from .program import program
from .registers import RegisterPort

_AXIL = axil_signature((SPACE_BYTES - 1).bit_length())


class CompactChip(wiring.Component):
    """One Meshium chip in a few thousand LUTs: it looks like `hw.chip.Chip` and runs the same programs, one instruction at a time.

    Registers answer once the firmware has written them, `program.BOOT_CYCLES` cycles after reset, and again once it has taken a start.

    Parameters
    ----------
    config : ChipConfig
        With `control` "compact", int8 alone, and an `axi_address_width` of at most 31.

    Members
    -------
    The same as those of `hw.chip.Chip`. Of `trace_state_<engine>` there are `IDLE`, `BUSY` (from the first command of an instruction to the end of its
    last), `FETCH` (and check), `SEMAPHORE` and `HALTED`.

    Raises
    ------
    ConfigError
        if the configuration makes no compact chip.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        config.require_chip()
        self._config = config
        self._program = program(config)
        channels = max(TRACE_CHANNELS.values()) + 1
        super().__init__(
            {f"s_axil_{name}": member.flip() for name, member in _AXIL.members.items()}
            | axi_pin_members(config)
            | {"debug": In(SbufAccess(config)), "irq": Out(1), "trace_start": Out(channels), "trace_done": Out(channels)}
            | {f"trace_state_{engine}": Out(3) for engine in ENGINES}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        m.submodules.processor = processor = Processor(config=config, program=self._program.words)
        m.submodules.registers = registers = RegisterPort()
        m.submodules.datapath = datapath = Datapath(config=config)
        for name, member in _AXIL.members.items():
            pin, inner = getattr(self, f"s_axil_{name}"), getattr(registers.axil, name)
            m.d.comb += inner.eq(pin) if member.flow is Out else pin.eq(inner)
        for name, member in axi_pin_members(config).items():
            inner, outer = getattr(datapath, name), getattr(self, name)
            m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        connect(m, processor.bus, datapath.bus)
        connect(m, registers.registers, processor.registers)
        connect(m, flipped(self.debug), datapath.debug)

        controls = Signal()
        up, idle, moved = Signal(), Signal(), Signal()
        data = processor.o_data
        m.d.comb += [
            controls.eq(processor.o_write & (processor.o_port == Output.CONTROL & 15)),
            processor.i_doorbell.eq(registers.o_doorbell),
            processor.i_restart.eq(registers.o_ring),
            processor.i_moved.eq(moved),
            registers.i_up.eq(up),
            registers.i_idle.eq(idle),
            registers.i_answer.eq(controls & data[Control.ANSWER]),
            self.irq.eq(registers.o_irq),
        ]
        with m.If(controls):
            m.d.comb += registers.i_raise.eq(data[Control.IRQ_DONE : Control.IRQ_ERROR + 1])
            m.d.sync += [up.eq(data[Control.UP]), idle.eq(data[Control.IDLE])]
        with m.If(controls & data[Control.STILL]):
            m.d.sync += moved.eq(0)
        with m.If(datapath.bus.moved):
            m.d.sync += moved.eq(1)
        self._trace(m, processor)
        return m

    def _trace(self, m: Module, processor: Processor) -> None:
        traces, done = Signal(), Signal()
        m.d.comb += [
            traces.eq(processor.o_write & (processor.o_port == Output.TRACE & 15)),
            done.eq(processor.o_write & (processor.o_port == Output.DONE & 15)),
        ]
        m.d.sync += [self.trace_start.eq(0), self.trace_done.eq(0)]
        with m.If(traces):
            m.d.sync += self.trace_start.eq(processor.o_data[3:])
        with m.If(done):
            m.d.sync += self.trace_done.eq(processor.o_data)
        place = (ENGINE_STEP - 1).bit_length()
        for name, engine in ENGINES.items():
            state = getattr(self, f"trace_state_{name}")
            with m.If((traces | done) & (processor.o_x[place : place + 2] == engine.index)):
                m.d.sync += state.eq(processor.o_data[:3])
                with m.If(done):
                    m.d.sync += state.eq(TraceState.IDLE)
