"""Queues, credits and links of the mesh: nothing is lost or overwritten, and credits, flits and credits on their way always add up."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from amaranth.hdl import Assert, Cover, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, connect

from hw.common.noc import NocConfig
from hw.noc.credits import CreditCounter
from hw.noc.flit import Port, flit_layout
from hw.noc.input_port import InputPort
from hw.noc.link import LinkRegisters
from hw.noc.output_port import OutputPort
from hw.noc.vc_queue import VcQueue

from .noc_arbiters import one_hot
from .runner import Proof


def narrow(config: NocConfig, *, payload_bits: int = 1) -> NocConfig:
    """`config` with a payload that no `NocConfig` has. Routers and links copy payloads and never look at them, so one bit stands for all."""
    narrowed = replace(config)
    object.__setattr__(narrowed, "payload_bits", payload_bits)
    return narrowed


def opened(component: Any) -> Any:
    """The module of `component`, which stays what it is when it is built: what is inside can be named in invariants."""
    module = component.elaborate(None)
    setattr(component, "elaborate", lambda platform: module)  # noqa: B010, as a method it is no attribute
    return module.submodules


class CreditSpec(wiring.Component):
    """`CreditCounter`, spent only while `available`, with no more returned than was spent."""

    def __init__(self, *, config: NocConfig) -> None:
        self._config = config
        super().__init__({"spend": In(1), "give": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self._config.depth
        m.submodules.dut = dut = CreditCounter(config=self._config)
        away = Signal(range(depth + 1))
        m.d.comb += [dut.spent.eq(self.spend & dut.available), dut.returned.eq(self.give & (away != 0))]
        m.d.sync += away.eq(away + dut.spent - dut.returned)
        m.d.comb += [
            Assert(dut.count + away == depth),
            Assert(dut.count <= depth),
            Assert(dut.available == (dut.count != 0)),
            Cover((dut.count == 0) & dut.returned),
            Cover((away == 1) & dut.returned & ~dut.spent),
        ]
        return m


class QueueSpec(wiring.Component):
    """`VcQueue` under arrivals while there is room. Follows one flit, any one, behind as many as are inside, to its departure."""

    def __init__(self, *, config: NocConfig) -> None:
        self._config = config
        super().__init__({"arrive": In(1), "flit": In(flit_layout(config)), "leave": In(1), "watch": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self._config.depth
        m.submodules.dut = dut = VcQueue(config=self._config)
        model = Signal(range(depth + 1))
        m.d.comb += [
            dut.arrive.eq(self.arrive & (model != depth)),
            dut.flit.eq(self.flit),
            dut.leave.eq(self.leave & dut.valid),
            Assert(dut.level == model),
            Assert(dut.valid == (model != 0)),
        ]
        m.d.sync += model.eq(model + dut.arrive - dut.leave)
        follow(
            m, watch=self.watch, arrive=dut.arrive, arrived=Value.cast(dut.flit), ahead_of=model, leave=dut.leave, left=Value.cast(dut.head)
        )
        m.d.comb += [Cover((model == depth) & dut.leave), Cover((model == 1) & dut.arrive & dut.leave)]
        return m


def follow(m: Module, *, watch: Value, arrive: Value, arrived: Value, ahead_of: Value, leave: Value, left: Value) -> Signal:
    """Asserts that a flit chosen by `watch` as it arrives leaves unchanged after the `ahead_of` flits before it; returns 1 as it leaves."""
    watching, word, ahead, leaves = Signal(), Signal(len(arrived)), Signal(len(ahead_of)), Signal()
    m.d.comb += leaves.eq(watching & leave & (ahead == 0))
    with m.If(watching & leave):
        m.d.comb += Assert((ahead != 0) | (left == word))
        m.d.sync += [watching.eq(ahead != 0), ahead.eq(Mux(ahead != 0, ahead - 1, 0))]
    with m.If(arrive & watch & ~watching):
        m.d.sync += [watching.eq(1), word.eq(arrived), ahead.eq(ahead_of - leave)]
    m.d.comb += [Assert(~watching | (ahead < ahead_of)), Cover(leaves & word.all()), Cover(leaves & ~word.any())]
    return leaves


class LinkSpec(wiring.Component):
    """An output port, the registers of a link, and the input port at its other end.

    Queues ask the sender for whatever they like; the receiver's queues give up their heads whenever they like. For each VC, at all times, the
    credits, the flits on the way, those in the queue and the credits on the way back are `depth`.
    """

    def __init__(self, *, config: NocConfig) -> None:
        self._config = config
        self._sender = OutputPort(config=config, port=Port.EAST)
        layout = data.ArrayLayout(flit_layout(config), len(self._sender.inputs))
        super().__init__({"requests": In(len(self._sender.inputs)), "flits": In(layout), "take": In(config.vcs), "watch": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, sender = self._config, self._sender
        m.submodules.sender, m.submodules.registers = sender, LinkRegisters(config=config)
        m.submodules.receiver = receiver = InputPort(config=config, port=Port.WEST)
        registers = m.submodules.registers
        connect(m, sender.o, registers.i)
        connect(m, registers.o, receiver.link)
        m.d.comb += sender.requests.eq(self.requests)
        m.d.comb += [flit.eq(self.flits[index]) for index, flit in enumerate(sender.flits)]
        for vc in range(config.vcs):
            first = next(index for index, (of, _) in enumerate(receiver.ways) if of == vc)
            m.d.comb += receiver.grants[first].eq(self.take[vc] & receiver.valid[vc])
            self._adds_up(m, vc, registers, receiver)
        hop = sender.o.hop
        m.d.comb += [
            Assert(~hop.valid | (hop.vc < config.vcs)),
            Assert(one_hot(sender.grants)),
            Assert(hop.valid == sender.grants.any()),
            # Never idle: a queue asks, its VC has room, the link carries flits.
            Cover(hop.valid & registers.o.hop.valid & receiver.link.credit.all()),
        ]
        return m

    def _adds_up(self, m: Module, vc: int, registers: LinkRegisters, receiver: InputPort) -> None:
        depth, sent, received = self._config.depth, self._sender.o, registers.o
        flits, credits = Signal(range(depth + 2), name=f"flits{vc}"), Signal(range(depth + 2), name=f"credits{vc}")
        go, come = Signal(name=f"go{vc}"), Signal(name=f"come{vc}")
        m.d.comb += [go.eq(sent.hop.valid & (sent.hop.vc == vc)), come.eq(received.hop.valid & (received.hop.vc == vc))]
        m.d.sync += [flits.eq(flits + go - come), credits.eq(credits + received.credit[vc] - sent.credit[vc])]
        level = receiver.queues[vc].level
        m.d.comb += [
            Assert(self._sender.credits[vc] + flits + level + credits == depth),
            Assert(self._sender.credits[vc] <= depth),
            # What is on the way is in a register of the link: nothing stays there.
            Assert((flits <= self._config.link_stages) & (credits <= self._config.link_stages)),
            Assert(~go | (self._sender.credits[vc] != 0)),
            Assert(~come | (level != depth)),
            Assert(receiver.valid[vc] == (level != 0)),
            Cover((self._sender.credits[vc] == 0) & (level == depth)),
        ]
        queue = receiver.queues[vc]
        if vc == 0:
            follow(
                m,
                watch=self.watch,
                arrive=go,
                arrived=Value.cast(sent.hop.flit),
                ahead_of=(flits + level)[: len(flits)],
                leave=receiver.link.credit[vc],
                left=Value.cast(queue.head),
            )


_LINK = NocConfig(mesh_x=3, mesh_y=3, vcs=2, depth=2, arbitration="round_robin")

PROOFS = (
    *(
        Proof(
            name=f"noc_links.credits{depth}",
            doc=f"credits: with those spent they are {depth}; available while there is one",
            spec=partial(lambda depth: CreditSpec(config=NocConfig(depth=depth)), depth),
            depth=2,
        )
        for depth in (2, 3, 4)
    ),
    *(
        Proof(
            name=f"noc_links.queue{depth}",
            doc=f"queue of {depth}: an arbitrary flit leaves once, unchanged, in its turn; level and valid are exact",
            spec=partial(lambda depth: QueueSpec(config=narrow(NocConfig(mesh_x=2, mesh_y=2, depth=depth))), depth),
            engine="abc pdr",
            cover_depth=depth + 4,
        )
        for depth in (2, 3, 4)
    ),
    *(
        Proof(
            name=f"noc_links.stages{stages}",
            doc=f"link with {stages} registers: credits + flits on the way + queue + credits on the way = depth; a watched flit arrives unchanged",
            spec=partial(lambda stages: LinkSpec(config=narrow(replace(_LINK, link_stages=stages, depth=2 + 2 * stages))), stages),
            engine="abc pdr",
            cover_depth=12,
        )
        for stages in (0, 1)
    ),
)
