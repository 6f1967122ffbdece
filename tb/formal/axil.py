"""`AxiLite`: one pulse and one response for every access, none without, and an answer in bounded time."""

from typing import Any

from amaranth.hdl import Assert, Cat, Cover, Module, Signal
from amaranth.lib import wiring

from hw.control.axil import AxiLite

from .axi_bursts import free
from .runner import Proof

#: Cycles a manager that is ready waits at most: for a write pulse once address and data are held, and for a read pulse.
WRITE_WAIT, READ_WAIT = 2, 2


def _device(m: Module) -> tuple[Any, Any]:
    """The device under any manager and any registers: its pins and its bus."""
    m.submodules.dut = dut = AxiLite()
    for name in ("awaddr", "awprot", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arprot", "arvalid", "rready"):
        free(m, getattr(dut.axil, name))
    free(m, dut.bus.read_data)
    return dut.axil, dut.bus


class AxilSpec(wiring.Component):
    """Any manager, even one that drops its valids, and any registers. Counts what is accepted and what is answered, apart from the device."""

    def __init__(self) -> None:
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pins, bus = _device(m)
        aw, w, b, ar, r = (getattr(pins, f"{channel}valid") & getattr(pins, f"{channel}ready") for channel in ("aw", "w", "b", "ar", "r"))
        addresses, datas, writes, asked, reads = (
            self._open(m, name, opens, closes)
            for name, opens, closes in (
                ("addresses", aw, bus.write), ("datas", w, bus.write), ("writes", bus.write, b), ("asked", ar, bus.read), ("reads", bus.read, r),
            )
        )  # fmt: skip
        m.d.comb += [
            Assert(~bus.write | ((addresses == 1) & (datas == 1))),
            Assert(~bus.read | (asked == 1)),
            Assert(~(bus.write & bus.read)),
            Assert(pins.awready == (addresses == 0)),
            Assert(pins.wready == (datas == 0)),
            Assert(pins.arready == (asked == 0)),
            Assert(pins.bvalid == (writes == 1)),
            Assert(pins.rvalid == (reads == 1)),
            Assert((pins.bresp == 0) & (pins.rresp == 0)),
            Cover(b & bus.read & aw),
            Cover(r & bus.write),
        ]
        self._contents(m, pins, bus, w, ar, datas, asked, reads)
        self._holds(m, "b", pins.bvalid, pins.bready, pins.bresp)
        self._holds(m, "r", pins.rvalid, pins.rready, Cat(pins.rdata, pins.rresp))
        self._bounded(m, "write", (addresses == 1) & (datas == 1) & pins.bready, bus.write, WRITE_WAIT)
        self._bounded(m, "read", (asked == 1) & pins.rready, bus.read, READ_WAIT)
        return m

    @staticmethod
    def _open(m: Module, name: str, opens: Any, closes: Any) -> Signal:
        """Counts what is open: never more than one, and nothing closes that was not opened."""
        count = Signal(2, name=name)
        m.d.sync += count.eq(count + opens - closes)
        m.d.comb += [Assert(count <= 1), Assert(~closes | (count != 0))]
        return count

    @staticmethod
    def _contents(m: Module, pins: Any, bus: Any, w: Any, ar: Any, datas: Any, asked: Any, reads: Any) -> None:
        """A pulse carries what was accepted for it; a read answers what the registers said at its pulse."""
        data, strobe = Signal(32), Signal(4)
        read, answer = Signal.like(pins.araddr), Signal(32)
        with m.If(w):
            m.d.sync += [data.eq(pins.wdata), strobe.eq(pins.wstrb)]
        with m.If(ar):
            m.d.sync += read.eq(pins.araddr)
        with m.If(bus.read):
            m.d.sync += answer.eq(bus.read_data)
        m.d.comb += [
            Assert((datas == 0) | ((bus.write_data == data) & (bus.write_strobe == strobe))),
            Assert((asked == 0) | bus.write | (bus.address == read)),
            Assert((reads == 0) | (pins.rdata == answer)),
            Cover(bus.write & (data == 0x1234) & (strobe == 3)),
        ]

    @staticmethod
    def _holds(m: Module, name: str, valid: Any, ready: Any, payload: Any) -> None:
        waiting, before = Signal(name=f"{name}_waiting"), Signal(len(payload), name=f"{name}_before")
        m.d.sync += [waiting.eq(valid & ~ready), before.eq(payload)]
        m.d.comb += [Assert(~waiting | (valid & (payload == before))), Cover(waiting & valid & ready)]

    @staticmethod
    def _bounded(m: Module, name: str, wants: Any, served: Any, limit: int) -> None:
        waited = Signal(range(limit + 2), name=f"{name}_waited")
        with m.If(wants & ~served):
            m.d.sync += waited.eq(waited + (waited <= limit))
        with m.Else():
            m.d.sync += waited.eq(0)
        m.d.comb += [Assert(waited <= limit), Cover(served & (waited == limit))]


class WriteAddressSpec(wiring.Component):
    """A write goes to the address accepted for it. Nothing shows that address before the write, so no induction closes: to a depth only."""

    def __init__(self) -> None:
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pins, bus = _device(m)
        written = Signal.like(pins.awaddr)
        with m.If(pins.awvalid & pins.awready):
            m.d.sync += written.eq(pins.awaddr)
        m.d.comb += [Assert(~bus.write | (bus.address == written)), Cover(bus.write & (written == 8))]
        return m


PROOFS = (
    Proof(
        name="axil.accesses",
        doc="registers' bus: one pulse and one response an access, none without, B and R hold, bounded when the manager is ready",
        spec=AxilSpec,
        depth=4,
        cover_depth=10,
    ),
    Proof(
        name="axil.write_address",
        doc="registers' bus: a write goes to the address accepted for it",
        spec=WriteAddressSpec,
        mode="bmc",
        depth=12,
        cover_depth=6,
    ),
)
