"""What the tests of the tensor engine share: a small SBUF, random programs, their golden results, and a run that records every cycle."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.control.command import EngineState
from hw.memory.psum import psum_write_latency
from sim.golden.psum import PsumModel
from sim.golden.tile import accumulate, matmul

#: bf16 numbers that break things: zeros, infinities, NaN, the largest, the smallest, a subnormal, one.
SPECIALS = (0x0000, 0x8000, 0x7F80, 0xFF80, 0x7FC0, 0x7F7F, 0xFF7F, 0x0080, 0x8001, 0x3F80, 0xBF80)
#: (instruction name, fields)
Command = tuple[str, dict[str, int]]


@dataclass
class Record:
    """What a run did, cycle by cycle."""

    accepted: list[int] = field(default_factory=list)
    """Cycle in which each command was accepted."""
    rows: list[tuple[int, int]] = field(default_factory=list)
    """(cycle, lanes) of each moving row requested."""
    stationary: list[int] = field(default_factory=list)
    """Cycle of each stationary row requested."""
    writes: list[int] = field(default_factory=list)
    """Cycle of each pulse to PSUM."""
    done: dict[str, list[int]] = field(default_factory=lambda: {"LoadStationary": [], "MultiplyMoving": []})
    states: list[EngineState] = field(default_factory=list)
    refusals: int = 0
    psum: Any = None
    """PSUM at the end, uint32 [bank, row, column]."""


def make_sbuf(config: ChipConfig, rng: np.random.Generator) -> np.ndarray:
    """Random lines; where floats are built half the 16-bit elements are near 1 and some are special."""
    lines = rng.integers(0, 256, (config.sbuf_lines, config.cols), dtype=np.uint8)
    if config.has_float:
        words = lines.reshape(-1).view(np.uint16)
        kind = rng.integers(0, 16, words.shape)
        near = (rng.integers(0x3F00, 0x4100, words.shape) | (rng.integers(0, 2, words.shape) << 15)).astype(np.uint16)
        words[:] = np.where(kind < 12, near, np.where(kind == 12, rng.choice(np.array(SPECIALS, np.uint16), words.shape), words))
    return lines


def pattern(fields: dict[str, int]) -> Iterator[int]:
    """The lines of an access pattern."""
    for steps in product(*(range(fields[f"size{dim}"]) for dim in (3, 2, 1, 0))):
        yield fields["base"] + sum(step * fields[f"stride{dim}"] for step, dim in zip(steps, (3, 2, 1, 0), strict=True))


def straight(base: int, count: int, stride: int = 1) -> dict[str, int]:
    """Pattern fields of `count` lines in a line."""
    return {"base": base, "size0": count, "stride0": stride} | {f"size{d}": 1 for d in (1, 2, 3)} | {f"stride{d}": 0 for d in (1, 2, 3)}


def random_pattern(config: ChipConfig, rng: np.random.Generator, count: int, lines: int) -> dict[str, int]:
    """A pattern of `count` steps inside SBUF, base and strides multiples of `lines`, sizes split at random."""
    while True:
        sizes = [1, 1, 1, 1]
        left = count
        for dim in rng.permutation(4):
            divisors = [d for d in range(1, left + 1) if left % d == 0]
            sizes[dim] = int(rng.choice(divisors))
            left //= sizes[dim]
        sizes[int(rng.integers(4))] *= left
        strides = [lines * int(rng.integers(-6, 7)) for _ in range(4)]
        low = sum(min(0, (n - 1) * s) for n, s in zip(sizes, strides, strict=True))
        high = sum(max(0, (n - 1) * s) for n, s in zip(sizes, strides, strict=True))
        if high - low + lines > config.sbuf_lines:
            continue
        base = lines * int(rng.integers(-low // lines, (config.sbuf_lines - lines - high) // lines + 1))
        fields = {"base": base}
        for dim in range(4):
            fields |= {f"size{dim}": sizes[dim], f"stride{dim}": strides[dim]}
        return fields


def load(config: ChipConfig, dtype: str, fields: dict[str, int]) -> Command:
    """A LoadStationary of the rows of a pattern."""
    return "LoadStationary", {"dtype": config.dtype(dtype).code, **fields}


def multiply(
    config: ChipConfig, dtype: str, fields: dict[str, int], *, swap: int, bank: int = 0, row: int = 0, accumulate: int = 0
) -> Command:
    """A MultiplyMoving of the rows of a pattern."""
    place = {"psum_bank": bank, "psum_row": row, "accumulate": accumulate, "swap": swap}
    return "MultiplyMoving", {"dtype": config.dtype(dtype).code, **fields, **place}


def random_program(config: ChipConfig, rng: np.random.Generator, blocks: int) -> list[Command]:
    """Loads, some of them never used, each followed by some multiplications of any length to any place."""
    program = []
    for _ in range(blocks):
        dtype = str(rng.choice(config.dtypes))
        lines = config.dtype(dtype).bytes
        for _ in range(int(rng.choice([1, 1, 1, 2]))):
            k = int(rng.integers(1, config.rows + 1))
            program.append(load(config, dtype, random_pattern(config, rng, k, lines)))
        for index in range(int(rng.integers(1, 4))):
            count = int(rng.choice([1, 2, 3, config.psum_rows]))
            program.append(
                multiply(
                    config, dtype, random_pattern(config, rng, count, lines),
                    swap=int(index == 0),
                    bank=int(rng.choice([0, config.psum_banks - 1])),
                    row=int(rng.integers(0, config.psum_rows - count + 1)),
                    accumulate=int(rng.integers(2)),
                )
            )  # fmt: skip
    return program


def _dtype_name(fields: dict[str, int]) -> str:
    return "bf16" if fields["dtype"] else "int8"


def _read_rows(config: ChipConfig, sbuf: np.ndarray, fields: dict[str, int], count: int) -> np.ndarray:
    flat = sbuf.reshape(-1)
    if _dtype_name(fields) == "bf16":
        return np.stack([flat[line * config.cols :][: 2 * config.cols].view(np.uint16)[:count] for line in pattern(fields)])
    return np.stack([flat[line * config.cols :][:count].view(np.int8) for line in pattern(fields)])


def golden(config: ChipConfig, sbuf: np.ndarray, program: list[Command]) -> np.ndarray:
    """PSUM after the program, instruction by instruction."""
    psum = np.zeros((config.psum_banks, config.psum_rows, config.cols), np.uint32)
    stationary = np.zeros((0, config.cols), np.int8)
    for name, fields in program:
        if name == "LoadStationary":
            stationary = _read_rows(config, sbuf, fields, config.cols)
            continue
        dtype = _dtype_name(fields)
        moving = _read_rows(config, sbuf, fields, config.rows)[:, : len(stationary)]
        sums = matmul(moving, stationary, dtype)
        here = psum[fields["psum_bank"], fields["psum_row"] : fields["psum_row"] + len(sums)]
        here[:] = accumulate(here, sums, dtype) if fields["accumulate"] else sums
    return psum


class SbufModel:
    """Answers read requests of one port after `sbuf_latency` cycles."""

    def __init__(self, config: ChipConfig, lines: np.ndarray, port: Any) -> None:
        self._config, self._port = config, port
        self._flat = lines.reshape(-1)
        self._due: dict[int, int] = {}

    def drive(self, ctx: Any, cycle: int, ready: bool) -> None:
        """Sets the port's inputs for `cycle`."""
        ctx.set(self._port.request.ready, ready)
        ctx.set(self._port.response.valid, cycle in self._due)
        # Where no answer is due the bus carries what nobody may use.
        ctx.set(self._port.response.data, self._due.pop(cycle, (1 << 8 * self._config.word_bytes) - 1))

    def accept(self, cycle: int, address: int) -> None:
        """A request taken in `cycle`: the word that holds the line, rotated to bring it lowest."""
        cols, count = self._config.cols, self._config.element_bytes
        first = address - address % count
        lines = [self._flat[cols * line :][:cols] for line in ((first + (address + i) % count) for i in range(count))]
        self._due[cycle + self._config.sbuf_latency] = int.from_bytes(np.concatenate(lines).tobytes(), "little")


