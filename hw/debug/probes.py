"""What the logic analyser of a board sees: names and widths, the same for every configuration of the chip, and what their values mean."""

from ..common.isa import ENGINES
from ..control.counters import TraceState

#: Channels of AXI4 and AXI4-Lite.
CHANNELS = ("ar", "r", "aw", "w", "b")
#: Pins of the chip that are probes, by name, with their widths.
CHIP_PROBES: dict[str, int] = {
    "irq": 1,
    "trace_start": 5,
    "trace_done": 5,
    **{f"trace_state_{engine}": 3 for engine in ENGINES},
    **{f"m_axi_{channel}{wire}": 1 for channel in CHANNELS for wire in ("valid", "ready")},
    **{f"s_axil_{channel}{wire}": 1 for channel in CHANNELS for wire in ("valid", "ready")},
}
#: All probes of a board, in their order: those of the chip, then the lines of the UART.
BOARD_PROBES: dict[str, int] = {**CHIP_PROBES, "rx": 1, "tx": 1}
#: Names of the values of probes that have some.
PROBE_VALUES: dict[str, tuple[str, ...]] = {
    f"trace_state_{engine}": tuple(state.name.lower() for state in sorted(TraceState, key=lambda item: item.value)) for engine in ENGINES
}
