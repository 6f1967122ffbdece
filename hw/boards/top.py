"""What runs on every board: the chip, a memory behind its AXI port, and the host link to both. Clock and pads are the family's."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from amaranth.hdl import Cat, DomainRenamer, Module, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out, connect

from ..chip import make_chip
from ..common.isa import ENGINES
from ..common.registers import SPACE_BYTES
from ..control.axil import axil_signature
from ..control.counters import TraceState
from ..debug.analyser import Analyser
from ..debug.probes import CHIP_PROBES
from ..debug.self_test import SelfTest
from ..dma.pins import axi_pin_members
from ..host.csr import CsrAccess
from ..host.lines import AccessMux, WordAccess
from ..host.link import HostLink
from ..host.registers import BoardRegisters
from .board import LEDS, Board
from .memory import BoardMemory

#: What a LED shows stays for at least a sixteenth of a heartbeat, so that it can be seen.
BEATS = 16


class Led(IntEnum):
    """What a bit of `leds` shows."""

    HEARTBEAT = 0
    """The clock runs: about once a second."""
    RUNNING = 1
    """An engine of the chip is at work or waits."""
    IRQ = 2
    """The chip's interrupt."""
    RECEIVING = 3
    """Octets come in."""
    SENDING = 4
    """Octets go out."""
    LINK_ERROR = 5
    """A frame was bad or had no room, or an octet no stop bit, since power-up."""
    MEMORY = 6
    """The chip moves data over AXI."""
    HALTED = 7
    """An engine has halted with an error."""


