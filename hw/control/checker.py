"""Checks every instruction against the machine before it may start."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig
from ..common.dtypes import DTYPES
from ..common.isa import DIMENSIONS, Cause, OutputMode, row_lines, rows_limit
from .decode import ADDRESS_WIDTH, CAUSE_WIDTH, Decoder, channels, checked_layout, fetched_layout, field_value
from .extent import PatternExtent
from .fetcher import window_layout

#: Slots of the header that name a semaphore, in the order in which a bad one is reported.
SLOTS = ("wait0", "wait1", "post0", "post1")


class Checker(wiring.Component):
    """Finds the first `Cause`, in the order of that table, for which an instruction must not run.

    Function: the conditions of `hw.common.isa.Cause` up to NO_STATIONARY, and FETCH_ERROR for an entry that could not be fetched. It
    remembers the operand type of the newest LoadStationary that passed. All positions and limits come from the instruction table.

    Latency: an instruction accepted in cycle t is at `o` in cycle t + 2 + D, where D is the sum over the dimensions of its access pattern
    of ceil(bit_length(size - 1) / 2). Throughput: one instruction every 2 + D cycles (16 rows: 4, 512 rows: 7). A failing one takes no
    longer. Reset drops the instruction inside and forgets the LoadStationary.

    Parameters
    ----------
    config : ChipConfig
    engine : str

    Members
    -------
    i : In(stream of fetched_layout)
    o : Out(stream of checked_layout)
        `cause`, and the word or, with a cause, ADDRESS.
    i_window : In(window_layout)

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
                "i": In(stream.Signature(fetched_layout(engine))),
                "o": Out(stream.Signature(checked_layout(engine))),
                "i_window": In(window_layout(config)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        entry = Signal(fetched_layout(self._engine))
        full, fresh, verdict = Signal(), Signal(), Signal()
        decoder = Decoder(self._engine, entry.word)
        m.submodules.extent = extent = self._extent(decoder)
        m.d.comb += [
            extent.i_start.eq(full & fresh),
            verdict.eq(full & ~fresh & extent.o_done),
            self.o.valid.eq(verdict),
            self.i.ready.eq(~full | (verdict & self.o.ready)),
        ]
        with m.If(full):
            m.d.sync += fresh.eq(0)
        with m.If(self.i.ready):
            m.d.sync += [full.eq(self.i.valid), fresh.eq(self.i.valid)]
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += entry.eq(self.i.payload)

        sizes = extent.i_sizes
        patterned = Signal()
        m.d.comb += patterned.eq(decoder.has("size0"))
        for dim in range(DIMENSIONS):
            # An instruction without a pattern is one step; a size of 0 is an error whatever the extent.
            m.d.comb += sizes[dim].eq(Mux(patterned, decoder.select(f"size{dim}"), 1))
        self._connect(m, decoder, extent, "sbuf", "base", "stride", patterned)
        if decoder.having("dram"):
            self._connect(m, decoder, extent, "dram", "dram", "dram_stride", patterned)

        lines = Signal(4)  # 1, 2, 4 or 8
        m.d.comb += lines.eq(self._row_lines(decoder))
        failures = [
            (Cause.FETCH_ERROR, entry.error, entry.word),
            (Cause.ILLEGAL_OPCODE, ~Cat(decoder.is_a(item) for item in decoder.instructions).any(), decoder.header("opcode")),
            (
                Cause.RESERVED,
                Cat(decoder.is_a(item) & (entry.word & item.reserved_mask).any() for item in decoder.instructions).any(),
                Const(0),
            ),
            (Cause.MODE, self._bad_mode(decoder), Const(0)),
            self._semaphores(decoder),
            (Cause.SIZE, self._bad_size(decoder, extent), Const(0)),
            (Cause.ALIGNMENT, self._misaligned(decoder, lines), decoder.select("base")),
            (Cause.SBUF_RANGE, self._outside_sbuf(extent, lines), decoder.select("base")),
            *self._psum(decoder, extent),
            *self._dram(decoder, extent),
            *self._stationary(m, decoder, verdict),
        ]
        self._judge(m, entry, failures)
        return m

    def _judge(self, m: Module, entry: Any, failures: Sequence[tuple[Cause, Value, Value]]) -> None:
        """The first failure of the list is the verdict."""
        cause, address = Signal(CAUSE_WIDTH), Signal(ADDRESS_WIDTH)
        for code, failed, where in reversed(failures):
            # Later assignments win, so the first of the list has the last word.
            flag = Signal(name=f"is_{code.name.lower()}")
            m.d.comb += flag.eq(failed)
            with m.If(flag):
                m.d.comb += [cause.eq(code), address.eq(where)]
        m.d.comb += [
            self.o.payload.cause.eq(cause),
            self.o.payload.word.eq(Mux(cause == Cause.NONE, entry.word, address)),
        ]

    def _extent(self, decoder: Decoder) -> PatternExtent:
        def width(name: str) -> int:
            return max(item.field(name).width for item in decoder.having(name))

        addresses = {"sbuf": (width("base"), width("stride0"))}
        if decoder.having("dram"):
            addresses["dram"] = (width("dram"), width("dram_stride0"))
        limit = max(rows_limit(item, self._config) for item in decoder.having("size0"))
        return PatternExtent(size_width=width("size0"), addresses=addresses, limit=limit)

    @staticmethod
    def _connect(m: Module, decoder: Decoder, extent: Any, name: str, base: str, stride: str, patterned: Value) -> None:
        port = getattr(extent, f"i_{name}")
        m.d.comb += port.base.eq(decoder.select(base))
        m.d.comb += [port.strides[dim].eq(Mux(patterned, decoder.select(f"{stride}{dim}"), 0)) for dim in range(DIMENSIONS)]

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

    def _bad_size(self, decoder: Decoder, extent: Any) -> Value:
        zero = Cat(size == 0 for size in extent.i_sizes).any()
        above = Cat(decoder.is_a(item) & (extent.o_product > rows_limit(item, self._config)) for item in decoder.having("size0")).any()
        return zero | above

    def _misaligned(self, decoder: Decoder, lines: Value) -> Value:
        strides = [decoder.select(f"stride{dim}") for dim in range(DIMENSIONS)]
        low_bits: Value = decoder.select("base")[:3]
        for stride in strides:
            low_bits = low_bits | Mux(decoder.has("stride0"), stride[:3], 0)
        bad = (low_bits & (lines - 1)[:3]).any()
        if decoder.having("dram"):
            offset: Value = decoder.select("dram")
            for dim in range(DIMENSIONS):
                offset = offset | decoder.select(f"dram_stride{dim}").as_unsigned()
            bad = bad | (offset & (self._config.line_bytes - 1)).any()
        return bad

    def _outside_sbuf(self, extent: Any, lines: Value) -> Value:
        return (extent.o_sbuf.low < 0) | (extent.o_sbuf.high + lines > self._config.sbuf_lines)

    def _psum(self, decoder: Decoder, extent: Any) -> list[tuple[Cause, Value, Value]]:
        if not decoder.having("psum_row"):
            return []
        bank, row = decoder.select("psum_bank"), decoder.select("psum_row")
        outside = (bank >= self._config.psum_banks) | (row + extent.o_product > self._config.psum_rows)
        return [(Cause.PSUM_RANGE, decoder.has("psum_row") & outside, Cat(row, Const(0, 16 - len(row)), bank))]

    def _dram(self, decoder: Decoder, extent: Any) -> list[tuple[Cause, Value, Value]]:
        if not decoder.having("dram"):
            return []
        reach, window = extent.o_dram, self.i_window
        outside = (reach.low < window.low) | (reach.high + self._config.line_bytes > window.high)
        return [(Cause.DRAM_RANGE, outside, decoder.select("dram"))]

    def _stationary(self, m: Module, decoder: Decoder, verdict: Value) -> list[tuple[Cause, Value, Value]]:
        """Remembers the operand type of the newest LoadStationary; a MultiplyMoving must find the same."""
        loads = [item for item in decoder.instructions if item.name == "LoadStationary"]
        uses = [item for item in decoder.instructions if item.name == "MultiplyMoving"]
        if not loads or not uses:
            return []
        dtype = field_value(decoder.word, loads[0].field("dtype"))
        known, loaded = Signal(), Signal.like(dtype)
        with m.If(verdict & self.o.ready & (self.o.payload.cause == Cause.NONE) & decoder.is_a(loads[0])):
            m.d.sync += [known.eq(1), loaded.eq(dtype)]
        return [(Cause.NO_STATIONARY, decoder.is_a(uses[0]) & (~known | (decoder.select("dtype") != loaded)), Const(0))]
