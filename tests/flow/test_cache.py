"""`sim.verilated.cache`: built once, whole or not at all, also by two processes at once and after a kill."""

import multiprocessing
import time

import pytest

from sim.verilated.cache import BuildCache, content_key


def test_key_depends_on_every_name_and_content_and_not_on_order():
    parts = {"a": "1", "b": b"2"}
    assert content_key(parts) == content_key({"b": b"2", "a": "1"})
    others = [{"a": "1"}, {"a": "1", "b": "3"}, {"a": "1", "c": "2"}, {"a": "12", "b": ""}, {"ab": "1", "": "2"}]
    assert len({content_key(parts), *map(content_key, others)}) == len(others) + 1


def test_builds_once(tmp_path):
    calls = []

    def build(folder):
        calls.append(folder)
        (folder / "result").write_text("done")

    cache = BuildCache(root=tmp_path / "cache")
    first, second = cache.get({"x": "1"}, build), cache.get({"x": "1"}, build)
    assert first == second and (first / "result").read_text() == "done"
    assert len(calls) == 1
    assert cache.get({"x": "2"}, build) != first and len(calls) == 2


def test_failed_build_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "half").write_text("half")
        raise RuntimeError("no space")

    cache = BuildCache(root=tmp_path)
    with pytest.raises(RuntimeError, match="no space"):
        cache.get({"x": "1"}, fail)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert cache.get({"x": "1"}, lambda folder: None).is_dir()


def _build_slowly(root, log):
    def build(folder):
        with open(log, "a") as stream:
            stream.write("built\n")
        time.sleep(0.5)
        (folder / "result").write_text("whole")

    entry = BuildCache(root=root).get({"x": "1"}, build)
    assert (entry / "result").read_text() == "whole"


def test_two_processes_build_once(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_build_slowly, args=(tmp_path / "cache", tmp_path / "log")) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_killed_build_is_not_taken_for_a_result(tmp_path):
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=_build_slowly, args=(tmp_path / "cache", tmp_path / "log"))
    worker.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.kill()
    worker.join()
    assert list((tmp_path / "cache").glob("*.tmp"))
    _build_slowly(tmp_path / "cache", tmp_path / "log")
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_waiting_says_so(tmp_path, capfd):
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=_build_slowly, args=(tmp_path / "cache", tmp_path / "log"))
    worker.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    BuildCache(root=tmp_path / "cache").get({"x": "1"}, lambda folder: None, label="thing")
    worker.join(60)
    assert "waiting for another process that builds the same thing" in capfd.readouterr().err
