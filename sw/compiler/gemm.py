"""C[M, N] = A[M, K] B[K, N]: from a shape to a program of one job.

From `sbuf`, both operands are loaded whole before the tensor engine begins; it then waits for nothing but PSUM banks. From `dram`, loads,
products and stores overlap. Sizes need not be multiples of anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from hw.common.config import ChipConfig
from hw.common.isa import OutputMode

from ..isa.program import Program
from ..runtime.layout import matrix_bytes, row_lines, tiles
from .choose import candidates
from .compute import Operand, emit_compute, emit_results
from .queues import CompileError, Job, Memory
from .ring import Region, split_sbuf
from .stream import emit_loads, feed_moving, feed_stationary
from .tiling import Blocking, Plan, Shape, Step, make_plan, step_cycles

SOURCES = ("sbuf", "dram")

#: Most lines of one Load of a whole operand: what fits its size field.
LOAD_LINES = 1 << 15


@dataclass(frozen=True, kw_only=True)
class Gemm:
    """The program of one product; its DRAM buffers are `a`, `b` and `c`."""

    shape: Shape
    source: str
    plan: Plan
    program: Program

    @property
    def expected_cycles(self) -> int:
        """Cycles the steps take if nothing stops the array."""
        return sum(step_cycles(self.plan.tiles[step.tile].rows, self.shape.config) for step in self.plan.steps)

    @property
    def limit_cycles(self) -> int:
        """A generous bound on the cycles of the job: a chip that takes longer hangs."""
        config, element = self.shape.config, self.shape.element
        rows = [self.plan.tiles[step.tile].rows for step in self.plan.steps]
        lines = sum((count + config.rows) * element for count in rows) + 4 * sum(tile.rows for tile in self.plan.tiles)
        return 100_000 + 50 * (lines + self.expected_cycles)


def compile_gemm(
    *,
    m: int,
    k: int,
    n: int,
    dtype: str,
    config: ChipConfig,
    source: str = "sbuf",
    dram_bytes: int = 1 << 32,
    mode: OutputMode = OutputMode.RAW,
) -> Gemm:
    """The program of one matrix product.

    Parameters
    ----------
    m, k, n : int
        Sizes, at least 1.
    dtype : str
        Operand type that `config` builds.
    source : str
        "sbuf" (operands must fit there together) or "dram".
    dram_bytes : int
        DRAM there is for operands, result and queues.
    mode : OutputMode
        RAW gives int32 or fp32.

    Raises
    ------
    CompileError, ConfigError, ValueError
        if something does not fit or is not built.
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}, not {source!r}")
    shape = Shape(m=m, k=k, n=n, dtype=dtype, config=config)
    m, k, n = shape.m, shape.k, shape.n
    memory = Memory(limit=dram_bytes)
    memory.add("a", matrix_bytes(m, k, shape.element, config))
    memory.add("b", matrix_bytes(k, n, shape.element, config))
    memory.add("c", matrix_bytes(m, n, 4 if mode is OutputMode.RAW else {OutputMode.INT8: 1, OutputMode.BF16: 2}.get(mode, 4), config))
    note = f"gemm {m}x{k}x{n} {dtype} from {source}"
    if source == "sbuf":
        plan, program = _from_sbuf(shape, memory, mode, note)
    else:
        plan, program = _from_dram(shape, memory, mode, note)
    if program.dram_bytes > dram_bytes:
        raise CompileError(f"{note} needs {program.dram_bytes} bytes of DRAM with its queues, the limit is {dram_bytes}: use smaller sizes")
    return Gemm(shape=shape, source=source, plan=plan, program=program)


# From SBUF ---------------------------------------------------------------------------------------------------


def _place_in_sbuf(shape: Shape) -> tuple[int, int, Region]:
    """First lines of A (0) and B (on a bank of its own) and the region left for results."""
    config = shape.config
    bank = config.sbuf_bank_lines
    a_lines = shape.m * row_lines(shape.k, shape.element, config)
    b_lines = shape.k * row_lines(shape.n, shape.element, config)
    b_first = tiles(a_lines, bank) * bank
    if b_first + b_lines + 4 > config.sbuf_lines and a_lines + b_lines + 8 <= config.sbuf_lines:
        # No bank left for B alone: correct all the same, the two operands then take turns.
        b_first = tiles(a_lines, 4) * 4
    end = tiles(b_first + b_lines, 4) * 4
    if end + 4 > config.sbuf_lines:
        need = (a_lines + b_lines + 8) * config.line_bytes
        raise CompileError(
            f"operands of {shape.m}x{shape.k}x{shape.n} {shape.dtype} need {need} bytes of SBUF, config {config.name!r} has {config.sbuf_bytes}: "
            "use smaller sizes or --source dram"
        )
    following = tiles(end, bank) * bank
    first = following if config.sbuf_lines - following >= 4 else end
    stripes = [(max(first, low), low + bank - max(first, low)) for low in range(first // bank * bank, config.sbuf_lines, bank)]
    return 0, b_first, Region(stripes=tuple(stripes))


def _from_sbuf(shape: Shape, memory: Memory, mode: OutputMode, note: str) -> tuple[Plan, Program]:
    config = shape.config
    a_first, b_first, region = _place_in_sbuf(shape)
    job = Job(config=config)
    parts = [
        (first + offset, memory.buffers[name].address + offset * config.line_bytes, min(LOAD_LINES, lines - offset))
        for name, first, lines in (
            ("a", a_first, memory.buffers["a"].size // config.line_bytes),
            ("b", b_first, memory.buffers["b"].size // config.line_bytes),
        )
        for offset in range(0, lines, LOAD_LINES)
    ]
    for number, (base, dram, lines) in enumerate(parts, 1):
        job.emit("Load", base=base, dram=dram, ap=[(lines, 1, config.line_bytes)], posts=[("operands", int(number == len(parts)))])
    plan = make_plan(shape, Blocking(rows=config.psum_rows, first_group=1, group=1))
    a_pitch, b_pitch = row_lines(shape.k, shape.element, config), row_lines(shape.n, shape.element, config)

    def moving(number: int, step: Step) -> tuple[int, int]:
        return a_first + plan.tiles[step.tile].row * a_pitch + step.k * shape.element, a_pitch

    def stationary(number: int, step: Step) -> tuple[int, int]:
        return b_first + step.k * config.rows * b_pitch + plan.tiles[step.tile].n * shape.element, b_pitch

    # The wait also gives the tensor queue time to be fetched, so that the array never waits for its instructions.
    emit_compute(job, plan, Operand(locate=moving), Operand(locate=stationary, loaded="operands"))
    emit_results(job, plan, region, dram=memory.buffers["c"].address, mode=mode)
    return plan, job.program(memory, note=note)


# From DRAM ---------------------------------------------------------------------------------------------------


def _from_dram(shape: Shape, memory: Memory, mode: OutputMode, note: str) -> tuple[Plan, Program]:
    config = shape.config
    moving_region, stationary_region, result_region = split_sbuf(config)
    best = min(candidates(shape), key=lambda item: item.cycles)
    plan = make_plan(shape, best.blocking)
    feed_b, stationary = feed_stationary(plan, stationary_region, slot_lines=best.stationary_lines)
    feed_a, moving = feed_moving(plan, moving_region, resident=best.resident)
    job = Job(config=config)
    emit_loads(job, plan, [(feed_b, memory.buffers["b"].address, shape.n), (feed_a, memory.buffers["a"].address, shape.k)])
    emit_compute(job, plan, moving, stationary)
    emit_results(job, plan, result_region, dram=memory.buffers["c"].address, mode=mode)
    return plan, job.program(memory, note=note)
