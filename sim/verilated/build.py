"""Verilog to a shared library: Verilator, then our own parallel compile.

Everything is compiled here rather than by Verilator's makefiles: the runtime is compiled once per set of flags and
shared by all designs, generated files are joined into a few translation units so that headers are parsed once each,
and code that runs once (constructors, resets) is compiled without optimisation.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import toolchain
from .cache import BuildCache
from .toolchain import ToolError

#: Folder of the C++ sources of this package.
SOURCES = Path(__file__).resolve().parent

#: Every shared library carries its own copy of Verilator's runtime; these keep the copies from finding each other.
ISOLATION = ("-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-pthread")

#: `$finish`, `$stop` and fatal errors of the model end in `model.h`, never in `exit()`.
HOOKS = ("-DVL_USER_FINISH", "-DVL_USER_STOP", "-DVL_USER_FATAL")

#: Bytes of generated C++ in one translation unit. Each unit reads Verilator's headers again (about a second); larger ones keep one core busy
#: while the other idles.
UNIT_BYTES = 1_600_000


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What shapes a build besides its sources.

    Parameters
    ----------
    trace : bool
        Compile VCD tracing in; slower even when it is off.
    public : bool
        Make every signal readable and writable from outside; slower.
    x_initial : str
        "fast" starts everything undefined at zero, "unique" at random values from the seed given at run time.
    optimise : str
        Optimisation flag of the code that runs every cycle. Verilator has done what matters: -O2 takes the compiler half as long again, and the
        `base` chip then runs no faster.
    verilator_flags, cxx_flags : tuple of str
        Further flags.
    """

    trace: bool = False
    public: bool = False
    x_initial: str = "fast"
    optimise: str = "-O1"
    verilator_flags: tuple[str, ...] = ()
    cxx_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.x_initial not in ("fast", "unique"):
            raise ValueError(f"x_initial must be 'fast' or 'unique', not {self.x_initial!r}")
        if self.optimise not in ("-O0", "-O1", "-O2", "-O3", "-Os"):
            raise ValueError(f"optimise must be -O0, -O1, -O2, -O3 or -Os, not {self.optimise!r}")

    def verilator_arguments(self, top: str) -> list[str]:
        """Command line of Verilator, without the files."""
        # Lint is the business of `make test`; a build only stops for what Verilator itself cannot take.
        arguments = ["--cc", "--prefix", "Vmodel", "--top-module", top, "-Mdir", ".", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
        arguments += ["--x-initial", self.x_initial, "--x-assign", self.x_initial, "--no-timing", "--assert"]
        arguments += ["--trace-vcd"] * self.trace + ["--public-flat-rw"] * self.public
        return arguments + list(self.verilator_flags)

    def cxx_arguments(self) -> list[str]:
        """Compiler flags that the runtime, the model and the harness share."""
        flags = [
            "-std=gnu++17",
            "-DVM_TRACE=" + str(int(self.trace)),
            "-DVM_TRACE_VCD=" + str(int(self.trace)),
            "-DVM_COVERAGE=0",
            "-DVM_SC=0",
        ]
        return flags + ["-w", *ISOLATION, *HOOKS, *self.cxx_flags, *_includes()]


def _includes() -> list[str]:
    root = toolchain.verilator_root() / "include"
    return ["-isystem", str(root), "-isystem", str(root / "vltstd"), "-I", str(SOURCES)]


def _compile(jobs: Sequence[tuple[Path, Path, Sequence[str]]], *, cwd: Path) -> list[Path]:
    """Compiles (source, object, flags) on all cores; `ToolError` carries the compiler's messages."""

    def run(job: tuple[Path, Path, Sequence[str]]) -> Path:
        source, target, flags = job
        command = [*toolchain.compiler_command(), *flags, "-c", str(source), "-o", str(target)]
        result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        if result.returncode:
            raise ToolError(f"the C++ compiler must accept {source.name}, not exit with {result.returncode}:\n{result.stderr.strip()}")
        return target

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(run, jobs))


def _runtime(cache: BuildCache, options: BuildOptions) -> list[Path]:
    """Objects of Verilator's runtime for these options, compiled once."""
    names = ["verilated", "verilated_threads"] + ["verilated_vcd_c"] * options.trace
    flags = [*options.cxx_arguments(), "-O2"]
    include = toolchain.verilator_root() / "include"

    def build(folder: Path) -> None:
        _compile([(include / f"{name}.cpp", folder / f"{name}.o", flags) for name in names], cwd=folder)

    parts = {"kind": "runtime", "flags": " ".join(flags), **_tools()}
    folder = cache.get(parts, build, label="Verilator runtime")
    return [folder / f"{name}.o" for name in names]