class BoardTop(wiring.Component):
    """The whole design but for clock and pads, in the domain `sync`.

    The reset of the domain resets all of it; the board's RESET register the chip, its AXI port and the self-test, for one cycle, in the middle of
    whatever they do.

    Parameters
    ----------
    board : Board
    domain : str, optional
        Clock domain of what the RESET register resets: on the clock of `sync`, and reset with `sync` and in the cycle after `o_reset`. Without one it
        is `sync`, and this block does the rest.

    Members
    -------
    rx : In(1), tx : Out(1)
        The UART, high when idle; `rx` may be asynchronous.
    leds : Out(LEDS)
        See `Led`.
    o_reset : Out(1)
        The RESET register was written.
    """

    def __init__(self, *, board: Board, domain: str | None = None) -> None:
        board.config.require_chip()
        self._board, self._domain = board, domain
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "leds": Out(LEDS), "o_reset": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        board, config = self._board, self._board.config
        link = HostLink(divisor=board.divisor, address_bits=board.link_address_bits)
        identity = {
            "CONFIG_HASH": config.hash, "MEMORY_BYTES": board.memory_bytes, "SBUF_BYTES": config.sbuf_bytes, "CLOCK_HZ": board.chip_hz,
        }  # fmt: skip
        registers = BoardRegisters(identity=identity, self_test=board.self_test, analyser=bool(board.analyser_depth))
        chip, memory = make_chip(config), BoardMemory(config=config, memory_bytes=board.memory_bytes)
        csr, lines = CsrAccess(), WordAccess(config=config)
        m.submodules.link, m.submodules.registers = link, registers
        m.d.comb += self.o_reset.eq(registers.reset)
        resettable = self._resettable(m)
        for name, unit in {"chip": chip, "memory": memory, "csr": csr, "lines": lines}.items():
            m.submodules[name] = resettable(unit)
        m.d.comb += [link.rx.eq(self.rx), self.tx.eq(link.tx), link.restart.eq(registers.reset), registers.i_irq.eq(chip.irq)]
        m.d.comb += [registers.i_bad.eq(link.bad), registers.i_dropped.eq(link.dropped), registers.i_error.eq(link.error)]
        connect(m, link.board, registers.bus)
        connect(m, link.csr, csr.bus)
        connect(m, link.memory, memory.host)
        connect(m, link.sbuf, lines.bus)
        self._connect_chip(m, chip, memory, csr)
        if board.self_test:
            m.submodules.access = resettable(mux := AccessMux(config=config))
            m.submodules.self_test = resettable(test := SelfTest(config=config))
            connect(m, registers.self_test, test.registers)
            connect(m, lines.sbuf, mux.host)
            connect(m, test.sbuf, mux.test)
            connect(m, mux.sbuf, chip.debug)
        else:
            connect(m, lines.sbuf, chip.debug)
        if board.analyser_depth:
            self._analyse(m, registers, chip)
        self._show(m, link, chip)
        return m

    def _resettable(self, m: Module) -> Callable[[Any], Any]:
        """Puts a unit where the RESET register resets it, a cycle later."""
        if self._domain is not None:
            return DomainRenamer(self._domain)
        reset = Signal()
        m.d.sync += reset.eq(self.o_reset)
        return ResetInserter(reset)

    def _analyse(self, m: Module, registers: BoardRegisters, chip: Any) -> None:
        """The logic analyser. RESET leaves it alone, so that it can see what happens then."""
        rx = Signal(init=1)
        m.submodules.analyser_rx = FFSynchronizer(self.rx, rx, init=1)
        probes = {name: getattr(chip, name) for name in CHIP_PROBES} | {"rx": rx, "tx": self.tx}
        widths = {name: len(Value.cast(value)) for name, value in probes.items()}
        m.submodules.analyser = analyser = Analyser(probes=widths, depth=self._board.analyser_depth)
        # All of them a cycle late: some come from all over the chip.
        m.d.sync += [getattr(analyser, f"i_{name}").eq(value) for name, value in probes.items()]
        connect(m, registers.analyser, analyser.registers)

    def _connect_chip(self, m: Module, chip: Any, memory: BoardMemory, csr: CsrAccess) -> None:
        """The chip's pins: registers to the bridge, AXI to the memory."""
        for name, member in axi_pin_members(self._board.config).items():
            pin, port = getattr(chip, name), getattr(memory, name)
            m.d.comb += port.eq(pin) if member.flow is Out else pin.eq(port)
        for name, member in axil_signature((SPACE_BYTES - 1).bit_length()).members.items():
            pin, port = getattr(chip, f"s_axil_{name}"), getattr(csr.axil, name)
            m.d.comb += pin.eq(port) if member.flow is Out else port.eq(pin)

    def _show(self, m: Module, link: HostLink, chip: Any) -> None:
        """Events are shown until the tick after the next."""
        bits = (self._board.chip_hz - 1).bit_length()
        time = Signal(bits)
        tick = Signal()
        m.d.sync += [time.eq(time + 1), tick.eq(time[: bits - (BEATS - 1).bit_length()].all())]
        states = [Value.cast(getattr(chip, f"trace_state_{engine}")) for engine in ENGINES]
        # From far away, so they pass a register of their own.
        halted, working = Signal(len(states)), Signal(len(states))
        m.d.sync += [
            halted.eq(Cat(state == TraceState.HALTED for state in states)),
            working.eq(Cat((state != TraceState.IDLE) & (state != TraceState.HALTED) for state in states)),
        ]
        moving = (chip.m_axi_rvalid & chip.m_axi_rready) | (chip.m_axi_wvalid & chip.m_axi_wready)
        events = {Led.RECEIVING: link.received, Led.SENDING: link.sent, Led.MEMORY: moving}
        for led, event in events.items():
            seen = Signal(name=f"seen_{led.name.lower()}")
            with m.If(tick):
                m.d.sync += [self.leds[led].eq(seen), seen.eq(event)]
            with m.Elif(event):
                m.d.sync += [self.leds[led].eq(1), seen.eq(1)]
        with m.If(link.bad | link.dropped | link.error):
            m.d.sync += self.leds[Led.LINK_ERROR].eq(1)
        m.d.sync += [
            self.leds[Led.HEARTBEAT].eq(time[-1]),
            self.leds[Led.RUNNING].eq(working.any()),
            self.leds[Led.IRQ].eq(chip.irq),
            self.leds[Led.HALTED].eq(halted.any()),
        ]
