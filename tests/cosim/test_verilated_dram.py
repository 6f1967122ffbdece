"""The DRAM model: contents, time, order, errors, and every rule a master can break."""

import ctypes
from itertools import pairwise

import numpy as np
import pytest

from sim.verilated.dram import DramModel

from .dram_master import LINE, Burst, Pins, address_pins, transfer


@pytest.mark.parametrize("latency", [1, 7, 40])
def test_latency_and_full_rate(latency):
    with Pins(DramModel(latency=latency)) as pins:
        read, write = Burst(0x100, 16), Burst(0x800, 16, data=np.arange(256, dtype=np.uint8))
        transfer(pins, [read], [write])
        assert read.cycles == [read.address_cycle + latency + beat for beat in range(16)]
        # Write data is taken from the cycle after its address on, one beat a cycle.
        assert write.cycles == [write.address_cycle + 16 + latency]
        assert np.array_equal(pins.memory[0x800:0x900], write.data) and pins.idle


def test_bursts_follow_each_other_without_a_gap():
    with Pins(DramModel(latency=10)) as pins:
        reads = [Burst(0x100 * index, 16) for index in range(8)]
        transfer(pins, reads, [])
        beats = [cycle for burst in reads for cycle in burst.cycles]
        assert beats == list(range(beats[0], beats[0] + 128))


@pytest.mark.parametrize("rate", [16.0, 8.0, 3.0])
def test_bandwidth_is_a_limit_of_each_direction(rate):
    with Pins(DramModel(latency=1, bytes_per_cycle=rate)) as pins:
        reads = [Burst(0x400 * index, 64) for index in range(4)]
        writes = [Burst(0x4000 + 0x400 * index, 64, data=np.zeros(1024, np.uint8)) for index in range(4)]
        transfer(pins, reads, writes)
        for cycles in (reads[-1].cycles[-1], writes[-1].cycles[-1]):
            assert 4096 / rate <= cycles <= 4096 / rate * 1.02 + 8


def test_outstanding_bursts_are_limited():
    with Pins(DramModel(latency=200, outstanding=3)) as pins:
        reads = [Burst(0x100 * index, 4) for index in range(6)]
        transfer(pins, reads, [])
        assert reads[2].address_cycle < 10
        assert reads[3].address_cycle >= reads[0].cycles[-1] - 1


@pytest.mark.parametrize("seed", range(6))
def test_random_traffic_keeps_contents_and_order(seed):
    rng = np.random.default_rng(seed)
    model = DramModel(
        latency=int(rng.integers(1, 30)), stall_probability=[0.0, 0.5][seed % 2], reorder=seed >= 2, outstanding=int(rng.integers(1, 20))
    )
    with Pins(model, seed=seed) as pins:
        expected = pins.memory.copy()
        for _ in range(3):
            # Reads from the lower half, writes to the upper, then the halves' contents are compared and mixed.
            pins.memory[: 1 << 15] = expected[: 1 << 15] = rng.integers(256, size=1 << 15, dtype=np.uint8)

            def bursts(base: int) -> list[Burst]:
                result = []
                for _ in range(12):
                    beats = int(rng.integers(1, 33))
                    page = base + 4096 * int(rng.integers(8))
                    result.append(Burst(page + LINE * int(rng.integers(0, 256 - beats + 1)), beats, int(rng.integers(4))))
                return result

            reads, writes = bursts(0), bursts(1 << 15)
            for burst in writes:
                burst.data = rng.integers(256, size=burst.beats * LINE, dtype=np.uint8)
                expected[burst.address : burst.address + burst.beats * LINE] = burst.data
            transfer(pins, reads, writes, rng=rng)
            for burst in reads:
                assert np.array_equal(burst.data, expected[burst.address : burst.address + burst.beats * LINE]), f"seed {seed}"
            assert np.array_equal(pins.memory, expected), f"seed {seed}"


def test_reordering_mixes_ids_and_never_one_id():
    with Pins(DramModel(latency=30, reorder=True), seed=3) as pins:
        reads = [Burst(0x100 * index, 8, index % 4) for index in range(16)]
        order = transfer(pins, reads, [])
        firsts = [reads.index(burst) for index, burst in enumerate(order) if burst not in order[:index]]
        assert firsts != sorted(firsts)
        for identity in range(4):
            mine = [index for index in firsts if index % 4 == identity]
            assert mine == sorted(mine)
        runs = sum(first is not second for first, second in pairwise(order))
        assert runs > len(reads), "beats of different IDs never interleaved"
    with Pins(DramModel(latency=30)) as pins:
        reads = [Burst(0x100 * index, 8, index % 4) for index in range(16)]
        order = transfer(pins, reads, [])
        assert [reads.index(burst) for burst in order] == sorted(reads.index(burst) for burst in order)