class Player:
    """Runs one program on the engine inside a testbench and records what happens; see `run` for the parameters."""

    def __init__(
        self, dut: Any, config: ChipConfig, sbuf: np.ndarray, program: list[Command], *, seed: int, refuse: float, pause: float
    ) -> None:
        self._dut, self._config, self._program = dut, config, program
        self._rng, self._refuse, self._pause = np.random.default_rng(seed), refuse, pause
        self._seed = seed
        self._model = PsumModel(config, write_latency=psum_write_latency(config))
        self._ports = {"LoadStationary": dut.i_load_stationary, "MultiplyMoving": dut.i_multiply_moving}
        self._stationary, self._moving = SbufModel(config, sbuf, dut.sbuf_stationary), SbufModel(config, sbuf, dut.sbuf_moving)
        self._index, self._offering, self._ready = 0, False, False
        self._held: int | None = None
        self.record = Record(psum=self._model.rows)

    async def play(self, ctx: Any, cycles: int, each_cycle: Callable[[Any, int], None] | None = None) -> bool:
        """Runs for `cycles` cycles, or until some time after everything is done; whether it is."""
        wanted = {name: sum(item[0] == name for item in self._program) for name in self._ports}
        idle = 0
        for cycle in range(cycles):
            if each_cycle is not None:
                each_cycle(ctx, cycle)
            self._drive(ctx, cycle)
            self._sampled(cycle, (await ctx.tick().sample(*self._watched()))[2:])
            complete = self._index == len(self._program) and all(len(self.record.done[name]) >= wanted[name] for name in wanted)
            idle = idle + 1 if complete else 0
            if idle > self._config.rows * self._config.adder_stages:
                return True
        return False

    async def pulse(self, ctx: Any, signal: Any) -> None:
        """One cycle in which `signal` is high and nothing is offered."""
        for port in self._ports.values():
            ctx.set(port.valid, 0)
        ctx.set(signal, 1)
        await ctx.tick()
        ctx.set(signal, 0)

    def _drive(self, ctx: Any, cycle: int) -> None:
        self._offering = self._offering or (self._index < len(self._program) and self._rng.random() >= self._pause)
        for name, port in self._ports.items():
            here = self._offering and self._program[self._index][0] == name
            ctx.set(port.valid, here)
            if here:
                ctx.set(port.payload, self._program[self._index][1])
        self._ready = bool(self._rng.random() >= self._refuse)
        self._stationary.drive(ctx, cycle, True)
        self._moving.drive(ctx, cycle, self._ready)

    def _watched(self) -> list[Any]:
        dut = self._dut
        watched = [dut.i_load_stationary.ready, dut.i_multiply_moving.ready]
        for port in (dut.sbuf_stationary, dut.sbuf_moving):
            watched += [port.request.valid, port.request.payload.address, port.request.payload.write]
        watched += [dut.psum.valid, dut.psum.bank, dut.psum.row, dut.psum.accumulate, dut.psum.is_float, dut.psum.data]
        return [*watched, dut.done_load_stationary, dut.done_multiply_moving, dut.o_state, dut.o_row, dut.o_lanes]

    def _sampled(self, cycle: int, values: Any) -> None:
        record, ready = self.record, self._ready
        load_ready, multiply_ready, load_ask, load_line, load_write, ask, line, write = values[:8]
        psum_valid, bank, psum_row, accumulates, is_float, words, load_done, multiply_done, state, row, lanes = values[8:]
        if self._offering and {"LoadStationary": load_ready, "MultiplyMoving": multiply_ready}[self._program[self._index][0]]:
            record.accepted.append(cycle)
            self._index, self._offering = self._index + 1, False
        assert not (load_ask and load_write) and not (ask and write), f"cycle {cycle}: the engine only reads"
        if load_ask:
            self._stationary.accept(cycle, load_line)
            record.stationary.append(cycle)
        assert self._held is None or (ask and line == self._held), f"seed {self._seed}, cycle {cycle}: request taken back or changed"
        self._held = line if ask and not ready else None
        record.refusals += self._held is not None
        assert row == (ask and ready), f"seed {self._seed}, cycle {cycle}: o_row"
        if row:
            self._moving.accept(cycle, line)
            record.rows.append((cycle, lanes))
        if psum_valid:
            record.writes.append(cycle)
            flags = {"accumulate": bool(accumulates), "is_float": bool(is_float)}
            self._model.write(bank=bank, row=psum_row, data=list(words), **flags)
        self._model.end_cycle()
        for name, pulse in (("LoadStationary", load_done), ("MultiplyMoving", multiply_done)):
            if pulse:
                record.done[name].append(cycle)
        record.states.append(EngineState(state))


