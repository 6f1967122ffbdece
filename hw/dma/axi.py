"""Signatures of the AXI4 channels inside the chip: streams that become flat `m_axi_*` pins in `hw/chip.py`.

Only what varies is carried: every burst is INCR, full-width and aligned (AXI4 specification IHI 0022, section A3.4).
"""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig

#: Bytes no burst may cross (IHI 0022, A3.4.1).
PAGE_BYTES = 4096

#: Most beats of an INCR burst (IHI 0022, A3.4.1).
AXI_BEATS = 256

#: Bits of a transaction ID: 0 is the DMA, 1 + engine index a fetcher.
ID_WIDTH = 3

#: Response codes (IHI 0022, A3.4.4): OKAY, EXOKAY; the codes with bit 1 set, SLVERR and DECERR, are errors.
RESP_WIDTH = 2


def burst_limit(config: ChipConfig) -> int:
    """Beats of the longest burst the DMA issues: a power of two."""
    return min(AXI_BEATS, config.dma_burst_lines, PAGE_BYTES // config.line_bytes)


class BurstRequest(data.StructLayout):
    """Payload of an address channel: `address` in bytes, `length` in beats less one (AxLEN)."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"address": config.axi_address_width, "length": 8})


class ReadBeat(data.StructLayout):
    """Payload of a read data channel."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"data": config.axi_data_width, "resp": RESP_WIDTH, "last": 1})


class WriteBeat(data.StructLayout):
    """Payload of the write data channel."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"data": config.axi_data_width, "last": 1})


class ReadPort(wiring.Signature):
    """One reader of DRAM (a fetcher or the load DMA), seen from the reader: bursts asked, beats returned in order."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"request": Out(stream.Signature(BurstRequest(config))), "response": In(stream.Signature(ReadBeat(config)))})


class WritePort(wiring.Signature):
    """One writer of DRAM (the store DMA), seen from the writer: `request` (AW), `data` (W), `response` (B, its code)."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__(
            {
                "request": Out(stream.Signature(BurstRequest(config))),
                "data": Out(stream.Signature(WriteBeat(config))),
                "response": In(stream.Signature(RESP_WIDTH)),
            }
        )


class TaggedRequest(data.StructLayout):
    """Payload of the shared read address channel: a `BurstRequest` with its `id`."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"id": ID_WIDTH, "address": config.axi_address_width, "length": 8})


class TaggedBeat(data.StructLayout):
    """Payload of the shared read data channel: a `ReadBeat` with its `id`."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"id": ID_WIDTH, "data": config.axi_data_width, "resp": RESP_WIDTH, "last": 1})


class ReadBus(wiring.Signature):
    """All readers of DRAM together, seen from the readers' side: requests and beats that carry an ID."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"request": Out(stream.Signature(TaggedRequest(config))), "response": In(stream.Signature(TaggedBeat(config)))})


class AxiError(wiring.Signature):
    """Error pulse of an engine that talks AXI: `cause` is a `hw.common.isa.Cause`, `address` the start of the burst."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__({"valid": Out(1), "cause": Out(5), "address": Out(config.axi_address_width)})
