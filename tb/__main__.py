"""`make sim`, `make wave`: runs registered testbenches and prints what each compared; exit status 0 only when all passed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import click

from sim.synthesis import SynthesisError
from sim.verilated.toolchain import ToolError

from .build import BuildError, pins_of
from .registry import Bench, Config, benches
from .runner import Result, TestbenchError, run_bench
from .waveview import write_view


def _chosen(names: tuple[str, ...]) -> list[Bench]:
    registered = benches()
    for name in names:
        if name not in registered:
            raise click.UsageError(f"TB must be one of {', '.join(registered)}, not {name!r}")
    return [registered[name] for name in names] if names else list(registered.values())


def _runs(names: tuple[str, ...], config: str | None, *, level: str, first: bool) -> Iterator[tuple[Bench, Config, str | None]]:
    """What to run: testbench, configuration and, at gate level, family. `first`: one of each testbench only."""
    chosen = _chosen(names)
    if level == "gate":
        if names and not any(bench.gates for bench in chosen):
            having = ", ".join(name for name, bench in benches().items() if bench.gates)
            raise click.UsageError(f"TB must be one of {having} at gate level, not {' '.join(names)!r}")
        chosen = [bench for bench in chosen if bench.gates]
    for bench in chosen:
        try:
            if level == "gate":
                gates = [bench.gate(config)] if config else list(bench.gates)
                runs: list[tuple[Config, str | None]] = [(gate.config, gate.family) for gate in gates]
            else:
                runs = [(item, None) for item in ([bench.config(config)] if config else bench.configs)]
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        for item, family in runs[:1] if first else runs:
            yield bench, item, family


def _show(result: Result) -> None:
    built = f"built in {result.build_seconds:.1f} s" if result.build_seconds else "build found"
    click.echo(
        f"  passed: {len(result.tests)} test(s), {sum(result.compared.values())} items compared, {built}, ran {result.run_seconds:.1f} s"
    )


@click.command()
@click.argument("names", nargs=-1)
@click.option("--config", help="Only this configuration of each testbench.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Replays a run.")
@click.option("--only", help="Only the tests in whose name this regular expression is found.")
@click.option("--waves", is_flag=True, help="Leave a waveform (VCD).")
@click.option("--level", type=click.Choice(["rtl", "gate"]), default="rtl", help="The RTL, or the netlists synthesis makes of it.")
@click.option("--viewer", is_flag=True, help="With --waves: leave a viewer file too, and run one configuration only.")
def main(names: tuple[str, ...], config: str | None, seed: int | None, only: str | None, waves: bool, level: str, viewer: bool) -> None:
    """Runs the testbenches called NAMES, all of them by default."""
    # `timeout` and CI systems stop a command this way; an exception makes `launch` take the simulation down too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failures = 0
    for bench, item, family in _runs(names, config, level=level, first=viewer):
        try:
            result = run_bench(bench, item, family=family, seed=seed, only=only, waves=waves)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        except (TestbenchError, BuildError, SynthesisError, ToolError) as error:
            failures += 1
            click.echo(f"  FAILED: {error}", err=True)
            continue
        _show(result)
        if waves:
            click.echo(f"  waveform: {result.folder / 'dump.vcd'}")
        if viewer:
            vcd = result.folder / "dump.vcd"
            gtkw, surfer = write_view(
                vcd, toplevel=bench.name, pins=pins_of(result.verilog.read_text(), bench.name), ports=bench.ports, decode=bench.decode
            )
            click.echo(f"  look at it with: gtkwave {gtkw}\n               or: surfer {vcd} -c {surfer}")
    click.echo(f"{failures} run(s) failed" if failures else "every run passed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
