"""Search, tables, pictures and exit status of `bench-noc`, on queues whose saturation is known in closed form."""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from hw.common.noc import NocConfig
from scripts import cmd_bench_noc
from scripts.cmd_bench_noc import CONFIGS, bench_noc, page, saturation_figures
from scripts.noc_measure import SWEEP, Bench, Wrong
from scripts.noc_peers import PATTERN_NAMES, PEERS, best_peer
from scripts.noc_plots import curves, draw_patterns, draw_uniform, write_csv
from sim.golden.mesh import latencies
from sim.golden.noc_limits import ideal_throughput, zero_load_latency
from sim.golden.traffic import traffic_matrix

DTYPE = np.dtype([(name, "<u4") for name in ("created", "injected", "ejected", "source", "destination")])


class Queue:
    """Traffic on a made-up mesh: latency zero / (1 - rate / limit), so three times zero at 2/3 of the limit, which is a share of the ideal."""

    def __init__(self, share=0.97, *, late=0, **spoiled):
        self.share, self.late, self.spoiled, self.runs = share, late, spoiled, []

    def __call__(self, *, config, pattern="uniform", rate=0.1, packets=None, **options):
        self.runs.append((config.name, pattern, rate))
        matrix = traffic_matrix(pattern, config.mesh_x, config.mesh_y)
        zero = zero_load_latency(matrix, config.mesh_x, config.mesh_y)
        limit = self.share * ideal_throughput(matrix, config.mesh_x, config.mesh_y, "xy")
        latency = zero / (1 - rate / limit) if rate < limit else 1e4
        listed = np.zeros(len(packets or ()), DTYPE)
        if packets:
            source, destination, _, created = np.array(packets).T
            listed["source"], listed["destination"], listed["created"], listed["injected"] = source, destination, created, created + 3
            listed["ejected"] = created + 3 + latencies(config, source, destination)
            listed["ejected"][5] += self.late
        flows = np.full((config.nodes, config.nodes), 40)
        values = {
            "right": not self.spoiled, "lost": 0, "duplicated": 0, "misrouted": 0, "reordered": 0, "corrupted": 0, "accepted": min(rate, limit),
            "latency_mean": latency, "latency_median": latency, "latency_p99": 2 * latency, "latency_max": 3 * latency, "packets": listed,
            "node_share_min": 0.9, "node_share_max": 1.1, "sim_khz": 12.5, "per_flow": flows, "per_flow_offered": flows,
        }  # fmt: skip
        return SimpleNamespace(**(values | self.spoiled))


@pytest.mark.parametrize("pattern", PATTERN_NAMES)
def test_saturation_is_found_to_the_grain(pattern):
    queue = Queue()
    found = Bench(traffic=queue).saturation(CONFIGS["deep"], pattern)
    exact = 2 / 3 * 0.97 * ideal_throughput(traffic_matrix(pattern, 8, 8), 8, 8, "xy")
    assert exact - 0.004 < found.saturation <= exact + 1e-9
    assert found.peak == pytest.approx(0.97 * found.ideal) and found.full_load.offered == 1.0
    assert found.held == pytest.approx(1)
    again = 2 if pattern == "hot_spot" else 0  # full load and peak once more, in a longer window
    assert len(queue.runs) - again == len(set(queue.runs)) < 16, "a load is measured once"


def test_saturation_above_the_ideal_is_believed():
    """A router nothing can saturate passes at every load."""
    assert Bench(traffic=Queue(share=1e6), grain=0.02).saturation(CONFIGS["deep"], "uniform").saturation >= 0.98


def test_sweep():
    bench = Bench(traffic=Queue())
    bench.saturation(CONFIGS["lean"], "uniform", sweep=True)
    loads = [point.offered for point in bench.points]
    assert set(SWEEP) <= set(loads) and loads == sorted(loads)


@pytest.mark.parametrize("late,wrong", [(0, 0), (2, 1)])
def test_zero_load(late, wrong):
    for config in (CONFIGS["fast"], NocConfig(mesh_x=3, mesh_y=2), NocConfig(mesh_x=1, mesh_y=4)):
        mean, off = Bench(traffic=Queue(late=late)).zero_load(config)
        exact = zero_load_latency(traffic_matrix("uniform", config.mesh_x, config.mesh_y), config.mesh_x, config.mesh_y)
        assert off == wrong and mean == pytest.approx(exact + late / (config.nodes * (config.nodes - 1)))


@pytest.mark.parametrize("spoiled", [{"lost": 1}, {"reordered": 2}, {"right": False}])
def test_wrong_runs_count_for_nothing(spoiled):
    with pytest.raises(Wrong, match=r"deep, .*(lost|reordered|nothing was delivered)"):
        Bench(traffic=Queue(**spoiled)).point(CONFIGS["deep"], "uniform", 0.1)


