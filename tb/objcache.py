"""A compiler launcher that compiles Verilator's runtime library once for all builds: `python objcache.py FOLDER COMPILER ARGUMENTS...`.

Every Verilator build compiles the same `verilated*.cpp` again, which takes longer than most of our devices do. Their objects depend on the command,
the sources of the wheel (named by its version) and the compiler; this keeps them by a hash of those in FOLDER. Any other command is just run.
make calls it through `OBJCACHE`. It imports nothing of ours, so that starting it costs little.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def cached_object(folder: Path, command: list[str]) -> tuple[Path, Path] | None:
    """(object in the cache, object wanted) if `command` compiles a file of the runtime, else None."""
    source = Path(command[-1])
    if not (
        source.is_absolute() and source.name.startswith("verilated") and source.suffix == ".cpp" and "-c" in command and "-o" in command
    ):
        return None
    digest = hashlib.sha256("\0".join([*command, os.environ.get("MESHIUM_COMPILER", "")]).encode())
    digest.update(source.read_bytes())
    return folder / f"{source.stem}-{digest.hexdigest()[:16]}.o", Path(command[command.index("-o") + 1])


def main(folder: Path, command: list[str]) -> int:
    """Runs `command`, or copies the object it would make; returns the exit status."""
    found = cached_object(folder, command)
    if found is not None and found[0].exists():
        shutil.copyfile(*found)
        return 0
    status = subprocess.run(command, check=False).returncode
    if found is not None and status == 0:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{found[0].name}.{os.getpid()}"
        shutil.copyfile(found[1], temporary)
        temporary.replace(found[0])  # another build may be doing the same
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