def test_errors():
    model = DramModel(latency=2, poison=((0x1020, 1),))
    with Pins(model) as pins:
        pins.memory[:] = 0x55
        across, beyond = Burst(0x1000, 4), Burst(0xFFE0, 2)
        outside = Burst(0x1_0000, 2)
        bad_write, far_write = Burst(0x1000, 4, data=np.zeros(64, np.uint8)), Burst(0x2_0000, 1, data=np.zeros(16, np.uint8))
        transfer(pins, [across, beyond, outside], [bad_write, far_write])
        assert across.responses == [0, 0, 2, 0] and beyond.responses == [0, 0] and outside.responses == [3, 3]
        assert across.data.tolist() == [0x55] * 32 + [0xEE] * 16 + [0x55] * 16
        assert bad_write.responses == [2] and far_write.responses == [3]
        assert (pins.memory == 0x55).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"burst": 2}, "must be INCR"),
        ({"burst": 0}, "must be INCR"),
        ({"size": 3}, "must have full-width beats"),
        ({"address": 0x108}, "must be aligned to 16 bytes"),
        ({"address": 0xFC0, "length": 4}, "must not cross a 4 KiB boundary"),
        ({"lock": 1}, "must not be exclusive"),
    ],
)
@pytest.mark.parametrize("channel", ["ar", "aw"])
def test_illegal_bursts_are_reported(channel, changes, message):
    with Pins(DramModel()) as pins:
        setattr(pins.master, channel, address_pins(0x100, 4, **changes))
        pins.step()
        assert message in pins.violation and "cycle 0" in pins.violation
        assert ("read" if channel == "ar" else "write") in pins.violation


@pytest.mark.parametrize("length", [4, 1])
def test_the_last_legal_burst_before_a_boundary_is_accepted(length):
    with Pins(DramModel()) as pins:
        pins.master.ar = address_pins(0x1000 - length * LINE, length)
        pins.step()
        assert pins.violation == ""


@pytest.mark.parametrize("channel", ["ar", "aw"])
@pytest.mark.parametrize("change", ["valid", "address", "length", "id"])
def test_address_channels_must_hold(channel, change):
    with Pins(DramModel()) as pins:
        setattr(pins.master, channel, address_pins(0x100, 4))
        pins.step()
        assert pins.violation == ""  # ready is low in the first cycle
        setattr(getattr(pins.master, channel), change, 0 if change == "valid" else 1 << 4)
        pins.library.dram_step(pins.handle, ctypes.byref(pins.master), ctypes.byref(pins.slave), 0, 1)
        held = pins.violation
        assert held.endswith(f"cycle 1: {channel.upper()} must be held until {channel.upper()}READY, it changed or was taken back")


@pytest.mark.parametrize("change", ["w_valid", "w_last", "w_data"])
def test_write_data_must_hold(change):
    with Pins(DramModel()) as pins:
        pins.master.w_valid = True
        pins.step()
        if change == "w_data":
            pins.master.w_data[LINE - 1] ^= 1
        else:
            setattr(pins.master, change, not getattr(pins.master, change))
        pins.step()
        assert "W must be held" in pins.violation


@pytest.mark.parametrize(
    ("beats", "last", "strobe", "message"),
    [(2, True, 0xFF, "WLAST"), (1, False, 0xFF, "WLAST"), (1, True, 0x7F, "WSTRB"), (1, True, 0xFF, "")],
)
def test_write_beats_are_checked(beats, last, strobe, message):
    with Pins(DramModel()) as pins:
        pins.master.aw = address_pins(0x100, beats)
        pins.master.w_valid, pins.master.w_last = True, last
        pins.master.w_strobe[0], pins.master.w_strobe[1] = 0xFF, strobe
        for _ in range(3):
            taken = (pins.slave.aw_ready, pins.slave.w_ready)
            pins.step()
            pins.master.aw.valid &= not taken[0]
            pins.master.w_valid &= not taken[1]
        assert (message in pins.violation) if message else pins.violation == ""


def test_valid_must_be_low_in_reset_and_reset_forgets():
    with Pins(DramModel(latency=5)) as pins:
        pins.master.ar = address_pins(0x100, 4)
        pins.step()
        pins.step()
        assert not pins.idle
        pins.master.ar.valid = False
        pins.step(in_reset=True)
        assert pins.idle and pins.violation == ""
        pins.master.w_valid = True
        pins.step(in_reset=True)
        assert "must be low in reset" in pins.violation
