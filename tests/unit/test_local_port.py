"""`LocalPort`, `NodeMesh` and `Ticker`: packets from pins to pins, failures to their sender, latency, full rate, networks apart, reset."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat
from amaranth.sim import Simulator

from hw.common.noc import VIRTUAL_NETWORKS, ConfigError, NocConfig
from hw.noc.flit import ErrorReason, PacketKind
from hw.noc.local_port import LocalPort, axis_members
from hw.noc.node_port import NodeMesh
from hw.noc.ticker import Ticker
from sim.golden.packets import Header, beats_of, depacketise, failure_arrival, packetise
from sim.verilog import emit, module_names
from tests.unit.packet_bench import Log, Packet, Player, random_beats, random_packet, sent
from tests.unit.test_depacketiser import beat_fields, expected, packets_of

#: Packets by the node and the network they are sent from.
Traffic = dict[tuple[int, int], list[Packet]]


@cache
def player(config: NocConfig) -> Player:
    return Player(NodeMesh(config=config))


def pins(dut: NodeMesh, node: int, side: str, network: int) -> Any:
    """A stream of the device's pins; its payload has the layout of the beats of the packetiser (`s`) or the depacketiser (`m`)."""
    names = ("tdata", "tkeep", "tlast", "tdest" if side == "s" else "tid", "tuser")
    pin = {name: getattr(dut, f"node{node}_{side}_axis_{VIRTUAL_NETWORKS[network]}_{name}") for name in (*names, "tvalid", "tready")}
    return SimpleNamespace(valid=pin["tvalid"], ready=pin["tready"], payload=Cat(pin[name] for name in names))


def play_traffic(config: NocConfig, traffic: Traffic, **how: Any) -> Log:
    """Sends `traffic`; the log has `s<node>.<network>` and `m<node>.<network>`. Runs until as many beats as the model makes have come."""
    dut = player(config).dut
    places = [(node, network) for node in range(config.nodes) for network in range(config.virtual_networks)]
    send = {
        f"s{node}.{network}": (pins(dut, node, "s", network), [beat for packet in packets for beat in sent(config, packet)])
        for (node, network), packets in traffic.items()
    }
    take = {f"m{node}.{network}": pins(dut, node, "m", network) for node, network in places}
    total = sum(len(packet) for queues in arrivals(config, traffic).values() for queue in queues for packet in queue)
    how = {"cycles": 20 * total + 1000, "seed": 1, "until": lambda log: sum(len(log[name]) for name in take) >= total} | how
    return player(config).play(send=send, take=take, **how)


def arrivals(config: NocConfig, traffic: Traffic) -> dict[str, list[list[Any]]]:
    """For each output, queues of packets (lists of beats), each of which must keep its order: one for each source, network and kind of path."""
    queues: dict[str, dict[Any, list[Any]]] = {}
    response = min(1, config.virtual_networks - 1)
    for (node, network), packets in traffic.items():
        for packet in packets:
            flits, failure = packetise(config, packet.header, packet.destination, packet.beats)
            if len(flits.tail):
                lane = sum(packet.destination) % config.lanes
                vc = config.vc_number(network=network, vc_class=0, lane=lane)
                name = f"m{packet.destination[1] * config.mesh_x + packet.destination[0]}.{network}"
                queues.setdefault(name, {}).setdefault(("packets", node), []).append(expected(depacketise(config, vc, flits)[0]))
            if failure:
                queue = queues.setdefault(f"m{node}.{response}", {}).setdefault(("failures", network), [])
                queue.append(expected(failure_arrival(config, failure)))
    return {name: list(of.values()) for name, of in queues.items()}


def check(config: NocConfig, traffic: Traffic, log: Log) -> None:
    """All packets where they belong, in order, whole, once; nothing else."""
    wanted = arrivals(config, traffic)
    for name in (name for name in log if name[0] == "m"):
        queues = wanted.get(name, [])
        for packet in packets_of([beat_fields(config, event) for event in log[name]]):
            owner = next((queue for queue in queues if queue and queue[0] == packet), None)
            assert owner is not None, f"{name}: nobody sent {packet[0]}, or not in this order"
            owner.pop(0)
        assert not any(queues), f"{name}: lost {queues}"


