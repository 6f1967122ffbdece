"""ChipConfig: limits of every field, derived sizes, identity."""

import dataclasses

import pytest

from hw.common.config import CONFIGS, LONGEST_INSTRUCTION_BYTES, ChipConfig, ConfigError
from hw.common.isa import ENGINES


@pytest.mark.parametrize("name", CONFIGS)
def test_named_configs_make_chips(name):
    config = ChipConfig.named(name)
    config.require_chip()
    assert config.name == name
    assert config.sbuf_lines == 1 << config.sbuf_address_width
    assert config.psum_banks == 1 << config.psum_bank_width and config.psum_rows == 1 << config.psum_row_width


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("rows", 0, "rows must be 1 to 64, not 0"),
        ("rows", 65, "rows must be"),
        ("rows", 4.0, "rows must be an integer, not 4.0"),
        ("rows", True, "rows must be an integer"),
        ("cols", 12, "cols must be a power of two, not 12"),
        ("cols", -4, "cols must be"),
        ("sbuf_banks", 3, "power of two"),
        ("sbuf_bank_lines", 8, "sbuf_bank_lines must be 16"),
        ("sbuf_latency", 0, "sbuf_latency"),
        ("psum_banks", 1, "psum_banks"),
        ("psum_rows", 1024, "psum_rows"),
        ("multiplier_stages", 5, "multiplier_stages"),
        ("adder_stages", 0, "adder_stages"),
        ("accumulator_stages", 7, "accumulator_stages"),
        ("output_lanes", 32, "output_lanes must be at most cols"),
        ("output_lanes", 3, "power of two"),
        ("semaphores", 33, "semaphores"),
        ("semaphore_width", 3, "semaphore_width"),
        ("queue_depth", 6, "power of two"),
        ("axi_address_width", 64, "axi_address_width"),
        ("dma_outstanding", 0, "dma_outstanding"),
        ("dma_burst_lines", 512, "dma_burst_lines"),
        ("dtypes", (), "at least one"),
        ("dtypes", ("fp64",), "dtypes must be among int8, bf16"),
        ("dtypes", ("int8", "int8"), "must not repeat"),
        ("dtypes", ("bf16",), "adder_stages and accumulator_stages must be at least 2"),
    ],
)
def test_rejects(field, value, match):
    with pytest.raises(ConfigError, match=match):
        ChipConfig(**{field: value})


def test_a_tile_may_be_oblong_but_a_chip_may_not():
    config = ChipConfig(rows=3, cols=8)
    with pytest.raises(ConfigError, match="rows == cols, not 3 and 8"):
        config.require_chip()
    with pytest.raises(ConfigError, match="cols from 4"):
        ChipConfig(rows=2, cols=2).require_chip()


def test_an_instruction_must_fit_one_burst():
    assert max(engine.instruction_bytes for engine in ENGINES.values()) == LONGEST_INSTRUCTION_BYTES
    ChipConfig(rows=8, cols=8, dma_burst_lines=8).require_chip()
    with pytest.raises(ConfigError, match="dma_burst_lines must be at least 8 with cols 8, not 4"):
        ChipConfig(rows=8, cols=8, dma_burst_lines=4).require_chip()


def test_unknown_name_lists_the_names():
    with pytest.raises(ConfigError, match="nano, small, base, large, not 'huge'"):
        ChipConfig.named("huge")


@pytest.mark.parametrize("name, choices", [("control", "parallel, compact"), ("multiplier", "generic, ecp5, ice40, gowin")])
def test_choices_are_named(name, choices):
    with pytest.raises(ConfigError, match=f"{name} must be one of {choices}, not 'magic'"):
        ChipConfig(**{name: "magic"})


def test_dtype_must_be_built():
    assert CONFIGS["base"].dtype("bf16").bytes == 2
    with pytest.raises(ConfigError, match="one of int8 on config 'small', not 'bf16'"):
        CONFIGS["small"].dtype("bf16")


def test_hash_covers_every_field_but_name_and_multiplier():
    config = ChipConfig()
    assert dataclasses.replace(config, name="other", multiplier="ecp5").hash == config.hash
    changed = {
        "rows": 8, "cols": 32, "dtypes": ("int8", "bf16"), "sbuf_banks": 4, "sbuf_bank_lines": 32, "sbuf_latency": 1, "psum_banks": 4,
        "psum_rows": 64, "multiplier_stages": 2, "adder_stages": 2, "accumulator_stages": 2, "output_lanes": 4, "semaphores": 8,
        "semaphore_width": 8, "queue_depth": 4, "axi_address_width": 40, "dma_outstanding": 2, "dma_burst_lines": 16,
        "control": "compact",
    }  # fmt: skip
    assert changed.keys() == {field.name for field in dataclasses.fields(config)} - {"name", "multiplier"}
    hashes = {
        dataclasses.replace(config, **({"adder_stages": 2, "accumulator_stages": 2} if key == "dtypes" else {}), **{key: value}).hash
        for key, value in changed.items()
    }
    assert len(hashes | {config.hash}) == len(changed) + 1


def test_every_field_is_documented():
    assert all(len(doc) > 10 for _, _, doc in ChipConfig.documentation())
