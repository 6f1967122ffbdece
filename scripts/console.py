"""How commands talk: JSON alone on standard output, everything else on standard error; progress on a terminal, silence in a pipe."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

#: For people: standard error.
console = Console(stderr=True, highlight=False)


#: Characters a row may take where there is no terminal.
PIPE_WIDTH = 200


def print_table(table: Table) -> None:
    """A table for people. A pipe has no width: rows stay whole there."""
    (console if console.is_terminal else Console(stderr=True, highlight=False, width=PIPE_WIDTH)).print(table)


def print_json(values: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    click.echo(json.dumps(values))


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner beside `what` on a terminal."""
    if console.is_terminal:
        with console.status(what):
            yield
    else:
        yield


@contextmanager
def cycle_progress(what: str, expected: int) -> Iterator[Callable[[int], None] | None]:
    """A bar of simulated cycles on a terminal, about `expected` in all; None in a pipe."""
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} cycles"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task(what, total=expected)
        yield lambda cycles: bars.update(bar, completed=min(cycles, expected))


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the block even where it strikes inside a destructor, of which Amaranth runs thousands and where Python drops exceptions."""
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is KeyboardInterrupt:
            # A real signal, which also ends waiting for a child.
            again = threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
            again.daemon = True
            again.start()
        else:
            before(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def fail(message: str) -> None:
    """One error line."""
    sys.stdout.flush()
    click.echo(f"meshium: error: {' '.join(message.split())}", err=True)
