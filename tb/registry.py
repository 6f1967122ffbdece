"""The testbenches there are: every module `tb/tb_*.py` that defines `BENCH`.

A testbench registers itself, so adding one touches one file::

    # tb/tb_array.py
    BENCH = Bench(
        name="array",
        doc="the systolic array against the golden tile",
        top=lambda config: Array(config=config),
        configs=(ChipConfig(name="int4x4", rows=4, cols=4, output_lanes=4),),
    )

`name` must be the module's name without `tb_`. The registry is what `make sim`, `make wave` and tests/cosim/test_tb.py go through.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


class Config(Protocol):
    """What a testbench needs of a configuration: `ChipConfig` and `NocConfig` are such."""

    @property
    def name(self) -> str:
        """Name in file names and reports."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values: what the tests get."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A run at gate level: the netlist that synthesis makes of a configuration for an FPGA family.

    Parameters
    ----------
    config : ChipConfig or NocConfig
    family : str
        "ecp5", "ice40" or "gowin".
    quick : str or None
        Regular expression: the tests that `make test` runs, where all of them take minutes; `make sim LEVEL=gate` runs them all.
    """

    config: Config
    family: str
    quick: str | None = None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One testbench: a device, the configurations it is run in and the module of cocotb tests.

    Parameters
    ----------
    name : str
        Short name: `TB=name`; the tests are in `tb/tb_<name>.py` unless `module` says otherwise.
    doc : str
        What is compared with what, one line.
    top : callable
        Makes the device under test from a configuration: an Amaranth component whose signature gives the flat port names.
        A fresh component each call.
    configs : tuple of ChipConfig or NocConfig
        Each gives a build and a run of its own. Names must differ. Keep them small.
    module : str
        Import name of the cocotb module.
    ports : dict
        For the waveform viewer: pattern of signal names at the top (`trace_*`) -> group. The others go to the group of their prefix.
    decode : dict
        For the waveform viewer: pattern of signal names -> Enum class (or dict) that names the values, besides `tb.waveview.DECODE`.
    timeout : float
        Seconds of wall clock after which a run is killed and fails.
    flags : tuple of str
        More flags of Verilator: `--inline-mult 1` compiles a module that stands in the device many times once, which is much quicker.
    gates : tuple of Gate
        Netlists the same tests are run on with `LEVEL=gate`. Names of their configurations must differ.

    Raises
    ------
    ValueError
        if a member is not as described.
    """

    name: str
    doc: str
    top: Callable[[Any], Any]
    configs: tuple[Config, ...]
    module: str = ""
    ports: dict[str, str] = field(default_factory=dict)
    decode: dict[str, Any] = field(default_factory=dict)
    timeout: float = 600.0
    flags: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"name must be an identifier, not {self.name!r}")
        if not self.doc:
            raise ValueError(f"doc must be a sentence, not {self.doc!r}")
        if not callable(self.top):
            raise ValueError(f"top must be a callable, not {self.top!r}")
        names = [config.name for config in self.configs]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"configs must be at least one ChipConfig, of different names, not {names!r}")
        netlists = [gate.config.name for gate in self.gates]
        if len(set(netlists)) != len(netlists):
            raise ValueError(f"gates must be of configurations of different names, not {netlists!r}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be positive, not {self.timeout!r}")
        if not self.module:
            object.__setattr__(self, "module", f"tb.tb_{self.name}")

    def config(self, name: str) -> Config:
        """The configuration called `name`; `ValueError` lists the names there are."""
        for config in self.configs:
            if config.name == name:
                return config
        raise ValueError(f"config must be one of {', '.join(config.name for config in self.configs)} for {self.name!r}, not {name!r}")

    def gate(self, name: str) -> Gate:
        """The netlist of the configuration called `name`; `ValueError` lists the names there are."""
        for gate in self.gates:
            if gate.config.name == name:
                return gate
        known = ", ".join(gate.config.name for gate in self.gates) or "none"
        raise ValueError(f"config must be one of {known} for {self.name!r} at gate level, not {name!r}")


def benches() -> dict[str, Bench]:
    """Every registered testbench by name, in order of name.

    Raises
    ------
    ImportError
        if a module `tb/tb_*.py` defines no `BENCH`, or one whose name is not the module's: it would never run.
    """
    import tb

    found: dict[str, Bench] = {}
    for item in sorted(pkgutil.iter_modules(tb.__path__), key=lambda item: item.name):
        if not item.name.startswith("tb_"):
            continue
        bench = getattr(importlib.import_module(f"tb.{item.name}"), "BENCH", None)
        if not isinstance(bench, Bench):
            raise ImportError(f"tb/{item.name}.py must define BENCH = Bench(...), not {bench!r}")
        if f"tb_{bench.name}" != item.name or bench.module != f"tb.{item.name}":
            raise ImportError(f"tb/{item.name}.py must define a Bench named {item.name[3:]!r}, not {bench.name!r} of {bench.module!r}")
        found[bench.name] = bench
    return found
