"""The golden mesh against paths worked out by hand, against walks one hop at a time, and against the mesh of routers itself."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from hw.common.noc import NocConfig
from hw.noc.injector import Injector
from hw.noc.mesh import Mesh
from hw.noc.routing import routing_function
from sim.golden.mesh import GoldenMesh, Packet, latencies, paths

SHAPES = [(1, 1), (1, 5), (7, 1), (2, 2), (3, 5), (4, 3), (16, 16)]


def config_of(mesh_x=3, mesh_y=2, *, topology="mesh", **options):
    scheme = "dateline" if topology == "torus" else "none"
    return NocConfig(mesh_x=mesh_x, mesh_y=mesh_y, topology=topology, torus_scheme=scheme, **({"vcs": 4} | options))


def packet(source, destination, length=1, **options):
    return Packet(source=source, destination=destination, flits=tuple(range(length)), **options)


def ring_walk(at, to, size, torus):
    """(coordinates visited, steps, dateline bits) along a dimension, one step at a time."""
    step = (1 if 2 * ((to - at) % size) <= size else -1) if torus else (1 if to > at else -1)
    visited, crossed, bits = [at], 0, []
    while visited[-1] != to:
        there = visited[-1] + step
        crossed |= not 0 <= there < size
        bits.append(int(crossed))
        visited.append(there % size)
    return visited, step, bits


@pytest.mark.parametrize("topology", ["mesh", "torus"])
@pytest.mark.parametrize("y_first", [False, True])
@pytest.mark.parametrize("mesh_x,mesh_y", SHAPES)
def test_paths_against_walks(mesh_x, mesh_y, y_first, topology):
    config = config_of(mesh_x, mesh_y, topology=topology)
    rng = np.random.default_rng(7)
    pairs = rng.integers(config.nodes, size=(150, 2))
    found = paths(config, pairs[:, 0], pairs[:, 1], y_first)
    for p, (source, target) in enumerate(pairs):
        xs, step_x, bits_x = ring_walk(source % mesh_x, target % mesh_x, mesh_x, topology == "torus")
        ys, step_y, bits_y = ring_walk(source // mesh_x, target // mesh_x, mesh_y, topology == "torus")
        in_x, in_y = [1 if step_x > 0 else 3] * len(bits_x), [0 if step_y > 0 else 2] * len(bits_y)
        if y_first:
            nodes = [y * mesh_x + xs[0] for y in ys] + [ys[-1] * mesh_x + x for x in xs[1:]]
        else:
            nodes = [ys[0] * mesh_x + x for x in xs] + [y * mesh_x + xs[-1] for y in ys[1:]]
        hops = len(nodes) - 1
        assert found.hops[p] == hops
        assert found.nodes[p, : hops + 1].tolist() == nodes and (found.nodes[p, hops + 1 :] == -1).all()
        assert (
            found.ports[p, : hops + 1].tolist() == [*(in_y + in_x if y_first else in_x + in_y), 4]
            and (found.ports[p, hops + 1 :] == -1).all()
        )
        assert found.crossed[p, :hops].tolist() == (bits_y + bits_x if y_first else bits_x + bits_y)
        assert latencies(config, [source], [target], 5) == [hops + 5]


def test_worked_example():
    """Node 1 (east of the corner) to node 14 of a 4x4 mesh, by O1TURN: first XY, then YX, then XY again; ordered is XY and counts."""
    golden = GoldenMesh(config=config_of(4, 4, routing="o1turn", vcs=4, link_stages=1))
    first, second, third, fourth = golden.predict([packet(1, 14), packet(1, 14, 3), packet(1, 14), packet(1, 14, ordered=True)]).deliveries
    assert first.nodes == (1, 2, 6, 10, 14) and first.ports == (1, 0, 0, 0, 4) and first.hops == 4
    assert second.nodes == (1, 5, 9, 13, 14) and second.ports == (0, 0, 0, 1, 4)
    # (2 + 3) mod 2 lanes is lane 1; class 0 is XY, class 1 is YX.
    assert (first.vc, second.vc, third.vc, fourth.vc) == (1, 3, 1, 1) and second.link_vcs == (3, 3, 3, 3) and second.out_vcs == (3,)
    assert (first.latency, second.latency) == (4 * 2 + 1, 4 * 2 + 3)
    # The alternation goes on where it stopped, for each network of each node by itself.
    assert [one.vc for one in golden.predict([packet(1, 14), packet(2, 14), packet(1, 14)]).deliveries] == [1, 1, 3]


def test_alternation_is_for_each_network():
    golden = GoldenMesh(config=config_of(2, 2, routing="o1turn", vcs=4, virtual_networks=2))
    found = golden.predict([packet(0, 3), packet(0, 3, network=1), packet(0, 3, network=1), packet(0, 3)])
    assert [one.vc for one in found.deliveries] == [0, 2, 3, 1]
    assert found.order == {(0, 3, 0): [0], (0, 3, 2): [1], (0, 3, 3): [2], (0, 3, 1): [3]} and not found.unordered


def test_dateline():
    """From (4, 0) east over the dateline to (1, 0), then north over that of the column: VC 0 before, 1 after, anew in each dimension."""
    golden = GoldenMesh(config=config_of(5, 3, topology="torus", vcs=2, depth=2))
    (found,) = golden.predict([packet(4, 11)]).deliveries  # (4, 0) to (1, 2)
    assert found.nodes == (4, 0, 1, 11) and found.ports == (1, 1, 2, 4)
    assert found.vc == 0 and found.link_vcs == (1, 1, 1) and found.out_vcs == (1,)
    (found,) = golden.predict([packet(3, 5)]).deliveries  # (3, 0) to (0, 1)
    assert found.nodes == (3, 4, 0, 5) and found.link_vcs == (0, 1, 0) and found.out_vcs == (0,)


def test_lanes():
    by_place = GoldenMesh(config=config_of(4, 4, vcs=4)).predict([packet(0, d) for d in range(16)])
    assert [one.vc for one in by_place.deliveries] == [(d % 4 + d // 4) % 4 for d in range(16)]
    by_service = GoldenMesh(config=config_of(2, 2, vcs=8, virtual_networks=2, qos=True)).predict(
        [packet(0, 3, network=1, service=s) for s in range(4)]
    )
    assert [one.vc for one in by_service.deliveries] == [4, 5, 6, 7]


def test_adaptive():
    golden = GoldenMesh(config=config_of(3, 3, routing="adaptive", vcs=8, virtual_networks=2))
    found = golden.predict([packet(0, 8, 2, network=1), packet(0, 8, network=1, ordered=True), packet(4, 4), packet(0, 8, network=1)])
    free, ordered, at_home, _ = found.deliveries
    assert free.vc == 4 + 1 + 4 % 3 and free.out_vcs == (4, 6) and free.nodes is free.ports is free.link_vcs is None and free.latency == 6
    assert ordered.vc == 4 and ordered.out_vcs == (4,) and ordered.nodes == (0, 1, 2, 5, 8)
    assert at_home.out_vcs == (1 + 2 % 3,) and at_home.latency == 1
    assert found.order == {(0, 8, 4): [1]} and found.unordered == {(0, 8): [0, 3], (4, 4): [2]}


@pytest.mark.parametrize("topology,routing", [(t, r) for t in ("mesh", "torus") for r in ("xy", "yx", "o1turn")])
@pytest.mark.parametrize("mesh_x,mesh_y", SHAPES[:-1])
def test_same_routes_as_the_routers_model(mesh_x, mesh_y, topology, routing):
    config = config_of(mesh_x, mesh_y, topology=topology, routing=routing)
    function, golden = routing_function(config), GoldenMesh(config=config)
    for source in range(config.nodes):
        for found in golden.predict([packet(source, target) for target in range(config.nodes)] * 2).deliveries:
            for node, port, vc in zip(found.nodes, found.ports, (found.vc, *found.link_vcs), strict=True):
                at, to = divmod(node, mesh_x)[::-1], divmod(found.packet.destination, mesh_x)[::-1]
                assert function.next_ports(at, to, config.vc_class(vc)) == (port,)


class Network:
    """A mesh with its injectors in one simulation: `alone` lets in one packet after the other, then `together` all at once."""

    def __init__(self, config):
        self.config, self.cycle = config, 0
        self.mesh, self.injectors = Mesh(config=config), [Injector(config=config) for _ in range(config.nodes)]

    def run(self, alone, together):
        top = Module()
        top.submodules.mesh = self.mesh
        for node, injector in enumerate(self.injectors):
            top.submodules[f"injector{node}"] = injector
            into = self.mesh.i[node]
            top.d.comb += [into.hop.eq(injector.o.hop), injector.o.credit.eq(into.credit), injector.o.up.eq(into.up)]
            top.d.comb += [injector.x.eq(node % self.config.mesh_x), injector.y.eq(node // self.config.mesh_x)]
        #: (node, VC, payload, cycle) of every flit that came out, in the order of cycles; cycles in which packets sent alone entered.
        self.ejected, self.entered = [], []

        async def bench(ctx):
            for node in range(self.config.nodes):
                ctx.set(self.mesh.o[node].up, 1)
            await ctx.tick().repeat(1 + self.config.link_stages)  # links of several stages are down until their `up` has come through
            for packet in alone:
                self.entered.append(self.cycle)
                await self.drain(ctx, [packet])
            await self.drain(ctx, together)

        simulator = Simulator(top)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()

    async def drain(self, ctx, packets):
        """Injects `packets` and waits for all of their flits."""
        queues = [[flit for one in packets if one.source == node for flit in self.beats(one)] for node in range(self.config.nodes)]
        streams = [injector.i[0] for injector in self.injectors]
        limit, wanted = self.cycle + 200 + 20 * len(packets), len(self.ejected) + sum(map(len, queues))
        while len(self.ejected) < wanted:
            assert self.cycle < limit, f"{wanted - len(self.ejected)} flits did not come out"
            for queue, stream in zip(queues, streams, strict=True):
                ctx.set(stream.valid, bool(queue))
                for name, value in (queue[0] if queue else {}).items():
                    ctx.set(stream.payload[name], value)
            for node, out in enumerate(self.mesh.o):
                is_valid, vc = ctx.get(out.hop.valid), ctx.get(out.hop.vc)
                ctx.set(out.credit, is_valid << vc)
                if is_valid:
                    self.ejected.append((node, vc, ctx.get(out.hop.flit.payload), self.cycle))
            for queue, stream in zip(queues, streams, strict=True):
                if queue and ctx.get(stream.ready):
                    queue.pop(0)
            await ctx.tick()
            self.cycle += 1

    def beats(self, packet):
        y, x = divmod(packet.destination, self.config.mesh_x)
        common = {"dst_x": x, "dst_y": y, "ordered": packet.ordered}
        return [common | {"payload": flit, "tail": at == len(packet.flits) - 1} for at, flit in enumerate(packet.flits)]


def random_packets(config, rng, count):
    return [
        Packet(
            source=int(rng.integers(config.nodes)),
            destination=int(rng.integers(config.nodes)),
            flits=tuple(index << 8 | position for position in range(int(rng.choice([1, 1, 2, 5])))),
            ordered=bool(rng.integers(2)),
        )
        for index in range(count)
    ]  # fmt: skip


CONFIGS = {
    "mesh": {"mesh_x": 3, "mesh_y": 1, "vcs": 2, "depth": 2, "arbitration": "round_robin"},
    "torus": {"mesh_x": 3, "mesh_y": 2, "topology": "torus", "vcs": 2, "depth": 2, "arbitration": "round_robin"},
    "long links": {"mesh_x": 2, "mesh_y": 2, "vcs": 1, "depth": 6, "link_stages": 2},
    "o1turn": {"mesh_x": 2, "mesh_y": 2, "vcs": 2, "depth": 2, "routing": "o1turn", "arbitration": "round_robin"},
    "adaptive": {"mesh_x": 2, "mesh_y": 2, "vcs": 2, "depth": 2, "routing": "adaptive", "arbitration": "round_robin"},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_against_the_routers(name):
    """Alone in the mesh every packet takes the cycles said, on the VC said; all together they come out where and in the order said."""
    config = config_of(**CONFIGS[name])
    packets = random_packets(config, np.random.default_rng(3), 24)
    alone = len(packets) // 4
    golden, network = GoldenMesh(config=config), Network(config)
    found = golden.predict(packets[:alone])
    rest = golden.predict(packets[alone:])
    network.run(packets[:alone], packets[alone:])
    last = {payload >> 8: cycle for _, _, payload, cycle in network.ejected}
    for index, expected in enumerate(found.deliveries):
        assert last[index] - network.entered[index] == expected.latency, f"packet {index}: {expected}"
    flits, sequences = {}, {}
    for node, vc, payload, _ in network.ejected:
        index = payload >> 8
        flits.setdefault(index, []).append(payload)
        expected = (found.deliveries + rest.deliveries)[index]
        assert vc in expected.out_vcs and expected.packet.destination == node
        if expected.nodes is None:
            continue
        if payload & 0xFF == 0 and index >= alone:
            sequences.setdefault((expected.packet.source, node, vc), []).append(index - alone)
    assert flits == {index: list(one.flits) for index, one in enumerate(packets)}
    assert sequences == rest.order


def test_every_packet_is_predicted_once():
    config = config_of(4, 3, routing="adaptive", vcs=3)
    packets = random_packets(config, np.random.default_rng(5), 200)
    found = GoldenMesh(config=config).predict(packets)
    listed = Counter(index for group in (*found.order.values(), *found.unordered.values()) for index in group)
    assert listed == Counter(range(200)) and [one.packet for one in found.deliveries] == packets
    assert GoldenMesh(config=config).predict([]).deliveries == []


@pytest.mark.parametrize("change,message", [
    ({"source": 6}, "source of a packet must be 0 to 5, not 6"), ({"destination": -1}, "destination of a packet must be 0 to 5, not -1"),
    ({"network": 1}, "network of a packet must be 0 to 0, not 1"), ({"service": 4}, "service of a packet must be 0 to 3, not 4"),
    ({"flits": ()}, "1 to 256 flits, not 0"), ({"flits": (0,) * 257}, "1 to 256 flits, not 257"), ({"flits": (1 << 64,)}, "payloads of 64 bits"),
])  # fmt: skip
def test_bad_packet(change, message):
    with pytest.raises(ValueError, match=message):
        GoldenMesh(config=config_of()).predict([dataclasses.replace(packet(0, 1), **change)])


def test_bad_config():
    with pytest.raises(TypeError, match="config must be a NocConfig, not 'fast'"):
        GoldenMesh(config="fast")
