"""`sim.verilated.sources`: what was imported before a change of the sources, or half before and half after, is never given to others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.verilated import sources, toolchain
from sim.verilated.cache import BuildCache
from sim.verilated.sources import cached_verilog, source_texts

PLACES = ("hw", "sim/verilog.py")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that is older than the process, as it seems."""
    for name in ("hw/a.py", "hw/deep/b.py", "sim/verilog.py", "hw/notes.txt", "other/c.py"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.setattr(toolchain, "repository_root", lambda: tmp_path / "tree")
    monkeypatch.setattr(sources, "BEGAN", time.time() + 3600)
    return tmp_path / "tree"


class _Maker:
    """Counts what it makes; `before` is called while it does."""

    def __init__(self, before: object = None) -> None:
        self.made, self.before = 0, before

    def __call__(self) -> str:
        self.made += 1
        if callable(self.before):
            self.before()
        return f"text {self.made}"


def get(make: _Maker, folder: Path, **parts: str) -> str:
    return cached_verilog(parts, make, label="thing", places=PLACES, cache=BuildCache(root=folder))


def test_the_emitter_is_known_whole() -> None:
    """A module of `sim` that the emitter imports decides what it writes as much."""
    root = toolchain.repository_root()
    imported = {name for file in sources.EMITTER for name in re.findall(r"^from \.(\w+) import", (root / file).read_text(), re.MULTILINE)}
    assert imported and {f"sim/{name}.py" for name in imported} <= set(sources.EMITTER) <= set(sources.HARDWARE)


@pytest.mark.usefixtures("tree")
def test_made_once(tmp_path: Path) -> None:
    make = _Maker()
    assert [get(make, tmp_path / "cache", config="x") for _ in range(3)] == ["text 1"] * 3
    assert get(make, tmp_path / "cache", config="y") == "text 2" and make.made == 2


@pytest.mark.parametrize("name", ["hw/a.py", "hw/deep/b.py", "sim/verilog.py"])
def test_every_source_counts(tree: Path, tmp_path: Path, name: str) -> None:
    make = _Maker()
    get(make, tmp_path / "cache")
    (tree / name).write_text("changed")
    assert get(make, tmp_path / "cache") == "text 2"


def test_other_files_do_not_count(tree: Path, tmp_path: Path) -> None:
    make = _Maker()
    get(make, tmp_path / "cache")
    for name in ("hw/notes.txt", "other/c.py"):
        (tree / name).write_text("changed")
    assert get(make, tmp_path / "cache") == "text 1"


def test_a_change_while_it_is_made_makes_no_entry(tree: Path, tmp_path: Path) -> None:
    make = _Maker(before=lambda: (tree / "hw/a.py").write_text("changed"))
    assert get(make, tmp_path / "cache") == "text 1"
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    # Neither under the new sources, nor, once somebody has changed them back, under the old ones.
    make.before = None
    assert get(make, tmp_path / "cache") == "text 2"
    (tree / "hw/a.py").write_text("hw/a.py")
    assert get(make, tmp_path / "cache") == "text 3"


def test_what_was_imported_before_a_change_is_the_processs_own(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes after a change: one that had begun before it, and one that began after it."""
    old, new = _Maker(), _Maker()
    (tree / "hw/deep/b.py").write_text("changed")
    monkeypatch.setattr(sources, "BEGAN", time.time() - 3600)
    assert "imported by" in source_texts(PLACES)
    assert [get(old, tmp_path / "cache") for _ in range(2)] == ["text 1"] * 2 and old.made == 1
    monkeypatch.setattr(sources, "BEGAN", time.time() + 3600)
    assert "imported by" not in source_texts(PLACES)
    get(new, tmp_path / "cache")
    assert new.made == 1, "what another process had imported was taken"


def test_a_file_that_was_moved_in_is_new(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an old time of its own, as `mv` and `cp -p` leave it."""
    time.sleep(0.02)
    monkeypatch.setattr(sources, "BEGAN", time.time())
    assert "imported by" not in source_texts(PLACES)
    time.sleep(0.02)
    os.utime(tree / "other/c.py", (1, 1))
    os.rename(tree / "other/c.py", tree / "hw/a.py")
    assert "imported by" in source_texts(PLACES)


def test_when_a_process_began() -> None:
    """Before it imported anything: later than its parent asked for it, and long before a slow import ends."""
    code = "import time; time.sleep(0.5); from sim.verilated import sources; print(sources.BEGAN, time.time())"
    before = time.time()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    began, imported = map(float, out.split())
    assert before - 0.05 < began < imported - 0.45
