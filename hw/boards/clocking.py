"""From an oscillator to a running board top: what the tops of every family have in common."""

from abc import abstractmethod
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, DomainRenamer, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .board import Board

#: Cycles the reset lasts after the PLL has locked: 34 microseconds at 30 MHz. The block RAM of an iCE40 reads as zero for about 3 microseconds
#: after configuration (reported and measured at https://github.com/YosysHQ/icestorm/issues/76).
RESET_CYCLES = 1024


class PowerOnReset(wiring.Component):
    """Holds a reset until a PLL has been locked for a while. Runs on the PLL's clock and has no reset itself.

    Members
    -------
    locked : In(1)
        Asynchronous.
    reset : Out(1)
        A register. High from power-up; low `cycles` + 3 cycles after `locked` has risen (2 of the synchroniser, `cycles` counted, 1 of the register)
        and high again 4 cycles after it has fallen.

    Parameters
    ----------
    cycles : int
        A power of two.

    Raises
    ------
    ValueError
        if `cycles` is no power of two, or less than 2.
    """

    locked: In(1)
    reset: Out(1, init=1)

    def __init__(self, *, cycles: int = RESET_CYCLES) -> None:
        if cycles < 2 or cycles & (cycles - 1):
            raise ValueError(f"cycles must be a power of two of at least 2, not {cycles!r}")
        self._cycles = cycles
        super().__init__()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        locked = Signal()
        m.submodules.locked = FFSynchronizer(self.locked, locked, reset_less=True)
        count = Signal(self._cycles.bit_length(), reset_less=True)
        with m.If(~locked):
            m.d.sync += count.eq(0)
        with m.Elif(~count[-1]):
            m.d.sync += count.eq(count + 1)
        m.d.sync += self.reset.eq(~count[-1])
        return m


class FamilyTop(wiring.Component):
    """Pads of a board around `BoardTop`: PLL, reset, synchroniser of the UART input, LEDs. Base of the tops of each family.

    Members
    -------
    oscillator : In(1)
        `board.oscillator_hz`.
    rx, tx : In(1), Out(1)
        The UART, idle high.
    leds : Out(len(board.leds))

    Parameters
    ----------
    board : Board
        Of the family.
    inner : wiring.Component
        What runs on the board, `BoardTop`: its members are `rx`, `tx` and `leds`, and the clock domain is `sync`. It may have a part in domain
        `chip`, of the same clock, whose reset it asks for with the member `o_reset`.

    Raises
    ------
    ValueError
        if the board is of another family.
    ConfigError
        if the PLL cannot make `board.chip_hz`.
    """

    #: Of whose boards this is the top.
    FAMILY = ""
    #: Pads a family or board has beside those of all: name -> member.
    EXTRA: dict[str, wiring.Member] = {}

    def __init__(self, *, board: Board, inner: wiring.Component) -> None:
        if board.family != self.FAMILY:
            raise ValueError(f"board must be of family {self.FAMILY}, not {board.family!r} ({board.name}): use its own top")
        self._board, self._inner = board, inner
        super().__init__({"oscillator": In(1), "rx": In(1), "tx": Out(1), "leds": Out(len(board.leds)), **self.EXTRA})

    @abstractmethod
    def clock(self, m: Module, clock: Signal, locked: Signal) -> None:
        """Adds the PLL that makes `clock` and `locked` of `self.oscillator`."""

    def spread(self, m: Module, reset: Signal) -> Signal:
        """What brings the register `reset` to the thousands of flip-flops of the chip: itself, unless the family has a network for it."""
        return reset

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        board = self._board
        m.domains.power_on = ClockDomain(reset_less=True)
        m.domains.sync = ClockDomain()
        m.domains.chip = ClockDomain()
        clock, locked, rx = Signal(), Signal(), Signal(init=1)
        self.clock(m, clock, locked)
        power_on = PowerOnReset()
        m.submodules.power_on_reset = DomainRenamer("power_on")(power_on)
        m.submodules.synchroniser = FFSynchronizer(self.rx, rx, init=1)
        m.submodules.top = top = self._inner
        # To thousands of flip-flops: from one of its own, with nothing behind it.
        chip_reset = Signal(init=1)
        asked = top.o_reset if "o_reset" in top.signature.members else Const(0)
        m.d.power_on += chip_reset.eq(power_on.reset | asked)
        shown = Cat(Value.cast(top.leds)[led] for led in board.leds)
        m.d.comb += [
            ClockSignal("power_on").eq(clock),
            ClockSignal("sync").eq(clock),
            ClockSignal("chip").eq(clock),
            power_on.locked.eq(locked),
            ResetSignal("sync").eq(power_on.reset),
            ResetSignal("chip").eq(self.spread(m, chip_reset)),
            top.rx.eq(rx),
            self.tx.eq(top.tx),
            self.leds.eq(~shown if board.leds_active_low else shown),
        ]
        return m
