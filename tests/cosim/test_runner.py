"""`tb.runner.run_tb` must fail loudly: dead devices, tests that did not run, tests that compared nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hw.common.config import ChipConfig
from hw.common.streams import Fifo
from tb.build import Build, BuildError, build
from tb.registry import Bench, benches
from tb.runner import TestbenchError, check_results, count_tests, run_tb
from tb.tb_fifo import WIDTH
from tests.cosim.dead import Babbling, Dead

CONFIG = ChipConfig(name="dead", queue_depth=4)


def run(
    module: str = "tests.cosim.dead",
    *,
    only: str | None = None,
    top: Callable[[ChipConfig], Any] = lambda config: Dead(ready=1),
    **options: Any,
) -> Any:
    return run_tb("dead", top=top, config=CONFIG, module=module, only=only, seed=1, **options)


def test_good_test_passes() -> None:
    """The devices below fail for what they do, not because nothing can pass."""
    result = run(only=r"compares_one$")
    assert result.compared == {"tests.cosim.dead.compares_one": 1}


@pytest.mark.parametrize("ready", [0, 1])
def test_dead_device_fails(ready: int) -> None:
    """The FIFO's own testbench on a device that never answers."""
    with pytest.raises(TestbenchError, match=r"1 of 1 test\(s\) failed: full_rate") as error:
        run("tb.tb_fifo", only="full_rate", top=lambda config: Dead(ready=ready))
    assert "make sim TB=dead CONFIG=dead SEED=1" in str(error.value)


def test_babbling_device_fails() -> None:
    """Wrong answers to every word."""
    with pytest.raises(TestbenchError, match="must be") as error:
        run("tb.tb_fifo", only="full_rate", top=lambda config: Babbling(ready=1))
    assert "1 of 1 test(s) failed" in str(error.value)


def test_comparing_nothing_fails() -> None:
    with pytest.raises(TestbenchError, match="compares_nothing compared nothing"):
        run(only="compares_nothing")


def test_empty_scoreboard_fails() -> None:
    with pytest.raises(TestbenchError, match="must compare at least one item, not 0"):
        run(only="finishes_empty")


def test_filter_that_matches_nothing_fails_before_running() -> None:
    with pytest.raises(ValueError, match="expected must be a positive number of tests, not 0"):
        run(only="no_such_test")


def test_filter_that_matches_nothing_fails_after_running() -> None:
    """Even when the caller insists on the number."""
    with pytest.raises(TestbenchError, match=r"1 test\(s\) must run, not 0"):
        run(only="no_such_test", expected=1)


@pytest.mark.parametrize("expected", [2, 3])
def test_wrong_number_of_tests_fails(expected: int) -> None:
    with pytest.raises(TestbenchError, match=rf"{expected} test\(s\) must run, not 1"):
        run(only="compares_one", expected=expected)


@pytest.mark.parametrize("expected", [0, -1, True, 1.0])
def test_expected_must_be_positive(expected: object) -> None:
    with pytest.raises(ValueError, match="expected must be a positive number"):
        run(expected=expected)


def test_skipped_test_does_not_count(tmp_path: Path) -> None:
    """cocotb runs a skipped test that a filter names, so this is shown on a results file."""
    write_results(tmp_path, cases='<testcase classname="m" name="a" time="1"><skipped/></testcase>')
    with pytest.raises(TestbenchError, match=r"1 test\(s\) must run, not 0 \(and 1 skipped\)"):
        check_results(tmp_path, expected=1)


def test_simulation_that_never_ends_is_killed() -> None:
    with pytest.raises(TestbenchError, match="ran out of time and was killed"):
        run(only="never_ends", timeout=8)


def test_simulation_that_dies_fails() -> None:
    with pytest.raises(TestbenchError, match="left no results"):
        run(only="dies")


