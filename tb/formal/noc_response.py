"""A router answers: nobody is kept waiting while it could go, nobody is overtaken for ever, and where neighbours answer in bounded time, so does it.

Waiting is counted in packets of others, whatever the neighbours do, and in cycles, where they take flits and finish packets at once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring

from hw.common.noc import NocConfig
from hw.noc.flit import Port
from hw.noc.router import Router

from .noc_links import narrow
from .noc_routers import CONFIGS, Surroundings
from .runner import Proof


class _AskSpec(wiring.Component):
    """A router and one of its queues, any, that asks for a VC of an output, any."""

    def __init__(self, *, config: NocConfig) -> None:
        self._config = config
        self._dut = Router(config=config)
        super().__init__({})

    def _chosen(self, m: Module) -> dict[str, Signal]:
        """What the chosen queue sees: `asks`, `mine` (it goes), `begins` (a packet begins there), `ready`, `passes` (another VC goes), `rivals`."""
        dut, rivals = self._dut, max(len(output.inputs) for output in self._dut.outputs)
        seen = {name: Signal(name=name) for name in ("asks", "mine", "begins", "ready", "passes", "goes")} | {
            "rivals": Signal(range(rivals + 1))
        }
        places = [(out, index) for out in Port for index in range(len(dut.outputs[out].inputs))]
        which = Signal(range(len(places)))
        m.d.comb += [which.eq(AnyConst(len(which))), Assume(which < len(places))]
        with m.Switch(which):
            for place, (out, index) in enumerate(places):
                output = dut.outputs[out]
                vc, _ = output.inputs[index]
                same = [at for at, (of, _) in enumerate(output.inputs) if of == vc]
                goes = Cat(output.grants[at] for at in same).any()
                with m.Case(place):
                    m.d.comb += [
                        seen["asks"].eq(output.requests[index]),
                        seen["mine"].eq(output.grants[index]),
                        seen["goes"].eq(goes),
                        seen["begins"].eq(goes & ~output.locked[vc]),
                        seen["ready"].eq(output.arbiters[vc].win.any() & (output.credits[vc] != 0) & output.o.up),
                        seen["passes"].eq(output.o.hop.valid & ~goes),
                        seen["rivals"].eq(len(same) - 1),
                    ]
        return seen


class OvertakenSpec(_AskSpec):
    """Under any traffic: what could go does, and the others that go first are at most as many as there are."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = self._dut
        Surroundings(m, self._config, dut)
        for out in Port:
            self._never_idle(m, out)
        seen = self._chosen(m)
        overtaken, passed = Signal(len(seen["rivals"]) + 1), Signal(range(self._config.vcs + 1))
        with m.If(~seen["asks"] | seen["mine"]):
            m.d.sync += overtaken.eq(0)
        with m.Elif(seen["begins"]):
            m.d.sync += overtaken.eq(overtaken + 1)
        with m.If(~seen["ready"] | seen["goes"]):
            m.d.sync += passed.eq(0)
        with m.Else():
            m.d.sync += passed.eq(passed + 1)
        m.d.comb += [
            Assert(overtaken <= seen["rivals"]),
            Assert(~seen["ready"] | seen["goes"] | seen["passes"]),
            Assert(passed < self._config.vcs),
            Cover((overtaken == seen["rivals"]) & (overtaken == 3) & seen["mine"]),
            Cover((passed == self._config.vcs - 1) & seen["goes"]),
        ]
        return m

    def _never_idle(self, m: Module, out: Port) -> None:
        """A flit goes in every cycle in which a queue that may go asks, there is a credit, and the link is up."""
        output = self._dut.outputs[out]
        could = []
        for vc, arbiter in output.arbiters.items():
            asks = Cat(output.requests[index] for index, (of, _) in enumerate(output.inputs) if of == vc)
            may: Value = Mux(arbiter.locked, (asks & arbiter.owner).any(), asks.any())
            could.append(may & (output.credits[vc] != 0) & output.o.up)
        m.d.comb += Assert(output.o.hop.valid == Cat(could).any())


class CyclesSpec(_AskSpec):
    """Single flits, a neighbour that gives a credit back within `credit_cycles`, and a link that is up: the wait is at most `bound` cycles."""

    def __init__(self, *, config: NocConfig, credit_cycles: int, bound: int) -> None:
        super().__init__(config=config)
        self._credit_cycles, self._bound = credit_cycles, bound

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = self._dut
        around = Surroundings(m, self._config, dut, single=True)
        for (out, vc), room in around.room.items():
            kept = Signal(range(self._credit_cycles + 1), name=f"kept_{out.name.lower()}{vc}")
            with m.If((room == self._config.depth) | dut.o[out].credit[vc]):
                m.d.sync += kept.eq(0)
            with m.Else():
                m.d.sync += kept.eq(kept + 1)
            m.d.comb += [
                Assume((kept != self._credit_cycles - 1) | (room == self._config.depth) | dut.o[out].credit[vc]),
                Assume(dut.o[out].up),
            ]
        seen = self._chosen(m)
        waited = Signal(range(self._bound + 2))
        with m.If(~seen["asks"] | seen["mine"]):
            m.d.sync += waited.eq(0)
        with m.Else():
            m.d.sync += waited.eq(waited + 1)
        m.d.comb += [Assert(waited <= self._bound), Cover((waited == self._bound) & seen["mine"])]
        return m


PROOFS = (
    *(
        Proof(
            name=f"noc_response.overtaken_{name}",
            doc="router: never idle while a flit may go; a packet sees one of each rival at most begin before it, a VC one flit of each other VC",
            spec=partial(lambda config: OvertakenSpec(config=narrow(config)), config),
            engine="abc pdr",
            cover_depth=8,
        )
        # Two VCs hold too, but take minutes.
        for name, config in CONFIGS.items()
        if name == "v1"
    ),
    *(
        Proof(
            name=f"noc_response.cycles_{name}",
            doc=f"router: a single-flit packet waits for {bound} cycles at most where credits come back within {cycles}",
            spec=partial(
                lambda config, cycles, bound: CyclesSpec(config=narrow(config), credit_cycles=cycles, bound=bound),
                CONFIGS[name],
                cycles,
                bound,
            ),
            engine="abc pdr",
            cover_depth=bound + 6,
        )
        for name, cycles, bound in (("v1", 1, 4),)
    ),
)
