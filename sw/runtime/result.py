"""What a finished job reports: the counters of the chip, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from hw.common.config import ChipConfig
from hw.common.isa import ENGINES
from hw.common.registers import engine_register


@dataclass(frozen=True, kw_only=True)
class EngineCounters:
    """Cycles of one engine by what it did (0 on the golden device, which has no time); what they leave of `RunResult.cycles` it was
    idle.
    """

    retired: int
    busy: int
    stall_fetch: int
    stall_semaphore: int
    stall_memory: int
    stall_hazard: int


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Counters of one job.

    Members
    -------
    cycles : int
        Doorbell to end of the job.
    tensor_span : int
        First tensor instruction to last PSUM write.
    rows, macs : int
        Moving rows streamed; multiply-accumulates the instructions asked for, padding of edge tiles included.
    sbuf_conflicts : int
    engines : dict of EngineCounters by engine name
    config : ChipConfig
    """

    config: ChipConfig
    cycles: int
    tensor_span: int
    rows: int
    macs: int
    sbuf_conflicts: int
    engines: dict[str, EngineCounters]

    def utilisation(self, macs: int, cycles: int | None = None) -> float:
        """Share of the peak that `macs` useful multiply-accumulates are in `cycles` (default: the whole job); 0 where there is no time."""
        cycles = self.cycles if cycles is None else cycles
        return macs / (cycles * self.config.rows * self.config.cols) if cycles else 0.0


def read_result(config: ChipConfig, read: Callable[[str], int]) -> RunResult:
    """The `RunResult` behind `read`, which gives the value of a register by name."""
    engines = {
        engine: EngineCounters(
            **{
                name: read(engine_register(engine, name.upper()))
                for name in ("retired", "busy", "stall_fetch", "stall_semaphore", "stall_memory", "stall_hazard")
            }
        )
        for engine in ENGINES
    }
    return RunResult(
        config=config,
        cycles=read("CYCLES"),
        tensor_span=read("TENSOR_SPAN"),
        rows=read("TENSOR_ROWS"),
        macs=read("TENSOR_MACS_LO") | read("TENSOR_MACS_HI") << 32,
        sbuf_conflicts=read("SBUF_CONFLICTS"),
        engines=engines,
    )


def total(results: Sequence[RunResult]) -> RunResult:
    """The counters of jobs that ran one after another, added up; at least one, all of one configuration."""
    engines = {
        engine: EngineCounters(
            **{item.name: sum(getattr(result.engines[engine], item.name) for result in results) for item in fields(EngineCounters)}
        )
        for engine in results[0].engines
    }
    sums = {name: sum(getattr(result, name) for result in results) for name in ("cycles", "tensor_span", "rows", "macs", "sbuf_conflicts")}
    return RunResult(config=results[0].config, engines=engines, **sums)
