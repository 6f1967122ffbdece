"""Lines between DRAM and SBUF, words from DRAM to the processor."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..dma.axi import ID_WIDTH, RESP_WIDTH
from ..dma.pins import BURST_INCR, CACHE_NORMAL, axi_pin_members
from .parameters import Active


class Copier(wiring.Component):
    """Runs LOAD, STORE and FETCH: AXI transfers of one line, one at a time, all with ID 0.

    Every address pin, valid and ready comes from registers. Between lines nothing is kept: the parameters are the addresses.

    Latency and throughput, with a memory that takes an address in its first cycle and answers a read (or, once it has address and data, a write)
    in the l-th cycle after: a line of LOAD or a word of FETCH takes 1 + l cycles, a line of STORE 2 + l; LOAD and FETCH one more at the end.

    Errors: an error response ends the command in that cycle. `o_error` is then set until the next command, DRAM stays at the address; the line, and
    any after it, goes nowhere.

    Reset drops everything, a transfer on the bus included: the bus must be reset with it.

    Parameters
    ----------
    config : ChipConfig

    Members
    -------
    i_active : In(Active)
    i_last : In(1)
        COUNT is 1.
    i_start : In(1)
        A command is written: the error of the last is forgotten.
    i_dram : In
    i_data : In(line)
        Of SBUF: the line read in the cycle before, until the next access.
    o_read, o_write : Out(1)
        SBUF access in this cycle.
    o_hold : Out(1)
        `i_data` is on the bus: SBUF must not be read.
    o_take : Out(1)
        `m_axi_rdata` is to be kept: `o_write` (LOAD) or `o_fetched` (FETCH) comes in the next cycle.
    o_fetched : Out(1)
    o_step_sbuf, o_step_dram : Out(1)
        Steps of SBUF, and of DRAM with COUNT.
    o_done : Out(1)
        In the last cycle of a command.
    o_error : Out(1)
    o_moved : Out(1)
        A transfer on an AXI channel.
    m_axi_... : the pins, see `axi_pin_members`
    """

    def __init__(self, *, config: ChipConfig) -> None:
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self._config = config
        names = ("read", "write", "hold", "take", "fetched", "step_sbuf", "step_dram", "done", "error", "moved")
        super().__init__(
            {
                "i_active": In(Active()), "i_last": In(1), "i_start": In(1), "i_dram": In(config.axi_address_width),
                "i_data": In(8 * config.line_bytes),
            }
            | {f"o_{name}": Out(1) for name in names}
            | axi_pin_members(config)
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._constants(m)
        reads, failed = Signal(), Signal()
        is_address_sent, is_data_sent = Signal(), Signal()
        m.d.comb += [reads.eq(self.i_active.load | self.i_active.fetch), self.o_step_dram.eq(self.o_take)]
        # The line read last is kept in the cycle in which the next address is sent.
        taken = Signal()
        m.d.sync += taken.eq(self.o_take)
        m.d.comb += [self.o_write.eq(taken & self.i_active.load), self.o_fetched.eq(taken & self.i_active.fetch)]

        with m.FSM():
            with m.State("ADDRESS"):
                m.d.comb += [self.m_axi_arvalid.eq(reads), self.o_read.eq(self.i_active.store)]
                with m.If(self.m_axi_arvalid & self.m_axi_arready):
                    m.next = "READ"
                with m.If(self.i_active.store):
                    m.next = "WRITE"
            with m.State("READ"):
                m.d.comb += [
                    self.m_axi_rready.eq(1),
                    failed.eq(self.m_axi_rvalid & self.m_axi_rresp[1]),
                    self.o_take.eq(self.m_axi_rvalid & ~self.m_axi_rresp[1]),
                ]
                with m.If(self.m_axi_rvalid):
                    m.next = "ADDRESS"
                with m.If(self.o_take & self.i_last):
                    m.next = "KEEP"
            with m.State("KEEP"):
                m.d.comb += self.o_done.eq(1)
                m.next = "ADDRESS"
            with m.State("WRITE"):
                m.d.comb += [
                    self.o_hold.eq(1),
                    self.m_axi_awvalid.eq(~is_address_sent),
                    self.m_axi_wvalid.eq(~is_data_sent),
                ]
                address, line = self.m_axi_awready | is_address_sent, self.m_axi_wready | is_data_sent
                m.d.sync += [is_address_sent.eq(address & ~line), is_data_sent.eq(line & ~address)]
                with m.If(address & line):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [self.m_axi_bready.eq(1), failed.eq(self.m_axi_bvalid & self.m_axi_bresp[1])]
                with m.If(self.m_axi_bvalid):
                    m.next = "ADDRESS"
                with m.If(self.m_axi_bvalid & ~self.m_axi_bresp[1]):
                    m.d.comb += [self.o_step_dram.eq(1), self.o_done.eq(self.i_last)]
        with m.If(failed):
            m.d.comb += self.o_done.eq(1)
        m.d.comb += self.o_step_sbuf.eq(self.o_write | (self.o_step_dram & self.i_active.store))
        m.d.sync += self.o_error.eq((self.o_error | failed) & ~self.i_start)
        channels = [(getattr(self, f"m_axi_{name}valid"), getattr(self, f"m_axi_{name}ready")) for name in ("aw", "w", "b", "ar", "r")]
        moved = Signal(len(channels))
        m.d.comb += [moved[index].eq(valid & ready) for index, (valid, ready) in enumerate(channels)]
        m.d.comb += self.o_moved.eq(moved.any())
        return m

    def _constants(self, m: Module) -> None:
        """Pins that do not change, and the address, the same for both directions."""
        config = self._config
        size = (config.line_bytes - 1).bit_length()
        for prefix in ("aw", "ar"):
            m.d.comb += [
                getattr(self, f"m_axi_{prefix}addr")[size:].eq(self.i_dram[size:]),
                getattr(self, f"m_axi_{prefix}size").eq(size),
                getattr(self, f"m_axi_{prefix}burst").eq(BURST_INCR),
                getattr(self, f"m_axi_{prefix}cache").eq(CACHE_NORMAL),
            ]
        m.d.comb += [
            self.m_axi_wdata.eq(self.i_data),
            self.m_axi_wstrb.eq((1 << config.line_bytes) - 1),
            self.m_axi_wlast.eq(1),
        ]
        assert (ID_WIDTH, RESP_WIDTH) == (3, 2)
