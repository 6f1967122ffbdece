"""The registers of the board: hw/host/protocol.py lists them."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bus import HostBus, RegisterPort
from .protocol import ANALYSER_BASE, BLOCK_BYTES, BOARD_MAGIC, BOARD_REGISTERS, PROTOCOL_VERSION, RECEIVE_BUFFER, SELF_TEST_BASE

#: Registers whose value the board's builder gives.
IDENTITY = ("CONFIG_HASH", "MEMORY_BYTES", "SBUF_BYTES", "CLOCK_HZ")
#: What the counters count up to.
MOST_COUNTED = 255


class BoardRegisters(wiring.Component):
    """Board registers and, if built, the blocks of self-test and logic analyser. Addresses where nothing is are errors; writes to what is
    read-only change nothing.

    Latency: every access is answered in the cycle after it. Reset clears counters and SCRATCH.

    Parameters
    ----------
    identity : mapping of str to int
        Values of the registers in `IDENTITY`.
    self_test, analyser : bool
        Whether the block is there.

    Members
    -------
    bus : In(HostBus)
    self_test, analyser : Out(RegisterPort)
        `write` and `read` are flip-flops; `address` and `value` are those of the request.
    i_irq : In(1)
        Level shown in STATUS.
    i_bad, i_dropped, i_error : In(1)
        Pulses, counted.
    reset : Out(1)
        Pulse: RESET was written; in the cycle of the response.

    Raises
    ------
    ValueError
        if `identity` is not these registers, or a value has more than 32 bits.
    """

    def __init__(self, *, identity: Mapping[str, int], self_test: bool, analyser: bool) -> None:
        if set(identity) != set(IDENTITY):
            raise ValueError(f"identity must be {', '.join(IDENTITY)}, not {', '.join(identity) or 'nothing'}")
        for name, value in identity.items():
            if not 0 <= value < 1 << 32:
                raise ValueError(f"{name} must fit 32 bits, not {value!r}")
        self._identity = dict(identity)
        self._blocks = {SELF_TEST_BASE: self_test, ANALYSER_BASE: analyser}
        super().__init__(
            {
                "bus": In(HostBus()), "self_test": Out(RegisterPort()), "analyser": Out(RegisterPort()),
                "i_irq": In(1), "i_bad": In(1), "i_dropped": In(1), "i_error": In(1), "reset": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        request, response = self.bus.request, self.bus.response
        address, written, answers = request.payload.address, request.payload.write, Signal()
        m.d.comb += [request.ready.eq(~answers), response.valid.eq(answers)]
        m.d.sync += answers.eq(request.valid & ~answers)
        fixed = self._identity | {
            "MAGIC": BOARD_MAGIC,
            "PROTOCOL": PROTOCOL_VERSION,
            "RECEIVE_BUFFER": RECEIVE_BUFFER,
            "FEATURES": sum(present << bit for bit, present in enumerate(self._blocks.values())),
        }
        scratch = Signal(32)
        values: dict[str, Any] = fixed | {
            "STATUS": self.i_irq,
            "RESET": 0,
            "BAD_FRAMES": self._counter(m, "bad_frames", self.i_bad),
            "DROPPED_FRAMES": self._counter(m, "dropped_frames", self.i_dropped),
            "LINE_ERRORS": self._counter(m, "line_errors", self.i_error),
            "SCRATCH": scratch,
        }
        # Whether the address is one of these: decoded in the cycle of the request, used in that of the answer.
        chosen, missing, inside = Signal(32), Signal(), Signal()
        m.d.sync += inside.eq(address[6:] == 0)
        with m.Switch(address[2:6]):
            for name, register in BOARD_REGISTERS.items():
                with m.Case(register.address >> 2):
                    m.d.comb += chosen.eq(values[name])
            with m.Default():
                m.d.comb += missing.eq(1)
        with m.If(~inside):
            m.d.comb += missing.eq(1)
        own = answers & written & inside
        with m.If(own & (address[2:6] == BOARD_REGISTERS["SCRATCH"].address >> 2)):
            m.d.sync += scratch.eq(request.payload.data)
        m.d.comb += [
            self.reset.eq(own & (address[2:6] == BOARD_REGISTERS["RESET"].address >> 2) & request.payload.data[0]),
            response.data.eq(chosen),
            response.error.eq(missing),
        ]
        self._ports(m, answers)
        return m

    def _ports(self, m: Module, answers: Signal) -> None:
        """The address is at the blocks from the cycle of the request on; what it leads to is used in the next, and so is which block it is of."""
        request, response = self.bus.request, self.bus.response
        asked = request.valid & ~answers
        for port, (base, present) in zip((self.self_test, self.analyser), self._blocks.items(), strict=True):
            chosen, is_chosen = request.payload.address[8:] == base // BLOCK_BYTES, Signal()
            m.d.comb += [port.address.eq(request.payload.address[2:8]), port.value.eq(request.payload.data)]
            m.d.sync += [
                is_chosen.eq(chosen),
                port.write.eq(asked & chosen & request.payload.write),
                port.read.eq(asked & chosen & ~request.payload.write),
            ]
            if present:
                with m.If(is_chosen):
                    m.d.comb += [response.data.eq(port.data), response.error.eq(0)]

    def _counter(self, m: Module, name: str, event: Signal) -> Signal:
        count = Signal(range(MOST_COUNTED + 1), name=name)
        with m.If(event & (count != MOST_COUNTED)):
            m.d.sync += count.eq(count + 1)
        return count
