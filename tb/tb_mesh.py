"""Cosim of `hw.noc.mesh.Mesh` with its injectors: patterns of traffic, stalls, resets and all pairs alone, every packet accounted for."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from hw.common.noc import NocConfig
from sim.golden.traffic import traffic_matrix
from tb.noc_mesh_top import MeshTop
from tb.registry import Bench
from tb.vip.noc_mesh import MeshEnvironment

BENCH = Bench(
    name="mesh",
    doc="meshes and tori with injectors: delivery, order for each destination, source and VC, zero-load latency, stalls, resets",
    top=lambda config: MeshTop(config=config),
    configs=(
        NocConfig(name="lean3x2", mesh_x=3, mesh_y=2, vcs=1, depth=2, arbitration="round_robin"),
        NocConfig(name="fast2x2", mesh_x=2, mesh_y=2, vcs=4, depth=4, age_tick=3),
        NocConfig(name="yx1x4_stages", mesh_x=1, mesh_y=4, routing="yx", vcs=1, depth=5, link_stages=1, age_bits=3, age_tick=1),
        NocConfig(name="o1turn4x4", mesh_x=4, mesh_y=4, routing="o1turn", vcs=2, depth=2, arbitration="round_robin"),
        NocConfig(
            name="torus3x3", mesh_x=3, mesh_y=3, vcs=2, depth=3, topology="torus", torus_scheme="dateline", arbitration="round_robin"
        ),
        NocConfig(name="adaptive2x3", mesh_x=2, mesh_y=3, routing="adaptive", vcs=2, depth=2, arbitration="round_robin"),
        NocConfig(name="networks1x1", mesh_x=1, mesh_y=1, vcs=3, virtual_networks=3, depth=2, arbitration="round_robin"),
    ),
    flags=("--inline-mult", "1"),
)

PATTERNS = ("uniform", "transpose", "bit_complement", "tornado", "hot_spot", "all_to_one")

#: Rate of the sources, longest delay of a credit of a sink, packet lengths.
PACES: dict[str, tuple[float, int, tuple[int, ...]]] = {
    "dense": (1.0, 0, (1,)),
    "slow sinks": (1.0, 9, (1, 2, 5)),
    "sparse": (0.3, 2, (1, 3, 17)),
}


def _environment(dut: Any) -> MeshEnvironment:
    return MeshEnvironment(dut, np.random.default_rng(cocotb.RANDOM_SEED))


def _matrix(pattern: str, config: NocConfig) -> Any:
    """Where packets go; on a mesh whose shape a pattern does not fit, or with nobody to send to, any node, the own one included."""
    try:
        matrix = traffic_matrix(pattern, config.mesh_x, config.mesh_y)
    except ValueError:
        matrix = np.zeros((config.nodes, config.nodes))
    return matrix if matrix.any() else np.full((config.nodes, config.nodes), 1 / config.nodes)


def _load(env: MeshEnvironment, pattern: str, count: int, lengths: tuple[int, ...]) -> None:
    """Queues `count` packets in all."""
    matrix, nodes = _matrix(pattern, env.config), env.config.nodes
    senders = np.flatnonzero(matrix.sum(axis=1))
    for _ in range(count):
        src = int(env.rng.choice(senders))
        dst = int(env.rng.choice(nodes, p=matrix[src] / matrix[src].sum()))
        env.send(src, dst, int(env.rng.choice(lengths)), int(env.rng.integers(env.config.virtual_networks)))


@cocotb.test()
@cocotb.parametrize(pattern=PATTERNS, pace=list(PACES))
async def traffic(dut: Any, pattern: str, pace: str) -> None:
    """Nothing lost, doubled, changed, led astray or overtaken."""
    env = _environment(dut)
    rate, delay, lengths = PACES[pace]
    for source in env.sources:
        source.rate = rate
    for sink in env.sinks:
        sink.delay = delay
    await env.begin()
    _load(env, pattern, 15 * env.config.nodes + 20, lengths)
    await env.drain()
    env.finish("traffic")


@cocotb.test()
async def zero_load(dut: Any) -> None:
    """A packet alone: its head takes a cycle for each router, those at both ends included, and the registers of longer links; its flits follow."""
    env = _environment(dut)
    config = env.config
    await env.begin()
    for src in range(config.nodes):
        for dst in range(config.nodes):
            length = 1 + (src + dst) % 3
            number = env.send(src, dst, length, network=dst % config.virtual_networks)
            hops = env.distance(src, dst)
            await env.drain()
            for index in range(length):
                taken = env.arrived[number, index] - env.sent[number, index]
                expected = hops * (1 + config.link_stages) + 1
                assert taken == expected, f"{src} to {dst}: flit {index} must take {expected} cycles, not {taken}"
            assert env.arrived[number, length - 1] - env.arrived[number, 0] == length - 1, f"{src} to {dst}: flits must come one a cycle"
    env.finish("zero load")


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """A stream between the nodes that are furthest apart comes out a flit a cycle, the credits of every link on the way going round in time."""
    env = _environment(dut)
    await env.begin()
    dst = max(range(env.config.nodes), key=lambda node: env.distance(0, node))
    count, length = 12, 10
    numbers = [env.send(0, dst, length) for _ in range(count)]
    await env.drain()
    cycles = sorted(env.arrived[number, index] for number in numbers for index in range(length))
    # Packets that change VC or way may meet those before them once more.
    assert cycles[-1] - cycles[0] <= count * length - 1 + 4, (
        f"{count * length} flits must take as many cycles, not {cycles[-1] - cycles[0] + 1}"
    )
    env.finish("full rate")


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset nothing of the traffic before it comes out and nothing is missing of what follows."""
    env = _environment(dut)
    for sink in env.sinks:
        sink.delay = 3
    await env.begin()
    for _ in range(4):
        _load(env, "uniform", 20 * env.config.nodes, (1, 2, 6))
        await env.step(int(env.rng.integers(15, 40)))
        await env.reset(int(env.rng.integers(1, 5)))
    _load(env, "uniform", 10 * env.config.nodes, (1, 2, 6))
    await env.drain()
    env.finish("after resets")


@cocotb.test()
async def blocked_sink(dut: Any) -> None:
    """A node that takes nothing for a while holds up what is for it; when it takes again everything arrives."""
    env = _environment(dut)
    await env.begin()
    env.sinks[0].hold = True
    _load(env, "hot_spot", 20 * env.config.nodes, (1, 4))
    await env.step(300)
    env.sinks[0].hold = False
    await env.drain()
    env.finish("blocked sink")
