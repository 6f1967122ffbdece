"""Scoreboards: what the model expects against what the device did, counted, and empty at the end.

The counts go to the file named by `MESHIUM_SCORES`, one JSON line a scoreboard, stamped with the simulation time; `tb.runner.run_tb` fails a
test that has no line or compared nothing. A test therefore ends with `Scoreboard.finish()` (or `report(n)` where it compares in its own way).
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from typing import Any

from cocotb.utils import get_sim_time

SCORES = "MESHIUM_SCORES"


def report(compared: int, *, name: str = "scoreboard") -> None:
    """Records that the running test compared `compared` items. `ValueError` if that is not a positive integer."""
    if isinstance(compared, bool) or int(compared) != compared or compared <= 0:
        raise ValueError(f"compared must be a positive integer, not {compared!r}: a test that compares nothing proves nothing")
    line = json.dumps({"scoreboard": name, "compared": int(compared), "time": get_sim_time("ns")})
    if path := os.environ.get(SCORES):  # absent when a testbench is run by hand, without run_tb
        with open(path, "a") as file:
            file.write(line + "\n")
    logging.getLogger("cocotb.scoreboard").info("%s: %d compared", name, compared)


class Scoreboard:
    """Ordered comparison: the n-th item observed must equal the n-th item expected.

    Expectations and observations may come in either order in time: a model that is ahead of or behind the device both work. Items are
    compared with `==` after `key`, so they must be plain Python values (int, tuple, bytes), not signal handles. Where several streams
    interleave freely, use one scoreboard for each source and destination.

    Parameters
    ----------
    name : str
        Stands in messages and in the count.
    key : callable or None
        Maps an item to what is compared.

    Members
    -------
    compared : int
        Items compared so far, all equal: the first difference raises.
    """

    def __init__(self, name: str, *, key: Any = None) -> None:
        if not name or not isinstance(name, str):
            raise ValueError(f"name must be a non-empty string, not {name!r}")
        if key is not None and not callable(key):
            raise ValueError(f"key must be a callable or None, not {key!r}")
        self.name = name
        self._key = key or (lambda item: item)
        self._expected: deque[Any] = deque()
        self._observed: deque[Any] = deque()
        self.compared = 0

    @property
    def outstanding(self) -> int:
        """Items expected and not yet observed."""
        return len(self._expected)

    def expect(self, *items: Any) -> None:
        """Appends what the model says comes next. Raises `AssertionError` if one was observed already and differs."""
        self._expected.extend(items)
        self._match()

    def observe(self, *items: Any) -> None:
        """Appends what the device did. Raises `AssertionError` if it differs from what is expected there."""
        self._observed.extend(items)
        self._match()

    def _match(self) -> None:
        while self._expected and self._observed:
            expected, observed = self._key(self._expected.popleft()), self._key(self._observed.popleft())
            if expected != observed:
                raise AssertionError(
                    f"{self.name}: item {self.compared} must be {_show(expected)}, not {_show(observed)} (at {get_sim_time('ns')} ns)"
                )
            self.compared += 1

    def finish(self) -> None:
        """Ends the comparison: everything expected was observed, nothing else was, and it was more than nothing.

        Raises
        ------
        AssertionError
            otherwise, with the counts and the first item left.
        """
        if self._expected:
            raise AssertionError(
                f"{self.name}: {len(self._expected)} expected item(s) never came after {self.compared} good ones; the next is {_show(self._expected[0])}"
            )
        if self._observed:
            raise AssertionError(
                f"{self.name}: {len(self._observed)} item(s) came unexpected, after {self.compared} good ones; the first is {_show(self._observed[0])}"
            )
        if not self.compared:
            raise AssertionError(f"{self.name}: must compare at least one item, not 0")
        report(self.compared, name=self.name)


def _show(item: Any) -> str:
    """Integers in hexadecimal too: that is how they look in a waveform."""
    return f"{item} ({item:#x})" if isinstance(item, int) and not isinstance(item, bool) else repr(item)
