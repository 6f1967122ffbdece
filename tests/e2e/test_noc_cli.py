"""`meshium noc` from its command line to JSON, CSV and exit status."""

import json

import pytest

from scripts import cmd_noc
from scripts.meshium import main

SMALL = ["noc", "--mesh", "2x2", "--vcs", "1", "--depth", "2", "--arbitration", "round_robin", "--warmup", "100"]
#: What architecture and tools rely on.
KEYS = {
    "offered", "accepted", "latency_mean", "latency_median", "latency_p99", "latency_max", "lost", "duplicated", "misrouted", "reordered",
    "node_share_min", "node_share_max", "corrupted", "overflowed", "config_hash", "sim_khz", "zero_load", "ok",
}  # fmt: skip


def test_a_run(capsys: pytest.CaptureFixture, tmp_path) -> None:
    path = tmp_path / "packets.csv"
    status = main([*SMALL, "--rate", "0.25", "--cycles", "2000", "--length", "2", "--json", "--save", str(path)])
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert status == 0 and values.keys() >= KEYS and values["ok"] and captured.out.count("\n") == 1
    assert not any(values[name] for name in cmd_noc.ERRORS)
    assert values["offered"] == pytest.approx(0.25, rel=0.1) and values["accepted"] == pytest.approx(values["offered"], rel=0.02)
    # 4/3 hops on average, one cycle more to the receiver, and one for the second flit.
    assert values["zero_load"] == pytest.approx(4 / 3 + 2) and values["zero_load"] < values["latency_mean"] < 2 * values["zero_load"]
    lines = path.read_text().splitlines()
    assert lines[0] == "source,destination,length,created,ejected" and 2 * (len(lines) - 1) == values["delivered"]
    assert "flits/node/cycle" in captured.err and "seed 1" in captured.err


def test_seed_and_quiet_output(capsys: pytest.CaptureFixture) -> None:
    outcomes = []
    for seed in ("5", "5", "6"):
        assert main([*SMALL, "--rate", "0.5", "--cycles", "300", "--seed", seed, "--json"]) == 0
        values = json.loads(capsys.readouterr().out)
        outcomes.append({key: item for key, item in values.items() if key not in ("sim_seconds", "sim_khz", "build_seconds")})
    assert outcomes[0] == outcomes[1] != outcomes[2]
    assert main([*SMALL, "--rate", "0.5", "--cycles", "300"]) == 0
    assert capsys.readouterr().out == ""


def test_nothing_delivered_is_no_success(capsys: pytest.CaptureFixture) -> None:
    assert main([*SMALL, "--rate", "0", "--cycles", "50", "--json"]) == 1
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert not values["ok"] and values["delivered"] == 0 and values["latency_mean"] is None
    assert "nothing was delivered" in captured.err


def test_a_wrong_mesh_is_no_success(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = cmd_noc.run_traffic
    monkeypatch.setattr(cmd_noc, "run_traffic", lambda run, **options: honest(run, fault="drop", fault_at=9, **options))
    assert main([*SMALL, "--cycles", "300", "--json"]) == 1
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert not values["ok"] and values["lost"] == 1 and len(values["waiting"]) == 2
    assert "meshium: error: flits: 1 lost, the mesh stopped: packet from" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mesh", "0x4"], "mesh_x must be 1 to 16, not 0"),
        (["--mesh", "17x17"], "mesh_x must be 1 to 16, not 17"),
        (["--mesh", "8"], "--mesh must be columns x rows, for example 8x8, not '8'"),
        (["--rate", "1.5"], "rate must be 0 to 1, not 1.5"),
        (["--rate", "nan"], "rate must be 0 to 1, not nan"),
        (["--pattern", "cats"], "pattern must be one of uniform"),
        (["--mesh", "3x2", "--pattern", "transpose"], "pattern transpose needs a square mesh"),
        (["--topology", "torus"], "vcs must be at least 2 for routing 'xy' on a torus"),
        (["--routing", "o1turn"], "vcs must be at least 2 for routing 'o1turn'"),
        (["--routing", "zigzag"], "routing must be one of xy"),
        (["--payload", "65"], "payload_bits must be one of 64"),
        (["--length", "257"], "length must be 1 to 256, not 257"),
        (["--stall", "1"], "stall must be 0 to 0.99"),
        (["--jobs", "no/such/file"], "--jobs must name a file or folder that can be read, not 'no/such/file'"),
        (["--save", "packets.txt"], "--save must name a .csv file, not 'packets.txt'"),
        (["--save", "no/such/folder/packets.csv"], "--save must name a file in a folder that exists"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture, arguments: list[str], message: str) -> None:
    assert main([*SMALL, *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_a_job_for_a_node_that_is_not_there(capsys: pytest.CaptureFixture, tmp_path) -> None:
    """A job as `floogen traffic` writes it for a larger mesh: ten lines, the last address one of node (3, 3)."""
    path = tmp_path / "job_0.txt"
    path.write_text("\n".join(map(str, (64, "0x0", "0xf0000", 0, 0, 256, 256, 0, 0, 0))) + "\n")
    assert main([*SMALL, "--jobs", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "0xf0000" in captured.err


def test_jobs_of_a_file(capsys: pytest.CaptureFixture, tmp_path) -> None:
    """64 bytes from node (0, 0) to node (0, 1): a head flit and eight of data, a hop away."""
    path = tmp_path / "job_0.txt"
    path.write_text("\n".join(map(str, (64, "0x0", "0x10000", 0, 0, 256, 256, 0, 0, 0))) + "\n")
    assert main([*SMALL, "--jobs", str(path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["pattern"] == "jobs" and values["delivered"] == 9 and values["latency_max"] == 1 + 9
