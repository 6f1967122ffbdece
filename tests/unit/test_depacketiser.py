"""`Depacketiser`: packets whole and in order for each VC, turns, latency, full rate, reset."""

from itertools import groupby
from typing import Any

import numpy as np
import pytest

from hw.common.noc import NocConfig
from hw.noc.depacketiser import Depacketiser, received_beat_layout
from hw.noc.flit import ErrorReason, flit_layout
from hw.noc.packetiser import failure_layout
from sim.golden.packets import Arrival, Failure, Flits, Header, beats_of, depacketise, failure_arrival, packetise
from tests.unit.packet_bench import Event, play, random_beats, random_packet


def flits_of(rng: np.random.Generator, config: NocConfig, *, network: int, rows: int) -> Flits:
    """Flits of a random packet of `rows` beats with data, from a random node that need not be in the mesh."""
    source = (int(rng.integers(16)), int(rng.integers(16)))
    beats = random_beats(rng, config, count=rows)
    packet = random_packet(rng, config, network=network, source=source, destination=(0, 0), beats=beats)
    return packetise(config, packet.header, (0, 0), beats)[0]


def flit_bits(config: NocConfig, flits: Flits) -> list[int]:
    """Payloads of a stream of flits; what a depacketiser must not look at is random."""
    rng = np.random.default_rng(len(flits.tail))
    return [
        flit_layout(config)
        .const({"payload": int.from_bytes(row.tobytes(), "little"), "tail": int(tail), "dst_x": 0, "route": int(rng.integers(32))})
        .as_bits()
        for row, tail in zip(flits.payload, flits.tail, strict=True)
    ]


def joined(parts: list[Flits]) -> Flits:
    return Flits(np.concatenate([part.payload for part in parts]), np.concatenate([part.tail for part in parts]))


