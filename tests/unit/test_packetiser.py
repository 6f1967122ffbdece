"""`Packetiser` against the golden model: flits, failures, latency, full rate, reset in mid-packet."""

from typing import Any

import numpy as np
import pytest

from hw.common.noc import PACKET_FLITS, NocConfig
from hw.noc.flit import ErrorReason
from hw.noc.injector import injection_layout
from hw.noc.packetiser import Packetiser, failure_layout
from sim.golden.packets import Beats, Failure, beats_of, packetise
from tests.unit.packet_bench import Log, Packet, payloads, play, random_beats, random_packet, sent

FULL = {64: 0xFF, 512: (1 << 64) - 1}


def packetiser(config: NocConfig, network: int = 0) -> Packetiser:
    return Packetiser(config=config, network=network)


def play_packets(config: NocConfig, packets: list[Packet], *, network: int = 0, **how: Any) -> Log:
    """Sends `packets` from node (0, 0) until as many flits and failures as the model makes have come, and some time more."""
    dut = packetiser(config, network)
    beats = [beat for packet in packets for beat in sent(config, packet)]
    flits, failures = expected(config, packets)
    done = lambda log: len(log["o"]) >= len(flits) and len(log["failure"]) >= len(failures)  # noqa: E731
    how = {"cycles": 20 * len(beats) + 200, "seed": 1, "until": done} | how
    log = play(dut, send={"i": (dut.i, beats)}, take={"o": dut.o, "failure": dut.failure}, **how)
    assert len(log["i"]) == len(beats)
    return log


def expected(config: NocConfig, packets: list[Packet]) -> tuple[list[dict[str, int]], list[Failure]]:
    """What comes out, in order: fields of flits, and failures."""
    flits, failures = [], []
    for packet in packets:
        stamps = {"stamped": int(packet.stamp is not None), "stamp": packet.stamp or 0} if config.stamp_bits else {}
        for payload, tail in payloads(config, packet):
            flits.append(
                {
                    "payload": payload,
                    "tail": tail,
                    "dst_x": packet.destination[0],
                    "dst_y": packet.destination[1],
                    "service": packet.service,
                    "ordered": packet.ordered,
                    **stamps,
                }
            )
        failure = packetise(config, packet.header, packet.destination, packet.beats)[1]
        failures += [failure] if failure else []
    return flits, failures


def check(config: NocConfig, packets: list[Packet], log: Log) -> None:
    """The flits and the failures are those of the model."""
    flits, failures = expected(config, packets)
    layout = injection_layout(config)
    assert [dict(fields(layout, event.payload)) for event in log["o"]] == flits
    got = [dict(fields(failure_layout(), event.payload)) for event in log["failure"]]
    assert got == [
        {
            "reason": failure.reason,
            "network": failure.network,
            "tag": failure.tag,
            "address": failure.address,
            "dest_x": failure.destination[0],
            "dest_y": failure.destination[1],
        }
        for failure in failures
    ]


def fields(layout: Any, bits: int) -> list[tuple[str, int]]:
    return [(name, bits >> field.offset & ((1 << field.width) - 1)) for name, field in layout]


