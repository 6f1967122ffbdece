"""Draws docs/figures/wavefront.svg: two stationary blocks chasing their moving rows through a 4 x 4 array, as the RTL does it.

Every square is read off the array's own signals in the Amaranth simulator; nothing is drawn from a formula.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import matplotlib
from amaranth.sim import Simulator

from hw.common.config import ChipConfig
from hw.tensor import array
from hw.tensor.pe import Pe
from hw.tensor.tile import Tile

SIDE, MOVING_ROWS, CYCLES = 4, 6, 20
TARGET = Path(__file__).resolve().parent.parent / "docs" / "figures" / "wavefront.svg"


@dataclass
class Cell:
    """What one element does in one cycle."""

    is_loading: bool = False
    row: int | None = None
    """Number of the moving row it multiplies, None for none."""
    swaps: bool = False


@dataclass
class Recording:
    """cells[cycle][row][column]."""

    cells: list[list[list[Cell]]] = field(default_factory=list)


def record() -> Recording:
    """Runs two blocks of `MOVING_ROWS` rows through a tile, loads and streams as close together as the engine drives them."""
    config = ChipConfig(rows=SIDE, cols=SIDE)
    elements: list[Pe] = []

    class RecordedPe(Pe):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            elements.append(self)

    recording = Recording()
    tile: Any = Tile(config=config)
    # Block b loads its row 0 one cycle before its first moving row; moving element = 1 + row number, so that a 0 is an empty cycle.
    starts = [1, 1 + MOVING_ROWS]

    async def drive(ctx: Any) -> None:
        for cycle in range(CYCLES):
            loading = next((cycle - start + 1 for start in starts if 0 <= cycle - start + 1 < SIDE), None)
            streaming = next(((cycle - start, block) for block, start in enumerate(starts) if 0 <= cycle - start < MOVING_ROWS), None)
            ctx.set(tile.i_stationary.valid, loading is not None)
            ctx.set(tile.i_stationary.row, loading or 0)
            ctx.set(tile.i_moving.valid, streaming is not None)
            ctx.set(tile.i_moving.lanes, (1 << SIDE) - 1 if streaming is not None else 0)
            number = 0 if streaming is None else 1 + streaming[0] + MOVING_ROWS * streaming[1]
            ctx.set(tile.i_moving.swap, streaming is not None and streaming[0] == 0)
            for row in range(SIDE):
                ctx.set(tile.i_moving.data[row], number)
            cells = [[_cell(ctx, elements[row * SIDE + col]) for col in range(SIDE)] for row in range(SIDE)]
            recording.cells.append(cells)
            await ctx.tick()

    with patch.object(array, "Pe", RecordedPe):
        simulator = Simulator(tile)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return recording


def _cell(ctx: Any, element: Any) -> Cell:
    number = ctx.get(element.i_moving.data)
    return Cell(is_loading=bool(ctx.get(element.i_load)), row=number - 1 if number else None, swaps=bool(ctx.get(element.i_moving.swap)))


def draw(recording: Recording, target: Path) -> None:
    """One panel a cycle: blue and green for the two blocks, a number for the moving row, an orange frame for a load, bold for the swap."""
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "meshium"
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    used = [cells for cells in recording.cells if any(cell.is_loading or cell.row is not None for row in cells for cell in row)]
    columns = 6
    figure, axes = pyplot.subplots(-(-len(used) // columns), columns, figsize=(9.6, 1.75 * -(-len(used) // columns)))
    for axis in axes.flat:
        axis.axis("off")
    for cycle, (axis, cells) in enumerate(zip(axes.flat, used, strict=False)):
        axis.set(xlim=(-0.1, SIDE + 0.1), ylim=(SIDE + 0.1, -0.1), aspect="equal")
        axis.set_title(f"cycle {cycle}", fontsize=8)
        for y, row in enumerate(cells):
            for x, cell in enumerate(row):
                colour = "#eeeeee" if cell.row is None else ("#9ecae1", "#a1d99b")[cell.row // MOVING_ROWS]
                axis.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white"))
                if cell.is_loading:
                    axis.add_patch(Rectangle((x + 0.09, y + 0.09), 0.82, 0.82, fill=False, edgecolor="#e6550d", linewidth=1.6))
                if cell.row is not None:
                    weight = "bold" if cell.swaps else "normal"
                    axis.text(x + 0.5, y + 0.55, str(cell.row % MOVING_ROWS), ha="center", va="center", fontsize=7, fontweight=weight)
    figure.tight_layout()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


@click.command()
def main() -> None:
    """Draws the figures of the docs."""
    draw(record(), TARGET)
    click.echo(f"written: {TARGET.name}", err=True)


if __name__ == "__main__":
    main()
