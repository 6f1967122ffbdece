"""What a sequencer hands an engine: the fields of one checked instruction."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, enum

from ..common.isa import INSTRUCTIONS


class EngineState(enum.Enum, shape=2):
    """What an engine does in this cycle; the performance counters and the trace are made of it."""

    IDLE = 0
    BUSY = 1
    MEMORY = 2
    HAZARD = 3


def command_layout(name: str) -> data.StructLayout:
    """Payload of the command stream of instruction `name`: its own fields, names and widths of the ISA table.

    `MultiplyMoving` has one more member, `swap`: a LoadStationary came between it and the MultiplyMoving before.
    """
    members = {item.name: (signed if item.signed else unsigned)(item.width) for item in INSTRUCTIONS[name].fields}
    if name == "MultiplyMoving":
        members["swap"] = unsigned(1)
    return data.StructLayout(members)
