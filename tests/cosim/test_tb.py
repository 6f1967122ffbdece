"""Runs every registered testbench in every one of its configurations."""

from __future__ import annotations

import pytest

from tb.registry import Bench, Config, benches
from tb.runner import run_bench

RUNS = [(bench, config) for bench in benches().values() for config in bench.configs]


@pytest.mark.parametrize(("bench", "config"), RUNS, ids=[f"{bench.name}-{config.name}" for bench, config in RUNS])
def test_testbench(bench: Bench, config: Config) -> None:
    """`run_bench` raises unless all tests ran, passed and compared something; the seed and the replay command are in its output."""
    result = run_bench(bench, config)
    assert sum(result.compared.values()) > 0
