"""`Injector`: VC, route and stamp of every flit, turns of the networks, credits, latency 0, full rate."""

from collections import deque
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.common.noc import NocConfig
from hw.noc.injector import Injector
from hw.noc.routing import routing_function

Flit = dict[str, int]


def simulate(dut: Any, testbench: Any) -> None:
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def random_packets(rng: np.random.Generator, config: NocConfig, *, count: int, longest: int) -> list[list[Flit]]:
    """Packets of 1 to `longest` flits with random fields."""
    packets = []
    for _ in range(count):
        packet = {
            "dst_x": int(rng.integers(config.mesh_x)),
            "dst_y": int(rng.integers(config.mesh_y)),
            "service": int(rng.integers(4)),
            "ordered": int(rng.integers(2)),
        }
        if config.stamp_bits:
            packet |= {"stamped": int(rng.integers(2)), "stamp": int(rng.integers(1 << config.stamp_bits))}
        length = int(rng.integers(1, longest + 1))
        packets.append([packet | {"payload": int(rng.integers(1 << 62)), "tail": int(place == length - 1)} for place in range(length)])
    return packets


class Model:
    """What a flit must look like on the link: `head` for its packet, then `flit` for each."""

    def __init__(self, config: NocConfig, at: tuple[int, int], network: int) -> None:
        self.config, self.at, self.network = config, at, network
        self.routing, self.packets = routing_function(config), 0
        self.offered: int | None = None

    def vc(self, flit: Flit) -> int:
        lane = flit["service"] if self.config.qos else (flit["dst_x"] + flit["dst_y"]) % self.config.lanes
        vc_class = self.routing.first_class(ordered=bool(flit["ordered"]), choice=self.packets % 2)
        return self.config.vc_number(network=self.network, vc_class=vc_class, lane=lane)

    def expected(self, flit: Flit, now: int) -> dict[str, int]:
        """Fields of `flit` on the link, first offered at `now` or before."""
        vc = self.vc(flit)
        ports = self.routing.next_ports(self.at, (flit["dst_x"], flit["dst_y"]), self.config.vc_class(vc))
        fields = {name: flit[name] for name in ("payload", "tail", "dst_x", "dst_y")} | {"route": sum(1 << port for port in ports)}
        if self.offered is None:
            self.offered = now
        if self.config.stamp_bits:
            fields["stamp"] = flit["stamp"] if flit["stamped"] else self.offered
        return fields

    def gone(self, flit: Flit) -> None:
        if flit["tail"]:
            self.packets, self.offered = self.packets + 1, None


CONFIGS = [
    NocConfig(mesh_x=1, mesh_y=1, vcs=1, depth=2),
    NocConfig(mesh_x=3, mesh_y=5, vcs=4, depth=2),
    NocConfig(mesh_x=5, mesh_y=1, vcs=3, depth=3, arbitration="round_robin"),
    NocConfig(mesh_x=1, mesh_y=7, vcs=3, virtual_networks=3, depth=2),
    NocConfig(mesh_x=4, mesh_y=2, vcs=4, virtual_networks=2, depth=4, age_bits=3),
    NocConfig(mesh_x=3, mesh_y=3, vcs=8, virtual_networks=2, qos=True),
    NocConfig(mesh_x=4, mesh_y=3, vcs=4, topology="torus", torus_scheme="dateline"),
    NocConfig(mesh_x=3, mesh_y=4, vcs=4, routing="o1turn"),
    NocConfig(mesh_x=5, mesh_y=4, vcs=8, virtual_networks=2, routing="o1turn", topology="torus", torus_scheme="dateline"),
    NocConfig(mesh_x=4, mesh_y=4, vcs=4, routing="adaptive"),
    NocConfig(mesh_x=3, mesh_y=2, vcs=5, routing="adaptive", qos=True),
]


