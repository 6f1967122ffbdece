"""`meshium bench`: every measured figure beside its limit or a peer, measured in the same run."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from hw.common.config import ChipConfig
from hw.tensor.engine import psum_write_latency
from sw.runtime.device import Device
from sw.runtime.matmul import run_matmul

from .console import console, working
from .files import written_whole
from .operands import random_operand
from .simulation import simulated

ROOT = Path(__file__).resolve().parent.parent

#: Shapes (M, N, K) on which RedMulE, the open matrix engine of the PULP platform, is exercised: full, ragged and tiny ones.
SHAPES = (
    "96,96,96 128,128,128 48,48,48 12,16,16 24,16,16 48,32,32 30,32,17 24,32,1 31,32,16 17,32,16 31,32,31 17,32,3 5,32,17 5,32,3 "
    "36,31,32 12,31,16 23,31,31 24,17,32 24,20,32 23,17,33 23,20,33 3,11,32 17,13,16 17,13,17"
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. `limit` is what it is compared with, `target` what the project asks of `measured`; `ok` whether it is met."""

    name: str
    measured: float
    unit: str
    limit: float
    limit_is: str
    target: str
    ok: bool


def scale_sim_cycles(config: ChipConfig, m: int, k: int, n: int) -> int:
    """Cycles of a weight-stationary array without overlap: F (M + 2R + C - 2) - 1, F = ceil(K/R) ceil(N/C).

    Source: Samajdar et al., "A systematic methodology for characterizing scalability of DNN accelerators using SCALE-Sim", ISPASS 2020.
    """
    return _folds(config, k, n) * (m + 2 * config.rows + config.cols - 2) - 1


def overlap_limit(config: ChipConfig, m: int, k: int, n: int) -> int:
    """Cycles of the same array if loads overlap with streaming perfectly: F max(M, R) + 2R + C - 2, one-cycle stages."""
    return _folds(config, k, n) * max(m, config.rows) + 2 * config.rows + config.cols - 2


def pipeline_latency(config: ChipConfig) -> int:
    """Register stages of the build that SCALE-Sim's array does not have: SBUF, multiplier, adders of R rows beyond one each, PSUM."""
    return config.sbuf_latency + config.multiplier_stages + config.rows * (config.adder_stages - 1) + psum_write_latency(config)