def test_targets_are_judged():
    def verdicts(share):
        figures = saturation_figures(Bench(traffic=Queue(share=share)), {"fast": CONFIGS["fast"]}, {"fast": ("uniform", "tornado")})
        return {re.sub(r", [0-9.]+% of ideal", "", figure.name): figure.ok for figure in figures if figure.target}

    good, poor = verdicts(1.5), verdicts(0.8)
    assert len(good) == 7 and all(good.values())
    assert (
        not poor["fast, uniform: saturation"] and not poor["fast, tornado: saturation"] and not poor["fast, uniform: accepted at load 1.0"]
    )


def run_command(monkeypatch, capsys, queue, *arguments):
    monkeypatch.setattr(cmd_bench_noc, "Bench", lambda **options: Bench(traffic=queue, **options))
    monkeypatch.setattr(cmd_bench_noc, "cold_build_seconds", lambda config: 100.0)
    status = bench_noc.main(list(arguments), standalone_mode=False)
    return status, capsys.readouterr()


def test_command(monkeypatch, capsys):
    status, streams = run_command(monkeypatch, capsys, Queue(share=1.5), "--quick", "--json")
    values = json.loads(streams.out)
    assert status == 0 and set(values["figures"]) == {"zero-load", "saturation"} and values["points"]
    assert all(
        {"name", "measured", "unit", "beside", "target", "ok"} == set(figure) for group in values["figures"].values() for figure in group
    )
    status, streams = run_command(monkeypatch, capsys, Queue(share=0.5), "--quick")
    assert status == 1 and "MISSED" in streams.err and not streams.out
    status, streams = run_command(monkeypatch, capsys, Queue(), "bars", "simulation", "--json")
    assert status == 0 and len(json.loads(streams.out)["figures"]["simulation"]) == 4


def test_command_by_itself(monkeypatch, capsys):
    """One line and a status that is not 0 when a run is wrong or the options contradict each other."""
    monkeypatch.setattr(cmd_bench_noc, "Bench", lambda **options: Bench(traffic=Queue(lost=3), **options))
    for arguments, status, message in (
        (["--quick"], 1, "lost"),
        (["--quick", "--write"], 2, "--write makes the whole page"),
        (["nothing"], 2, "nothing"),
    ):
        monkeypatch.setattr("sys.argv", ["bench-noc", *arguments])
        assert cmd_bench_noc.main() == status
        streams = capsys.readouterr()
        assert not streams.out and message in streams.err.splitlines()[-1] and "meshium: error: " in streams.err


def test_page_and_pictures(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cmd_bench_noc, "DOCS", tmp_path)
    status, _ = run_command(monkeypatch, capsys, Queue(), "--write")
    assert status == 1  # O1TURN of the made-up mesh is no better than XY
    text = (tmp_path / "noc_benchmarks.md").read_text()
    assert "targets are MISSED" in text and all(f"## {name}" in text for name in cmd_bench_noc.SECTIONS)
    assert all(peer.name in text for peer in PEERS) and text.count("| MISSED |") > 2
    for name in ("noc_uniform.png", "noc_patterns.png", "noc_curves.csv"):
        assert (tmp_path / "figures" / name).stat().st_size > 1000 and name in text
    with (tmp_path / "figures" / "noc_curves.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["config"] for row in rows} == set(CONFIGS) and {row["pattern"] for row in rows} == set(PATTERN_NAMES)
    assert all(float(row["accepted"]) <= float(row["offered"]) <= 1 for row in rows)


def test_pictures_show_the_points(tmp_path):
    """The same points make the same picture, other points another."""
    bench, other = Bench(traffic=Queue()), Bench(traffic=Queue(share=0.8))
    for one in (bench, other):
        for rate in (0.1, 0.3, 1.0):
            one.point(CONFIGS["fast"], "uniform", rate)
    (line,) = curves(bench.points, "uniform").values()
    assert [point.offered for point in line] == [0.1, 0.3, 1.0] and not curves(bench.points, "tornado")
    pictures = []
    for points, name in ((bench.points, "a"), (bench.points, "b"), (other.points, "c")):
        draw_uniform(points, tmp_path / name)
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0][:4] == b"\x89PNG" and pictures[0] == pictures[1] != pictures[2]
    draw_patterns(bench.points, tmp_path / "d")
    write_csv(bench.points, tmp_path / "e")
    assert len((tmp_path / "e").read_text().splitlines()) == 4


def test_peers():
    assert best_peer("uniform") == (0.418, "BookSim 2 model, 4 VC x 4 flits") and best_peer("transpose")[0] == 0.150
    assert "hot_spot" not in PEERS[-1].saturation and max(peer.accepted for peer in PEERS) == 0.404


def test_clean_page_says_so():
    text = page({"bars": []})
    assert "Every target is met" in text and "| fast | 4 | 4 | xy | age |" in text
