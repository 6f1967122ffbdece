"""`meshium run NAME`: a named end-to-end job on a device, checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from hw.common.config import ChipConfig
from sw.compiler.batches import compile_batches
from sw.compiler.graph import CompiledGraph
from sw.compiler.quantise import reference_linear
from sw.models.digits import Digits, digits
from sw.runtime.device import Device
from sw.runtime.layout import pack_matrix, unpack_matrix
from sw.runtime.result import RunResult, total

from .console import console, cycle_progress, fail, print_json, working
from .simulation import Stopwatch, Target, common_options, simulated, target
from .timeline import write_timeline
from .trace import rebased, write_trace

#: Jobs there are.
NAMES = ("digits",)
#: Where traces and pictures go, from the current directory.
OUTPUT = Path("build/run")
#: Cycles after which a job of this size hangs.
LIMIT_CYCLES = 20_000_000


@click.command()
@click.argument("name")
@common_options
def run(
    name: str, config_name: str | None, device_name: str, seed: int, as_json: bool, dram_mib: int, latency: int, stall: float
) -> int:  # fmt: skip
    """A named end-to-end job, checked. NAME is one of: digits.

    digits: a 64-32-10 perceptron trained on scikit-learn's handwritten digits, quantised to int8, on all 360 held-out images. Every logit
    must equal the integer reference and, on rtl and on a board, the golden model's. On rtl it writes build/run/digits/trace.json (for Perfetto) and
    timeline.png. Where the images do not fit the memory at once they go in batches.
    """
    if name not in NAMES:
        raise click.BadParameter(f"NAME must be one of {', '.join(NAMES)}, not {name!r}")
    with target(device_name, config_name, dram_mib=dram_mib, seed=seed, latency=latency, stall=stall) as chosen:
        values, result = _digits(chosen)
        _report(values, result, chosen)
    if as_json:
        print_json(values)
    if not values["ok"]:
        fail(f"{values['logits'] - values['logits_equal']} logits differ from the integer reference")
    return 0 if values["ok"] else 1


def _digits(chosen: Target) -> tuple[dict[str, Any], RunResult]:
    """What is reported, and the counters of all batches."""
    config = chosen.config
    with working("training and quantising"):
        model = digits()
    with working("compiling"):
        graphs = compile_batches(model.layers, batch=len(model.inputs), config=config, dram_bytes=chosen.memory_bytes)
    expected: np.ndarray = model.inputs
    for layer in model.layers:
        expected = reference_linear(layer, expected)

    dram_bytes = max(graph.program.dram_bytes for graph in graphs)
    with simulated("golden", config, dram_bytes=dram_bytes, seed=chosen.options["seed"]) as device:
        golden, results, watch = _infer(device, graphs, model)
    found, files = golden, []
    if chosen.name != "golden":
        with chosen.device(dram_bytes) as device:
            found, results, watch = _infer(device, graphs, model)
            if chosen.name == "rtl":
                files = _write_pictures(device, graphs[-1], results[-1], config)
    result = total(results)

    macs = sum(graph.macs for graph in graphs)
    equal = (found == expected) & (golden == expected)
    return {
        "ok": bool(equal.all()), "max_abs_err": float(np.max(np.abs(found.astype(np.int64) - expected))), "cycles": result.cycles, "macs": macs,
        "utilisation": result.utilisation(macs), "sim_seconds": watch.seconds, "sim_khz": watch.khz, "config_hash": config.hash,
        "config": config.name, "device": chosen.name, "images": len(model.labels), "logits": int(expected.size),
        "logits_equal": int(np.count_nonzero(equal)), "batches": len(graphs),
        "accuracy_float": model.float_accuracy, "accuracy_golden": model.accuracy(golden),
        "accuracy_rtl": model.accuracy(found) if chosen.name != "golden" else None, "files": [str(path) for path in files],
    }, result  # fmt: skip


def _infer(device: Device, graphs: list[CompiledGraph], model: Digits) -> tuple[np.ndarray, list[RunResult], Stopwatch]:
    """Logits of all held-out images on `device`, batch by batch, and the counters of each. A trace log is left with the last batch."""
    watch = Stopwatch(device)
    expected = sum(graph.macs for graph in graphs) // (device.config.rows * device.config.cols)
    logits: list[np.ndarray] = []
    results: list[RunResult] = []
    first = 0
    with cycle_progress(f"{len(model.inputs)} images on {device.name}", 2 * expected) as progress:
        for graph in graphs:
            images = model.inputs[first : first + graph.batch]
            first += graph.batch
            if results and hasattr(device.transport, "clear_events"):
                device.transport.clear_events()
            passed = sum(result.cycles for result in results)
            inputs = {"input": pack_matrix(images, device.config)}
            results.append(device.run(graph.program, inputs, limit_cycles=LIMIT_CYCLES, progress=_behind(progress, passed)))
            raw = device.read(graph.program, "output")
            logits.append(unpack_matrix(raw, graph.batch, graph.layers[-1].outputs, graph.output_type, device.config))
    watch.stop()
    return np.concatenate(logits), results, watch


def _behind(progress: Callable[[int], None] | None, passed: int) -> Callable[[int], None] | None:
    """Progress of a job that begins after `passed` cycles of others."""
    return None if progress is None else lambda cycles: progress(passed + cycles)


def _write_pictures(device: Device, graph: CompiledGraph, result: RunResult, config: ChipConfig) -> list[Path]:
    """Trace and timeline of the job that has just run."""
    title = f"digits on {config.name}: {graph.batch} images in {result.cycles:,} cycles"
    events = rebased(device.transport.events())
    paths = [OUTPUT / "digits" / "trace.json", OUTPUT / "digits" / "timeline.png"]
    with working("drawing"):
        write_trace(paths[0], events, graph.program, end=result.cycles, title=title)
        write_timeline(paths[1], events, end=result.cycles, title=title)
    return paths


def _report(values: dict[str, Any], result: RunResult, chosen: Target) -> None:
    """For people."""
    batches = f" in {values['batches']} batches" if values["batches"] > 1 else ""
    console.print(f"digits: {values['images']} held-out images{batches} on {values['config']} ({values['device']})")
    name = "rtl" if chosen.board is None else "board"
    accuracies = [("float", values["accuracy_float"]), ("golden", values["accuracy_golden"]), (name, values["accuracy_rtl"])]
    console.print("  accuracy   " + "   ".join(f"{name} {value:.2%}" for name, value in accuracies if value is not None))
    console.print(f"  logits     {values['logits_equal']} of {values['logits']} equal bit for bit: {'right' if values['ok'] else 'WRONG'}")
    if not values["cycles"]:
        console.print("  this device has no cycles: use --device rtl to see where time goes")
        return
    console.print(f"  cycles     {values['cycles']:,} for {values['macs']:,} multiply-accumulates: {values['utilisation']:.1%} of peak")
    console.print(f"  time       {chosen.time_taken(values['cycles'], values['sim_seconds'], values['sim_khz'])}")
    console.print(cycle_table(result))
    for path in values["files"]:
        console.print(f"  wrote {path}", soft_wrap=True)


def cycle_table(result: RunResult) -> Table:
    """Where the cycles of every engine went, as shares of the job."""
    table = Table("engine", "instructions", "busy", "memory", "hazard", "semaphore", "fetch", "idle", title="where the cycles went")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, item in result.engines.items():
        parts = (item.busy, item.stall_memory, item.stall_hazard, item.stall_semaphore, item.stall_fetch)
        idle = result.cycles - sum(parts)
        table.add_row(name, str(item.retired), *(f"{part / result.cycles:.1%}" for part in (*parts, idle)))
    return table
