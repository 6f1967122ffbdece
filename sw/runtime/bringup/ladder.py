"""The ladder: rungs in the order in which a lab tries them, and the walk up it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hw.common.config import ConfigError

from ..errors import DeviceError
from . import rungs_chip, rungs_compute, rungs_jobs, rungs_link, rungs_memory
from .session import Fault, NotHere, Session

#: How a rung may end.
PASSED, WARNED, FAILED, SKIPPED = "passed", "warned", "failed", "skipped"
#: What a device that is broken may end an access with, beside `Fault`.
_BROKEN = (DeviceError, ConfigError, TimeoutError, RuntimeError, ValueError, OSError)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One rung.

    Members
    -------
    name : str
        For --only.
    doc : str
        What it proves.
    climb : callable
        Takes a `Session`, returns figures for the report; raises `Fault` or `NotHere`. A figure called `warning` is one.
    needs : tuple of str
        Rungs without which it cannot be tried.
    """

    name: str
    doc: str
    climb: Callable[[Session], dict[str, Any]]
    needs: tuple[str, ...] = ()


RUNGS: tuple[Rung, ...] = (
    Rung(name="link", doc="octets reach the board and come back, in bursts and at full rate", climb=rungs_link.link),
    Rung(name="identity", doc="a Meshium chip of the expected configuration answers", climb=rungs_link.identity, needs=("link",)),
    Rung(name="registers", doc="every register resets, keeps and protects the bits it should", climb=rungs_chip.registers, needs=("identity",)),
    Rung(name="march", doc="every cell of SBUF holds both values beside every other (March C-)", climb=rungs_memory.march, needs=("identity",)),
    Rung(name="sbuf", doc="every line of SBUF has an address of its own", climb=rungs_memory.sbuf, needs=("identity",)),
    Rung(name="memory", doc="the memory behind AXI: cells, addresses and byte lanes", climb=rungs_memory.memory, needs=("identity",)),
    Rung(name="psum", doc="every bit of PSUM takes both values, every row has its place", climb=rungs_compute.psum, needs=("identity",)),
    Rung(name="tensor", doc="every element of the array multiplies and adds", climb=rungs_compute.tensor, needs=("identity",)),
    Rung(name="dma", doc="lines move in any pattern, across 4 KiB pages, and nothing else changes", climb=rungs_compute.dma, needs=("identity",)),
    Rung(name="interrupt", doc="the interrupt pin follows its causes, enables and clears", climb=rungs_chip.interrupt, needs=("identity",)),
    Rung(
        name="stress", doc="products back to back, every result checked", climb=rungs_jobs.stress, needs=("identity", "interrupt")
    ),
    Rung(
        name="digits", doc="handwritten digits, every logit equal to the reference", climb=rungs_jobs.digits,
        needs=("identity", "interrupt"),
    ),
)  # fmt: skip
NAMES = tuple(rung.name for rung in RUNGS)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a rung ended: `message` names the culprit, or says why it was not tried."""

    rung: str
    doc: str
    status: str
    seconds: float
    message: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def climb(session: Session, only: Sequence[str] = (), tell: Callable[[str], None] | None = None) -> list[Outcome]:
    """Walks up the ladder; a rung that fails stops only those that cannot be tried without it.

    With `only`, just these rungs, whatever they need. `tell` is told the name of each before it is tried.
    """
    outcomes: list[Outcome] = []
    failed: set[str] = set()
    for rung in RUNGS:
        if only and rung.name not in only:
            continue
        if tell is not None:
            tell(rung.name)
        missing = [name for name in rung.needs if name in failed]
        if missing:
            outcome = Outcome(rung=rung.name, doc=rung.doc, status=SKIPPED, seconds=0.0, message=f"needs {', '.join(missing)}")
        else:
            outcome = try_rung(rung, session)
        if outcome.status == FAILED or missing:
            failed.add(rung.name)
        outcomes.append(outcome)
    return outcomes


def try_rung(rung: Rung, session: Session) -> Outcome:
    """One rung, whatever comes."""
    begin = time.monotonic()
    figures: dict[str, Any] = {}
    try:
        figures = rung.climb(session)
        message = str(figures.pop("warning", ""))
        status = WARNED if message else PASSED
    except NotHere as reason:
        status, message = SKIPPED, str(reason)
    except Fault as fault:
        status, message = FAILED, str(fault)
    except _BROKEN as error:
        status, message = FAILED, f"{type(error).__name__}: {error}"
    return Outcome(
        rung=rung.name, doc=rung.doc, status=status, seconds=time.monotonic() - begin, message=" ".join(message.split()), figures=figures
    )