def _tools() -> dict[str, str]:
    return {"verilator": toolchain.verilator_version(), "compiler": toolchain.compiler_version()}


def _join(files: Sequence[Path], stem: str) -> list[Path]:
    """Translation units that include `files`, largest first so that the cores finish together."""
    units: list[list[Path]] = []
    sizes: list[int] = []
    for file in sorted(files, key=lambda item: (-item.stat().st_size, item.name)):
        size = file.stat().st_size
        place = next((i for i, used in enumerate(sizes) if used + size <= UNIT_BYTES), None)
        if place is None:
            units.append([file])
            sizes.append(size)
        else:
            units[place].append(file)
            sizes[place] += size
    result = []
    for index, unit in enumerate(units):
        path = files[0].parent / f"{stem}_{index}.cpp"
        path.write_text("".join(f'#include "{file.name}"\n' for file in unit))
        result.append(path)
    return result


def build_library(
    verilog: Mapping[str, str],
    *,
    top: str,
    harness: Sequence[str],
    options: BuildOptions | None = None,
    control: str = "",
    cache: BuildCache | None = None,
    compile_only: Sequence[str] | None = None,
    label: str = "",
) -> Path:
    """Path of a shared library of `verilog` under the C++ `harness`, from the cache if it was built before.

    Parameters
    ----------
    verilog : mapping of file name to text
        The design; file names are shown in messages.
    top : str
        Name of the top module. The C++ class is always `Vmodel`.
    harness : sequence of str
        C++ files of this folder.
    options : BuildOptions
        Flags.
    control : str
        Text of a Verilator control file (`.vlt`), for example to make single memories public.
    compile_only : sequence of str
        The files Verilator is given; the others are there for it to find. All of them by default.
    label : str
        What messages call this build; the top's name by default.

    Raises
    ------
    ToolError
        if a tool is missing or refuses the sources.
    """
    options = options or BuildOptions()
    cache = cache or BuildCache()
    arguments = options.verilator_arguments(top)
    common = options.cxx_arguments()
    parts: dict[str, str] = {"kind": "model", "verilator flags": " ".join(arguments), "cxx flags": " ".join([*common, options.optimise])}
    parts |= {f"verilog {name}": text for name, text in verilog.items()} | {"control": control, "files": repr(compile_only), **_tools()}
    # Headers shape the result too, and are few: all of them count.
    parts |= {f"harness {path.name}": path.read_text() for path in sorted(SOURCES.glob("*.h"))}
    parts |= {f"harness {name}": (SOURCES / name).read_text() for name in harness}

    def build(folder: Path) -> None:
        for name, text in verilog.items():
            (folder / name).write_text(text)
        files = list(verilog if compile_only is None else compile_only)
        if control:
            (folder / "control.vlt").write_text(control)
            files.insert(0, "control.vlt")
        # Verilator uses one core and so leaves one for the runtime, which is compiled once for all designs.
        with ThreadPoolExecutor(max_workers=1) as aside:
            runtime_ready = aside.submit(_runtime, cache, options)
            toolchain.run_verilator([*arguments, *files], cwd=folder)
            runtime = runtime_ready.result()
        generated = sorted(folder.glob("Vmodel*.cpp"))
        slow = [path for path in generated if "__Slow" in path.name or "__Syms" in path.name or "__Trace" in path.name]
        fast = [path for path in generated if path not in slow]
        jobs = [(path, path.with_suffix(".o"), [*common, options.optimise]) for path in _join(fast, "fast")]
        jobs += [(SOURCES / name, folder / f"{Path(name).stem}.o", [*common, "-I.", "-O2"]) for name in harness]
        jobs += [(path, path.with_suffix(".o"), [*common, "-O0"]) for path in _join(slow, "slow")] if slow else []
        objects = _compile(jobs, cwd=folder)
        link = [toolchain.compiler(), "-shared", "-pthread", "-Wl,-Bsymbolic", "-o", "model.so", *map(str, [*objects, *runtime])]
        result = subprocess.run(link, cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode:
            raise ToolError(f"the linker must accept {top}, not exit with {result.returncode}:\n{result.stderr.strip()}")
        keep = {*verilog, "control.vlt", "model.so"}
        for path in folder.iterdir():
            if path.name not in keep:
                path.unlink()

    return cache.get(parts, build, label=label or top) / "model.so"
