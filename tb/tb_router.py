"""Cosim of `hw.noc.router.Router`: every cycle against the golden router, at the middle, the edges and the corners of a mesh."""

from __future__ import annotations

from collections import Counter
from typing import Any

import cocotb
import numpy as np

from hw.common.noc import QOS_WEIGHTS, NocConfig
from hw.noc.router import Router
from sim.golden.router import PORTS, Arrival, Turn, turns
from tb.registry import Bench
from tb.vip.noc_format import noc_config
from tb.vip.noc_router import RouterEnvironment

_RING: dict[str, Any] = {"topology": "torus", "torus_scheme": "dateline"}

BENCH = Bench(
    name="router",
    doc="the router against the golden router, cycle by cycle: ways, VCs, routes, order, credits, no idle output, shares",
    top=lambda config: Router(config=config),
    configs=(
        NocConfig(name="lean", mesh_x=3, mesh_y=3, vcs=1, depth=2, arbitration="round_robin"),
        NocConfig(name="fast", mesh_x=3, mesh_y=3, vcs=4, depth=4),
        NocConfig(name="yx_narrow", mesh_x=1, mesh_y=5, routing="yx", vcs=2, depth=3, arbitration="round_robin"),
        NocConfig(name="o1turn", mesh_x=4, mesh_y=3, routing="o1turn", vcs=4, depth=2),
        NocConfig(name="torus", mesh_x=3, mesh_y=4, vcs=2, depth=2, arbitration="round_robin", **_RING),
        NocConfig(name="torus_o1turn", mesh_x=5, mesh_y=2, routing="o1turn", vcs=4, depth=3, age_bits=4, **_RING),
        NocConfig(name="adaptive", mesh_x=3, mesh_y=3, routing="adaptive", vcs=2, depth=3),
        NocConfig(name="qos", mesh_x=3, mesh_y=3, vcs=4, depth=3, arbitration="round_robin", qos=True),
        NocConfig(name="networks", mesh_x=3, mesh_y=3, vcs=6, virtual_networks=3, depth=2, payload_bits=128),
    ),
)

#: Rate of the senders, longest delay of a credit, share of cycles with a link down, packet lengths.
PACES: dict[str, tuple[float, int, float, tuple[int, ...]]] = {
    "dense": (1.0, 0, 0.0, (1,)),
    "packets": (1.0, 0, 0.0, (1, 2, 3, 7)),
    "slow receivers": (1.0, 12, 0.2, (1, 4)),
    "sparse": (0.3, 3, 0.05, (1, 2, 20)),
}


def _rng() -> np.random.Generator:
    return np.random.default_rng(cocotb.RANDOM_SEED)


