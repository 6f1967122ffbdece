"""`meshium run NAME`: a named end-to-end job on a device, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from hw.common.config import ChipConfig
from sw.compiler.graph import CompiledGraph, compile_graph
from sw.compiler.quantise import reference_linear
from sw.models.digits import Digits, digits
from sw.runtime.device import Device
from sw.runtime.layout import pack_matrix, unpack_matrix
from sw.runtime.result import RunResult

from .console import console, cycle_progress, fail, print_json, working
from .simulation import Stopwatch, check_device, common_options, simulated
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
    name: str, config_name: str, device_name: str, seed: int, as_json: bool, dram_mib: int, latency: int, stall: float
) -> int:  # fmt: skip
    """A named end-to-end job, checked. NAME is one of: digits.

    digits: a 64-32-10 perceptron trained on scikit-learn's handwritten digits, quantised to int8, on all 360 held-out images. Every logit
    must equal the integer reference and, on rtl, the golden model's. On rtl it writes build/run/digits/trace.json (for Perfetto) and timeline.png.
    """
    if name not in NAMES:
        raise click.BadParameter(f"NAME must be one of {', '.join(NAMES)}, not {name!r}")
    config = ChipConfig.named(config_name)
    check_device(device_name)
    with working("training and quantising"):
        model = digits()
    with working("compiling"):
        graph = compile_graph(
            model.layers, batch=len(model.inputs), config=config, dram_bytes=min(dram_mib << 20, 1 << config.axi_address_width)
        )  # fmt: skip
    expected: np.ndarray = model.inputs
    for layer in model.layers:
        expected = reference_linear(layer, expected)

    with simulated("golden", config, dram_bytes=graph.program.dram_bytes, seed=seed) as device:
        golden, result, watch = _infer(device, graph, model)
    found, files = golden, []
    if device_name != "golden":
        with simulated(device_name, config, dram_bytes=graph.program.dram_bytes, seed=seed, latency=latency, stall=stall) as device:
            found, result, watch = _infer(device, graph, model)
            files = _write_pictures(device, graph, result, config)

    wrong = int(np.count_nonzero(found != expected)) + int(np.count_nonzero(golden != expected))
    values: dict[str, Any] = {
        "ok": wrong == 0, "max_abs_err": float(np.max(np.abs(found.astype(np.int64) - expected))), "cycles": result.cycles, "macs": graph.macs,
        "utilisation": result.utilisation(graph.macs), "sim_seconds": watch.seconds, "sim_khz": watch.khz, "config_hash": config.hash,
        "config": config.name, "device": device_name, "images": len(model.labels), "logits": int(expected.size),
        "logits_equal": int(np.count_nonzero((found == expected) & (found == golden))),
        "accuracy_float": model.float_accuracy, "accuracy_golden": model.accuracy(golden),
        "accuracy_rtl": model.accuracy(found) if device_name == "rtl" else None, "files": [str(path) for path in files],
    }  # fmt: skip
    _report(values, result)
    if as_json:
        print_json(values)
    if wrong:
        fail(f"{wrong} logits differ from the integer reference")
    return 1 if wrong else 0


def _infer(device: Device, graph: CompiledGraph, model: Digits) -> tuple[np.ndarray, RunResult, Stopwatch]:
    """Logits of all held-out images on `device`."""
    watch = Stopwatch(device)
    expected = graph.macs // (device.config.rows * device.config.cols)
    with cycle_progress(f"{len(model.inputs)} images on {device.name}", 2 * expected) as progress:
        inputs = {"input": pack_matrix(model.inputs, device.config)}
        result = device.run(graph.program, inputs, limit_cycles=LIMIT_CYCLES, progress=progress)
    watch.stop()
    raw = device.read(graph.program, "output")
    return unpack_matrix(raw, graph.batch, graph.layers[-1].outputs, graph.output_type, device.config), result, watch


def _write_pictures(device: Device, graph: CompiledGraph, result: RunResult, config: ChipConfig) -> list[Path]:
    """Trace and timeline of the job that has just run."""
    title = f"digits on {config.name}: {graph.batch} images in {result.cycles:,} cycles"
    events = rebased(device.transport.events())
    paths = [OUTPUT / "digits" / "trace.json", OUTPUT / "digits" / "timeline.png"]
    with working("drawing"):
        write_trace(paths[0], events, graph.program, end=result.cycles, title=title)
        write_timeline(paths[1], events, end=result.cycles, title=title)
    return paths


def _report(values: dict[str, Any], result: RunResult) -> None:
    """For people."""
    console.print(f"digits: {values['images']} held-out images on {values['config']} ({values['device']})")
    accuracies = [("float", values["accuracy_float"]), ("golden", values["accuracy_golden"]), ("rtl", values["accuracy_rtl"])]
    console.print("  accuracy   " + "   ".join(f"{name} {value:.2%}" for name, value in accuracies if value is not None))
    console.print(f"  logits     {values['logits_equal']} of {values['logits']} equal bit for bit: {'right' if values['ok'] else 'WRONG'}")
    if not values["cycles"]:
        console.print("  this device has no cycles: use --device rtl to see where time goes")
        return
    console.print(f"  cycles     {values['cycles']:,} for {values['macs']:,} multiply-accumulates: {values['utilisation']:.1%} of peak")
    console.print(f"  simulated  {values['sim_seconds']:.2f} s, {values['sim_khz']:.1f} kHz")
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
