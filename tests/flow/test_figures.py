"""The wavefront picture shows what the array does: no idle element inside the wave, loads ahead of their swap."""

from scripts.figures import MOVING_ROWS, SIDE, draw, record


def test_recording_and_picture(tmp_path):
    recording = record()
    for row in range(SIDE):
        for col in range(SIDE):
            history = [cells[row][col] for cells in recording.cells]
            active = [cycle for cycle, cell in enumerate(history) if cell.row is not None]
            assert active == list(range(1 + row + col, 1 + row + col + 2 * MOVING_ROWS)), "rows follow without a bubble"
            assert [history[cycle].row for cycle in active] == list(range(2 * MOVING_ROWS))
            swaps = [cycle for cycle, cell in enumerate(history) if cell.swaps]
            loads = [cycle for cycle, cell in enumerate(history) if cell.is_loading]
            assert len(swaps) == len(loads) == 2
            assert all(load < swap for load, swap in zip(loads, swaps, strict=True)), "a load runs ahead of its swap"
    draw(recording, tmp_path / "wavefront.svg")
    assert (tmp_path / "wavefront.svg").read_text().count("<path") > SIDE * SIDE * MOVING_ROWS
