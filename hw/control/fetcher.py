"""Reads an engine's instruction queue from DRAM."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.isa import ENGINES
from ..common.streams import Fifo, connect_streams
from ..dma.axi import ReadPort
from .decode import ADDRESS_WIDTH, INDEX_WIDTH, channels, fetched_layout
from .window import window_layout


class Fetcher(wiring.Component):
    """Fetches the instructions of one job, in order, one AXI burst each, up to `queue_depth` ahead of the consumer.

    A burst is asked for only when there is room for all of it, so every beat is accepted at once. Bursts are as long as an instruction and
    aligned to it, so none crosses a 4 KiB page. Where a line is longer than an instruction, its line is read and the part picked.

    The whole queue is checked first: an unaligned base or a byte outside the window gives a single entry with `error` and the base
    address, and no traffic. A burst answered with an error becomes an entry with `error` and the instruction's address; nothing is asked
    for or delivered after it. A start in the middle of a job drops what is still to come of the old one, which may ask for one more burst with it.

    Latency: the first request is valid 4 cycles after `i_start`, as is an error entry; an instruction is at `o` two cycles
    after its last beat. Throughput: one request and one beat a cycle. Reset: nothing in flight is expected any more (the interconnect must be
    reset too).

    Parameters
    ----------
    config : ChipConfig
    engine : str

    Members
    -------
    i_start : In(1)
        Pulse; `i_base` and `i_count` are read with it, `i_window.low` in the cycle after it, `i_window.high` in the one after that.
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
        depth, size = self._config.queue_depth, ENGINES[self._engine].instruction_bytes
        low, high = (size - 1).bit_length(), self._config.axi_address_width
        layout = fetched_layout(self._engine)
        m.submodules.queue = queue = ResetInserter(self.i_start)(Fifo(shape=layout, depth=depth))
        connect_streams(m, queue.o, self.o)

        # A queue inside the window has no more instructions than `remaining` counts, and its addresses differ in `number` alone.
        remaining, number = Signal(high - low + 1, reset_less=True), Signal(high - low, reset_less=True)
        more, refused, broken, started = Signal(), Signal(), Signal(), Signal()
        issue, popped, returned = Signal(), Signal(), Signal()
        base, count = Signal(ADDRESS_WIDTH, reset_less=True), Signal(INDEX_WIDTH, reset_less=True)
        # `reserved`: instructions asked for and not yet taken from `o`; `outstanding`: asked for and not yet returned, `stale` of them for an earlier job.
        reserved, outstanding, stale = (Signal(range(depth + 1), name=name) for name in ("reserved", "outstanding", "stale"))
        m.d.comb += [
            popped.eq(self.o.valid & self.o.ready),
            issue.eq(
                more
                & ~broken
                & ~self.i_halt
                & (reserved != depth)
                & (outstanding != depth)
                & (~self.fetch.request.valid | self.fetch.request.ready)
            ),
            self.o_busy.eq(outstanding != 0),
        ]
        # A start comes from far away and these are wide: they take what there is in every cycle, and the rest takes it from them a cycle later.
        m.d.sync += [base.eq(self.i_base), count.eq(self.i_count), started.eq(self.i_start)]
        m.d.sync += [outstanding.eq(outstanding + issue - returned), reserved.eq(reserved + issue - popped)]
        with m.If(returned & (stale != 0)):
            m.d.sync += stale.eq(stale - 1)
        with m.If(issue):
            m.d.sync += [remaining.eq(remaining - 1), number.eq(number + 1), more.eq(remaining != 1)]
        self._check(m, started, base, count, more, refused)
        self._request(m, issue, number)
        place = self._collect(m, queue.i, stale, refused, broken, returned, started)
        with m.If(started):
            # Nothing is asked for in this cycle, and what returns is still of the job before.
            m.d.sync += [stale.eq(outstanding - returned), remaining.eq(count), number.eq(base[low:]), place.eq(base)]
        with m.If(self.i_start):
            m.d.sync += [more.eq(0), refused.eq(0), broken.eq(0), reserved.eq(0)]
        return m

    def _check(self, m: Module, started: Signal, base: Signal, count: Signal, more: Signal, refused: Signal) -> None:
        """In three cycles after the start: the whole queue against the window, in units of an instruction; it begins, or is refused in one cycle."""
        low, high = (ENGINES[self._engine].instruction_bytes - 1).bit_length(), self._config.axi_address_width
        window = self.i_window
        end = Signal(max(high - low, INDEX_WIDTH) + 1, reset_less=True)
        summed, empty, outside = Signal(), Signal(), Signal()
        begun = Cat(window.low[:low].any(), window.low[low:])
        m.d.sync += [
            summed.eq(started & ~self.i_start),
            end.eq(base[low:high] + count),
            empty.eq(count == 0),
            outside.eq(base[:low].any() | base[high:].any() | (Cat(Const(0, 1), base[low:high]) < begun)),
            refused.eq(0),
        ]
        with m.If(summed & ~empty):
            is_outside = outside | (end > window.high[low:])
            m.d.sync += [more.eq(~is_outside), refused.eq(is_outside)]

    def _request(self, m: Module, issue: Value, number: Value) -> None:
        line, size = self._config.line_bytes, ENGINES[self._engine].instruction_bytes
        request = self.fetch.request
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(issue):
            m.d.sync += [
                request.valid.eq(1),
                request.payload.address.eq((number << (size - 1).bit_length()) & ~(line - 1)),
                request.payload.length.eq(max(size // line, 1) - 1),
            ]

    def _collect(self, m: Module, sink: Any, stale: Value, refused: Value, broken: Signal, returned: Signal, started: Signal) -> Signal:
        """Assembles beats into instructions; the result, `place`, is the address of the instruction that returns next, at first the base, wherever it is."""
        size, line = ENGINES[self._engine].instruction_bytes, self._config.line_bytes
        low, high = (size - 1).bit_length(), self._config.axi_address_width
        beat = self.fetch.response
        bits, width = 8 * size, 8 * line
        place = Signal(ADDRESS_WIDTH, reset_less=True)
        failed, error, live = Signal(), Signal(), Signal()
        # A beat is looked at in the cycle after it has come: the bus goes to every engine, and the queue is wide.
        beats, ended = Signal(max(bits, width), reset_less=True), Signal()
        with m.If(beat.valid):
            m.d.sync += [
                beats.eq(Cat(beats, beat.payload.data)[width:]),
                failed.eq(error | beat.payload.resp[1]),
                error.eq(~beat.payload.last & (error | beat.payload.resp[1])),
            ]
        m.d.sync += ended.eq(beat.valid & beat.payload.last)
        word: Value = beats if size >= line else beats.word_select(place[low : line.bit_length() - 1], bits)
        m.d.comb += [
            beat.ready.eq(1),
            returned.eq(ended),
            live.eq(returned & (stale == 0) & ~broken & ~started),
            sink.valid.eq(live | refused),
            sink.payload.error.eq(failed | refused),
            sink.payload.word.eq(Cat(Mux(failed | refused, place, word[:ADDRESS_WIDTH]), word[ADDRESS_WIDTH:])),
        ]
        with m.If(live):
            m.d.sync += [place[low:high].eq(place[low:high] + 1), broken.eq(failed)]
        return place
