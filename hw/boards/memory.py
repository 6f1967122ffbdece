"""The memory on the FPGA behind the chip's AXI port."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
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

    Latency: an idle memory takes an address in the cycle after it came. The first beat of a read is there four cycles after its address is taken, a write
    is answered in the cycle after its last beat, the host four cycles after its request is taken. Throughput: a beat a cycle inside a burst. Reset
    ends what is going on, the contents stay; both sides must be reset with it.

    Timing: the readies of addresses and of the host, and the beats and words that are read are flip-flops' outputs, but for the choice of a word.

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
        # What is asked of the memory passes a register, for the clock: `reads`, `writes` of this cycle are done in the next. What it gives passes one, too:
        # block RAM is slow. For the host's words and for beats it is the same one.
        reads, writes, moves = Signal(), Signal(), Signal()
        reading, writing = Signal(), Signal()
        found = Signal(self._config.axi_data_width, reset_less=True)
        host = self.host.request.payload
        missing = Signal()
        m.d.comb += [missing.eq(host.address[high:] != 0), bank.i_enable.eq((reading & moves) | writing), bank.i_write.eq(writing)]
        # Only reads wait for somebody.
        with m.If(moves):
            m.d.sync += [
                reading.eq(reads),
                bank.i_address.eq(Mux(turn == Turn.HOST, host.address[low:high], line)),
                found.eq(bank.o_data),
            ]
        m.d.sync += [
            writing.eq(writes),
            bank.i_data.eq(Mux(turn == Turn.HOST, host.data.replicate(words), self.m_axi_wdata)),
            bank.i_mask.eq(Mux(turn == Turn.HOST, Cat(host.address[2:low] == index for index in range(words)), -1)),
        ]
        self._read(m, turn, step, ends, reads, reading, moves, left)
        self._write(m, turn, step, ends, writes, left, beyond)
        with m.If(turn == Turn.HOST):
            m.d.comb += [reads.eq(~host.write), writes.eq(host.write & ~missing), ends.eq(1)]
        self._answer_host(m, turn, taken, missing, found.word_select(host.address[2:low], 32))
        m.d.comb += [
            self.m_axi_rid.eq(tag),
            self.m_axi_rresp.eq(Mux(beyond, DECERR, OKAY)),
            self.m_axi_rdata.eq(found),
            self.m_axi_bid.eq(tag),
            self.m_axi_bresp.eq(Mux(beyond, DECERR, OKAY)),
        ]
        return m

    def _arbitrate(self, m: Module, turn: Signal, taken: Signal) -> None:
        """Who comes next: whoever waits, who was served last the last of them. Known in a register: who waits is far away, and so is who is told."""
        last = Signal(Turn)
        waiting = {Turn.READ: self.m_axi_arvalid, Turn.WRITE: self.m_axi_awvalid, Turn.HOST: self.host.request.valid}
        order = [Turn.READ, Turn.WRITE, Turn.HOST]
        m.d.sync += taken.eq(Turn.NONE)
        with m.If((turn == Turn.NONE) & (taken == Turn.NONE)):
            with m.Switch(last):
                for index, who in enumerate(order):
                    following = order[index + 1 :] + order[: index + 1]
                    with m.Case(*((who, Turn.NONE) if index == 2 else (who,))):
                        for candidate in reversed(following):
                            with m.If(waiting[candidate]):
                                m.d.sync += taken.eq(candidate)
        with m.If(taken != Turn.NONE):
            m.d.sync += last.eq(taken)

    def _read(
        self, m: Module, turn: Signal, step: Signal, ends: Signal, reads: Signal, reading: Signal, moves: Signal, left: Signal
    ) -> None:
        """Beats come through three stages, asked for, read and `valid`; all of them stop while the last is not taken."""
        valid, asked, last, there = Signal(), Signal(), Signal(), Signal()
        last_asked, last_there = Signal(), Signal()
        bursts = Signal()
        m.d.comb += [
            bursts.eq(turn == Turn.READ),
            moves.eq(~valid | self.m_axi_rready),
            self.m_axi_rvalid.eq(valid),
            self.m_axi_rlast.eq(last),
        ]
        with m.If(moves):
            m.d.sync += [there.eq(bursts & reading), last_there.eq(last_asked), valid.eq(there), last.eq(last_there)]
        with m.If(bursts & ~asked & moves):
            m.d.comb += [reads.eq(1), step.eq(1)]
            m.d.sync += [last_asked.eq(left == 0), asked.eq(left == 0)]
        with m.If(valid & last & self.m_axi_rready):
            m.d.comb += ends.eq(1)
            m.d.sync += asked.eq(0)

    def _write(self, m: Module, turn: Signal, step: Signal, ends: Signal, writes: Signal, left: Signal, beyond: Signal) -> None:
        answers = Signal()
        m.d.comb += [self.m_axi_wready.eq((turn == Turn.WRITE) & ~answers), self.m_axi_bvalid.eq(answers)]
        with m.If(self.m_axi_wvalid & self.m_axi_wready):
            m.d.comb += [step.eq(1), writes.eq(~beyond)]
            m.d.sync += answers.eq(left == 0)
        with m.If(answers & self.m_axi_bready):
            m.d.comb += ends.eq(1)
            m.d.sync += answers.eq(0)

    def _answer_host(self, m: Module, turn: Signal, taken: Signal, missing: Signal, word: Value) -> None:
        """In the cycle after the request was taken it goes to the memory, in the next it is done, in the third the word is here, in the fourth behind the
        memory's register. The payload is still there (`HostBus`), unless the request was given up in the cycle in which its turn came."""
        at_work, there, done = Signal(), Signal(), Signal()
        m.d.sync += [at_work.eq(turn == Turn.HOST), there.eq(at_work), done.eq(there)]
        m.d.comb += [
            self.host.request.ready.eq(taken == Turn.HOST),
            self.host.response.valid.eq(done),
            self.host.response.error.eq(missing),
            self.host.response.data.eq(word),
        ]
        with m.If((taken == Turn.HOST) & self.host.request.valid):
            m.d.sync += turn.eq(Turn.HOST)
