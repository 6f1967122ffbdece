"""The chip harness, on a small device with the pins of a chip: jobs, time, errors, log, waveform, speed."""

import numpy as np
import pytest

from hw.common.config import CONFIGS, ChipConfig, ConfigError
from sim.verilated.chip import VerilatedChip
from sim.verilated.dram import DramModel
from sim.verilated.errors import ProtocolError, RegisterError, SimulationError, SimulationTimeout

from .copier import ACTION, BEATS, GO, RESPONSES, SILENT, SOURCE, TAKE_BACK, TARGET, Copier

NANO = CONFIGS["nano"]
#: Data buses of 4, 8, 16 and 32 bytes and addresses of 32 and 40 bits: all through the same C++.
WIDTHS = [NANO, CONFIGS["base"]]


def make(config: ChipConfig = NANO, **options) -> VerilatedChip:
    return VerilatedChip(config, dram_bytes=options.pop("dram_bytes", 1 << 16), component=Copier(config=config), optimise="-O1", **options)


def copy(chip: VerilatedChip, source: int, target: int, beats: int, *, action: int = GO, limit: int = 5000) -> int:
    for register, value in ((SOURCE, source), (TARGET, target), (BEATS, beats), (ACTION, action)):
        chip.write_register(register, value)
    return chip.wait_interrupt(limit)


@pytest.mark.parametrize("config", WIDTHS, ids=lambda config: config.name)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_copies(config, stall):
    rng = np.random.default_rng(5)
    line = config.line_bytes
    with make(config, dram=DramModel(latency=3, stall_probability=stall), seed=11) as chip:
        for beats in (1, 2, 7, 16):
            data = rng.integers(256, size=beats * line, dtype=np.uint8)
            chip.write_memory(0x1000, data)
            copy(chip, 0x1000, 0x3000, beats)
            assert np.array_equal(chip.read_memory(0x3000, beats * line), data), f"seed 5, beats {beats}"
            assert chip.read_register(RESPONSES) == 0 and chip.read_register(BEATS) == beats
        assert chip.statistics == {"read_bursts": 4, "read_beats": 26, "write_bursts": 4, "write_beats": 26}


@pytest.mark.parametrize("latency", [1, 20])
def test_cycles_are_those_of_the_model(latency):
    with make(dram=DramModel(latency=latency)) as chip:
        copy(chip, 0, 0x1000, 8)
        chip.run(1)
        events = chip.events()
        first = {(int(item["kind"]), int(item["channel"])): int(item["cycle"]) for item in events[::-1]}
        start, read_done, write_done = first[0, 0], first[1, 0], first[1, 4]
        # ASK, then the latency to the first of 8 beats; OFFER, 8 beats, the latency to the response.
        assert read_done - start == 1 + latency + 7
        assert write_done - read_done == 1 + 8 + latency
        states = events[events["kind"] == 2]
        assert [(int(item["channel"]), int(item["value"])) for item in states] == [(0, 1), (0, 0), (3, 1), (3, 2), (3, 0)]
        chip.clear_events()
        chip.log_events(False)
        copy(chip, 0, 0x1000, 8)
        assert len(chip.events()) == 0


def test_bad_addresses_are_answered_with_errors_and_change_nothing():
    with make(dram=DramModel(latency=2, poison=((0x1FF0, 4),))) as chip:
        chip.write_memory(0x1000, np.full(64, 7, np.uint8))
        before = chip.memory.copy()
        copy(chip, 0x1000, 0x1FC0, 16)
        assert chip.read_register(RESPONSES) == 2
        copy(chip, 0x1000, 0x10000, 4)
        assert chip.read_register(RESPONSES) == 3
        assert np.array_equal(chip.memory, before)
        chip.poison(0x1008, 1)
        copy(chip, 0x1000, 0x4000, 4)
        assert chip.read_register(RESPONSES) == 2
        assert chip.read_memory(0x4000, 16).tolist() == [7] * 8 + [0xEE] * 4 + [7] * 4


def test_reset_ends_transfers_and_keeps_memory():
    with make(dram=DramModel(latency=500)) as chip:
        chip.write_memory(0, np.arange(16, dtype=np.uint8))
        with pytest.raises(SimulationTimeout):
            copy(chip, 0, 64, 4, limit=50)
        chip.reset()
        assert chip.states["load"] == "idle" and not chip.interrupt
        assert chip.read_memory(64, 16).tolist() == [0] * 16
        copy(chip, 0, 64, 4)
        assert chip.read_memory(64, 16).tolist() == list(range(16))


def test_timeout_says_where_each_engine_stands():
    seen = []
    with make(dram=DramModel(latency=100_000)) as chip:
        for register, value in ((BEATS, 4), (ACTION, GO)):
            chip.write_register(register, value)
        with pytest.raises(SimulationTimeout, match=r"no interrupt within 40000 cycles; cycle \d+: load engine busy, tensor engine idle"):
            chip.wait_interrupt(40_000, seen.append)
        assert seen and seen == sorted(seen) and seen[-1] <= 40_000
        assert isinstance(SimulationTimeout("x"), TimeoutError)