@pytest.mark.parametrize(("offer", "credit", "reset_at"), [(1.0, 1.0, None), (0.6, 0.5, 101), (0.9, 0.15, None)])
@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda config: f"{config.mesh_x}x{config.mesh_y}v{config.vcs}n{config.virtual_networks}{config.routing}"
)
def test_against_the_model(config: NocConfig, offer: float, credit: float, reset_at: int | None) -> None:
    """Every cycle: who goes, on which VC, with which fields; and whoever could go, with a credit, keeps the link busy."""
    dut, seed = Injector(config=config), config.vcs + int(100 * offer)
    reset, networks = Signal(), range(config.virtual_networks)

    async def testbench(ctx: Any) -> None:
        rng = np.random.default_rng(seed)
        at = (int(rng.integers(config.mesh_x)), int(rng.integers(config.mesh_y)))
        ctx.set(dut.x, at[0])
        ctx.set(dut.y, at[1])

        def start() -> tuple[list[Any], list[Model], list[int], deque[int], list[bool]]:
            queues = [deque(flit for packet in random_packets(rng, config, count=210, longest=5) for flit in packet) for _ in networks]
            models = [Model(config, at, network) for network in networks]
            return queues, models, [config.depth] * config.vcs, deque(networks), [False for _ in networks]

        (queues, models, credits, turns, offered), sent = start(), 0
        for cycle in range(200):
            where = f"seed {seed}, cycle {cycle}"
            if cycle == reset_at:
                ctx.set(reset, 1)
                await ctx.tick()
                ctx.set(reset, 0)
                queues, models, credits, turns, offered = start()
            now, up = cycle // 7 % (1 << config.age_bits), int(rng.random() < 0.9 or offer == 1)
            offered = [held or rng.random() < offer for held in offered]
            returned = [count < config.depth and rng.random() < credit for count in credits]
            ctx.set(dut.o.credit, sum(bit << vc for vc, bit in enumerate(returned)))
            ctx.set(dut.o.up, up)
            if config.stamp_bits:
                ctx.set(dut.now, now)
            for network in networks:
                ctx.set(dut.i[network].valid, offered[network])
                ctx.set(dut.i[network].payload, queues[network][0])
            wanted = {network: models[network].expected(queues[network][0], now) for network in networks if offered[network]}
            able = [network for network in turns if network in wanted and credits[models[network].vc(queues[network][0])] and up]
            hop = dut.o.hop
            assert ctx.get(hop.valid) == bool(able), where
            for network in networks:
                assert ctx.get(dut.i[network].ready) == (able[:1] == [network]), where
            for vc, bit in enumerate(returned):
                credits[vc] += bit
            if able:
                goes = able[0]
                flit = queues[goes].popleft()
                vc = models[goes].vc(flit)
                assert ctx.get(hop.vc) == vc, where
                assert {name: ctx.get(hop.flit[name]) for name in wanted[goes]} == wanted[goes], where
                credits[vc] -= 1
                models[goes].gone(flit)
                turns.remove(goes)
                turns.append(goes)
                offered[goes] = False
                sent += 1
            await ctx.tick()
        assert sent == 200 or not (offer == credit == 1), "a flit every cycle while credits come back at once"
        assert sent > 20

    simulate(ResetInserter({"sync": reset})(dut), testbench)


def test_networks_share_evenly_and_do_not_wait_for_one_another() -> None:
    """Three networks that always have a flit: a third each; when one has no credits the others have half each."""
    config = NocConfig(mesh_x=1, mesh_y=1, vcs=3, virtual_networks=3, depth=2)
    dut = Injector(config=config)

    async def testbench(ctx: Any) -> None:
        for network in range(3):
            ctx.set(dut.i[network].valid, 1)
            ctx.set(dut.i[network].payload, {"tail": 0, "dst_x": 0, "dst_y": 0})
        ctx.set(dut.o.up, 1)
        for stalled, share in ((None, [30, 30, 30]), (1, [44, 2, 44])):
            counts, credits = [0, 0, 0], 0
            for _ in range(90):
                ctx.set(dut.o.credit, credits)
                vc = ctx.get(dut.o.hop.vc)
                assert ctx.get(dut.o.hop.valid)
                counts[vc] += 1
                credits = 0 if vc == stalled else 1 << vc
                await ctx.tick()
            assert counts == share

    simulate(dut, testbench)


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="config must be a NocConfig, not None"):
        Injector(config=None)
