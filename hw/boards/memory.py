"""The memory on the FPGA behind the chip's AXI port."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In

from ..common.config import ChipConfig
from ..dma.axi import ID_WIDTH
from ..dma.pins import axi_pin_members
from ..host.bus import HostBus
from ..memory.bank import Bank

#: AXI responses (IHI 0022, A3.4.4).
OKAY, DECERR = 0, 3


class Turn(enum.Enum, shape=2):
    """Who has the memory."""

    NONE = 0
    READ = 1
    WRITE = 2
    HOST = 3


class BoardMemory(wiring.Component):
    """An AXI4 subordinate with one single-ported memory, and a port for the host.

    It does what the chip's master asks of it: INCR bursts of full, aligned beats inside 4 KiB with all strobes set, answered in their order with
    their ID; WSTRB, AxSIZE and AxBURST are not looked at. A burst beyond the memory ends with DECERR and moves nothing; host addresses beyond it are errors.
    Bursts are served whole, one after the other; host, writes and reads that wait take turns.

    Latency: the first beat of a read is there two cycles after its address is taken (by an idle memory in the cycle it comes), a write is answered in
    the cycle after its last beat, the host two cycles after its request. Throughput: a beat a cycle inside a burst. Reset ends what is going
    on, the contents stay; both sides must be reset with it.

    Parameters
    ----------
    config : ChipConfig
    memory_bytes : int
        A power of two from 4096 to what the chip's addresses reach.

    Members
    -------
    m_axi_* : the subordinate's side of `axi_pin_members`
    host : In(HostBus)

    Raises
    ------
    ValueError
        if the size is not as described.
    """

    def __init__(self, *, config: ChipConfig, memory_bytes: int) -> None:
        most = 1 << config.axi_address_width
        if not isinstance(memory_bytes, int) or not 4096 <= memory_bytes <= most or memory_bytes & (memory_bytes - 1):
            raise ValueError(f"memory_bytes must be a power of two from 4096 to {most} (axi_address_width), not {memory_bytes!r}")
        self._config, self._bytes = config, memory_bytes
        super().__init__({name: member.flip() for name, member in axi_pin_members(config).items()} | {"host": In(HostBus())})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self._config
        lines, words, low = self._bytes // config.line_bytes, config.line_bytes // 4, (config.line_bytes - 1).bit_length()
        m.submodules.bank = bank = Bank(depth=lines, lines=words, line_width=32)
        high = (self._bytes - 1).bit_length()
        line, left, beyond, tag = Signal(range(lines)), Signal(8), Signal(), Signal(ID_WIDTH)
        turn, taken = Signal(Turn), Signal(Turn)
        self._arbitrate(m, turn, taken)
        for kind, prefix in ((Turn.READ, "ar"), (Turn.WRITE, "aw")):
            address, length, name = (getattr(self, f"m_axi_{prefix}{field}") for field in ("addr", "len", "id"))
            m.d.comb += getattr(self, f"m_axi_{prefix}ready").eq(taken == kind)
            with m.If(taken == kind):
                m.d.sync += [turn.eq(kind), line.eq(address[low:high]), left.eq(length), beyond.eq(address[high:] != 0), tag.eq(name)]
        step, ends = Signal(), Signal()
        with m.If(step):
            m.d.sync += [line.eq(line + 1), left.eq(left - 1)]
        with m.If(ends):
            m.d.sync += turn.eq(Turn.NONE)
        self._read(m, bank, turn, step, ends, left=left, beyond=beyond, tag=tag)
        self._write(m, bank, turn, step, ends, left=left, beyond=beyond, tag=tag)
        self._serve_host(m, bank, turn, ends, taken, low=low, high=high)
        m.d.comb += bank.i_address.eq(Mux(turn == Turn.HOST, self.host.request.payload.address[low:high], line))
        return m

    def _arbitrate(self, m: Module, turn: Signal, taken: Signal) -> None:
        """Who comes next: whoever waits, who was served last the last of them."""
        last = Signal(Turn)
        waiting = {Turn.READ: self.m_axi_arvalid, Turn.WRITE: self.m_axi_awvalid, Turn.HOST: self.host.request.valid}
        order = [Turn.READ, Turn.WRITE, Turn.HOST]
        with m.If(turn == Turn.NONE):
            with m.Switch(last):
                for index, who in enumerate(order):
                    following = order[index + 1 :] + order[: index + 1]
                    with m.Case(*((who, Turn.NONE) if index == 2 else (who,))):
                        for candidate in reversed(following):
                            with m.If(waiting[candidate]):
                                m.d.comb += taken.eq(candidate)
        with m.If(taken != Turn.NONE):
            m.d.sync += last.eq(taken)

    def _read(self, m: Module, bank: Bank, turn: Signal, step: Signal, ends: Signal, *, left: Signal, beyond: Signal, tag: Signal) -> None:
        """The memory's output keeps a beat until it is taken: the next one is read in that cycle."""
        valid, last, asked = Signal(), Signal(), Signal()
        room = ~valid | self.m_axi_rready
        reads = Signal()
        m.d.comb += reads.eq((turn == Turn.READ) & ~asked & room)
        with m.If(self.m_axi_rready):
            m.d.sync += valid.eq(0)
        with m.If(reads):
            m.d.comb += step.eq(1)
            m.d.sync += [valid.eq(1), last.eq(left == 0), asked.eq(left == 0)]
        with m.If(valid & last & self.m_axi_rready):
            m.d.comb += ends.eq(1)
            m.d.sync += asked.eq(0)
        m.d.comb += [
            self.m_axi_rvalid.eq(valid),
            self.m_axi_rlast.eq(last),
            self.m_axi_rid.eq(tag),
            self.m_axi_rresp.eq(Mux(beyond, DECERR, OKAY)),
            self.m_axi_rdata.eq(bank.o_data),
        ]
        # One line too many may be read, in the cycle in which the last beat is taken; the way to the memory is shorter so.
        with m.If((turn == Turn.READ) & room):
            m.d.comb += bank.i_enable.eq(1)

    def _write(self, m: Module, bank: Bank, turn: Signal, step: Signal, ends: Signal, *, left: Signal, beyond: Signal, tag: Signal) -> None:
        answers = Signal()
        m.d.comb += [
            self.m_axi_wready.eq((turn == Turn.WRITE) & ~answers),
            self.m_axi_bvalid.eq(answers),
            self.m_axi_bid.eq(tag),
            self.m_axi_bresp.eq(Mux(beyond, DECERR, OKAY)),
        ]
        with m.If(self.m_axi_wvalid & self.m_axi_wready):
            m.d.comb += [step.eq(1), bank.i_enable.eq(~beyond), bank.i_write.eq(1)]
            m.d.sync += answers.eq(left == 0)
        with m.If(answers & self.m_axi_bready):
            m.d.comb += ends.eq(1)
            m.d.sync += answers.eq(0)

    def _serve_host(self, m: Module, bank: Bank, turn: Signal, ends: Signal, taken: Signal, *, low: int, high: int) -> None:
        """In the cycle after the request was taken the memory is at work; the payload is still there (`HostBus`)."""
        request, response = self.host.request, self.host.response
        word = request.payload.address[2:low]
        words = self._config.line_bytes // 4
        missing, done = Signal(), Signal()
        m.d.comb += [
            request.ready.eq(taken == Turn.HOST),
            missing.eq(request.payload.address[high:] != 0),
            bank.i_data.eq(Mux(turn == Turn.HOST, request.payload.data.replicate(words), self.m_axi_wdata)),
            bank.i_mask.eq(Mux(turn == Turn.HOST, Cat(word == index for index in range(words)), -1)),
            response.valid.eq(done),
            response.error.eq(missing),
            response.data.eq(bank.o_data.word_select(word, 32)),
        ]
        m.d.sync += done.eq(turn == Turn.HOST)
        with m.If(taken == Turn.HOST):
            m.d.sync += turn.eq(Turn.HOST)
        with m.If(turn == Turn.HOST):
            m.d.comb += [bank.i_enable.eq(~missing), bank.i_write.eq(request.payload.write), ends.eq(1)]