def beat_fields(config: NocConfig, event: Event) -> dict[str, Any]:
    """Fields of a beat; of the last beat only the bytes that are there."""
    beat = received_beat_layout(config).from_bits(event.payload)
    mask = sum(0xFF << (8 * byte) for byte in range(config.payload_bits // 8) if beat.keep >> byte & 1)
    user = {name: beat.user[name] for name in beat.user.shape().members}
    return {
        "data": beat.data & mask if beat.keep else beat.data,
        "keep": beat.keep,
        "last": beat.last,
        "source": (beat.src_x, beat.src_y),
        "vc": beat.vc,
        **user,
    }


def expected(arrival: Arrival) -> list[dict[str, Any]]:
    """The same fields of the beats the model makes."""
    header, beats = arrival.header, arrival.beats
    user = {name: getattr(header, name) for name in ("kind", "network", "tag", "address", "strobe", "source")}
    return [
        {
            "data": int.from_bytes((row * keep).tobytes(), "little"),
            "keep": int.from_bytes(np.packbits(keep, bitorder="little").tobytes(), "little"),
            "last": int(place == len(beats.data) - 1),
            "vc": arrival.vc,
            **user,
        }
        for place, (row, keep) in enumerate(zip(beats.data, beats.keep, strict=True))
    ]


def packets_of(beats: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Beats cut behind each `last`."""
    packets: list[list[dict[str, Any]]] = [[]]
    for beat in beats:
        packets[-1].append(beat)
        if beat["last"]:
            packets.append([])
    assert not packets.pop(), "the last packet has no end"
    return packets


@pytest.mark.parametrize(("offer", "accept"), [(1.0, 1.0), (0.5, 0.9), (1.0, 0.4), (0.3, 0.3)])
@pytest.mark.parametrize(
    ("bits", "networks", "network", "vcs", "failures"),
    [(64, 1, 0, 1, 1), (64, 1, 0, 4, 0), (512, 2, 1, 6, 2), (128, 3, 1, 3, 3), (64, 3, 2, 12, 0)],
)
def test_against_the_model(bits: int, networks: int, network: int, vcs: int, failures: int, offer: float, accept: float) -> None:
    """Per VC and per reporter all packets in order, none mixed with another, all fields right."""
    config = NocConfig(payload_bits=bits, virtual_networks=networks, vcs=vcs, mesh_x=3, mesh_y=3)
    seed = bits + vcs + int(offer * 10)
    rng = np.random.default_rng(seed)
    dut = Depacketiser(config=config, network=network, failures=failures)
    first_vc = network * config.network_vcs
    flits = [
        joined([flits_of(rng, config, network=network, rows=int(rng.integers(5))) for _ in range(12)]) for _ in range(config.network_vcs)
    ]
    reports = [
        [
            Failure(
                reason=ErrorReason(int(rng.integers(1, 5))),
                network=of,
                tag=int(rng.integers(8)),
                address=int(rng.integers(1 << 40)),
                destination=(int(rng.integers(16)), int(rng.integers(16))),
            )
            for _ in range(6)
        ]
        for of in range(failures)
    ]
    send: dict[str, Any] = {f"vc{vc}": (dut.i[vc], flit_bits(config, flits[vc])) for vc in range(config.network_vcs)}
    for of, failed in enumerate(reports):
        rows = [
            {
                "reason": each.reason,
                "network": of,
                "tag": each.tag,
                "address": each.address,
                "dest_x": each.destination[0],
                "dest_y": each.destination[1],
            }
            for each in failed
        ]
        send[f"failure{of}"] = (dut.failures[of], [failure_layout().const(row).as_bits() for row in rows])
    total = sum(len(payloads) for _, payloads in send.values())
    log = play(
        dut,
        send=send,
        take={"o": dut.o},
        cycles=20 * total,
        seed=seed,
        offer=offer,
        accept=accept,
        until=lambda log: sum(map(len, log.values())) - len(log["o"]) == total,
    )
    got = packets_of([beat_fields(config, event) for event in log["o"]])
    wanted = [[expected(arrival) for arrival in depacketise(config, first_vc + vc, part)] for vc, part in enumerate(flits)]
    wanted += [[expected(failure_arrival(config, each)) for each in failed] for failed in reports]
    for vc in range(1, config.network_vcs):
        assert [packet for packet in got if packet[0]["vc"] == first_vc + vc] == wanted[vc]
    # The lowest VC and the failures share a number: which is whose is told by the order of each.
    rest, queues = [packet for packet in got if packet[0]["vc"] == first_vc], [wanted[0], *wanted[config.network_vcs :]]
    for packet in rest:
        owner = next((queue for queue in queues if queue and queue[0] == packet), None)
        assert owner is not None, f"seed {seed}: nobody sent {packet}"
        owner.pop(0)
    assert not any(queues), f"seed {seed}: lost"


@pytest.mark.parametrize("vcs", [1, 4])
def test_latency_and_full_rate(vcs: int) -> None:
    """A flit a cycle goes in; data and packets without data come out in the cycle they go in."""
    config = NocConfig(vcs=vcs, mesh_x=2, mesh_y=1)
    rng = np.random.default_rng(7)
    dut = Depacketiser(config=config, network=0, failures=0)
    flits = [joined([flits_of(rng, config, network=0, rows=rows) for rows in (0, 3, 0, 0, 1, 5)]) for _ in range(vcs)]
    total = sum(len(part.tail) for part in flits)
    log = play(
        dut,
        send={f"vc{vc}": (dut.i[vc], flit_bits(config, part)) for vc, part in enumerate(flits)},
        take={"o": dut.o},
        cycles=total + 5,
        seed=7,
    )
    taken = sorted((event.cycle, name) for name, events in log.items() if name != "o" for event in events)
    assert [cycle for cycle, _ in taken] == list(range(total)), "one flit every cycle"
    # All flits make a beat in their cycle, but heads with data behind them.
    heads = {
        (log[f"vc{vc}"][place].cycle)
        for vc, part in enumerate(flits)
        for place in range(len(part.tail))
        if not part.tail[place] and (not place or part.tail[place - 1])
    }
    assert [event.cycle for event in log["o"]] == [cycle for cycle in range(total) if cycle not in heads]


@pytest.mark.parametrize("accept", [1.0, 0.5])
def test_turns(accept: float) -> None:
    """While all ask, each of three VCs and two reporters has every fifth packet, long and short alike."""
    config = NocConfig(vcs=3, mesh_x=2, mesh_y=1)
    rng = np.random.default_rng(8)
    dut = Depacketiser(config=config, network=0, failures=2)
    send: dict[str, Any] = {}
    for vc in range(3):
        send[f"vc{vc}"] = (dut.i[vc], flit_bits(config, joined([flits_of(rng, config, network=0, rows=3 * vc) for _ in range(20)])))
    for of in range(2):
        send[f"failure{of}"] = (dut.failures[of], [failure_layout().const({"reason": 1, "network": of}).as_bits()] * 20)
    log = play(dut, send=send, take={"o": dut.o}, cycles=900, seed=8, accept=accept)
    order = [
        name
        for name, _ in groupby(
            sorted((event.cycle, name) for name, events in log.items() if name != "o" for event in events), key=lambda item: item[1]
        )
    ]
    assert len(order) == 100
    assert all(set(order[start : start + 5]) == set(send) for start in range(0, 100, 5))


@pytest.mark.parametrize("at", range(1, 9))
def test_reset_in_mid_packet(at: int) -> None:
    """What was under way is forgotten; the next head is a head."""
    config = NocConfig(vcs=1, mesh_x=2, mesh_y=1)
    rng = np.random.default_rng(9)
    dut = Depacketiser(config=config, network=0, failures=0)
    flits = joined([flits_of(rng, config, network=0, rows=rows) for rows in (3, 0, 4)])
    log = play(dut, send={"i": (dut.i[0], flit_bits(config, flits))}, take={"o": dut.o}, cycles=40, seed=at, accept=0.7, reset_at=at)
    assert packets_of([beat_fields(config, event) for event in log["o"]]) == [
        expected(arrival) for arrival in depacketise(config, 0, flits)
    ]


def test_longest_packet() -> None:
    config = NocConfig(vcs=1, mesh_x=2, mesh_y=1)
    dut, beats = Depacketiser(config=config, network=0, failures=0), beats_of(config, bytes(range(255)) * 8)
    flits, failure = packetise(config, Header(source=(1, 0), kind=0, network=0, strobe=beats.strobe), (0, 0), beats)
    assert len(flits.tail) == 256 and failure is None
    log = play(dut, send={"i": (dut.i[0], flit_bits(config, flits))}, take={"o": dut.o}, cycles=300, seed=0)
    assert [beat_fields(config, event) for event in log["o"]] == expected(depacketise(config, 0, flits)[0])
    assert [event.cycle for event in log["o"]] == list(range(1, 256))


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="config must be a NocConfig, not 5"):
        Depacketiser(config=5, network=0, failures=0)
    with pytest.raises(ValueError, match="network must be 0 to 0, not 1: raise virtual_networks"):
        Depacketiser(config=NocConfig(), network=1, failures=0)
    with pytest.raises(ValueError, match="failures must be 0 or a positive integer, not -1"):
        Depacketiser(config=NocConfig(), network=0, failures=-1)
