"""The chip: wiring of sequencers, engines, memories, registers and the AXI ports. Contracts: docs/interfaces.md."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from .common.config import ARCHITECTURE_VERSION, ChipConfig
from .common.dtypes import DTYPES
from .common.isa import ENGINES, INSTRUCTIONS, instructions_of
from .common.registers import MAGIC, SPACE_BYTES, engine_register
from .common.streams import connect_streams
from .control.axil import AxiLite, axil_signature, share_bus
from .control.counters import COUNTER_REGISTERS, Counters
from .control.csr import RegisterFile
from .control.decode import snake
from .control.job import JobControl
from .control.semaphores import Semaphores
from .control.sequencer import Sequencer
from .control.window import Window
from .dma.load import LoadDma
from .dma.pins import AxiPins, axi_pin_members, connect_axi_pins
from .dma.read_mux import ReadMux
from .dma.store import StoreDma
from .memory.access import LineAccess
from .memory.ports import SbufAccess
from .memory.psum import PsumBanks
from .memory.sbuf import PORTS, Sbuf
from .tensor.engine import TensorEngine
from .vector.output import OutputStage

#: Bit of `trace_start` and `trace_done` of every instruction.
TRACE_CHANNELS: dict[str, int] = {"Load": 0, "LoadStationary": 1, "MultiplyMoving": 2, "LoadChannel": 3, "Evict": 3, "Store": 4}

_AXIL = axil_signature((SPACE_BYTES - 1).bit_length())


class Chip(wiring.Component):
    """One Meshium chip: a tensor engine, its memories, two DMA directions, an output stage and their sequencers.

    The host writes programs and data to DRAM, the queue registers, then the doorbell; the interrupt says the job has ended.
    Synchronous reset `rst`; memories are undefined after it, everything else idle.

    Parameters
    ----------
    config : ChipConfig
        With `rows == cols`.

    Members
    -------
    s_axil_* : AXI4-Lite subordinate, 32 bits, `SPACE_BYTES` of registers
    m_axi_* : AXI4 manager, one line of data
    debug : In(SbufAccess)
        Lines of SBUF for the host and the self-test, after the engines (`hw.memory.access.LineAccess`). All low if nobody asks.
    irq : Out(1)
        High while an enabled interrupt cause is pending.
    trace_start, trace_done : Out(5)
        An instruction of the channel (`TRACE_CHANNELS`) is dispatched, completes.
    trace_state_<engine> : Out(3)
        `hw.control.counters.TraceState`.

    Raises
    ------
    ConfigError
        if the configuration makes no chip.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        config.require_chip()
        self._config = config
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
        m.submodules.axil = axil = AxiLite()
        m.submodules.registers = registers = RegisterFile(elsewhere=COUNTER_REGISTERS)
        m.submodules.job = job = JobControl()
        m.submodules.counters = counters = Counters(config=config)
        m.submodules.semaphores = semaphores = Semaphores(config=config)
        m.submodules.window = window = Window(config=config)
        m.submodules.sbuf = sbuf = Sbuf(config=config)
        m.submodules.access = access = LineAccess(config=config)
        m.submodules.psum = psum = PsumBanks(config=config)
        m.submodules.tensor = tensor = TensorEngine(config=config)
        m.submodules.output = output = OutputStage(config=config)
        m.submodules.load = load = LoadDma(config=config)
        m.submodules.store = store = StoreDma(config=config)
        m.submodules.read_mux = read_mux = ReadMux(config=config)
        m.submodules.pins = pins = AxiPins(config=config)
        engines: dict[str, Any] = {"load": load, "tensor": tensor, "output": output, "store": store}
        sequencers = {name: Sequencer(config=config, engine=name) for name in ENGINES}
        for name, sequencer in sequencers.items():
            m.submodules[f"{name}_sequencer"] = sequencer

        for name, member in _AXIL.members.items():
            pin, inner = getattr(self, f"s_axil_{name}"), getattr(axil.axil, name)
            m.d.comb += inner.eq(pin) if member.flow is Out else pin.eq(inner)
        connect_axi_pins(m, self, pins, config)
        share_bus(m, axil.bus, registers.bus, counters.bus)
        connect(m, tensor.sbuf_stationary, sbuf.stationary)
        connect(m, tensor.sbuf_moving, sbuf.moving)
        connect(m, output.sbuf, sbuf.output)
        connect(m, load.sbuf, access.load)
        connect(m, store.sbuf, access.store)
        connect(m, access.sbuf_load, sbuf.load)
        connect(m, access.sbuf_store, sbuf.store)
        connect(m, wiring.flipped(self.debug), access.debug)
        connect(m, tensor.psum, psum.write)
        connect(m, output.psum, psum.read)
        connect(m, load.axi, read_mux.ports[0])
        connect(m, store.axi, pins.write)
        connect_streams(m, read_mux.request, pins.read.request)
        connect_streams(m, pins.read.response, read_mux.response)

        for name, engine in ENGINES.items():
            self._engine(m, name, sequencers[name], engines[name], registers)
            connect(m, sequencers[name].fetch, read_mux.ports[1 + engine.index])
            connect(m, sequencers[name].wait, semaphores.wait[engine.index])
            for slot in range(2):
                connect(m, sequencers[name].post[slot], semaphores.post[engine.index][slot])
        # To thousands of flip-flops: from one of its own.
        start = Signal()
        m.d.sync += start.eq(job.o_start)
        m.d.comb += [
            semaphores.i_clear.eq(start),
            window.i_hold.eq(job.o_running),
            window.i_base.eq(Cat(registers.r_dram_base_lo, registers.r_dram_base_hi)),
            window.i_size.eq(Cat(registers.r_dram_size_lo, registers.r_dram_size_hi)),
        ]
        m.d.comb += [sequencer.i_window.eq(window.o) for sequencer in sequencers.values()]
        m.d.comb += [block.i_start.eq(start) for block in (tensor, load, store, *sequencers.values())]
        for name in ("load", "store"):
            connect(m, engines[name].error, sequencers[name].i_error)

        self._job(m, job, start, sequencers, engines, registers, moved=self._moved(sbuf, access, psum, pins))
        self._count(m, counters, job, sequencers, tensor, sbuf)
        self._registers(m, registers, job, counters, sequencers)
        self._trace(m, sequencers)
        return m

    def _engine(self, m: Module, name: str, sequencer: Any, engine: Any, registers: Any) -> None:
        """Commands, completions and queue registers of one engine."""

        def register(which: str) -> Any:
            return getattr(registers, f"r_{engine_register(name, which).lower()}")

        for instruction in instructions_of(name):
            inner = snake(instruction.name)
            connect_streams(m, getattr(sequencer, f"o_{inner}"), getattr(engine, f"i_{inner}"))
            m.d.comb += getattr(sequencer, f"done_{inner}").eq(getattr(engine, f"done_{inner}"))
        m.d.comb += [
            sequencer.engine_state.eq(engine.o_state),
            sequencer.i_base.eq(Cat(register("QUEUE_BASE_LO"), register("QUEUE_BASE_HI"))),
            sequencer.i_count.eq(register("QUEUE_COUNT")),
            register("RETIRED").eq(sequencer.o_retired),
            register("CAUSE").eq(sequencer.o_cause),
            register("INDEX").eq(sequencer.o_index),
            Cat(register("ADDRESS_LO"), register("ADDRESS_HI")).eq(sequencer.o_address),
        ]

    def _moved(self, sbuf: Any, access: Any, psum: Any, pins: Any) -> list[Value]:
        """The transfers of engines with a memory or AXI in this cycle: what the watchdog calls progress, beside the sequencers'."""
        # The DMA's own requests, in front of the access of others to their ports.
        ports = {name: access if name in ("load", "store") else sbuf for name in PORTS}
        transfers = [getattr(port, name).request for name, port in ports.items()] + [psum.read.request]
        transfers += [pins.read.request, pins.read.response, pins.write.request, pins.write.data, pins.write.response]
        return [psum.write.valid, *(item.valid & item.ready for item in transfers)]

    def _job(
        self,
        m: Module,
        job: JobControl,
        start: Signal,
        sequencers: dict[str, Any],
        engines: dict[str, Any],
        registers: Any,
        *,
        moved: list[Value],
    ) -> None:
        units = list(sequencers.values())
        m.d.comb += [job.i_start.eq(registers.r_control[0]), job.i_watchdog.eq(registers.r_watchdog)]
        # What the job is judged by is a cycle old: it comes from everywhere. Until the units have started nothing of the job before may be left.
        judged = [
            (job.i_halted, Cat(unit.o_halted for unit in units)),
            (job.i_finished, Cat(unit.o_finished for unit in units)),
            (job.i_waiting, Cat(unit.o_waiting for unit in units)),
            (job.i_inflight, Cat(unit.o_inflight for unit in units)),
            (job.i_active, Cat(engine.o_state.as_value().any() for engine in engines.values())),
            (job.i_progress, Cat(*moved, *(unit.o_progress for unit in units))),
        ]
        for target, value in judged:
            seen = Signal(len(value), name=f"seen_{target.name}")
            m.d.sync += seen.eq(Mux(job.o_start | start, 0, value))
            if len(target) == 1:
                # Of many: summed up a cycle later.
                moving = Signal()
                m.d.sync += moving.eq(seen.any())
                seen = moving
            m.d.comb += target.eq(seen)
        # So are its orders.
        halt, cause = Signal.like(job.o_halt), Signal.like(job.o_halt_cause)
        m.d.sync += [halt.eq(job.o_halt), cause.eq(job.o_halt_cause)]
        for index, unit in enumerate(units):
            m.d.comb += [unit.i_halt.eq(halt[index]), unit.i_halt_cause.eq(cause)]

    def _count(self, m: Module, counters: Counters, job: JobControl, sequencers: dict[str, Any], tensor: Any, sbuf: Any) -> None:
        unit = sequencers["tensor"]
        # A cycle late, all alike.
        waiting = Signal(len(PORTS))
        m.d.sync += [
            counters.i_start.eq(job.o_start),
            counters.i_running.eq(job.o_running),
            counters.i_tensor_start.eq(Cat(self._dispatched(sequencers, item.name) for item in instructions_of("tensor")).any()),
            counters.i_tensor_done.eq(unit.done_multiply_moving),
            counters.i_row.eq(tensor.o_row),
            counters.i_lanes.eq(tensor.o_lanes),
            waiting.eq(sbuf.o_waiting),
        ]
        m.d.comb += counters.i_conflicts.eq(sum(waiting))
        for index, unit in enumerate(sequencers.values()):
            m.d.sync += counters.i_state[index].eq(unit.o_state)

    def _registers(self, m: Module, registers: Any, job: JobControl, counters: Counters, sequencers: dict[str, Any]) -> None:
        config = self._config
        dtypes = sum(1 << DTYPES[name].code for name in config.dtypes)
        m.d.comb += [
            registers.r_magic.eq(MAGIC),
            registers.r_version.eq(ARCHITECTURE_VERSION),
            registers.r_config_hash.eq(config.hash),
            registers.r_geometry.eq(config.rows | config.cols << 8 | config.element_bytes << 16 | dtypes << 24),
            registers.r_status[0:4].eq(Cat(job.o_running, job.o_done, job.o_error, job.o_stuck)),
            registers.r_status[8:20].eq(Cat(job.i_halted, job.i_finished, job.i_waiting)),
            registers.set_irq_status.eq(Cat(job.o_ended, job.o_failed)),
            self.irq.eq((registers.r_irq_status & registers.r_irq_enable).any()),
            registers.r_error_engine[0:4].eq(job.o_first_engine),
            registers.r_error_engine[31].eq(job.o_first_valid),
            registers.r_tensor_span.eq(counters.tensor_span),
        ]

    def _dispatched(self, sequencers: dict[str, Any], name: str) -> Any:
        commands = getattr(sequencers[INSTRUCTIONS[name].engine], f"o_{snake(name)}")
        return commands.valid & commands.ready

    def _trace(self, m: Module, sequencers: dict[str, Any]) -> None:
        for channel in set(TRACE_CHANNELS.values()):
            names = [name for name, value in TRACE_CHANNELS.items() if value == channel]
            done = [getattr(sequencers[INSTRUCTIONS[name].engine], f"done_{snake(name)}") for name in names]
            m.d.comb += [
                self.trace_start[channel].eq(Cat(self._dispatched(sequencers, name) for name in names).any()),
                self.trace_done[channel].eq(Cat(done).any()),
            ]
        for name, sequencer in sequencers.items():
            m.d.comb += getattr(self, f"trace_state_{name}").eq(sequencer.o_state)


def make_chip(config: ChipConfig) -> Any:
    """The chip of a configuration: a `Chip`, or a `hw.compact.chip.CompactChip`, which has the same members.

    Raises
    ------
    ConfigError
        if the configuration makes no chip.
    """
    if config.control == "compact":
        # It is built of parts of this one.
        from .compact.chip import CompactChip

        return CompactChip(config=config)
    return Chip(config=config)
