"""A cache of things that take long to build, addressed by everything that goes into them.

An entry is a folder named by a hash of its ingredients. It is built in a temporary folder beside it and renamed into
place, so it exists whole or not at all: interrupted builds leave nothing behind that could be taken for a result, and
two processes that want the same entry at once build it once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from . import toolchain


def content_key(parts: Mapping[str, str | bytes]) -> str:
    """32 hexadecimal digits that identify `parts`: names and contents, in any order."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        value = parts[name]
        data = value.encode() if isinstance(value, str) else value
        # Lengths keep ("ab", "c") apart from ("a", "bc").
        digest.update(f"{len(name.encode())}:{name}:{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()[:32]


class BuildCache:
    """Content-addressed folders under `root`.

    Parameters
    ----------
    root : Path
        Holds the entries; `build/verilated` by default. Made when first needed.
    """

    def __init__(self, *, root: Path | None = None) -> None:
        self._root = Path(root) if root is not None else toolchain.build_root() / "verilated"

    @property
    def root(self) -> Path:
        """Folder of the entries."""
        return self._root

    def get(self, parts: Mapping[str, str | bytes], build: Callable[[Path], None], *, label: str = "simulation") -> Path:
        """Folder of the entry made of `parts`; calls `build(folder)` to fill it if there is none.

        Whatever `build` raises comes through, and leaves no entry. While another process builds the same entry this
        one waits, and says so on standard error.
        """
        key = content_key(parts)
        entry = self._root / key
        if entry.is_dir():
            return entry
        self._root.mkdir(parents=True, exist_ok=True)
        with self._locked(key, label):
            if entry.is_dir():
                return entry
            # The lock is ours, so half-built folders of this key belong to builds that were killed.
            for leftover in self._root.glob(f"{key}.*.tmp"):
                shutil.rmtree(leftover, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{key}.", suffix=".tmp", dir=self._root))
            try:
                build(folder)
                os.chmod(folder, 0o755)
                os.rename(folder, entry)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return entry

    @contextmanager
    def _locked(self, key: str, label: str) -> Iterator[None]:
        path = self._root / f"{key}.lock"
        with open(path, "w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another process that builds the same {label} ({path})", file=sys.stderr)
                fcntl.flock(handle, fcntl.LOCK_EX)
            # The file stays: removing it would let a third process lock a new file of the same name.
            yield
