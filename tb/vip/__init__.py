"""Verification parts for cocotb testbenches: clock and reset, stream driver and monitor, scoreboard."""

from __future__ import annotations

import json
import os

from hw.common.config import ChipConfig


def config() -> ChipConfig:
    """The configuration the device was built with, from `MESHIUM_CONFIG`. `RuntimeError` outside a run."""
    try:
        text = os.environ["MESHIUM_CONFIG"]
    except KeyError:
        raise RuntimeError("MESHIUM_CONFIG must be set: run the testbench through make sim TB=...") from None
    fields = json.loads(text)
    return ChipConfig(**{**fields, "dtypes": tuple(fields["dtypes"])})
