"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# The Yosys that comes as a package, whatever the machine has: other versions write other Verilog.
os.environ["AMARANTH_USE_YOSYS"] = "builtin"

# No time limit for an example, machines differ; a failure prints what replays it.
settings.register_profile("meshium", deadline=None, print_blob=True)
settings.load_profile("meshium")
