"""Reads an engine's instruction queue from DRAM."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import ENGINES
from ..common.streams import Fifo, connect_streams
from ..dma.axi import ReadPort
from .decode import ADDRESS_WIDTH, INDEX_WIDTH, channels, fetched_layout


def window_layout(config: ChipConfig) -> data.StructLayout:
    """The DRAM the chip may touch: bytes `low` up to but not including `high`, both at most 2**axi_address_width."""
    width = config.axi_address_width + 1
    return data.StructLayout({"low": width, "high": width})


class Fetcher(wiring.Component):
    """Fetches the instructions of one job, in order, one AXI burst each, up to `queue_depth` ahead of the consumer.

    A burst is asked for only when there is room for all of it, so every beat is accepted at once. Bursts are as long as an instruction and
    aligned to it, so none crosses a 4 KiB page. Where a line is longer than an instruction, its line is read and the part picked.

    The whole queue is checked first: an unaligned base or a byte outside the window gives a single entry with `error` and the base
    address, and no traffic. A burst answered with an error becomes an entry with `error` and the instruction's address; nothing is asked
    for or delivered after it. A start in the middle of a job drops what is still to come of the old one.

    Latency: the first request is valid 3 cycles after `i_start` (an error entry: 2 cycles), an instruction is at `o` in the cycle after
    its last beat. Throughput: one request and one beat a cycle. Reset: nothing in flight is expected any more (the interconnect must be
    reset too).

    Parameters
    ----------
    config : ChipConfig
    engine : str

    Members
    -------
    i_start : In(1)
        Pulse; `i_base` and `i_count` are read with it, `i_window` from the cycle after it.
    i_halt : In(1)
        While high no further burst is requested.
    i_base : In(64)
    i_count : In(32)
    i_window : In(window_layout)
    fetch : Out(ReadPort)
    o : Out(stream of fetched_layout)
    o_busy : Out(1)
        A burst has been asked for and has not ended.

    Raises
    ------
    ValueError
        if there is no such engine.
    """

    def __init__(self, *, config: ChipConfig, engine: str) -> None:
        channels(engine)
        self._config = config
        self._engine = engine
        super().__init__(
            {
                "i_start": In(1),
                "i_halt": In(1),
                "i_base": In(ADDRESS_WIDTH),
                "i_count": In(INDEX_WIDTH),
                "i_window": In(window_layout(config)),
                "fetch": Out(ReadPort(config)),
                "o": Out(stream.Signature(fetched_layout(engine))),
                "o_busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self._config.queue_depth
        layout = fetched_layout(self._engine)
        m.submodules.queue = queue = ResetInserter(self.i_start)(Fifo(shape=layout, depth=depth))
        connect_streams(m, queue.o, self.o)

        remaining, address = Signal(INDEX_WIDTH), Signal(ADDRESS_WIDTH)
        checking, refused, broken = Signal(), Signal(), Signal()
        issue, popped, returned = Signal(), Signal(), Signal()
        # `reserved`: instructions asked for and not yet taken from `o`; `outstanding`: asked for and not yet returned, `stale` of them for an earlier job.
        reserved, outstanding, stale = (Signal(range(depth + 1), name=name) for name in ("reserved", "outstanding", "stale"))
        m.d.comb += [
            popped.eq(self.o.valid & self.o.ready),
            issue.eq(
                (remaining != 0)
                & ~checking
                & ~broken
                & ~self.i_halt
                & ~self.i_start
                & (reserved != depth)
                & (outstanding != depth)
                & (~self.fetch.request.valid | self.fetch.request.ready)
            ),
            self.o_busy.eq(outstanding != 0),
        ]
        m.d.sync += outstanding.eq(outstanding + issue - returned)
        with m.If(returned & (stale != 0)):
            m.d.sync += stale.eq(stale - 1)
        self._check(m, remaining, address, checking, refused)
        self._request(m, issue, address)
        with m.If(issue):
            m.d.sync += [remaining.eq(remaining - 1), address.eq(address + ENGINES[self._engine].instruction_bytes)]
        self._collect(m, queue.i, address, stale, checking & refused, broken, returned)
        m.d.sync += reserved.eq(reserved + issue - popped)
        with m.If(self.i_start):
            m.d.sync += [
                remaining.eq(self.i_count), address.eq(self.i_base), checking.eq(1), broken.eq(0), reserved.eq(0),
                stale.eq(outstanding - returned),
            ]  # fmt: skip
        return m

    def _check(self, m: Module, remaining: Value, address: Value, checking: Value, refused: Signal) -> None:
        """In the cycle after the start: the whole queue against the window."""
        size = ENGINES[self._engine].instruction_bytes
        end = Signal(ADDRESS_WIDTH + 1)
        m.d.comb += [
            end.eq(address + (remaining << (size.bit_length() - 1))),
            refused.eq((remaining != 0) & ((address & (size - 1)).any() | (address < self.i_window.low) | (end > self.i_window.high))),
        ]
        with m.If(checking):
            m.d.sync += checking.eq(0)
            with m.If(refused):
                m.d.sync += remaining.eq(0)

    def _request(self, m: Module, issue: Value, address: Value) -> None:
        line, size = self._config.line_bytes, ENGINES[self._engine].instruction_bytes
        request = self.fetch.request
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(issue):
            m.d.sync += [
                request.valid.eq(1),
                request.payload.address.eq(address & ~(line - 1)),
                request.payload.length.eq(max(size // line, 1) - 1),
            ]

    def _collect(self, m: Module, sink: Any, address: Value, stale: Value, refused: Value, broken: Signal, returned: Signal) -> None:
        """Assembles beats into instructions; `place` is the address of the instruction that returns next."""
        size, line = ENGINES[self._engine].instruction_bytes, self._config.line_bytes
        beat = self.fetch.response
        bits, width = 8 * size, 8 * line
        place = Signal(ADDRESS_WIDTH)
        failed, error, live = Signal(), Signal(), Signal()
        word: Value
        if size > line:
            head = Signal(bits - width)
            word = Cat(head, beat.payload.data)
            with m.If(beat.valid):
                m.d.sync += head.eq(word[width:])
        elif size == line:
            word = beat.payload.data
        else:
            word = beat.payload.data.word_select(place[size.bit_length() - 1 : line.bit_length() - 1], bits)
        m.d.comb += [
            beat.ready.eq(1),
            returned.eq(beat.valid & beat.payload.last),
            failed.eq(error | beat.payload.resp[1]),
            live.eq(returned & (stale == 0) & ~broken),
            sink.valid.eq(live | refused),
            sink.payload.error.eq(failed | refused),
            sink.payload.word.eq(Mux(refused, address, Mux(failed, place, word))),
        ]
        with m.If(beat.valid):
            m.d.sync += error.eq(~beat.payload.last & failed)
        with m.If(live):
            m.d.sync += [place.eq(place + size), broken.eq(failed)]
        with m.If(self.i_start):
            m.d.sync += place.eq(self.i_base)