def test_surroundings_do_not_reach_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter left in the shell would turn every run into a run of nothing."""
    monkeypatch.setenv("COCOTB_TEST_FILTER", "no_such_test")
    monkeypatch.setenv("COCOTB_RANDOM_SEED", "5")
    monkeypatch.setenv("WAVES", "1")
    result = run(only="compares_one$")
    assert sum(result.compared.values()) == 1
    assert not (result.folder / "dump.vcd").exists()


def write_results(folder: Path, *, cases: str, scores: str = "") -> None:
    (folder / "results.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    (folder / "scores.jsonl").write_text(scores)


CASE = (
    '<testcase classname="m" name="{name}" time="1"><properties>'
    '<property name="sim_time_start" value="{start}"/><property name="sim_time_stop" value="{stop}"/></properties></testcase>'
)


def test_counts_belong_to_the_test_they_were_made_in(tmp_path: Path) -> None:
    cases = CASE.format(name="a", start=0, stop=10) + CASE.format(name="b", start=10, stop=20)
    write_results(tmp_path, cases=cases, scores="".join(json.dumps({"compared": n, "time": t}) + "\n" for n, t in ((3, 10.0), (4, 20.0))))
    assert check_results(tmp_path, expected=2)[1] == {"m.a": 3, "m.b": 4}
    write_results(tmp_path, cases=cases, scores=json.dumps({"compared": 7, "time": 10.0}) + "\n")
    with pytest.raises(TestbenchError, match=r"m\.b compared nothing"):
        check_results(tmp_path, expected=2)


def test_status_counts_even_when_results_are_good(tmp_path: Path) -> None:
    write_results(tmp_path, cases=CASE.format(name="a", start=0, stop=10), scores=json.dumps({"compared": 1, "time": 5}) + "\n")
    check_results(tmp_path, expected=1)
    with pytest.raises(TestbenchError, match="must end with status 0, not 3"):
        check_results(tmp_path, expected=1, status=3)


def test_failure_carries_its_reason(tmp_path: Path) -> None:
    write_results(
        tmp_path, cases='<testcase classname="m" name="a"><failure>Traceback\nAssertionError: must be 3, not 4\n</failure></testcase>'
    )
    with pytest.raises(TestbenchError, match=r"1 of 1 test\(s\) failed: a\na:\n  Traceback\n  AssertionError: must be 3, not 4"):
        check_results(tmp_path, expected=1)


def test_counting_sees_parametrisations() -> None:
    assert count_tests("tb.tb_fifo") == 37
    assert count_tests("tb.tb_fifo", only="full_rate") == 1
    assert count_tests("tb.registry") == 0


def test_build_is_found_again_and_follows_its_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What decides the folder, without the compiler."""
    monkeypatch.setattr("tb.build.BUILD", tmp_path)
    monkeypatch.setattr("tb.build.launch", lambda *arguments, **options: 0)

    def fifo(depth: int, **options: bool) -> Build:
        return build(Fifo(shape=WIDTH, depth=depth), name="fifo", **options)

    first, again = fifo(4), fifo(4)
    assert (first.fresh, again.fresh) == (True, False)
    assert len({item.folder for item in (first, again, fifo(2), fifo(4, waves=True), fifo(4, coverage=True))}) == 4


def test_interrupted_build_is_done_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tb.build.BUILD", tmp_path)
    monkeypatch.setattr("tb.build.launch", lambda *arguments, **options: 2)
    for _ in range(2):
        with pytest.raises(BuildError, match="fifo must build, not end with 2"):
            build(Fifo(shape=WIDTH, depth=4), name="fifo")
    monkeypatch.setattr("tb.build.launch", lambda *arguments, **options: 0)
    assert build(Fifo(shape=WIDTH, depth=4), name="fifo").fresh


def test_broken_device_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tb.build.emit", lambda component, **options: "module dead(; endmodule")
    with pytest.raises(BuildError, match=r"(?s)dead must build, not end with .*syntax error") as error:
        build(None, name="dead")
    assert "build.log" in str(error.value)


def test_registry_names_and_modules_agree() -> None:
    for name, bench in benches().items():
        assert bench.module == f"tb.tb_{name}"
        assert count_tests(bench.module) > 0, f"{name} has no tests"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a b"}, "name must be an identifier, not 'a b'"),
        ({"doc": ""}, "doc must be a sentence, not ''"),
        ({"top": 3}, "top must be a callable, not 3"),
        ({"configs": ()}, r"configs must be at least one ChipConfig, of different names, not \[\]"),
        ({"configs": (CONFIG, CONFIG)}, "of different names, not"),
        ({"timeout": 0}, "timeout must be positive, not 0"),
    ],
)
def test_bench_checks_its_members(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"name": "x", "doc": "d", "top": Dead, "configs": (CONFIG,)}
    Bench(**good)
    with pytest.raises(ValueError, match=message):
        Bench(**(good | change))


def test_bench_lists_its_configs() -> None:
    with pytest.raises(ValueError, match="config must be one of dead for 'x', not 'y'"):
        Bench(name="x", doc="d", top=Dead, configs=(CONFIG,)).config("y")