def run(
    dut: Any,
    config: ChipConfig,
    sbuf: np.ndarray,
    program: list[Command],
    *,
    seed: int = 0,
    refuse: float = 0.0,
    pause: float = 0.0,
    top: Any = None,
    each_cycle: Callable[[Any, int], None] | None = None,
    before: tuple[list[Command], int, Any] | None = None,
) -> Record:
    """Runs the program and returns what happened.

    Commands come in order, at most one a cycle, at random distances where `pause` > 0; SBUF refuses moving rows with probability `refuse`.
    `each_cycle(ctx, cycle)` may watch and drive more of `top`. `before` = (program, cycles, signal): first that program for at most so many
    cycles, then a cycle with `signal` high.
    """
    limit = 6000
    player = Player(dut, config, sbuf, program, seed=seed, refuse=refuse, pause=pause)

    async def testbench(ctx: Any) -> None:
        if before is not None:
            earlier, cycles, signal = before
            await Player(dut, config, sbuf, earlier, seed=seed, refuse=refuse, pause=pause).play(ctx, cycles)
            await player.pulse(ctx, signal)
        ended = await player.play(ctx, limit, each_cycle)
        assert ended, f"seed {seed}: not done after {limit} cycles: {player.record.done}, {len(player.record.rows)} rows"

    sim = Simulator(dut if top is None else top)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    return player.record