def random_traffic(rng: np.random.Generator, config: NocConfig, *, count: int) -> Traffic:
    """`count` packets from each node on each network: random nodes, one in eight does not exist; random lengths, some bytes wrong."""
    traffic: Traffic = {}
    for node in range(config.nodes):
        source = (node % config.mesh_x, node // config.mesh_x)
        for network in range(config.virtual_networks):
            for _ in range(count):
                destination = (int(rng.integers(config.mesh_x)), int(rng.integers(config.mesh_y)))
                if rng.random() < 1 / 8:
                    destination = (config.mesh_x, destination[1]) if rng.random() < 0.5 else (destination[0], 15)
                beats = random_beats(rng, config, count=int(rng.choice([0, 0, 1, 2, 5, 9])))
                packet = random_packet(rng, config, network=network, source=source, destination=destination, beats=beats)
                if beats.keep.any() and rng.random() < 0.1:
                    beats.keep[np.flatnonzero(beats.keep.any(axis=1))[0]] ^= True
                    beats.keep[-1, 0] = True
                traffic.setdefault((node, network), []).append(packet._replace(stamp=None))
    return traffic


CONFIGS = [
    NocConfig(mesh_x=2, mesh_y=1, vcs=1, depth=2, arbitration="round_robin", payload_bits=512),
    NocConfig(mesh_x=2, mesh_y=1, vcs=2, virtual_networks=2, depth=2),
    NocConfig(mesh_x=2, mesh_y=1, vcs=3, virtual_networks=3, arbitration="round_robin"),
    NocConfig(mesh_x=1, mesh_y=1, vcs=2, virtual_networks=2),
    NocConfig(mesh_x=1, mesh_y=2, vcs=4),
]


def name_of(config: NocConfig) -> str:
    return f"{config.mesh_x}x{config.mesh_y}v{config.vcs}n{config.virtual_networks}w{config.payload_bits}"


@pytest.mark.parametrize(("offer", "accept"), [(1.0, 1.0), (0.5, 0.4)])
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_traffic(config: NocConfig, offer: float, accept: float) -> None:
    seed = config.payload_bits + config.nodes
    traffic = random_traffic(np.random.default_rng(seed), config, count=8)
    check(config, traffic, play_traffic(config, traffic, seed=seed, offer=offer, accept=accept))


@pytest.mark.parametrize("reset_at", [5, 23])
def test_reset_in_mid_traffic(reset_at: int) -> None:
    """Nothing of what was before the reset is seen after it."""
    config = CONFIGS[1]
    traffic = random_traffic(np.random.default_rng(4), config, count=8)
    check(config, traffic, play_traffic(config, traffic, seed=5, accept=0.6, reset_at=reset_at))


def message(config: NocConfig, *, source: int, destination: int, network: int, rows: int, seed: int = 0) -> Packet:
    """A packet of `rows` whole beats from node to node of a row."""
    beats = beats_of(config, np.random.default_rng(seed).bytes(rows * config.payload_bits // 8))
    header = Header(source=(source, 0), kind=PacketKind.MESSAGE, network=network, tag=seed % 8, address=seed, strobe=beats.strobe)
    return Packet(header, (destination, 0), beats)


@pytest.mark.parametrize("config", CONFIGS[:3], ids=name_of)
@pytest.mark.parametrize("destination", [0, 1])
def test_latency(config: NocConfig, destination: int) -> None:
    """hops + 5 without data; with data a beat a cycle from hops + 6 on, as the head becomes no beat."""
    network = config.virtual_networks - 1
    for rows, first in ((0, 5), (1, 6), (6, 6)):
        traffic = {(0, network): [message(config, source=0, destination=destination, network=network, rows=rows)]}
        log = play_traffic(config, traffic)
        check(config, traffic, log)
        assert log[f"s0.{network}"][0].cycle == 0
        cycles = [event.cycle for event in log[f"m{destination}.{network}"]]
        assert cycles == [destination + first + place for place in range(max(1, rows))]


@pytest.mark.parametrize("config", CONFIGS[:2], ids=name_of)
def test_full_rate(config: NocConfig) -> None:
    """Both nodes of a row send to one another without a pause: a flit a cycle arrives at each, from the first to the last."""
    rows = (0, 7, 255, 1, 3)
    traffic = {
        (node, 0): [message(config, source=node, destination=1 - node, network=0, rows=count, seed=count) for count in rows]
        for node in range(2)
    }
    log = play_traffic(config, traffic)
    check(config, traffic, log)
    for node in range(2):
        arrived = [event.cycle for event in log[f"m{node}.0"]]
        # All beats, and the heads of the four packets with data.
        assert arrived[-1] - arrived[0] + 1 == len(arrived) + 4


@pytest.mark.parametrize("network", range(3))
def test_a_consumer_that_takes_nothing_stops_its_network_only(network: int) -> None:
    """Node 1 takes nothing from one network; the others go on, in both directions, and nothing is lost meanwhile."""
    config = CONFIGS[2]
    traffic = {
        (node, of): [message(config, source=node, destination=1 - node, network=of, rows=3, seed=seed) for seed in range(8)]
        for node in range(2)
        for of in range(3)
    }
    dut = player(config).dut
    send = {
        f"s{node}.{of}": (pins(dut, node, "s", of), [beat for packet in packets for beat in sent(config, packet)])
        for (node, of), packets in traffic.items()
    }
    take = {f"m{node}.{of}": pins(dut, node, "m", of) for node in range(2) for of in range(3) if (node, of) != (1, network)}
    log = player(config).play(send=send, take=take, cycles=120, seed=6)
    del traffic[0, network]
    check(config, traffic, log)
    assert len(log[f"s0.{network}"]) < 24, "bounded: what nobody takes is not accepted for ever"


def test_failures_come_out_of_the_response_network() -> None:
    """Of a request, a response and a collective to nowhere; the sender sees which and why, and other nodes see nothing."""
    config = CONFIGS[2]
    traffic = {(1, of): [message(config, source=1, destination=7, network=of, rows=of, seed=of)] for of in range(3)}
    log = play_traffic(config, traffic)
    check(config, traffic, log)
    assert {name for name, events in log.items() if name[0] == "m" and events} == {"m1.1"}
    beats = [beat_fields(config, event) for event in log["m1.1"]]
    assert sorted((beat["network"], beat["tag"]) for beat in beats) == [(0, 0), (1, 1), (2, 2)]
    for beat in beats:
        assert (beat["kind"], beat["strobe"], beat["source"]) == (PacketKind.ERROR, ErrorReason.NO_SUCH_NODE, (7, 0))
        assert (beat["keep"], beat["last"]) == (0, 1)


@pytest.mark.parametrize("networks", [1, 2, 3])
def test_names_of_pins(networks: int) -> None:
    """What verification IP binds by prefix, in the Verilog."""
    config = NocConfig(mesh_x=2, mesh_y=1, vcs=networks, virtual_networks=networks, arbitration="round_robin")
    signals = ("tdata", "tkeep", "tlast", "tvalid", "tready", "tuser")
    names = {f"s_axis_{of}_{signal}" for of in VIRTUAL_NETWORKS[:networks] for signal in (*signals, "tdest")}
    names |= {f"m_axis_{of}_{signal}" for of in VIRTUAL_NETWORKS[:networks] for signal in (*signals, "tid")}
    assert set(axis_members(config)) == names
    text = emit(LocalPort(config=config), name="port")
    pins = text[text.index("module port(") :].split(";", 1)[0]
    assert all(name in pins for name in names)
    assert set(NodeMesh(config=config).signature.members) == {f"node{node}_{name}" for node in range(2) for name in names}


def test_ports_of_all_nodes_are_one_module() -> None:
    config = NocConfig(mesh_x=1, mesh_y=2, vcs=1, depth=2, arbitration="round_robin")
    names = module_names(emit(NodeMesh(config=config), name="nodes"))
    assert names.count("local_port") == 1 and not any(name.startswith("local_port_") for name in names)


@pytest.mark.parametrize(("tick", "bits"), [(1, 2), (3, 2), (16, 6), (1, 6)])
def test_ticker(tick: int, bits: int) -> None:
    dut = Ticker(config=NocConfig(age_tick=tick, age_bits=bits))

    async def testbench(ctx: Any) -> None:
        for cycle in range(min(3 * tick << bits, 1500)):
            assert ctx.get(dut.now) == (cycle // tick) % (1 << bits)
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def test_what_is_refused() -> None:
    for part in (LocalPort, NodeMesh, Ticker):
        with pytest.raises(TypeError, match="config must be a NocConfig, not 'fast'"):
            part(config="fast")
    with pytest.raises(ValueError, match="arbitration must be age where there is a ticker, not 'round_robin': leave the ticker out"):
        Ticker(config=NocConfig(arbitration="round_robin"))
    with pytest.raises(ConfigError, match="mesh_x must be 1 to 16, not 0"):
        NodeMesh(config=NocConfig(mesh_x=0))