def _place(where: str, config: NocConfig) -> tuple[int, int]:
    far = (config.mesh_x - 1, config.mesh_y - 1)
    return {"middle": (config.mesh_x // 2, config.mesh_y // 2), "first": (0, 0), "last": far, "edge": (0, config.mesh_y // 2)}[where]


def _environment(dut: Any, where: str = "middle", **pace: Any) -> RouterEnvironment:
    return RouterEnvironment(dut, _rng(), _place(where, noc_config()), **pace)


def _certain(env: RouterEnvironment) -> list[tuple[Arrival, Turn]]:
    """The kinds of flits that have one way through this router, and that way: all but those of adaptive VCs with hops to go."""
    ways = [(arrival, turns(env.config, env.model.at, arrival.port, arrival.vc, arrival.dst)) for arrival in env.arrivals]
    return [(arrival, found[0]) for arrival, found in ways if len(found) == 1]


def _meeting(env: RouterEnvironment, *, vcs: bool) -> tuple[list[Arrival], Turn]:
    """Flits from as many queues as possible that want the same output, and how the first leaves: one VC of it, or (`vcs`) one input and all VCs."""
    groups: dict[Any, dict[Any, tuple[Arrival, Turn]]] = {}
    for arrival, turn in _certain(env):
        key = (arrival.port, turn.out) if vcs else (turn.out, turn.vc)
        groups.setdefault(key, {}).setdefault(turn.vc if vcs else (arrival.port, arrival.vc), (arrival, turn))
    found = list(max(groups.values(), key=len).values())
    return [arrival for arrival, _ in found], found[0][1]


@cocotb.test()
@cocotb.parametrize(where=["middle", "first", "last", "edge"], pace=list(PACES))
async def random_traffic(dut: Any, where: str, pace: str) -> None:
    """Everything that can come to a router at this place, at random."""
    rate, delay, down, lengths = PACES[pace]
    env = _environment(dut, where, rate=rate, delay=delay, down=down)
    await env.begin()
    env.send_random(80, lengths)
    await env.drain()
    env.finish("random traffic")


@cocotb.test()
async def one_cycle(dut: Any) -> None:
    """A flit alone is on its output in the cycle after it came, whatever its kind."""
    env = _environment(dut)
    await env.begin()
    for arrival in env.arrivals:
        env.send(arrival)
        begin = env.cycle
        # Decided in this cycle, on the input in the next, on the output in the one after that; its credit goes round in two more.
        await env.step(5)
        assert env.log[-1][0] - begin == 2, f"{arrival} must take one cycle, not {env.log[-1][0] - begin - 1}"
    assert len(env.log) == len(env.arrivals)
    await env.drain()
    env.finish("one cycle")


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """Streams that do not meet leave a flit a cycle each, credits going back at once: on all five outputs of a router in the middle of a mesh."""
    env = _environment(dut)
    await env.begin()
    streams = _streams(env)
    mesh = env.config.topology == "mesh" and min(env.config.mesh_x, env.config.mesh_y) > 2
    assert len(streams) >= (5 if mesh else 3)
    count = 100
    for arrival in streams.values():
        for _ in range(count):
            env.send(arrival)
    await env.drain()
    for out in streams:
        cycles = [cycle for cycle, _, turn in env.log if turn.out == out]
        assert len(cycles) == count
        assert cycles[-1] - cycles[0] == count - 1, f"{count} flits must take {count} cycles"
    env.finish("full rate")


def _streams(env: RouterEnvironment) -> dict[int, Arrival]:
    """As many outputs as possible, each with a kind of flit from an input of its own (a matching, by augmenting paths)."""
    chosen: dict[int, Arrival] = {}

    def place(port: int, tried: set[int]) -> bool:
        for arrival, turn in _certain(env):
            if arrival.port == port and turn.out not in tried:
                tried.add(turn.out)
                if turn.out not in chosen or place(chosen[turn.out].port, tried):
                    chosen[turn.out] = arrival
                    return True
        return False

    for port in PORTS:
        place(port, set())
    return chosen


@cocotb.test()
@cocotb.parametrize(where=["middle", "last"])
async def reset_in_traffic(dut: Any, where: str) -> None:
    """After a reset nothing of the traffic before is left: no flit, no credit missing, no VC taken."""
    env = _environment(dut, where, delay=4)
    await env.begin()
    for _ in range(5):
        env.send_random(100, (1, 2, 5))
        await env.step(int(env.rng.integers(10, 40)))
        assert not env.model.empty
        await env.reset(int(env.rng.integers(1, 4)))
    env.send_random(40, (1, 2, 5))
    await env.drain()
    env.finish("after resets")


@cocotb.test()
async def order_of_service(dut: Any) -> None:
    """Among packets that wait for one VC the oldest goes first, or the one whose queue was served the longest ago."""
    env = _environment(dut)
    await env.begin()
    rivals, way = _meeting(env, vcs=False)
    assert len(rivals) >= 2
    config = env.config
    # The escape VCs of adaptive routing do not go by age.
    aged = config.arbitration == "age" and not (config.routing == "adaptive" and way.vc % config.network_vcs == 0)
    await _serve(env, rivals, way, [0] * len(rivals))
    for _ in range(20):
        # Within half the range of stamps from a start anywhere: some of them wrap.
        base, count = int(env.rng.integers(1 << 16)), int(env.rng.integers(2, len(rivals) + 1))
        here = [rivals[index] for index in sorted(env.rng.permutation(len(rivals))[:count])]
        ages = [int(age) for age in env.rng.integers(1 << max(0, config.stamp_bits - 1), size=count)]
        mark = await _serve(env, here, way, [base + age for age in ages])
        served = [queue for _, queue, _ in env.log[mark:]]
        waiting = [(rival.port, rival.vc) for rival in here]
        if aged:
            expected = [queue for _, queue in sorted(zip(ages, waiting, strict=True))]
        else:
            last = {queue: cycle for cycle, queue, _ in env.log[:mark]}
            expected = sorted(waiting, key=lambda queue: last[queue])
        assert served == expected, f"{served} must be {expected}, with ages {dict(zip(waiting, ages, strict=True))}"
    env.finish("order of service")


async def _serve(env: RouterEnvironment, rivals: list[Arrival], way: Turn, stamps: list[int]) -> int:
    """Uses up the credits of a VC, lets a flit of each rival wait for it, and gives the credits back; the place in the log where they begin."""
    env.receivers[way.out].hold = True
    for _ in range(env.config.depth):
        env.send(rivals[0], stamp=stamps[0])
    await env.step(3 * env.config.depth + 2)
    for rival, stamp in zip(rivals, stamps, strict=True):
        env.send(rival, stamp=stamp)
    await env.step(3 * len(rivals) + 4)
    mark = len(env.log)
    env.receivers[way.out].hold = False
    await env.drain()
    assert len(env.log) - mark == len(rivals), "every rival must have waited"
    return mark


@cocotb.test()
async def shares_of_queues(dut: Any) -> None:
    """Queues that all want one VC get equal shares of it: none starves."""
    env = _environment(dut)
    await env.begin()
    rivals, _ = _meeting(env, vcs=False)
    length, count = 3, 60
    for index in range(count):
        for rival in rivals:
            # Stamps as sources make them that create packets at one rate.
            env.send(rival, length, stamp=index)
    await env.step(count * len(rivals))
    served = Counter(queue for _, queue, _ in env.log)
    assert len(served) == len(rivals)
    assert sum(served.values()) >= count * len(rivals) - 4, "the output must never rest"
    # One packet more or less, and one that is under way.
    assert max(served.values()) - min(served.values()) <= 2 * length, f"shares must be equal, not {served}"
    await env.drain()
    env.finish("shares of queues")


@cocotb.test()
async def shares_of_vcs(dut: Any) -> None:
    """VCs that all want one output share it flit by flit: evenly, or by the weights of their classes of service."""
    env = _environment(dut)
    await env.begin()
    rivals, way = _meeting(env, vcs=True)
    weights = QOS_WEIGHTS if env.config.qos else (1,) * len(rivals)
    rounds = 8
    for rival in rivals:
        for _ in range(rounds * sum(weights)):
            env.send(rival)
    # With the link down all queues fill; from then on each flit that goes makes room for one of its own VC, so that no queue runs empty.
    env.receivers[way.out].stopped = True
    await env.step(len(rivals) * env.config.depth + 4)
    assert not env.log
    env.receivers[way.out].stopped = False
    await env.step(1 + rounds * sum(weights))
    served = Counter(queue[1] for _, queue, _ in env.log)
    expected = {rival.vc: rounds * weight for rival, weight in zip(rivals, weights, strict=True)}
    assert served == expected, f"VCs must be served {expected}, not {served}"
    await env.drain()
    env.finish("shares of VCs")
