"""Patterns and scoreboard of tb.vip, without a simulator; drivers and monitors are exercised by tb/tb_fifo.py and tests/cosim/test_runner.py."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from hw.common.config import CONFIGS
from tb.vip import config, scoreboard
from tb.vip.scoreboard import Scoreboard, report
from tb.vip.stream import patterns, random_pattern, steps


@pytest.fixture(autouse=True)
def scores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where counts go; the simulation time is always 5 ns."""
    path = tmp_path / "scores.jsonl"
    monkeypatch.setenv("MESHIUM_SCORES", str(path))
    monkeypatch.setattr(scoreboard, "get_sim_time", lambda unit: 5.0)
    return path


def test_pattern_repeats_for_ever() -> None:
    assert list(islice(steps("110"), 7)) == [True, True, False, True, True, False, True]


@pytest.mark.parametrize("text", ["", "000", "1x", "10 "])
def test_pattern_must_be_ones_and_zeros_with_a_one(text: str) -> None:
    with pytest.raises(ValueError, match="pattern must be"):
        steps(text)


@pytest.mark.parametrize("seed", range(5))
def test_random_patterns_are_valid_and_follow_the_seed(seed: int) -> None:
    once, again = (patterns(np.random.default_rng(seed)) for _ in range(2))
    assert once == again
    for text in once:
        steps(text)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_random_pattern_has_its_share(share: float) -> None:
    text = random_pattern(np.random.default_rng(3), share=share, length=5003)
    assert abs(text.count("1") / len(text) - share) < 0.03


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_share_must_be_possible(share: float) -> None:
    with pytest.raises(ValueError, match="share must be above 0 and at most 1, not"):
        random_pattern(np.random.default_rng(0), share=share)


@pytest.mark.parametrize("observe_first", [False, True])
def test_scoreboard_counts_in_either_order(observe_first: bool, scores: Path) -> None:
    board = Scoreboard("b")
    actions = [board.expect, board.observe]
    for action in reversed(actions) if observe_first else actions:
        action(1, (2, 3))
    board.finish()
    assert json.loads(scores.read_text()) == {"scoreboard": "b", "compared": 2, "time": 5.0}


def test_difference_raises_at_once_with_its_number() -> None:
    board = Scoreboard("b")
    board.expect(7, 8)
    board.observe(7)
    with pytest.raises(AssertionError, match=r"b: item 1 must be 8 \(0x8\), not 9 \(0x9\) \(at 5.0 ns\)"):
        board.observe(9)


def test_finish_wants_everything_and_nothing_else(scores: Path) -> None:
    late, early, empty = Scoreboard("late"), Scoreboard("early"), Scoreboard("empty")
    late.expect(1)
    early.observe(2)
    with pytest.raises(AssertionError, match=r"late: 1 expected item\(s\) never came after 0 good ones; the next is 1"):
        late.finish()
    with pytest.raises(AssertionError, match=r"early: 1 item\(s\) came unexpected"):
        early.finish()
    with pytest.raises(AssertionError, match="empty: must compare at least one item, not 0"):
        empty.finish()
    assert not scores.exists()


def test_key_says_what_is_compared() -> None:
    board = Scoreboard("b", key=lambda item: item % 10)
    board.expect(13)
    board.observe(23)
    assert board.compared == 1
    assert board.outstanding == 0


@pytest.mark.parametrize("compared", [0, -1, True])
def test_report_wants_a_positive_count(compared: int) -> None:
    with pytest.raises(ValueError, match="compared must be a positive integer, not"):
        report(compared)


def test_scoreboard_checks_its_parameters() -> None:
    with pytest.raises(ValueError, match="name must be a non-empty string, not ''"):
        Scoreboard("")
    with pytest.raises(ValueError, match="key must be a callable or None, not 3"):
        Scoreboard("b", key=3)


def test_configuration_comes_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHIUM_CONFIG", json.dumps(CONFIGS["base"].to_dict()))
    assert config() == CONFIGS["base"]
    monkeypatch.delenv("MESHIUM_CONFIG")
    with pytest.raises(RuntimeError, match="MESHIUM_CONFIG must be set"):
        config()
