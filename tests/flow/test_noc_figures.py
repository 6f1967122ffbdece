"""The pipeline picture shows what the routers do: a cycle a hop, a packet that waits for another's tail, nothing lost."""

from pathlib import Path

from scripts.noc_figures import PACKETS, draw_crossbar, draw_pipeline, record


def test_recording_and_pictures(tmp_path: Path) -> None:
    recording = record()
    order = [payload for _, payload in recording.ejected]
    assert order == [0xB0, 0xB1, 0xA0, 0xA1, 0xA2], "packets do not mix"
    assert sorted(order) == sorted(payload for _, _, payloads in PACKETS for payload in payloads)
    for payload in (0xB0, 0xB1):
        left = [cycle for cycle, routers in enumerate(recording.places) for flits in routers if (payload, "goes") in flits]
        assert left == list(range(left[0], left[0] + len(left))), "a cycle a hop"
    assert any((0xA0, "waits") in flits for routers in recording.places for flits in routers)
    draw_pipeline(recording, tmp_path / "pipeline.svg")
    draw_crossbar(tmp_path / "crossbar.svg")
    assert all((tmp_path / name).read_text().count("<path") > 20 for name in ("pipeline.svg", "crossbar.svg"))
