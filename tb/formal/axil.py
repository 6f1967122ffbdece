"""`AxiLite`: one pulse and one response for every access, none without, and service in bounded time."""

from typing import Any

from amaranth.hdl import Assert, Cat, Cover, Module, Mux, Signal
from amaranth.lib import wiring

from hw.control.axil import AxiLite

from .rules import free
from .runner import Proof

#: Cycles that the registers take at most to answer.
ANSWER = 2
#: Cycles a manager that is ready waits at most for a pulse, once what it takes is held: for the end of its last access and one of the other kind.
#: A write goes first if both can, so that a read waits for one cycle more.
WRITE_WAIT, READ_WAIT = ANSWER + 3, ANSWER + 4


def _device(m: Module) -> tuple[Any, Any, Any, Any]:
    """The device under any manager and any registers: its pins, its bus, and whether a write and a read are on the bus."""
    m.submodules.dut = dut = AxiLite()
    for name in ("awaddr", "awprot", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arprot", "arvalid", "rready"):
        free(m, getattr(dut.axil, name))
    bus = dut.bus
    free(m, bus.read_data)
    # An access is answered once, at any time up to the last.
    free(m, answers := Signal())
    write_on, read_on, waited = Signal(), Signal(), Signal(range(ANSWER + 1))
    writes, reads = bus.write | write_on, bus.read | read_on
    m.d.comb += [
        bus.answered.eq((writes | reads) & (answers | (waited == ANSWER))),
        Assert(~(writes & reads)),
        Assert(~((bus.write | bus.read) & (write_on | read_on))),
    ]
    m.d.sync += [
        write_on.eq(writes & ~bus.answered),
        read_on.eq(reads & ~bus.answered),
        waited.eq(Mux((writes | reads) & ~bus.answered, waited + 1, 0)),
    ]
    return dut.axil, bus, writes, reads


class AxilSpec(wiring.Component):
    """Any manager, even one that drops its valids, and any registers. Counts what is accepted and what is answered, apart from the device."""

    def __init__(self) -> None:
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pins, bus, on_write, on_read = _device(m)
        aw, w, b, ar, r = (getattr(pins, f"{channel}valid") & getattr(pins, f"{channel}ready") for channel in ("aw", "w", "b", "ar", "r"))
        written, read = on_write & bus.answered, on_read & bus.answered
        addresses, datas, writes, asked, reads = (
            self._open(m, name, opens, closes)
            for name, opens, closes in (
                ("addresses", aw, written), ("datas", w, written), ("writes", written, b), ("asked", ar, read), ("reads", read, r),
            )
        )  # fmt: skip
        m.d.comb += [
            Assert(~on_write | ((addresses == 1) & (datas == 1) & (writes == 0))),
            Assert(~on_read | ((asked == 1) & (reads == 0))),
            Assert(pins.awready == (addresses == 0)),
            Assert(pins.wready == (datas == 0)),
            Assert(pins.arready == (asked == 0)),
            Assert(pins.bvalid == (writes == 1)),
            Assert(pins.rvalid == (reads == 1)),
            Assert((pins.bresp == 0) & (pins.rresp == 0)),
            Cover(b & bus.read & aw),
            Cover(r & bus.write),
        ]
        self._contents(m, pins, bus, w, datas, reads, read)
        self._holds(m, "b", pins.bvalid, pins.bready, pins.bresp)
        self._holds(m, "r", pins.rvalid, pins.rready, Cat(pins.rdata, pins.rresp))
        return m

    @staticmethod
    def _open(m: Module, name: str, opens: Any, closes: Any) -> Signal:
        """Counts what is open: never more than one, and nothing closes that was not opened."""
        count = Signal(2, name=name)
        m.d.sync += count.eq(count + opens - closes)
        m.d.comb += [Assert(count <= 1), Assert(~closes | (count != 0))]
        return count

    @staticmethod
    def _contents(m: Module, pins: Any, bus: Any, w: Any, datas: Any, reads: Any, answered: Any) -> None:
        """A write carries the data accepted for it, to its end; a read answers what the registers said."""
        data, strobe = Signal(32), Signal(4)
        answer = Signal(32)
        with m.If(w):
            m.d.sync += [data.eq(pins.wdata), strobe.eq(pins.wstrb)]
        with m.If(answered):
            m.d.sync += answer.eq(bus.read_data)
        m.d.comb += [
            Assert((datas == 0) | ((bus.write_data == data) & (bus.write_strobe == strobe))),
            Assert((reads == 0) | (pins.rdata == answer)),
            Cover(bus.write & (data == 0x1234) & (strobe == 3)),
        ]

    @staticmethod
    def _holds(m: Module, name: str, valid: Any, ready: Any, payload: Any) -> None:
        waiting, before = Signal(name=f"{name}_waiting"), Signal(len(payload), name=f"{name}_before")
        m.d.sync += [waiting.eq(valid & ~ready), before.eq(payload)]
        m.d.comb += [Assert(~waiting | (valid & (payload == before))), Cover(waiting & valid & ready)]


class ServiceSpec(wiring.Component):
    """An access goes to the address accepted for it, and nobody who is ready waits long. Nothing shows that address before, nor a device that waits for
    an answer to nothing, so no induction closes: to a depth only."""

    def __init__(self) -> None:
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pins, bus, on_write, on_read = _device(m)
        for kind, channel, on in (("write", "aw", on_write), ("read", "ar", on_read)):
            address = Signal.like(bus.address, name=f"{kind}_address")
            with m.If(getattr(pins, f"{channel}valid") & getattr(pins, f"{channel}ready")):
                m.d.sync += address.eq(getattr(pins, f"{channel}addr"))
            m.d.comb += [Assert(~on | (bus.address == address)), Cover(on & bus.answered & (address == 8))]
        self._bounded(m, "write", ~pins.awready & ~pins.wready & pins.bready & ~on_write, bus.write, WRITE_WAIT)
        self._bounded(m, "read", ~pins.arready & pins.rready & ~on_read, bus.read, READ_WAIT)
        return m

    @staticmethod
    def _bounded(m: Module, name: str, wants: Any, served: Any, limit: int) -> None:
        """`limit` cycles of wanting, in a row, are the most there are: they are followed by service."""
        waited = Signal(range(limit + 2), name=f"{name}_waited")
        m.d.sync += waited.eq(Mux(wants, waited + (waited <= limit), 0))
        m.d.comb += [Assert(waited <= limit), Cover(served & (waited == limit))]


PROOFS = (
    Proof(
        name="axil.accesses",
        doc="registers' bus: one pulse and one response an access, none without, one at a time; B and R hold",
        spec=AxilSpec,
        depth=10,
        cover_depth=14,
    ),
    Proof(
        name="axil.service",
        doc="registers' bus: an access goes to the address accepted for it; who is ready is served in a bounded time",
        spec=ServiceSpec,
        mode="bmc",
        depth=18,
        cover_depth=18,
    ),
)
