"""Checks every instruction against the machine before it may start."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.dtypes import DTYPES
from ..common.isa import DIMENSIONS, Cause, OutputMode, row_lines, rows_limit
from ..common.streams import Fifo
from .decode import ADDRESS_WIDTH, CAUSE_WIDTH, Decoder, channels, checked_layout, fetched_layout
from .extent import PatternExtent
from .window import window_layout

#: Slots of the header that name a semaphore, in the order in which a bad one is reported.
SLOTS = ("wait0", "wait1", "post0", "post1")

#: Instructions that may wait behind the checker.
CHECKED_DEPTH = 4


class Checker(wiring.Component):
    """Finds the first `Cause`, in the order of that table, for which an instruction must not run, and keeps those that may.

    Function: the conditions of `hw.common.isa.Cause` up to NO_STATIONARY, and FETCH_ERROR for an entry that could not be fetched. It
    remembers the operand type of the newest LoadStationary that passed. All positions and limits come from the instruction table. The first
    failing instruction is the last: it stays at `o` until reset.

    A pipeline: an instruction is walked (`PatternExtent`) while every condition that needs its word alone gets a flip-flop; then its reach is
    compared; then the first of the conditions is the verdict, while the next instruction is walked. The words wait in the queue meanwhile.

    Latency: an instruction accepted in cycle t is at `o` in cycle t + 5 + D if no other waits there, where D is the sum over the dimensions of its
    access pattern of ceil(bit_length(size - 1) / 2). Throughput: one instruction every 2 + D cycles (16 rows: 4, 512 rows: 7). A failing one takes no
    longer; `o` shows the next instruction in the second cycle after a transfer. An instruction is taken at the earliest in the second cycle in which it is
    offered. `i.ready` and `o.valid` are little logic behind flip-flops, kind and waits at `o` are flip-flops. Reset drops the instructions inside and
    forgets the LoadStationary.

    Parameters
    ----------
    config : ChipConfig
    engine : str

    Members
    -------
    i : In(stream of fetched_layout)
    o : Out(stream of checked_layout)
    i_window : In(window_layout)
        Stable from an instruction's transfer at `i` on.

    Raises
    ------
    ValueError
        if there is no such engine.
    """

    def __init__(self, *, config: ChipConfig, engine: str) -> None:
        channels(engine)
        self._config = config
        self._engine = engine
        #: Address bits inside a line: an address of DRAM that is none of a line is told so before its reach matters.
        self._line_bits = (config.line_bytes - 1).bit_length()
        super().__init__(
            {
                "i": In(stream.Signature(fetched_layout(engine))),
                "o": Out(stream.Signature(checked_layout(engine))),
                "i_window": In(window_layout(config)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        entry = Signal(fetched_layout(self._engine), reset_less=True)
        full, seen, taken, walked = Signal(), Signal(), Signal(), Signal()
        failed, passed = Signal(), Signal(range(CHECKED_DEPTH + 1))
        decoder = Decoder(self._engine, entry.word)
        m.submodules.words = words = Fifo(shape=len(entry.word), depth=CHECKED_DEPTH)
        m.submodules.extent = extent = self._extent(decoder)
        m.d.comb += [
            self.i.ready.eq(seen & (~full | extent.o_done) & words.i.ready & ~failed),
            taken.eq(self.i.valid & self.i.ready),
            walked.eq(full & extent.o_done),
            words.i.valid.eq(taken),
            words.i.payload.eq(self.i.payload.word),
            extent.i_start.eq(taken),
        ]
        # The walk has looked at the sizes of what was offered in the cycle before.
        m.d.sync += [full.eq(taken | (full & ~extent.o_done)), seen.eq(self.i.valid & ~taken)]
        with m.If(taken):
            m.d.sync += entry.eq(self.i.payload)
        coming = Decoder(self._engine, self.i.payload.word)
        for dim in range(DIMENSIONS):
            # What has no pattern has zeros there, or a reserved bit is set: a size of 0 moves nothing.
            m.d.comb += [extent.i_coming[dim].eq(coming.select(f"size{dim}")), extent.i_sizes[dim].eq(decoder.select(f"size{dim}"))]
        self._connect(m, decoder, extent, "sbuf", "base", "stride", 0)
        if decoder.having("dram"):
            self._connect(m, decoder, extent, "dram", "dram", "dram_stride", self._line_bits)

        broken, misaligned, first = self._word(m, decoder, entry, walked)
        # Judged two cycles after it was walked; what comes behind a failing instruction is not.
        compared, judged, passes, popped = Signal(), Signal(), Signal(), Signal()
        cause, address = self._verdict(m, decoder, extent, walked, passes, broken, misaligned, first)
        m.d.comb += [passes.eq(judged & ~failed & (cause == Cause.NONE)), popped.eq(words.o.valid & words.o.ready)]
        m.d.sync += [compared.eq(walked), judged.eq(compared), passed.eq(passed + passes - popped)]
        shown = Signal(CAUSE_WIDTH)
        with m.If(judged & ~failed):
            m.d.sync += [failed.eq(cause != Cause.NONE), shown.eq(cause), self.o.payload.address.eq(address)]
        # Decoded a cycle before: a word is in front of the queue longer than that, unless the one before has just left.
        shows, front = Signal(), Decoder(self._engine, words.o.payload)
        m.d.sync += [
            shows.eq(~popped),
            self.o.payload.kind.eq(Cat(front.is_a(item) for item in front.instructions)),
            self.o.payload.waits.eq(Cat(front.header(f"wait{slot}_count") != 0 for slot in range(2))),
        ]
        m.d.comb += [
            self.o.valid.eq(Mux(passed != 0, shows, failed)),
            self.o.payload.cause.eq(Mux(passed != 0, Cause.NONE, shown)),
            self.o.payload.word.eq(words.o.payload),
            words.o.ready.eq((passed != 0) & shows & self.o.ready),
        ]
        return m

    def _extent(self, decoder: Decoder) -> PatternExtent:
        def width(name: str) -> int:
            return max(item.field(name).width for item in decoder.having(name))

        config, low = self._config, self._line_bits
        addresses = {"sbuf": (width("base"), width("stride0"), config.sbuf_address_width)}
        if decoder.having("dram"):
            addresses["dram"] = (width("dram") - low, width("dram_stride0") - low, config.axi_address_width - low)
        limit = max(rows_limit(item, config) for item in decoder.having("size0"))
        return PatternExtent(size_width=width("size0"), addresses=addresses, limit=limit)

    @staticmethod
    def _connect(m: Module, decoder: Decoder, extent: Any, name: str, base: str, stride: str, low: int) -> None:
        port = getattr(extent, f"i_{name}")
        m.d.comb += port.base.eq(decoder.select(base)[low:])
        m.d.comb += [port.strides[dim].eq(decoder.select(f"{stride}{dim}")[low:]) for dim in range(DIMENSIONS)]

    def _word(self, m: Module, decoder: Decoder, entry: Any, walked: Value) -> tuple[Signal, Signal, Signal]:
        """What the word alone tells, in the cycle after `walked`: the first cause up to SIZE, whether it is misaligned, and the ADDRESS of that cause, or
        else of SBUF_RANGE."""
        sizes = [decoder.select(f"size{dim}") for dim in range(DIMENSIONS)]
        conditions = [
            (Cause.FETCH_ERROR, entry.error, entry.word[:ADDRESS_WIDTH]),
            (Cause.ILLEGAL_OPCODE, ~Cat(decoder.is_a(item) for item in decoder.instructions).any(), decoder.header("opcode")),
            (
                Cause.RESERVED,
                Cat(decoder.is_a(item) & (entry.word & item.reserved_mask).any() for item in decoder.instructions).any(),
                Const(0),
            ),
            (Cause.MODE, self._bad_mode(decoder), Const(0)),
            self._semaphores(decoder),
            (Cause.SIZE, decoder.has("size0") & Cat(size == 0 for size in sizes).any(), Const(0)),
        ]
        broken, first = Signal(CAUSE_WIDTH), Signal(ADDRESS_WIDTH, reset_less=True)
        misaligned, is_misaligned = Signal(), Signal()
        m.d.sync += is_misaligned.eq(self._misaligned(decoder, self._row_lines(decoder)))
        code: Value = Const(Cause.NONE, CAUSE_WIDTH)
        address: Value = decoder.select("base")
        for cause, condition, where in reversed(conditions):
            flag = Signal(name=f"is_{cause.name.lower()}")
            m.d.sync += flag.eq(condition)
            code, address = Mux(flag, cause, code), Mux(flag, where, address)
        with m.If(walked):
            m.d.sync += [broken.eq(code), first.eq(address), misaligned.eq(is_misaligned)]
        return broken, misaligned, first

    def _verdict(
        self, m: Module, decoder: Decoder, extent: Any, walked: Value, passes: Value, broken: Value, misaligned: Value, first: Value
    ) -> tuple[Value, Value]:
        """Cause and ADDRESS two cycles after `walked`: of the word, of the reach compared in the cycle between, and of the LoadStationary before."""
        has_psum, has_dram = decoder.having("psum_row"), decoder.having("dram")
        bank, row = decoder.select("psum_bank"), decoder.select("psum_row")
        second = decoder.select("dram") if has_dram else Cat(row, Const(0, 16 - len(row)), bank)
        # Of the instruction walked: its ADDRESS for the other ranges, its kind, operand type and place in PSUM.
        other, kind = Signal(len(second), reset_less=True), Signal(len(decoder.instructions))
        with m.If(walked):
            m.d.sync += [other.eq(second), kind.eq(Cat(decoder.is_a(item) for item in decoder.instructions))]
        kinds = dict(zip((item.name for item in decoder.instructions), kind, strict=True))

        many, outside, outside_psum, outside_dram = Signal(), Signal(), Signal(), Signal()
        above = [kinds[item.name] & (extent.o_product > rows_limit(item, self._config)) for item in decoder.having("size0")]
        # Aligned rows that begin inside SBUF end inside: it is a power of two.
        m.d.sync += [many.eq(extent.o_many | Cat(above).any()), outside.eq(extent.o_sbuf.beyond)]
        if has_psum:
            bank, row = other[16:], other[:16]
            # The rows are a power of two.
            last = row + extent.o_product - 1
            beyond = (bank >> self._config.psum_bank_width).any() | (last >> self._config.psum_row_width).any()
            m.d.sync += outside_psum.eq(Cat(kinds[item.name] for item in has_psum).any() & beyond)
        if has_dram:
            self._dram(m, extent, outside_dram)
        unloaded = self._stationary(m, decoder, walked, kinds, passes)
        cause = Signal(CAUSE_WIDTH)
        for code, flag in (
            (Cause.NO_STATIONARY, unloaded), (Cause.DRAM_RANGE, outside_dram), (Cause.PSUM_RANGE, outside_psum),
            (Cause.SBUF_RANGE, outside), (Cause.ALIGNMENT, misaligned), (Cause.SIZE, many),
        ):  # fmt: skip
            # Later assignments win, so the first of the table has the last word.
            with m.If(flag):
                m.d.comb += cause.eq(code)
        with m.If(broken != Cause.NONE):
            m.d.comb += cause.eq(broken)
        is_first, is_other = Signal(), Signal()
        m.d.comb += [
            is_first.eq((broken != Cause.NONE) | (~many & (misaligned | outside))),
            is_other.eq(~many & (outside_psum | outside_dram)),
        ]
        # Further bits are those of a failed fetch, which nothing comes before.
        low = max(len(decoder.select("base")), len(other))
        return cause, Cat(Mux(is_first, first[:low], Mux(is_other, other, 0))[:low], first[low:])

    def _row_lines(self, decoder: Decoder) -> Value:
        """Lines of a step, tabulated from `row_lines` over the field that decides it."""
        result: Value = Const(1, 4)
        for item in decoder.instructions:
            key = next((part for part in item.fields if part.name in ("dtype", "mode")), None)
            if key is None:
                lines: Value = Const(row_lines(item, {}), 4)
            else:
                table = Array(Const(row_lines(item, {key.name: value}), 4) for value in range(1 << key.width))
                lines = table[decoder.select(key.name)]
            result = Mux(decoder.is_a(item), lines, result)
        return result

    def _bad_mode(self, decoder: Decoder) -> Value:
        bad: Value = Const(0)
        if decoder.having("dtype"):
            codes = [DTYPES[name].code for name in self._config.dtypes]
            bad = bad | (decoder.has("dtype") & ~Cat(decoder.select("dtype") == code for code in codes).any())
        if decoder.having("mode"):
            modes = {OutputMode.RAW}
            if self._config.has_int:
                modes |= {OutputMode.INT8, OutputMode.INT32}
            if self._config.has_float:
                modes |= {OutputMode.BF16, OutputMode.FP32}
            mode = decoder.select("mode")
            built = Cat(mode == code for code in sorted(modes)).any()
            changed = (mode == OutputMode.RAW) & (decoder.select("bias") | decoder.select("relu"))
            bad = bad | (decoder.has("mode") & (~built | changed))
        return bad

    def _semaphores(self, decoder: Decoder) -> tuple[Cause, Value, Value]:
        failed: Value = Const(0)
        where: Value = Const(0)
        for slot in reversed(SLOTS):
            semaphore = decoder.header(f"{slot}_semaphore")
            bad = (decoder.header(f"{slot}_count") != 0) & (semaphore >= self._config.semaphores)
            failed, where = failed | bad, Mux(bad, semaphore, where)
        return Cause.SEMAPHORE, failed, where

    def _misaligned(self, decoder: Decoder, lines: Value) -> Value:
        strides = [decoder.select(f"stride{dim}") for dim in range(DIMENSIONS)]
        low_bits: Value = decoder.select("base")[:3]
        for stride in strides:
            low_bits = low_bits | stride[:3]
        bad = (low_bits & (lines - 1)[:3]).any()
        if decoder.having("dram"):
            offset: Value = decoder.select("dram")
            for dim in range(DIMENSIONS):
                offset = offset | decoder.select(f"dram_stride{dim}").as_unsigned()
            bad = bad | (offset & (self._config.line_bytes - 1)).any()
        return bad

    def _dram(self, m: Module, extent: Any, outside: Signal) -> None:
        """Compares lines: those the window has in full."""
        low, high = Signal(), Signal()
        window, bits = self.i_window, self._line_bits
        begun = Cat(window.low[:bits].any(), window.low[bits:])
        m.d.sync += [
            low.eq(Cat(Const(0, 1), extent.o_dram.low) < begun),
            high.eq(extent.o_dram.beyond | (extent.o_dram.high >= window.high[bits:])),
        ]
        m.d.comb += outside.eq(low | high)

    def _stationary(self, m: Module, decoder: Decoder, walked: Value, kinds: dict[str, Value], passes: Value) -> Value:
        """Remembers the operand type of the newest LoadStationary that passed; a MultiplyMoving must find the same."""
        if "LoadStationary" not in kinds:
            return Const(0)
        dtype = Signal.like(decoder.select("dtype"))
        known, loaded, unloaded = Signal(), Signal.like(dtype), Signal()
        with m.If(walked):
            m.d.sync += dtype.eq(decoder.select("dtype"))
        m.d.sync += unloaded.eq(kinds["MultiplyMoving"] & (~known | (dtype != loaded)))
        with m.If(passes & kinds["LoadStationary"]):
            m.d.sync += [known.eq(1), loaded.eq(dtype)]
        return unloaded