def test_waits_for_the_last_write_without_an_interrupt():
    with make() as chip:
        chip.write_memory(0, np.full(16, 9, np.uint8))
        with pytest.raises(SimulationTimeout):
            copy(chip, 0, 64, 4, action=GO | SILENT, limit=200)
        assert chip.wait_dram_idle() == 0
        assert chip.read_memory(64, 16).tolist() == [9] * 16


def test_a_broken_handshake_is_reported_with_its_cycle():
    with (
        make(dram=DramModel(outstanding=1, stall_probability=0.9), seed=2) as chip,
        pytest.raises(ProtocolError, match=r"cycle \d+: AR must be held"),
    ):
        for _ in range(20):
            copy(chip, 0, 64, 4, action=GO | TAKE_BACK)


def test_equal_seeds_give_equal_cycles_and_others_do_not():
    def cycles(seed: int) -> list[int]:
        with make(dram=DramModel(latency=4, stall_probability=0.3), seed=seed) as chip:
            return [copy(chip, 0, 0x800, 16) for _ in range(5)]

    assert cycles(1) == cycles(1)
    assert cycles(1) != cycles(2)


def test_two_chips_at_once_do_not_share_state():
    with make() as first, make(dram=DramModel(latency=9)) as second:
        first.write_memory(0, np.full(16, 1, np.uint8))
        second.write_memory(0, np.full(16, 2, np.uint8))
        copy(first, 0, 64, 4)
        assert second.cycle < first.cycle and not second.interrupt
        copy(second, 0, 64, 4)
        assert (first.read_memory(64, 1)[0], second.read_memory(64, 1)[0]) == (1, 2)


def test_random_power_up_values_change_nothing_after_reset():
    for seed in (3, 4):
        with make(x_initial="unique", seed=seed) as chip:
            chip.write_memory(0, np.arange(16, dtype=np.uint8))
            copy(chip, 0, 64, 4)
            assert chip.read_memory(64, 16).tolist() == list(range(16)), f"seed {seed}"


def test_waveform(tmp_path):
    with make(trace=True) as chip:
        chip.start_vcd(tmp_path / "copy.vcd")
        copy(chip, 0, 64, 4)
        chip.stop_vcd()
        last = chip.cycle - 1
    text = (tmp_path / "copy.vcd").read_text()
    assert "m_axi_arvalid" in text and f"\n#{10 * last + 5}\n" in text
    with make() as chip, pytest.raises(SimulationError, match="trace=True"):
        chip.start_vcd(tmp_path / "no.vcd")


def test_benchmark_does_the_same_work_twice():
    with make() as chip:
        result = chip.benchmark(lambda device: [copy(device, 0, 64, 16) for _ in range(20)])
        assert result.cycles > 20 * 60
        assert result.seconds > 0 and result.bare_seconds > 0
        assert result.ratio == pytest.approx(result.bare_seconds / result.seconds)
        assert result.hertz == pytest.approx(result.cycles / result.seconds)


def test_second_build_comes_from_the_cache(monkeypatch):
    with make() as chip:
        config = chip.config
    monkeypatch.setattr("sim.verilated.toolchain.run_verilator", lambda *arguments, **options: pytest.fail("built again"))
    with make(config) as chip:
        assert chip.name == "rtl" and chip.memory_bytes == 1 << 16


def test_bad_arguments_are_refused():
    component = Copier(config=NANO)
    with pytest.raises(ValueError, match="dram_bytes must be a positive multiple of the line size 4, not 6"):
        VerilatedChip(NANO, dram_bytes=6, component=component)
    with pytest.raises(ValueError, match=r"dram_bytes must be at most 2\*\*20"):
        VerilatedChip(NANO, dram_bytes=1 << 21, component=component)
    with pytest.raises(ValueError, match="seed must be an integer from 0"):
        VerilatedChip(NANO, seed=-1, component=component)
    with pytest.raises(ValueError, match="x_initial must be 'fast' or 'unique', not 'zero'"):
        VerilatedChip(NANO, x_initial="zero", component=component)
    with pytest.raises(ConfigError, match="rows == cols"):
        VerilatedChip(ChipConfig(rows=4, cols=8, output_lanes=4))
    with make() as chip:
        with pytest.raises(ValueError, match="register address must be a multiple of 4"):
            chip.read_register(2)
        with pytest.raises(ValueError, match="register value must fit 32 bits"):
            chip.write_register(0, 1 << 32)
        with pytest.raises(ValueError, match="DRAM range must be within 65536 bytes, not 8 bytes at 0xfffc"):
            chip.write_memory(0xFFFC, bytes(8))
        with pytest.raises(ValueError, match="DRAM range"):
            chip.read_memory(-1, 1)
        with pytest.raises(SimulationError, match="has no memory sbuf"):
            _ = chip.sbuf
        chip.close()
        with pytest.raises(SimulationError, match="must be open"):
            chip.run(1)
    assert issubclass(RegisterError, SimulationError)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("latency", 0, "latency must be an integer from 1"),
        ("bytes_per_cycle", 0, "bytes_per_cycle must be None or"),
        ("outstanding", 0, "outstanding must be an integer from 1"),
        ("stall_probability", 1.0, "stall_probability must be at least 0 and below 1"),
        ("poison", ((-1, 4),), "poison must be pairs"),
    ],
)
def test_bad_dram_models_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        DramModel(**{field: value})
