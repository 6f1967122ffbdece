"""Signatures of the ports of SBUF and PSUM (contracts: docs/interfaces.md)."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.config import ChipConfig


class SbufPlace(data.StructLayout):
    """A line address of SBUF in two: `line` inside its `bank`. The bank is what SBUF arbitrates by, so it is needed early in a cycle."""

    def __init__(self, config: ChipConfig) -> None:
        line = (config.sbuf_bank_lines - 1).bit_length()
        super().__init__({"line": line, "bank": config.sbuf_address_width - line})


class SbufRequest(data.StructLayout):
    """Payload of an SBUF request: `address` in lines, `write`, `mask` (lines of the word to write), `data` (a word)."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__(
            {
                "address": config.sbuf_address_width,
                "write": 1,
                "mask": config.element_bytes,
                "data": 8 * config.word_bytes,
            }
        )


class SbufPort(wiring.Signature):
    """An SBUF port, seen from the requester.

    Members
    -------
    request : Out(stream of SbufRequest)
    response : In {valid, data}
        Pulse, `sbuf_latency` cycles after an accepted read; `data` is the word rotated so that the addressed line is lowest.
    """

    def __init__(self, config: ChipConfig) -> None:
        response = wiring.Signature({"valid": Out(1), "data": Out(8 * config.word_bytes)})
        super().__init__({"request": Out(stream.Signature(SbufRequest(config))), "response": In(response)})


def psum_row_layout(config: ChipConfig) -> data.ArrayLayout:
    """One PSUM row: `cols` words of 32 bits, column 0 lowest."""
    return data.ArrayLayout(32, config.cols)


class PsumWrite(wiring.Signature):
    """A row on its way into PSUM, seen from the tensor engine: a pulse, one a cycle at most, never refused."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__(
            {
                "valid": Out(1),
                "bank": Out(config.psum_bank_width),
                "row": Out(config.psum_row_width),
                "accumulate": Out(1),
                "is_float": Out(1),
                "data": Out(psum_row_layout(config)),
            }
        )


class PsumRead(wiring.Signature):
    """The read port of PSUM, seen from the reader.

    Members
    -------
    request : Out(stream of {bank, row})
    response : In {valid, data}
        Pulse, `PsumBanks.read_latency` cycles after an accepted request, in order.
    """

    def __init__(self, config: ChipConfig) -> None:
        layout = data.StructLayout({"bank": config.psum_bank_width, "row": config.psum_row_width})
        response = wiring.Signature({"valid": Out(1), "data": Out(psum_row_layout(config))})
        super().__init__({"request": Out(stream.Signature(layout)), "response": In(response)})


class SbufAccess(wiring.Signature):
    """Whole lines of SBUF for host and self-test, beside the engines and after them, seen from who asks.

    Members
    -------
    request : Out(stream of {address (line), write, data (a line)})
    response : In {valid, data}
        Pulse: one for each request, writes too (when the line is written), in order. The next request is made after it.
    """

    def __init__(self, config: ChipConfig) -> None:
        layout = data.StructLayout({"address": config.sbuf_address_width, "write": 1, "data": 8 * config.line_bytes})
        response = wiring.Signature({"valid": Out(1), "data": Out(8 * config.line_bytes)})
        super().__init__({"request": Out(stream.Signature(layout)), "response": In(response)})
