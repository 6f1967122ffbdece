"""How commands talk: JSON alone on standard output, everything else on standard error; progress on a terminal, silence in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

#: For people: standard error.
console = Console(stderr=True, highlight=False)


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


def fail(message: str) -> None:
    """One error line."""
    sys.stdout.flush()
    click.echo(f"meshium: error: {' '.join(message.split())}", err=True)
