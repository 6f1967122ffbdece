"""The coverage report, from small `coverage.dat` texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.coverage import Point, lcov, merge, parse, summarise, table, write_report


def point(kind: str, line: int, hits: int, comment: str = "", *, module: str = "m", build: str = "m-1") -> str:
    """A point as Verilator writes it."""
    keys = {"f": f"/x/builds/{build}/m.v", "l": str(line), "n": "3", "t": kind, "page": f"v_{kind}/{module}", "o": comment, "h": "top"}
    return "C '" + "".join(f"\1{key}\2{value}" for key, value in keys.items()) + f"' {hits}\n"


HEAD = "# SystemC::Coverage-3\n"


def test_instances_of_a_module_add_up() -> None:
    points = parse(HEAD + point("line", 4, 2) + point("line", 4, 3) + point("line", 5, 0))
    assert points == {Point("m-1/m.v", 4, "line", "m", ""): 5, Point("m-1/m.v", 5, "line", "m", ""): 0}


def test_toggles_merge_over_builds_and_lines_do_not() -> None:
    runs = [
        parse(HEAD + point("toggle", 4, hits, "a[0]:0->1", build=b) + point("line", 4, hits, build=b))
        for hits, b in ((0, "m-1"), (7, "m-2"))
    ]
    merged = merge(runs)
    assert sorted(merged.values()) == [0, 7, 7]
    assert merged[Point("", 0, "toggle", "m", "a[0]:0->1")] == 7


def test_unnamed_intermediates_are_left_out() -> None:
    assert parse(HEAD + point("toggle", 4, 0, "__0241[0]:0->1")) == {}


def test_summary_counts_by_module_and_in_total(tmp_path: Path) -> None:
    text = HEAD + point("line", 1, 1) + point("line", 2, 0) + point("toggle", 1, 1, "a:0->1") + point("line", 9, 1, module="n")
    summaries = write_report(parse(text), tmp_path)
    assert summaries["m"].percent("line") == 50
    assert summaries["n"].percent("toggle") is None
    assert (summaries["total"].hit["line"], summaries["total"].total["line"]) == (2, 3)
    assert (tmp_path / "holes.txt").read_text() == "m line m-1/m.v:2\n"
    assert json.loads((tmp_path / "summary.json").read_text())["total"]["hit"] == {"line": 2, "toggle": 1}
    rows = table(summaries)
    assert rows[1].startswith("m ")
    assert "66.7 % of 3" in rows[-1]


def test_lcov_takes_the_least_of_a_line() -> None:
    points = parse(HEAD + point("line", 1, 5) + point("branch", 1, 0, "if") + point("toggle", 1, 9, "a:0->1"))
    assert lcov(points) == "TN:meshium\nSF:m-1/m.v\nDA:1,0\nend_of_record\n"
    assert summarise(points)["m"].total == {"line": 1, "branch": 1, "toggle": 1}


@pytest.mark.parametrize("text", ["", "nonsense", HEAD + "nonsense"])
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse(text)
