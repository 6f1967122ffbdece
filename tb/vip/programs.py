"""Random whole-chip programs that are free of races, so that golden model and RTL must agree on every bit, errors included.

Each instruction touches random SBUF lines, PSUM rows and DRAM lines. Where it depends on an instruction of another engine (it reads what that
writes, or writes what that reads or writes) it waits for it through semaphores: each (channel, engine) pair owns one, every instruction
of a channel posts to at most two engines, and a channel completes in order, so waiting for the n-th post of a channel waits for all before.
A candidate whose dependencies two waits cannot express is thrown away and another drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hw.common.config import ChipConfig
from hw.common.dtypes import DTYPES
from hw.common.isa import ENGINES, INSTRUCTIONS, OUTPUT_LINES, OutputMode, pack, row_lines

#: Channels that complete in order: the two instructions of the tensor engine overlap, the others do not.
CHANNEL: dict[str, int] = {"Load": 0, "LoadStationary": 1, "MultiplyMoving": 2, "LoadChannel": 3, "Evict": 3, "Store": 4}

#: What a channel wrote and read, as sets of ("sbuf" | "psum" | "dram", index).
Cells = set[tuple[str, int]]


@dataclass
class Use:
    """Last uses of a memory cell: (channel, engine, number in channel)."""

    write: tuple[int, str, int] | None = None
    reads: dict[int, tuple[int, str, int]] = field(default_factory=dict)


@dataclass
class RandomProgram:
    """Queues of instruction words, the DRAM image they start from, and the PSUM rows that end up defined."""

    config: ChipConfig
    queues: dict[str, list[int]]
    data: np.ndarray
    """Bytes of the data region, from DRAM address 0."""
    psum_written: list[tuple[int, int]]
    faults: list[str]

    @property
    def queue_base(self) -> dict[str, int]:
        """DRAM address of each queue, behind the data, each on a page of its own."""
        result, address = {}, -(-len(self.data) // 4096) * 4096
        for engine, words in self.queues.items():
            result[engine] = address
            address += -(-(len(words) * ENGINES[engine].instruction_bytes + 1) // 4096) * 4096
        return result

    @property
    def dram_bytes(self) -> int:
        """DRAM the program needs."""
        last = list(self.queues)[-1]
        return self.queue_base[last] + -(-(len(self.queues[last]) * ENGINES[last].instruction_bytes + 1) // 4096) * 4096

    def write_to(self, write_memory: Callable[[int, Any], Any]) -> None:
        """Puts data and queues into DRAM through `write_memory(address, bytes)`."""
        write_memory(0, self.data)
        for engine, words in self.queues.items():
            size = ENGINES[engine].instruction_bytes
            raw = b"".join(word.to_bytes(size, "little") for word in words)
            if raw:
                write_memory(self.queue_base[engine], np.frombuffer(raw, np.uint8))


class ProgramGenerator:
    """Draws `RandomProgram`s for one configuration from a seed."""

    def __init__(self, config: ChipConfig, seed: int, *, data_lines: int = 4096) -> None:
        self.config = config
        self.rng = np.random.default_rng(seed)
        self.data_lines = data_lines
        self.lines = min(config.sbuf_lines, 2048)  # SBUF in use: small enough for cells to be reused often
        self.rows = min(config.psum_rows, 32)
        self.queues: dict[str, list[int]] = {engine: [] for engine in ENGINES}
        self.cells: dict[tuple[str, int], Use] = {}
        self.counts = dict.fromkeys(set(CHANNEL.values()), 0)
        # posts[channel, engine]: numbers in the channel of the instructions that post to the engine; taken: how many it has waited for.
        self.posts: dict[tuple[int, str], list[int]] = {(c, e): [] for c in self.counts for e in ENGINES}
        self.taken = dict.fromkeys(self.posts, 0)
        self.semaphores = {pair: number for number, pair in enumerate(self.posts)}
        self.stationary: tuple[str, int] | None = None
        self.defined: set[tuple[int, int]] = set()
        self.kinds: dict[tuple[int, int], bool] = {}

    # Random access patterns ----------------------------------------------------------------------------------

    def _int(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def _sizes(self, limit: int) -> list[int]:
        sizes = [1, 1, 1, 1]
        for dim in self.rng.permutation(4)[: self._int(1, 3)]:
            sizes[dim] = self._int(1, max(1, min(limit, self._int(1, 12))))
            limit //= sizes[dim]
        return sizes

    def _pattern(self, sizes: list[int], *, unit: int, extent: int, distinct: bool) -> tuple[int, list[int], np.ndarray] | None:
        """(base, strides, addresses of the steps) inside `extent` lines; with `distinct`, no two steps touch one line."""
        for _ in range(20):
            strides = [unit * self._int(-9, 9) for _ in sizes]
            if distinct and self.rng.random() < 0.7:
                step = unit
                for dim in self.rng.permutation(4):
                    strides[dim] = step * int(self.rng.choice([-1, 1]))
                    step *= sizes[dim]
            offsets = np.zeros(1, np.int64)
            for size, stride in zip(sizes, strides, strict=True):
                offsets = (np.arange(size)[:, None] * stride + offsets[None, :]).reshape(-1)
            room = extent - unit - (offsets.max() - offsets.min())
            if room < 0 or (distinct and len(np.unique(offsets)) < len(offsets)):
                continue
            base = unit * self._int(0, int(room) // unit) - int(offsets.min())
            return base, strides, base + offsets
        return None

    # Instructions --------------------------------------------------------------------------------------------

    def _dma(self, name: str) -> tuple[dict[str, int], Cells, Cells] | None:
        config, line = self.config, self.config.line_bytes
        sizes = self._sizes(64)
        sbuf = self._pattern(sizes, unit=1, extent=self.lines, distinct=name == "Load")
        dram = self._pattern(sizes, unit=1, extent=self.data_lines, distinct=name == "Store")
        if sbuf is None or dram is None:
            return None
        values = {"base": sbuf[0], "dram": dram[0] * line}
        for dim in range(4):
            values |= {f"size{dim}": sizes[dim], f"stride{dim}": sbuf[1][dim], f"dram_stride{dim}": dram[1][dim] * line}
        inside, outside = {("sbuf", int(a)) for a in sbuf[2]}, {("dram", int(a)) for a in dram[2]}
        assert config.sbuf_lines >= self.lines
        return (values, outside, inside) if name == "Load" else (values, inside, outside)

    def _rows(self, name: str, values: dict[str, int], limit: int, *, distinct: bool) -> tuple[int, Cells] | None:
        """Adds an SBUF pattern to `values`: the number of rows and the lines."""
        unit = row_lines(INSTRUCTIONS[name], values)
        sizes = self._sizes(limit)
        pattern = self._pattern(sizes, unit=unit, extent=self.lines, distinct=distinct)
        if pattern is None:
            return None
        values["base"] = pattern[0]
        for dim in range(4):
            values |= {f"size{dim}": sizes[dim], f"stride{dim}": pattern[1][dim]}
        return int(np.prod(sizes)), {("sbuf", int(a) + i) for a in pattern[2] for i in range(unit)}

    def _load_stationary(self) -> tuple[dict[str, int], Cells, Cells] | None:
        dtype = str(self.rng.choice(self.config.dtypes))
        values = {"dtype": DTYPES[dtype].code}
        rows = self._rows("LoadStationary", values, self.config.rows, distinct=False)
        if rows is None:
            return None
        self.stationary = (dtype, rows[0])
        return values, rows[1], set()

    def _multiply_moving(self) -> tuple[dict[str, int], Cells, Cells] | None:
        if self.stationary is None:
            return None
        is_float = DTYPES[self.stationary[0]].is_float
        values = {"dtype": DTYPES[self.stationary[0]].code, "accumulate": self._int(0, 1)}
        moving = self._rows("MultiplyMoving", values, self.rows, distinct=False)
        if moving is None:
            return None
        rows = self._psum(values, moving[0])
        if values["accumulate"] and any(self.kinds.get(row) is not is_float for row in rows):
            return None  # rows not written yet are undefined; int32 sums are no fp32 operands a program would use
        self.defined |= set(rows)
        self.kinds |= dict.fromkeys(rows, is_float)
        return values, moving[1], {("psum", bank * self.config.psum_rows + row) for bank, row in rows}

    def _psum(self, values: dict[str, int], count: int) -> list[tuple[int, int]]:
        bank = self._int(0, self.config.psum_banks - 1)
        top = self.config.psum_rows - count if self.rng.random() < 0.1 else self.rows - count
        row = self._int(0, max(0, top)) if top < self.rows else top
        values |= {"psum_bank": bank, "psum_row": row}
        return [(bank, row + i) for i in range(count)]

    def _evict(self) -> tuple[dict[str, int], Cells, Cells] | None:
        modes = [mode for mode in OutputMode if self._builds(mode)]
        mode = modes[self._int(0, len(modes) - 1)]
        plain = mode is OutputMode.RAW
        values = {"mode": int(mode), "bias": 0 if plain else self._int(0, 1), "relu": 0 if plain else self._int(0, 1)}
        written = self._rows("Evict", values, self.rows, distinct=True)
        if written is None:
            return None
        rows = self._psum(values, written[0])
        if not set(rows) <= self.defined or not self.channel_loaded:
            return None
        assert OUTPUT_LINES[mode] == row_lines(INSTRUCTIONS["Evict"], values)
        return values, {("psum", bank * self.config.psum_rows + row) for bank, row in rows}, written[1]

    def _builds(self, mode: OutputMode) -> bool:
        if mode is OutputMode.RAW:
            return True
        return self.config.has_int if mode in (OutputMode.INT8, OutputMode.INT32) else self.config.has_float

    @property
    def channel_loaded(self) -> bool:
        """Whether a LoadChannel stands in the output queue."""
        return any(word & 0xFF == INSTRUCTIONS["LoadChannel"].opcode for word in self.queues["output"])

    def _load_channel(self) -> tuple[dict[str, int], Cells, Cells] | None:
        base = 8 * self._int(0, self.lines // 8 - 1)
        return {"base": base}, {("sbuf", base + i) for i in range(8)}, set()

    # Dependencies --------------------------------------------------------------------------------------------

    def _waits(self, engine: str, reads: Cells, writes: Cells) -> dict[tuple[int, str], int] | None:
        """Posts to wait for, by semaphore; None if there is no way to wait for them in two waits."""
        needed: dict[int, int] = {}
        for cell in reads | writes:
            use = self.cells.get(cell)
            if use is None:
                continue
            before = [use.write] if use.write else []
            if cell in writes:
                before += list(use.reads.values())
            for channel, owner, number in before:
                if owner != engine:
                    needed[channel] = max(needed.get(channel, -1), number)
        waits = {}
        for channel, number in needed.items():
            pair = (channel, engine)
            position = int(np.searchsorted(self.posts[pair], number))
            if position < self.taken[pair]:
                continue
            if position == len(self.posts[pair]):
                return None
            waits[pair] = position + 1 - self.taken[pair]
        return waits if len(waits) <= 2 else None

    def _append(self, name: str) -> bool:
        """Draws one instruction; False if it cannot be placed."""
        kept = self.stationary, set(self.defined), dict(self.kinds)
        make = {
            "Load": lambda: self._dma("Load"), "Store": lambda: self._dma("Store"), "LoadStationary": self._load_stationary,
            "MultiplyMoving": self._multiply_moving, "LoadChannel": self._load_channel, "Evict": self._evict,
        }[name]  # fmt: skip
        drawn = make()
        engine, channel = INSTRUCTIONS[name].engine, CHANNEL[name]
        waits = self._waits(engine, drawn[1], drawn[2]) if drawn is not None else None
        if drawn is None or waits is None:
            self.stationary, self.defined, self.kinds = kept
            return False
        values, reads, writes = drawn
        number = self.counts[channel]
        self.counts[channel] += 1
        for slot, (pair, count) in enumerate(waits.items()):
            values |= {f"wait{slot}_semaphore": self.semaphores[pair], f"wait{slot}_count": count}
            self.taken[pair] += count
        others = [other for other in ENGINES if other != engine]
        for slot, other in enumerate(self.rng.permutation(others)[: self._int(1, 2)]):
            pair = (channel, str(other))
            values |= {f"post{slot}_semaphore": self.semaphores[pair], f"post{slot}_count": 1}
            self.posts[pair].append(number)
        for cell in reads:
            self.cells.setdefault(cell, Use()).reads[channel] = (channel, engine, number)
        for cell in writes:
            self.cells[cell] = Use(write=(channel, engine, number))
        self.queues[engine].append(pack(INSTRUCTIONS[name], values))
        return True

    def _fill_sbuf(self) -> None:
        """The first instruction: defines all SBUF lines in use; every engine can wait for it through the loads that follow."""
        values = {"base": 0, "dram": 0, "size0": self.lines, "stride0": 1, "dram_stride0": self.config.line_bytes}
        values |= {f"size{dim}": 1 for dim in range(1, 4)}
        for slot, other in enumerate(("tensor", "output")):
            pair = (0, other)
            values |= {f"post{slot}_semaphore": self.semaphores[pair], f"post{slot}_count": 1}
            self.posts[pair].append(0)
        self.counts[0] = 1
        for line in range(self.lines):
            self.cells["sbuf", line] = Use(write=(0, "load", 0))
        self.queues["load"].append(pack(INSTRUCTIONS["Load"], values))

    def _data(self) -> np.ndarray:
        """Random bytes, with the bf16 values that hurt (0, subnormals, infinities, NaN) mixed in where floats are built."""
        raw = self.rng.integers(0, 256, self.data_lines * self.config.line_bytes, dtype=np.uint8)
        if self.config.has_float:
            words = raw.view(np.uint16)
            tame = self.rng.random(len(words)) < 0.9
            words[tame] = (words[tame] & 0x807F) | (self.rng.integers(120, 134, int(tame.sum())).astype(np.uint16) << 7)
        return raw

    def generate(self, instructions: int, faults: int = 0) -> RandomProgram:
        """A program of about `instructions` instructions, `faults` of them spoilt so that they must halt their engine."""
        data = self._data()
        self._fill_sbuf()
        names = ["Load", "Store", "LoadStationary", "MultiplyMoving", "MultiplyMoving", "LoadChannel", "Evict", "Evict"]
        placed = 0
        for _ in range(40 * instructions):
            placed += self._append(names[self._int(0, len(names) - 1)])
            if placed >= instructions:
                break
        spoilt = [self._spoil() for _ in range(faults)]
        return RandomProgram(config=self.config, queues=self.queues, data=data, psum_written=sorted(self.defined), faults=spoilt)

    # Faults --------------------------------------------------------------------------------------------------

    def _spoil(self) -> str:
        """Spoils one instruction in a way that is an error whatever the rest of it is; returns a description."""
        engine = str(self.rng.choice([name for name in ENGINES if self.queues[name]]))
        index = self._int(0, len(self.queues[engine]) - 1)
        word = self.queues[engine][index]
        instruction = next(
            item for item in INSTRUCTIONS.values() if item.engine == engine and (item.opcode == word & 0xFF or word & 0xFF == 0)
        )
        fields = {item.name: item for item in instruction.all_fields}

        def put(name: str, value: int) -> int:
            mask = (1 << fields[name].width) - 1 << fields[name].offset
            return (word & ~mask) | (value << fields[name].offset & mask)

        kinds: dict[str, Callable[[], int]] = {
            "opcode": lambda: word & ~0xFF,
            "reserved": lambda: word | (instruction.reserved_mask & -instruction.reserved_mask),
            "sbuf": lambda: put("base", fields["base"].high & -8),
        }
        if "size0" in fields:
            kinds["zero size"] = lambda: put(f"size{self._int(0, 3)}", 0)
            kinds["huge size"] = lambda: put("size2", fields["size2"].high) | fields["size3"].high << fields["size3"].offset
        if "psum_bank" in fields and self.config.psum_banks < 16:
            kinds["psum bank"] = lambda: put("psum_bank", self.config.psum_banks)
            kinds["psum row"] = lambda: put("psum_row", self.config.psum_rows)
        if "dram" in fields:
            kinds["dram"] = lambda: put("dram", fields["dram"].high + 1 - 4096)
            kinds["dram alignment"] = lambda: put("dram", 1)
        if "dtype" in fields:
            kinds["dtype"] = lambda: put("dtype", 3)
        if "mode" in fields:
            kinds["mode"] = lambda: put("mode", 7)
        if self.config.semaphores < 32:
            kinds["semaphore"] = lambda: put("wait0_semaphore", 31) | 1 << fields["wait0_count"].offset
        kind = list(kinds)[self._int(0, len(kinds) - 1)]
        self.queues[engine][index] = kinds[kind]()
        return f"{kind} of {engine} {index}"