def plain(config: NocConfig, *, rows: int, seed: int = 0, destination: tuple[int, int] = (0, 0)) -> Packet:
    """A packet of `rows` whole beats."""
    rng = np.random.default_rng(seed)
    beats = beats_of(config, rng.bytes(rows * config.payload_bits // 8))
    return random_packet(rng, config, network=0, source=(0, 0), destination=destination, beats=beats)


@pytest.mark.parametrize(("offer", "accept"), [(1.0, 1.0), (0.6, 0.9), (0.9, 0.4), (0.3, 0.3)])
@pytest.mark.parametrize(
    ("bits", "shape", "networks", "arbitration"),
    [(64, (3, 2), 1, "age"), (512, (5, 1), 2, "round_robin"), (128, (1, 7), 3, "age"), (64, (1, 1), 1, "age"), (64, (16, 16), 1, "age")],
)
def test_against_the_model(bits: int, shape: tuple[int, int], networks: int, arbitration: str, offer: float, accept: float) -> None:
    """Packets of every length and kind, empty beats anywhere, wrong bytes and wrong nodes among them."""
    config = NocConfig(
        mesh_x=shape[0], mesh_y=shape[1], payload_bits=bits, virtual_networks=networks, vcs=2 * networks, arbitration=arbitration
    )
    seed = bits + 10 * shape[0] + int(10 * offer)
    rng = np.random.default_rng(seed)
    packets = []
    for _ in range(40):
        beats = random_beats(rng, config, count=int(rng.integers(6)))
        reach = 1 if rng.random() < 0.2 else 0
        destination = (min(15, int(rng.integers(shape[0] + reach))), min(15, int(rng.integers(shape[1] + 2 * reach))))
        packet = random_packet(rng, config, network=networks - 1, source=(0, 0), destination=destination, beats=beats)
        if rng.random() < 0.2 and beats.keep.any():
            row = rng.choice(np.flatnonzero(beats.keep.any(axis=1)))
            beats.keep[row] = ~beats.keep[row] if not beats.keep[row].all() else np.arange(bits // 8) != rng.integers(bits // 8)
        packets.append(packet)
    log = play_packets(config, packets, network=networks - 1, seed=seed, offer=offer, accept=accept)
    check(config, packets, log)
    reasons = {failure.reason for failure in expected(config, packets)[1]}
    assert ErrorReason.WRONG_KEEP in reasons
    assert shape == (16, 16) or ErrorReason.NO_SUCH_NODE in reasons


@pytest.mark.parametrize("bits", [64, 512])
def test_latency_and_full_rate(bits: int) -> None:
    """Head a cycle after the first beat; then a flit a cycle, without gaps between packets, with and without data."""
    config = NocConfig(mesh_x=2, mesh_y=1, payload_bits=bits, vcs=1)
    packets = [plain(config, rows=rows, seed=rows) for rows in (3, 0, 0, 0, 1, 1, 7, 2, 0, 20)]
    log = play_packets(config, packets)
    check(config, packets, log)
    assert log["i"][0].cycle == 0
    flits = sum(1 + len(packet.beats.data) * packet.beats.keep.any() for packet in packets)
    assert [event.cycle for event in log["o"]] == list(range(1, flits + 1))


def test_a_beat_waits_for_the_one_behind_it() -> None:
    """The sender pauses for 8 cycles: the head and all beats but the last taken are out by then."""
    config = NocConfig(mesh_x=1, mesh_y=1, vcs=1)
    packet = plain(config, rows=4)
    dut, beats = packetiser(config), sent(config, packet)
    log = play(dut, send={"i": (dut.i, beats[:3])}, take={"o": dut.o, "failure": dut.failure}, cycles=12, seed=0)
    assert len(log["i"]) == 3 and [event.cycle for event in log["o"]] == [1, 2, 3]


@pytest.mark.parametrize("accept", [1.0, 0.7])
@pytest.mark.parametrize("empty_end", [0, 2])
@pytest.mark.parametrize("rows", [PACKET_FLITS - 2, PACKET_FLITS - 1, PACKET_FLITS, 300])
def test_longest_packet(rows: int, empty_end: int, accept: float) -> None:
    """256 flits go; of what is longer the first 256, then a failure; the packet behind is whole."""
    config = NocConfig(mesh_x=2, mesh_y=2, vcs=1)
    long, size = plain(config, rows=rows), config.payload_bits // 8
    beats = Beats(
        np.concatenate([long.beats.data, np.zeros((empty_end, size), np.uint8)]),
        np.concatenate([long.beats.keep, np.zeros((empty_end, size), np.bool_)]),
    )
    packets = [long._replace(beats=beats), plain(config, rows=2, seed=1)]
    log = play_packets(config, packets, accept=accept)
    check(config, packets, log)
    tails = [place for place, flit in enumerate(expected(config, packets)[0]) if flit["tail"]]
    assert tails[0] == min(rows, PACKET_FLITS - 1) and len(tails) == 2
    assert len(log["failure"]) == (rows >= PACKET_FLITS)
    if log["failure"]:
        # Between the last beat of the packet that failed and the first flit of the one behind it.
        assert log["i"][len(beats.data) - 1].cycle < log["failure"][0].cycle < log["o"][PACKET_FLITS].cycle


@pytest.mark.parametrize("rows", [0, 1, 300])
@pytest.mark.parametrize(
    ("shape", "destination"),
    [((1, 1), (1, 0)), ((1, 1), (0, 1)), ((3, 2), (3, 0)), ((3, 2), (2, 2)), ((3, 2), (15, 15)), ((16, 1), (15, 1)), ((1, 13), (1, 12))],
)
def test_nodes_that_do_not_exist(shape: tuple[int, int], destination: tuple[int, int], rows: int) -> None:
    """No flit enters, one failure comes out, and the packet behind it goes its way."""
    config = NocConfig(mesh_x=shape[0], mesh_y=shape[1], vcs=1)
    packets = [plain(config, rows=rows, destination=destination), plain(config, rows=2, seed=1, destination=(shape[0] - 1, shape[1] - 1))]
    log = play_packets(config, packets)
    check(config, packets, log)
    assert len(log["o"]) == 3 and len(log["failure"]) == 1


def test_a_failure_nobody_takes_holds_up_the_next_packet() -> None:
    """It is never lost: bounded, back-pressured. Taken at last, all goes on."""
    config = NocConfig(mesh_x=2, mesh_y=1, vcs=1)
    packets = [plain(config, rows=1, destination=(0, 1)), plain(config, rows=1, destination=(1, 0), seed=1)]
    dut = packetiser(config)
    beats = [beat for packet in packets for beat in sent(config, packet)]
    log = play(dut, send={"i": (dut.i, beats)}, take={"o": dut.o}, cycles=30, seed=0)
    assert len(log["i"]) == 1 and not log["o"]
    log = play_packets(config, packets, accept=0.05, cycles=500)
    check(config, packets, log)


@pytest.mark.parametrize("at", range(1, 12))
def test_reset_in_mid_packet(at: int) -> None:
    """What was under way is gone; the packets sent after it come out whole. Among them are all ways a packet can be under way."""
    config = NocConfig(mesh_x=2, mesh_y=1)
    packets = [plain(config, rows=2, destination=(5, 5)), plain(config, rows=5, seed=1), plain(config, rows=0, seed=2)]
    packets[1].beats.keep[1, 2] = False
    log = play_packets(config, packets, reset_at=at)
    check(config, packets, log)


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="config must be a NocConfig, not 3"):
        Packetiser(config=3, network=0)
    for network in (1, -1, True, "request"):
        with pytest.raises(ValueError, match=f"network must be 0 to 0, not {network!r}: raise virtual_networks"):
            Packetiser(config=NocConfig(), network=network)
