"""The launcher that keeps the objects of Verilator's runtime."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tb.objcache import cached_object, main

#: A compiler that appends a letter to `count` each time it runs and writes the source to the object.
COMPILER = "import sys, shutil; open('count', 'a').write('x'); shutil.copyfile(sys.argv[-1], sys.argv[sys.argv.index('-o') + 1])"


def command(source: Path, *flags: str) -> list[str]:
    return [sys.executable, "-c", COMPILER, *flags, "-o", "out.o", str(source)]


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file called like one of the runtime's, in a folder to work in."""
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "verilated_x.cpp"
    source.write_text("one")
    return source


def test_second_build_copies(runtime: Path) -> None:
    for _ in range(2):
        Path("out.o").unlink(missing_ok=True)
        assert main(Path("cache"), command(runtime)) == 0
        assert Path("out.o").read_text() == "one"
    assert Path("count").read_text() == "x"


@pytest.mark.parametrize("what", ["flags", "source", "compiler"])
def test_whatever_changes_the_object_compiles_again(what: str, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main(Path("cache"), command(runtime))
    if what == "source":
        runtime.write_text("two")
    if what == "compiler":
        monkeypatch.setenv("MESHIUM_COMPILER", "g++ 99")
    main(Path("cache"), command(runtime, *(["-O3"] if what == "flags" else [])))
    assert Path("count").read_text() == "xx"
    assert Path("out.o").read_text() == runtime.read_text()


@pytest.mark.parametrize("name", ["Vtop.cpp", "verilator.cpp", "verilated.h"])
def test_files_of_the_model_are_not_kept(name: str, tmp_path: Path) -> None:
    assert cached_object(tmp_path, ["g++", "-c", "-o", "x.o", str(tmp_path / name)]) is None


def test_failure_is_reported_and_not_kept(runtime: Path) -> None:
    failing = [sys.executable, "-c", "raise SystemExit(3)", "-o", "out.o", str(runtime)]
    assert main(Path("cache"), failing) == 3
    assert not Path("cache").exists()