def _folds(config: ChipConfig, k: int, n: int) -> int:
    return -(-k // config.rows) * -(-n // config.cols)


def _product(device: Device, golden: Device, shape: tuple[int, int, int], dtype: str, source: str) -> tuple[int, float]:
    """Cycles and utilisation of one product whose every bit equals the golden model's."""
    m, k, n = shape
    rng = np.random.default_rng([m, k, n])
    a, b = random_operand(rng, m, k, dtype), random_operand(rng, k, n, dtype)
    found, expected = run_matmul(device, a, b, source=source), run_matmul(golden, a, b, source=source)
    if not np.array_equal(found.c.view(np.uint32), expected.c.view(np.uint32)):
        raise RuntimeError(f"{m}x{k}x{n} {dtype} from {source}: the result differs from the golden model's")
    return found.cycles, found.utilisation


def array_rows(config: ChipConfig) -> Iterator[Row]:
    """Utilisation of 128 x 128 x 128 from SBUF and 512 x 512 x 512 from DRAM at one line a cycle."""
    for shape, dtype, source, goal in (
        ((128, 128, 128), "int8", "sbuf", 0.99),
        ((128, 128, 128), "bf16", "sbuf", 0.985),
        ((512, 512, 512), "int8", "dram", 0.98),
    ):
        if dtype not in config.dtypes:
            continue
        with _pair(config) as (device, golden):
            cycles, utilisation = _product(device, golden, shape, dtype, source)
        limit = overlap_limit(config, *shape)
        name = f"{'x'.join(map(str, shape))} {dtype} from {source}, {cycles:,} cycles"
        peak = np.prod(shape) / (limit * config.rows * config.cols)
        yield Row(
            name=name, measured=utilisation, unit="of peak", limit=float(peak), limit_is="array limit with overlap, one-cycle stages",
            target=f">= {goal:.3f}", ok=utilisation >= goal,
        )  # fmt: skip


def shape_rows(config: ChipConfig) -> Iterator[Row]:
    """RedMulE's shapes from SBUF, with and without DRAM stalls, against SCALE-Sim's formula plus the pipeline."""
    latency = pipeline_latency(config)
    for stall in (0.0, 0.3):
        with _pair(config, stall=stall) as (device, golden):
            for text in SHAPES.split():
                m, n, k = map(int, text.split(","))
                for dtype in config.dtypes:
                    cycles, _ = _product(device, golden, (m, k, n), dtype, "sbuf")
                    _product(device, golden, (m, k, n), dtype, "dram")
                    formula = scale_sim_cycles(config, m, k, n)
                    yield Row(
                        name=f"{m}x{k}x{n} (M,K,N) {dtype}{', DRAM stalls' if stall else ''}", measured=cycles, unit="cycles",
                        limit=formula, limit_is=f"SCALE-Sim, pipeline + {latency}", target=f"<= {formula + latency}", ok=cycles <= formula + latency,
                    )  # fmt: skip


def simulation_rows(config: ChipConfig) -> Iterator[Row]:
    """Speed from Python beside a bare C++ loop, cold build and warm start."""
    from sim.verilated.chip import VerilatedChip

    def job(chip: Any) -> None:
        device = Device(chip)
        rng = np.random.default_rng(0)
        run_matmul(device, random_operand(rng, 128, 128, "int8"), random_operand(rng, 128, 128, "int8"), source="dram")

    with VerilatedChip(config, dram_bytes=1 << 20) as chip:
        result = max((chip.benchmark(job) for _ in range(3)), key=lambda one: one.ratio)
    yield Row(
        name=f"simulated speed from Python, {result.hertz / 1000:.1f} kHz", measured=result.ratio, unit="of the bare C++ loop", limit=1.0,
        limit_is=f"bare loop, {result.cycles / result.bare_seconds / 1000:.1f} kHz", target=">= 0.9", ok=result.ratio >= 0.9,
    )  # fmt: skip
    command = [
        sys.executable,
        "-c",
        f"from sw.runtime.device import ChipConfig, open_device; open_device('rtl', ChipConfig.named({config.name!r})).close()",
    ]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MESHIUM_BUILD": folder, "CCACHE_DISABLE": "1"}
        for name, goal in (("cold build and start", 60), ("warm start", 2)):
            start = time.perf_counter()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            seconds = time.perf_counter() - start
            yield Row(
                name=f"{name} of {config.name}",
                measured=seconds,
                unit="s",
                limit=goal,
                limit_is="target",
                target=f"<= {goal}",
                ok=seconds <= goal,
            )


@contextmanager
def _pair(config: ChipConfig, stall: float = 0.0) -> Iterator[tuple[Device, Device]]:
    """A Verilated and a golden device of one configuration."""
    with (
        simulated("rtl", config, dram_bytes=1 << 23, seed=1, stall=stall) as device,
        simulated("golden", config, dram_bytes=1 << 23, seed=1) as golden,
    ):
        yield device, golden


SECTIONS: dict[str, Callable[[ChipConfig], Iterator[Row]]] = {"array": array_rows, "shapes": shape_rows, "simulation": simulation_rows}


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(list(SECTIONS)))
@click.option("--config", "config_name", default="base", show_default=True, help="Chip configuration.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--write", is_flag=True, help="Also makes docs/benchmarks.md.")
def bench(sections: tuple[str, ...], config_name: str, as_json: bool, write: bool) -> int:
    """Measures on the RTL: utilisation (array), odd shapes (shapes), simulator (simulation); all if none is named.

    Every product is compared bit for bit with the golden model before its cycles count. Exit status 1 if a target is missed.
    """
    config = ChipConfig.named(config_name)
    found: dict[str, list[Row]] = {}
    for section in sections or tuple(SECTIONS):
        with working(f"measuring {section}"):
            found[section] = list(SECTIONS[section](config))
        console.print(_table(section, config, found[section]))
    if as_json:
        click.echo(json.dumps({section: [asdict(row) for row in rows] for section, rows in found.items()}))
    if write:
        with written_whole(ROOT / "docs" / "benchmarks.md") as stream:
            stream.write(_page(config, found).encode())
    return 0 if all(row.ok for rows in found.values() for row in rows) else 1


COLUMNS = ("figure", "measured", "limit or peer", "ratio", "target", "")


def _cells(row: Row) -> tuple[str, ...]:
    value = f"{row.measured:,.0f}" if row.unit == "cycles" else f"{row.measured:.4g}"
    limit = f"{row.limit:,.4g}" if row.unit != "cycles" else f"{row.limit:,.0f}"
    verdict = "met" if row.ok else "MISSED"
    return row.name, f"{value} {row.unit}", f"{limit} ({row.limit_is})", f"{row.measured / row.limit:.3f}", row.target, verdict


def _table(section: str, config: ChipConfig, rows: list[Row]) -> Table:
    table = Table(title=f"{section} on {config.name}", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in ("measured", "ratio") else "left")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _page(config: ChipConfig, found: dict[str, list[Row]]) -> str:
    """docs/benchmarks.md."""
    lines = [
        "<!-- Made by `meshium bench --write`: run that, do not edit this page. -->", "", "# Measured", "",
        f"Config `{config.name}`, {os.cpu_count()} processors, every product equal to the golden model's in every bit. `make bench` prints these tables.",
    ]  # fmt: skip
    for section, rows in found.items():
        lines += ["", f"## {section}", "", (inspect.getdoc(SECTIONS[section]) or ""), ""]
        lines += ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n".join([*lines, ""])
